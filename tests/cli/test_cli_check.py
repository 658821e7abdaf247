"""`ocihooks check`: all problems of everything, in the order of their places."""

from __future__ import annotations

import json
import os
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from tests.cli.place import TRUE, Place, Run

from ocihooks.cli.checks.documents import recognise

ROOT = os.geteuid() == 0


def codes(document: dict[str, Any]) -> list[str]:
    """The findings of a JSON output in short, in order."""
    return [
        f"{finding['severity']} {finding['code']} {finding['file'].rpartition('/')[2]}{finding['pointer'] or ''}"
        for finding in document["findings"]
    ]


class TestMachine:
    """Without arguments: everything that the settings lead to."""

    def test_nothing_found(self, place: Place, ocihooks: Run) -> None:
        """Rules without fault are counted, and the status is 0."""
        place.rule("a/10-a.json")
        place.rule("b/20-b.json", when={"commands": ["^/bin/x$"]})
        finished = ocihooks("check", "SETTINGS")
        assert (finished.status, finished.stdout, finished.stderr) == (0, "3 files: no problems\n", "")

    def test_no_settings(self, place: Place, ocihooks: Run) -> None:
        """Without settings all is as by default; missing default directories are no finding."""
        place.settings.unlink()
        assert ocihooks("check", "--settings", "{DIR}/etc/config.toml").status == 2
        place.write("etc/config.toml", "")
        assert "missing_directory" not in ocihooks("check", "SETTINGS", "--json").stdout

    def test_everything_at_once(self, place: Place, ocihooks: Run) -> None:
        """Problems of settings, rules, names and static hook files come in one go, with hints, sorted by place."""
        place.configure('static-hooks = ["{DIR}/static.json"]\n[ocihooks.rules."10-gpu"]\non-invalid = "warn"')
        place.rule("a/10-gpu.json", stages=["createruntime", "prestart"])
        place.rule("a/9-late.json", path="/no/such", timeout=0)
        place.write("b/11-x.json.bak", "{}")
        place.write("static.json", '{"createRuntime": [{"path": "bin/x"}, {"path": "/bin/true", "timeout": -1}]}')
        finished = ocihooks("check", "SETTINGS")
        assert finished.status == 1
        assert finished.stdout == dedent("""\
            ocihooks: warning: {DIR}/etc/config.toml: ocihooks.rules."10-gpu": there is no rule "10-gpu" in the hooks directories
            hint: write the file name of the rule, with .json
            ocihooks: {DIR}/a/10-gpu.json: /stages/0: unknown stage "createruntime"
            hint: did you mean "createRuntime"? stages are case-sensitive
            ocihooks: warning: {DIR}/a/9-late.json: runs behind 10-gpu.json, since names are compared as text, not as numbers
            hint: write the number as 09, with as many digits as the others
            ocihooks: {DIR}/a/9-late.json: /hook/path: program "/no/such": it does not exist
            hint: install the program, or mask the rule with an empty file of its name in a later directory
            ocihooks: {DIR}/a/9-late.json: /hook/timeout: expected 1 to 3600 seconds, found 0
            ocihooks: {DIR}/static.json: /createRuntime/0/path: expected an absolute path, found "bin/x"
            hint: path is absolute (MUST, runtime-spec config.md "POSIX-platform Hooks")
            ocihooks: {DIR}/static.json: /createRuntime/1/timeout: expected more than 0 seconds, found -1
            hint: timeout is greater than zero (MUST, runtime-spec config.md "POSIX-platform Hooks")
            ocihooks: warning: {DIR}/b/11-x.json.bak: is not read: the name "11-x.json.bak" does not end in ".json"
            hint: rename it so that it ends in .json, or move it elsewhere
            4 files: 5 errors, 3 warnings
            """)  # noqa: E501 - findings are long lines

    def test_overridden(self, place: Place, ocihooks: Run) -> None:
        """Files that are overridden are looked at, too, and what is wrong with them is a warning."""
        place.write("a/10-x.json", '{"version": "3"}')
        place.rule("b/10-x.json")
        finished = ocihooks("check", "SETTINGS")
        assert finished.stdout == dedent("""\
            ocihooks: warning: {DIR}/a/10-x.json: /version: unknown schema version "3", expected "1.0.0" or "0.1.0" (overridden by {DIR}/b/10-x.json)
            hint: Podman and CRI-O refuse to start containers with such a file, overridden or not
            3 files: 1 warning
            """)  # noqa: E501 - findings are long lines
        assert finished.status == 0

    def test_masks(self, place: Place, ocihooks: Run) -> None:
        """An empty file and a link to /dev/null mask a rule, which is no finding; a dangling link is a warning."""
        for number in (1, 2, 3):
            place.rule(f"a/{number}.json")
        place.write("b/1.json", "")
        (place.root / "b/2.json").symlink_to("/dev/null")
        (place.root / "b/3.json").symlink_to("/no/such")
        document = ocihooks("check", "SETTINGS", "--json").json()
        assert codes(document) == ["warning missing_file 3.json"]
        assert document["findings"][0]["message"] == (
            'links to "/no/such", which is missing, so it masks {DIR}/a/3.json'
        )

    def test_strict(self, place: Place, ocihooks: Run) -> None:
        """Warnings alone are status 0, with --strict 1."""
        place.rule("a/1.json", when={"commands": ["sh"]})
        assert ocihooks("check", "SETTINGS").status == 0
        assert ocihooks("check", "SETTINGS", "--strict").status == 1

    def test_policy(self, place: Place, ocihooks: Run) -> None:
        """What the policy tolerates is a warning."""
        place.configure('[ocihooks.rules."1.json"]\non-invalid = "ignore"')
        place.rule("a/1.json", path="/no/such")
        place.rule("a/2.json", path="/no/such")
        assert codes(ocihooks("check", "SETTINGS", "--json").json()) == [
            "warning missing_program 1.json/hook/path",
            "error missing_program 2.json/hook/path",
        ]

    def test_broken_settings(self, place: Place, ocihooks: Run) -> None:
        """Broken settings are a finding among others; the directories of the command line are checked nevertheless."""
        place.settings.write_text("[ocihooks\n")
        place.write("a/1.json", "{")
        assert codes(ocihooks("check", "SETTINGS", "--hooks-dir", "a", "--json").json()) == [
            "error toml_syntax config.tomlline 1 column 10",
            "error json_syntax 1.jsonline 1 column 2",
        ]

    def test_switched_off(self, place: Place, ocihooks: Run) -> None:
        """The kill switch is a warning."""
        ocihooks("disable", "SETTINGS")
        finished = ocihooks("check", "SETTINGS", "--strict")
        assert finished.status == 1
        assert "ocihooks: warning: {DIR}/etc/disabled: hooks are switched off since " in finished.stdout

    @pytest.mark.parametrize(
        ("first", "second", "expected"),
        [
            pytest.param("10-a.json", "9-b.json", ["warning mixed_widths 9-b.json"], id="widths-differ"),
            pytest.param("10-a.json", "100-b.json", [], id="order-as-meant"),
            pytest.param("09-a.json", "10-b.json", [], id="same-width"),
            pytest.param("A.json", "a.json", ["warning same_letters a.json"], id="letter-case"),
            pytest.param("a.json", "a.JSON", ["warning near_miss_name a.JSON"], id="suffix-case"),
            pytest.param("a.json", "b.json~", ["warning near_miss_name b.json~"], id="backup-of-an-editor"),
            pytest.param("a.json", "b.jsonc", ["warning near_miss_name b.jsonc"], id="jsonc"),
            pytest.param("a.json", "b.json.disabled", [], id="taken-out-on-purpose"),
            pytest.param("a.json", "README", [], id="other-file"),
        ],
    )
    def test_names(self, first: str, second: str, expected: list[str], place: Place, ocihooks: Run) -> None:
        """Names that don't do what they suggest are warnings."""
        place.rule(f"a/{first}")
        place.rule(f"b/{second}")
        assert codes(ocihooks("check", "SETTINGS", "--json").json()) == expected

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            pytest.param("rule", "error untrusted 1.json", id="rule"),
            pytest.param("directory", "error untrusted a", id="directory"),
            pytest.param("program", "error untrusted 1.json/hook/path", id="program"),
            pytest.param("settings", "error untrusted config.toml", id="settings"),
            pytest.param("static", "error untrusted static.json", id="static"),
        ],
    )
    def test_writable_by_everybody(self, kind: str, expected: str, place: Place, ocihooks: Run) -> None:
        """What everybody may write is not used by the wrapper, and the remedy is a command."""
        program = place.write("bin/hook", "#!/bin/sh\n")
        program.chmod(0o755)
        place.configure('static-hooks = ["{DIR}/static.json"]')
        place.write("static.json", "{}")
        rule = place.rule("a/1.json", path=str(program))
        paths: dict[str, Path] = {
            "rule": rule,
            "directory": rule.parent,
            "program": program,
            "settings": place.settings,
            "static": place.root / "static.json",
        }
        paths[kind].chmod(0o777)
        document = ocihooks("check", "SETTINGS", "--json").json()
        assert expected in codes(document)
        hint = next(finding["hint"] for finding in document["findings"] if finding["code"] == "untrusted")
        assert hint == f"chmod o-w {place.named(str(paths[kind]))}"

    def test_program_not_executable(self, place: Place, ocihooks: Run) -> None:
        """A program that nobody can execute is an error; that of startContainer is not looked at."""
        program = place.write("bin/hook", "#!/bin/sh\n")
        program.chmod(0o644)
        place.rule("a/1.json", path=str(program))
        place.rule("a/2.json", path="/in/the/container", stages=["startContainer"])
        assert codes(ocihooks("check", "SETTINGS", "--json").json()) == ["error odd_program 1.json/hook/path"]

    def test_missing_static_file(self, place: Place, ocihooks: Run) -> None:
        """A static hook file that is missing forbids every container."""
        place.configure('static-hooks = ["{DIR}/static.json"]')
        assert codes(ocihooks("check", "SETTINGS", "--json").json()) == ["error missing_file static.json"]

    def test_injector_files(self, place: Place, ocihooks: Run) -> None:
        """A broken injector file forbids every container, by the policy for rules; one alone is known by its flag."""
        place.configure('injector-dir = "{DIR}/injectors"')
        place.write("injectors/a.json", '{"activation_flag": "A", "binaries": [{"path": "/bin/true"}]}')
        place.write("injectors/b.json", '{"activation_flag": "A", "binaries": ["/bin/true"]}')
        document = ocihooks("check", "SETTINGS", "--json").json()
        assert codes(ocihooks("check", "SETTINGS", "--json").json()) == ["error odd_entry a.json/binaries/0"]
        assert [checked["kind"] for checked in document["checked"]] == ["settings", "injector", "injector"]
        assert codes(ocihooks("check", "injectors/a.json", "--json").json()) == ["error odd_entry a.json/binaries/0"]
        assert ocihooks("check", "injectors/b.json").status == 0
        place.configure('injector-dir = "{DIR}/injectors"\non-invalid = "warn"')
        assert codes(ocihooks("check", "SETTINGS", "--json").json()) == ["warning odd_entry a.json/binaries/0"]

    def test_fifo(self, place: Place, ocihooks: Run) -> None:
        """Something that would block when read is a finding, overridden or not."""
        os.mkfifo(place.root / "a/1.json")
        os.mkfifo(place.root / "a/2.json")
        place.rule("b/2.json")
        assert codes(ocihooks("check", "SETTINGS", "--json").json()) == [
            "error untrusted 1.json",
            "warning untrusted 2.json",
        ]


