"""The settings file: every key, everything that may be wrong with it, and where it is looked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import ocihooks
from ocihooks.errors import Diagnostic, SettingsError, UntrustedError
from ocihooks.settings import DEFAULT_FILE, KEYS, RULE_KEYS, Settings, default_file, parse_settings, read_settings
from ocihooks.trust import trust_here

FILE = "/etc/ocihooks/config.toml"


def parse(text: str) -> Settings:
    return parse_settings(text.encode(), FILE)


def problems(data: str | bytes) -> tuple[Diagnostic, ...]:
    with pytest.raises(SettingsError) as caught:
        parse_settings(data if isinstance(data, bytes) else data.encode(), FILE)
    assert all(problem.file == FILE for problem in caught.value.problems)
    assert all(problem.hint for problem in caught.value.problems)
    return caught.value.problems


GOOD = [
    pytest.param("hooks-dirs", '["/a", "/b"]', ("/a", "/b"), id="hooks-dirs"),
    pytest.param("hooks-dirs", "[]", (), id="no-hooks-dirs"),
    pytest.param("static-hooks", '["/a"]', ("/a",), id="static-hooks"),
    pytest.param("position", '"prepend"', "prepend", id="prepend"),
    pytest.param("position", "'append'", "append", id="append"),
    pytest.param("on-invalid", '"fail"', "fail", id="fail"),
    pytest.param("on-invalid", '"warn"', "warn", id="warn"),
    pytest.param("on-invalid", '"ignore"', "ignore", id="ignore"),
    pytest.param("sandbox", "true", True, id="sandbox"),
    pytest.param("sandbox", "false", False, id="no-sandbox"),
    pytest.param("default-timeout", "1", 1, id="shortest-timeout"),
    pytest.param("default-timeout", "3_600", 3600, id="longest-timeout"),
    pytest.param("log", '"/var/log/é.log"', "/var/log/é.log", id="log"),
    pytest.param("shortcut", "false", False, id="no-shortcut"),
    pytest.param("supervise", '"on"', "on", id="supervise"),
    pytest.param("supervise", '"off"', "off", id="no-supervision"),
    pytest.param("on-failure", '"warn"', "warn", id="failures-warn"),
    pytest.param("on-failure", '"ignore"', "ignore", id="failures-ignored"),
    pytest.param("leftovers", '"kill"', "kill", id="leftovers"),
    pytest.param("records", '"/var/log/r.jsonl"', "/var/log/r.jsonl", id="records"),
    pytest.param("injector-dir", '"/etc/injector.d"', "/etc/injector.d", id="injector-dir"),
    pytest.param("modifiers", '["a.b_2:c", "/etc/o.d/m.py:é"]', ("a.b_2:c", "/etc/o.d/m.py:é"), id="modifiers"),
    pytest.param("trusted-groups", "[50, 4294967294]", (50, 4294967294), id="groups"),
]

BAD = [
    pytest.param("hooks-dirs", '"/a"', id="hooks-dirs-no-array"),
    pytest.param("hooks-dirs", '["/a", "b"]', id="hooks-dirs-relative"),
    pytest.param("hooks-dirs", '["/a", 1]', id="hooks-dirs-number"),
    pytest.param("hooks-dirs", '["/a\\u0000"]', id="hooks-dirs-nul"),
    pytest.param("hooks-dirs", "{}", id="hooks-dirs-table"),
    pytest.param("static-hooks", '["~/x.json"]', id="static-hooks-home"),
    pytest.param("static-hooks", '[["/a"]]', id="static-hooks-nested"),
    pytest.param("modifiers", '"a:b"', id="modifiers-no-array"),
    pytest.param("modifiers", '["a"]', id="modifiers-no-function"),
    pytest.param("modifiers", '["a.:b"]', id="modifiers-no-module"),
    pytest.param("modifiers", '["./a.py:b"]', id="modifiers-relative"),
    pytest.param("modifiers", '["/a:b"]', id="modifiers-no-python"),
    pytest.param("modifiers", '["a:b.c"]', id="modifiers-attribute"),
    pytest.param("modifiers", '["a:b\\n"]', id="modifiers-line"),
    pytest.param("position", '"Append"', id="position-case"),
    pytest.param("position", "1", id="position-number"),
    pytest.param("on-invalid", '"error"', id="on-invalid-word"),
    pytest.param("on-invalid", '["fail"]', id="on-invalid-array"),
    pytest.param("on-invalid", "false", id="on-invalid-false"),
    pytest.param("sandbox", '"true"', id="sandbox-string"),
    pytest.param("sandbox", "1", id="sandbox-number"),
    pytest.param("default-timeout", "0", id="timeout-zero"),
    pytest.param("default-timeout", "3601", id="timeout-long"),
    pytest.param("default-timeout", "-1", id="timeout-negative"),
    pytest.param("default-timeout", "1.0", id="timeout-float"),
    pytest.param("default-timeout", "true", id="timeout-true"),
    pytest.param("default-timeout", '"5s"', id="timeout-string"),
    pytest.param("default-timeout", "inf", id="timeout-infinite"),
    pytest.param("default-timeout", "0x" + "f" * 5000, id="timeout-huge"),
    pytest.param("log", '"ocihooks.log"', id="log-relative"),
    pytest.param("log", '""', id="log-empty"),
    pytest.param("log", "2020-01-01", id="log-date"),
    pytest.param("shortcut", '"no"', id="shortcut-string"),
    pytest.param("supervise", "true", id="supervise-true"),
    pytest.param("on-failure", '"retry"', id="on-failure-word"),
    pytest.param("leftovers", '"keep "', id="leftovers-blank"),
    pytest.param("records", '"records.jsonl"', id="records-relative"),
    pytest.param("injector-dir", '"injector.d"', id="injector-dir-relative"),
    pytest.param("trusted-groups", "50", id="groups-no-array"),
    pytest.param("trusted-groups", '["staff"]', id="groups-names"),
    pytest.param("trusted-groups", "[-1]", id="groups-negative"),
    pytest.param("trusted-groups", "[4294967295]", id="groups-no-group"),
    pytest.param("trusted-groups", "[true]", id="groups-true"),
]


class TestKeys:
    """One key at a time."""

    @pytest.mark.parametrize(("key", "value", "expected"), GOOD)
    @pytest.mark.parametrize("spelling", ["-", "_"], ids=["hyphens", "underscores"])
    def test_good(self, spelling: str, key: str, value: str, expected: Any) -> None:
        """A good value arrives as it is, whichever way its key is spelt, and nothing else changes."""
        attribute = key.replace("-", "_")
        settings = parse(f"[ocihooks]\n{key.replace('-', spelling)} = {value}\n")
        assert settings == Settings(file=FILE, **{attribute: expected})

    @pytest.mark.parametrize(("key", "value"), BAD)
    def test_bad(self, key: str, value: str) -> None:
        """A bad value is named with its key, what was expected, and what was found."""
        (problem,) = problems(f"[ocihooks]\n{key} = {value}\n")
        assert (problem.code, problem.pointer) == ("wrong_value", f"ocihooks.{key}")
        assert problem.message.startswith(f"expected {KEYS[key].expected}, found ")
        assert len(problem.message) < 250
        assert problem.hint == f"the default is {KEYS[key].default}"

    def test_all_keys_are_tried(self) -> None:
        """Every key is in both tables of this test."""
        for cases in (GOOD, BAD):
            assert {case.values[0] for case in cases} == KEYS.keys()

    @pytest.mark.parametrize("key", KEYS)
    def test_documented_default(self, key: str) -> None:
        """The default that the table shows is the one that counts when the key is missing."""
        default = getattr(Settings(), key.replace("-", "_"))
        shown = KEYS[key].default
        assert (
            default is None
            if shown.endswith(("none", "none otherwise"))
            else KEYS[key].read(tomllib.loads(f"x = {shown}")["x"]) == default
        )

    @pytest.mark.parametrize("key", [*KEYS.values(), *RULE_KEYS.values()])
    def test_documented(self, key: Any) -> None:
        """Every key says what it means, in sentences."""
        assert key.meaning.endswith(".")
        assert key.expected

    @pytest.mark.parametrize("text", ["", "\n# nothing\n", "[ocihooks]\n", "[ocihooks]\nrules = {}\n"])
    def test_nothing(self, text: str) -> None:
        """An empty file means the defaults."""
        assert parse(text) == Settings(file=FILE)


class TestRules:
    """Policies of single rules."""

    def test_policy(self) -> None:
        """A rule of its own policy has that, all others that of the settings."""
        settings = parse(
            '[ocihooks]\non-invalid = "warn"\n[ocihooks.rules."10-a.json"]\non-invalid = "fail"\n'
            '[ocihooks.rules."20-b.json"]\n[ocihooks.rules.plain]\non_invalid = "ignore"\n'
        )
        names = ("10-a.json", "20-b.json", "plain", "other.json")
        assert [settings.policy(name) for name in names] == ["fail", "warn", "ignore", "warn"]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            pytest.param("", None, id="default"),
            pytest.param('supervise = "on"', ("fail", False), id="on"),
            pytest.param('on-failure = "warn"', ("warn", False), id="implied-by-warn"),
            pytest.param('on-failure = "ignore"\nsupervise = "off"', ("ignore", False), id="implied-by-ignore"),
            pytest.param('leftovers = "kill"', None, id="leftovers-alone"),
            pytest.param('supervise = "on"\nleftovers = "kill"', ("fail", True), id="leftovers"),
            pytest.param('[ocihooks.rules.a]\nsupervise = "on"', ("fail", False), id="rule-on"),
            pytest.param('supervise = "on"\n[ocihooks.rules.a]\nsupervise = "off"', None, id="rule-off"),
            pytest.param('on-failure = "warn"\n[ocihooks.rules.a]\non-failure = "fail"', None, id="rule-fails"),
            pytest.param(
                'on-failure = "warn"\nleftovers = "kill"\n[ocihooks.rules.a]\n'
                'on-failure = "ignore"\nleftovers = "keep"',
                ("ignore", False),
                id="rule-differs",
            ),
        ],
    )
    def test_supervision(self, text: str, expected: tuple[str, bool] | None) -> None:
        """A rule is supervised where it is asked for or needed, and what is said for the rule itself counts first."""
        found = parse(f"[ocihooks]\n{text}\n").supervision("a")
        assert (found and (found.on_failure, found.kill_leftovers)) == expected

    @pytest.mark.parametrize(
        ("text", "code", "place"),
        [
            pytest.param('rules = "x"', "wrong_type", "ocihooks.rules", id="rules-string"),
            pytest.param('rules."a.json" = "warn"', "wrong_type", 'ocihooks.rules."a.json"', id="rule-string"),
            pytest.param(
                'rules."a.json".on-invalid = "no"', "wrong_value", 'ocihooks.rules."a.json".on-invalid', id="value"
            ),
            pytest.param('rules."a.json".sandbox = true', "unknown_key", 'ocihooks.rules."a.json".sandbox', id="key"),
        ],
    )
    def test_bad(self, text: str, code: str, place: str) -> None:
        """What is wrong in the table of a rule is named with the rule."""
        (problem,) = problems(f"[ocihooks]\n{text}\n")
        assert (problem.code, problem.pointer) == (code, place)


class TestUnknown:
    """Keys and tables that nobody knows."""

    @pytest.mark.parametrize(
        ("key", "hint"),
        [
            ("hook-dirs", 'did you mean "hooks-dirs"?'),
            ("hooks_dir", 'did you mean "hooks-dirs"?'),
            ("on_error", None),
            ("trusted-group", 'did you mean "trusted-groups"?'),
            ("timeout", 'did you mean "default-timeout"?'),
        ],
    )
    def test_key(self, key: str, hint: str | None) -> None:
        """An unknown key is refused, with the key that was perhaps meant or all that there are."""
        (problem,) = problems(f"[ocihooks]\n{key} = 1\n")
        assert (problem.code, problem.pointer) == ("unknown_key", f"ocihooks.{key}")
        assert problem.message == f'unknown key "{key}"'
        assert problem.hint == (hint or f"known keys: {', '.join(KEYS)}")

    @pytest.mark.parametrize("text", ["[ocihook]\nlog = 1", 'log = "/x"', '["odd\\nname"]'])
    def test_table(self, text: str) -> None:
        """An unknown table, or a key outside of any, is refused."""
        (problem,) = problems(text)
        assert (problem.code, problem.hint) == ("unknown_key", "settings stand in [ocihooks]")
        assert "\n" not in str(problem)

    @pytest.mark.parametrize("text", ["ocihooks = 1", "[[ocihooks]]", 'ocihooks = ""'])
    def test_wrong_type(self, text: str) -> None:
        """The table has to be one."""
        (problem,) = problems(text)
        assert (problem.code, problem.pointer, problem.hint) == ("wrong_type", "ocihooks", "write [ocihooks]")

    def test_two_spellings(self) -> None:
        """A key in both spellings is refused, since nobody knows which one was meant."""
        (problem,) = problems('[ocihooks]\non-invalid = "fail"\non_invalid = "warn"\n')
        assert (problem.code, problem.message) == ("repeated_key", "on-invalid is there twice")

    def test_all_at_once(self) -> None:
        """All problems are told at once."""
        found = problems('x = 1\n[ocihooks]\nposition = 1\nsandbox = 1\nlog = ""\n[ocihooks.rules]\nr = 1\n')
        assert [problem.pointer for problem in found] == [
            "x",
            *("ocihooks.position", "ocihooks.sandbox", "ocihooks.log"),
            'ocihooks.rules."r"',
        ]


class TestSyntax:
    """What is no TOML."""

    @pytest.mark.parametrize(
        ("text", "message", "place"),
        [
            pytest.param("[ocihooks]\nlog = /x\n", "invalid value", "line 2 column 7", id="value"),
            pytest.param("[ocihooks\n", "expected ']' at the end", "line 1 column 10", id="bracket"),
            pytest.param('[ocihooks]\nlog = "/x', "unterminated string", "end of document", id="string"),
            pytest.param("[ocihooks]\n[ocihooks]\n", "cannot declare", "line 2 column 10", id="twice"),
            pytest.param("a = 1\n\n\na = 2\n", "cannot overwrite a value", "line 4 column 6", id="overwritten"),
            pytest.param("a = " + "[" * 5000, "nested too deep", None, id="deep"),
            pytest.param("a = " + "9" * 5000, "a number is too long", None, id="long-number"),
            pytest.param("\ufeffa = 1", "invalid statement", "line 1 column 1", id="byte-order-mark"),
        ],
    )
    def test_refused(self, text: str, message: str, place: str | None) -> None:
        """The message says what is wrong and in which line."""
        (problem,) = problems(text)
        assert problem.code == "toml_syntax"
        assert problem.message.startswith(f"not TOML: {message}")
        assert problem.pointer == place

    def test_not_utf8(self) -> None:
        """Other encodings are refused with their line."""
        (problem,) = problems(b"[ocihooks]\n\nlog = '\xe9'\n")
        assert (problem.code, problem.pointer) == ("not_utf8", "line 3")
        assert problem.message.startswith("not UTF-8: ")


class TestFiles:
    """Reading the file."""

    def test_missing(self, tmp_path: Path) -> None:
        """No file means the defaults, and is told from a file without settings."""
        assert read_settings(str(tmp_path / "none.toml")) == Settings()
        assert read_settings(str(tmp_path / "none" / "none.toml")).file is None

    def test_read(self, tmp_path: Path) -> None:
        """A file is read, and known by its path."""
        file = tmp_path / "config.toml"
        file.write_text("[ocihooks]\nsandbox = true\n")
        assert read_settings(str(file)) == Settings(file=str(file), sandbox=True)

    def test_empty(self, tmp_path: Path) -> None:
        """An empty file means the defaults, but not while it may be just being written."""
        file = tmp_path / "config.toml"
        file.touch()
        with pytest.raises(UntrustedError, match="is empty and was changed less than 2 seconds ago") as caught:
            read_settings(str(file))
        assert (caught.value.file, caught.value.code) == (str(file), "unfinished")
        os.utime(file, (0, 0))
        assert read_settings(str(file)) == Settings(file=str(file))

    @pytest.mark.parametrize("mode", [0o646, 0o666])
    def test_untrusted(self, mode: int, tmp_path: Path) -> None:
        """A file that others could write is not used."""
        file = tmp_path / "config.toml"
        file.write_text("")
        file.chmod(mode)
        with pytest.raises(UntrustedError, match="not used, since everybody may write it"):
            read_settings(str(file))

    def test_directory(self, tmp_path: Path) -> None:
        """A directory in its place is refused."""
        with pytest.raises(UntrustedError, match="expected a regular file"):
            read_settings(str(tmp_path))

    def test_below_a_file(self, tmp_path: Path) -> None:
        """What can't be reached is no reason to take the defaults."""
        (tmp_path / "file").touch()
        with pytest.raises(UntrustedError, match="can't be read: not a directory"):
            read_settings(str(tmp_path / "file" / "config.toml"))

    def test_broken(self, tmp_path: Path) -> None:
        """A broken file is named."""
        file = tmp_path / "config.toml"
        file.write_text("[ocihooks]\nsandbox = 1\n")
        with pytest.raises(SettingsError) as caught:
            read_settings(str(file))
        assert str(caught.value) == f"{file}: ocihooks.sandbox: expected true or false, found 1"

    def test_trusted_groups(self) -> None:
        """Groups that the settings trust are trusted besides those that always are."""
        assert Settings(trusted_groups=(50,)).trust().groups == trust_here().groups | {50}