class TestPaths:
    """With arguments: files, directories and bundles."""

    @pytest.mark.parametrize(
        ("name", "text", "kind"),
        [
            pytest.param("x.toml", "", "settings", id="settings"),
            pytest.param("x.json", '{"version": "1.0.0", "hook": {}}', "rule", id="rule"),
            pytest.param("x.json", '{"hook": "/bin/true", "hooks": {}}', "rule", id="old-rule"),
            pytest.param("x.json", "", "rule", id="mask"),
            pytest.param("x.json", "{", "rule", id="broken"),
            pytest.param("x.json", '{"hooks": {}}', "static", id="static"),
            pytest.param("x.json", '{"poststop": []}', "static", id="bare-static"),
            pytest.param("x.json", '{"ociVersion": "1.0.2", "hooks": {}}', "config", id="config"),
            pytest.param("config.json", "{", "config", id="broken-config"),
        ],
    )
    def test_recognised(self, name: str, text: str, kind: str) -> None:
        """What a file is shows in its name and its members."""
        assert recognise(f"/x/{name}", text.encode()) == kind

    def test_rule(self, place: Place, ocihooks: Run) -> None:
        """A rule file has all its problems reported; a program that is missing here is a warning only."""
        document = {
            "version": "1.0.0",
            "hook": {"path": "/no/such", "env": ["X"]},
            "when": {"comands": ["^x$"], "always": "yes"},
            "stages": ["nope", "later"],
        }
        place.write("10-x.json", json.dumps(document))
        finished = ocihooks("check", "10-x.json")
        assert finished.stdout == dedent("""\
            ocihooks: 10-x.json: /stages/0: unknown stage "nope"
            hint: known stages: prestart, createRuntime, createContainer, startContainer, poststart, poststop
            ocihooks: 10-x.json: /stages/1: unknown stage "later"
            hint: known stages: prestart, createRuntime, createContainer, startContainer, poststart, poststop
            ocihooks: 10-x.json: /when/always: expected true or false, found the string "yes"
            ocihooks: warning: 10-x.json: /when/comands: unknown member "comands" has no effect
            hint: did you mean "commands"?
            1 file: 3 errors, 1 warning
            """)
        assert finished.status == 1
        place.rule("20-y.json", path="/no/such")
        assert codes(ocihooks("check", "20-y.json", "--json").json()) == ["warning missing_program 20-y.json/hook/path"]

    def test_trust_does_not_matter(self, place: Place, ocihooks: Run) -> None:
        """A source tree may belong to anybody."""
        place.rule("a/1.json").chmod(0o666)
        (place.root / "a").chmod(0o777)
        assert ocihooks("check", "a").stdout == "1 file: no problems\n"
        assert ocihooks("check", "a/1.json").stdout == "1 file: no problems\n"

    def test_directory(self, place: Place, ocihooks: Run) -> None:
        """All rule files of a hooks directory are checked, and the names beside them."""
        place.rule("c/10-x.json")
        place.write("c/9-y.json", "[]")
        place.write("c/z.json~", "")
        (place.root / "c/sub").mkdir()
        assert codes(ocihooks("check", "c", "--json").json()) == [
            "warning mixed_widths 9-y.json",
            "error json_type 9-y.json/",
            "warning near_miss_name z.json~",
        ]

    def test_static(self, place: Place, ocihooks: Run) -> None:
        """A static hook file is held against the runtime-spec."""
        hooks = {
            "prestart": [{"path": TRUE}],
            "createContainer": [{"path": "relative", "args": "x"}, 7],
            "nope": [],
            "poststop": {"path": TRUE},
        }
        place.write("static.json", json.dumps({"hooks": hooks}))
        assert codes(ocihooks("check", "static.json", "--json").json()) == [
            "warning empty_env static.json/hooks/createContainer/0",
            "error json_type static.json/hooks/createContainer/0/args",
            "error relative_path static.json/hooks/createContainer/0/path",
            "error json_type static.json/hooks/createContainer/1",
            "error unknown_stage static.json/hooks/nope",
            "error json_type static.json/hooks/poststop",
            "warning prestart static.json/hooks/prestart",
        ]

    def test_settings(self, place: Place, ocihooks: Run) -> None:
        """A settings file has all its problems reported."""
        place.write("x.toml", '[ocihooks]\nlog = 1\nlogg = "/x"\n[other]\n')
        assert sorted(codes(ocihooks("check", "x.toml", "--json").json())) == [
            "error unknown_key x.tomlocihooks.logg",
            "error unknown_key x.tomlother",
            "error wrong_value x.tomlocihooks.log",
        ]

    def test_bundle(self, place: Place, ocihooks: Run) -> None:
        """A directory with a config.json is a bundle: everything about hooks that the wrapper or the spec refuses."""
        config = {
            "ociVersion": 1,
            "process": {"args": "sh"},
            "annotations": {"a": 1},
            "Mounts": [],
            "hooks": {"poststart": [{"args": [1], "env": ["X"], "timeout": 1.5}, {"path": 1, "timeout": 0}]},
        }
        place.write("bundle/config.json", json.dumps(config))
        document = ocihooks("check", "bundle", "--json").json()
        assert codes(document) == [
            "error member_case config.json/Mounts",
            "error json_type config.json/annotations/a",
            "error missing_property config.json/hooks/poststart/0",
            "error json_type config.json/hooks/poststart/0/args/0",
            "warning odd_env config.json/hooks/poststart/0/env/0",
            "error json_type config.json/hooks/poststart/0/timeout",
            "error json_type config.json/hooks/poststart/1/path",
            "error odd_timeout config.json/hooks/poststart/1/timeout",
            "error missing_property config.json/ociVersion",
            "error json_type config.json/process/args",
        ]
        assert document["checked"] == [{"file": "bundle/config.json", "kind": "config"}]
        assert (document["errors"], document["warnings"]) == (9, 1)

    def test_did_you_mean(self, place: Place, ocihooks: Run) -> None:
        """Members and stages that look like one that is meant are told with it, wherever they stand."""
        hook = {"path": TRUE, "arg": ["x"], "Env": ["A=b"], "com.example.note": "kept"}
        place.write("static.json", json.dumps({"poststop": [hook], "poststrt": []}))
        place.write(
            "x.json", json.dumps({"version": "1.0.0", "hook": {"path": TRUE, "timout": 5}, "stages": ["post-stop"]})
        )
        place.bundle(hooks={"createcontainer": [], "prestrat": []})
        text = ocihooks("check", "static.json", "x.json", "bundle").stdout
        hints = [line.removeprefix("hint: ") for line in text.splitlines() if "did you mean" in line]
        assert hints == [
            'did you mean "env"?',
            'did you mean "args"?',
            'did you mean "poststart"?',
            'did you mean "timeout"?',
            'did you mean "poststop"?',
            'did you mean "createContainer"? stages are case-sensitive',
            'did you mean "prestart"?',
        ]
        assert "com.example.note" not in text

    def test_good_bundle(self, place: Place, ocihooks: Run) -> None:
        """A configuration as engines write it has no findings."""
        hooks = {"createRuntime": [{"path": TRUE, "args": ["true"], "env": ["A=b"], "timeout": 5}], "poststop": None}
        place.bundle(hooks={"createRuntime": hooks["createRuntime"]}, annotations={"a": "b"})
        assert ocihooks("check", "bundle", "--strict").stdout == "1 file: no problems\n"

    def test_several(self, place: Place, ocihooks: Run) -> None:
        """Findings come in the order of the arguments; a file that is named twice is checked once."""
        place.write("b.json", "{")
        place.write("a.json", "{")
        document = ocihooks("check", "b.json", "a.json", "b.json", "--json").json()
        assert codes(document) == ["error json_syntax b.jsonline 1 column 2", "error json_syntax a.jsonline 1 column 2"]
        assert [entry["file"] for entry in document["checked"]] == ["b.json", "a.json"]

    @pytest.mark.parametrize(
        ("name", "content", "expected"),
        [
            pytest.param("x.json", b"\xff\xfe{}", "error json_syntax x.jsonline 1 column 1", id="not-utf8-rule"),
            pytest.param("x.toml", b"\xff\xfe", "error not_utf8 x.toml", id="not-utf8-settings"),
            pytest.param("config.json", b'{"ociVersion":"\xff"}', "error not_utf8", id="not-utf8-config"),
            pytest.param("config.json", b'{"hooks":{},"hooks":{}}', "error repeated_member", id="repeated-member"),
            pytest.param("config.json", b"[" * 2000 + b"]" * 2000, "error too_deep", id="deep-config"),
            pytest.param("x.json", b" " * ((1 << 20) + 1), "error too_large x.json", id="huge-rule"),
            pytest.param("config.json", b" " * ((16 << 20) + 1), "error too_large", id="huge-config"),
            pytest.param("x.jsonc", b"{}", "warning near_miss_name x.jsonc", id="wrong-suffix"),
            pytest.param("rules", b"{}", "warning not_json_name rules", id="no-suffix"),
        ],
    )
    def test_bad_files(self, name: str, content: bytes, expected: str, place: Place, ocihooks: Run) -> None:
        """Whatever the bytes are, there is a finding with a place."""
        (place.root / name).write_bytes(content)
        assert any(found.startswith(expected) for found in codes(ocihooks("check", name, "--json").json()))

    def test_fifo(self, place: Place, ocihooks: Run) -> None:
        """A FIFO is not waited for, neither by its name nor in a directory."""
        os.mkfifo(place.root / "a/1.json")
        for argument in ("a", "a/1.json"):
            assert codes(ocihooks("check", argument, "--json").json()) == ["error read_failed 1.json"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            pytest.param(["none.json"], "'none.json' does not exist", id="no-such-file"),
            pytest.param(["a", "--hooks-dir", "b"], "are for a check without arguments", id="both"),
            pytest.param(["--strict=yes"], "--strict", id="flag-with-value"),
        ],
    )
    def test_bad_usage(self, arguments: list[str], message: str, ocihooks: Run) -> None:
        """What can't be meant is refused with status 2."""
        finished = ocihooks("check", *arguments)
        assert (finished.status, finished.stdout) == (2, "")
        assert message in finished.stderr
        assert "hint: " in finished.stderr


def test_json_of_nothing(ocihooks: Run) -> None:
    """The JSON document has the same members when nothing was found."""
    assert ocihooks("check", "SETTINGS", "--json").json() == {
        "checked": [{"file": "{DIR}/etc/config.toml", "kind": "settings"}],
        "findings": [],
        "errors": 0,
        "warnings": 0,
    }