SCRIPT = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from ocihooks.places import settings_file
print(json.dumps(settings_file(dict(os.environ))))
"""


class TestDefaultFile:
    """Where the settings are when nobody says."""

    @pytest.fixture
    def own(self, private_directory: Path) -> Path:
        """A rootless user's settings."""
        file = private_directory / "ocihooks" / "config.toml"
        file.parent.mkdir()
        file.touch()
        return file

    @staticmethod
    def ask(command: list[str], environ: dict[str, str]) -> str:
        run = subprocess.run(command, capture_output=True, check=True, env=environ)
        answer: str = json.loads(run.stdout)
        return answer

    @pytest.fixture
    def as_user(self, ordinary_python: str, public_package: Path) -> list[str]:
        """The question, asked by somebody without privileges."""
        if os.geteuid() != 0:
            pytest.skip("needs root to become somebody else")
        user = ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups"]
        return [*user, ordinary_python, "-I", "-S", "-B", "-c", SCRIPT, str(public_package)]

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
    def test_root(self, own: Path) -> None:
        """Root's are in /etc, whatever the environment says."""
        assert default_file({"XDG_CONFIG_HOME": str(own.parent.parent)}) == DEFAULT_FILE == "/etc/ocihooks/config.toml"

    def test_user(self, as_user: list[str], own: Path) -> None:
        """A user's own file counts first."""
        assert self.ask(as_user, {"XDG_CONFIG_HOME": str(own.parent.parent)}) == str(own)

    @pytest.mark.parametrize("home", ["", "relative", "/nonexistent"])
    def test_user_without(self, home: str, as_user: list[str]) -> None:
        """Users without a file of their own have root's."""
        assert self.ask(as_user, {"XDG_CONFIG_HOME": home, "HOME": home}) == DEFAULT_FILE

    def test_home(self, as_user: list[str], private_directory: Path) -> None:
        """Without XDG_CONFIG_HOME the file is below the home directory."""
        file = private_directory / ".config" / "ocihooks" / "config.toml"
        file.parent.mkdir(parents=True)
        file.touch()
        assert self.ask(as_user, {"HOME": str(private_directory)}) == str(file)

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a user namespace of another user")
    def test_root_of_a_user_namespace(self, own: Path) -> None:
        """Root of a user namespace is a user on the host, and has a file of their own, too."""
        prefix = ["unshare", "--user", "--map-root-user"]
        if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
            pytest.skip("user namespaces are not allowed here")
        sources = str(Path(ocihooks.__file__).parents[1])
        command = [*prefix, sys.executable, "-I", "-S", "-B", "-c", SCRIPT, sources]
        assert self.ask(command, {"XDG_CONFIG_HOME": str(own.parent.parent)}) == str(own)
