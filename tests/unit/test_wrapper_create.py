"""What a create does to config.json: exactly the hooks, or nothing at all."""

from __future__ import annotations

import json
import os
import posix
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocihooks.errors import OCIHooksError
from ocihooks.settings import Settings
from ocihooks.testing.bundles import MadeBundle, make_bundle
from ocihooks.wrapper.arguments import parse
from ocihooks.wrapper.create import inject, prepare
from ocihooks.wrapper.installation import Installation

RULE = {"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": {"always": True}, "stages": ["createRuntime"]}


class Place:
    """A bundle, a hooks directory, settings and a cache of one test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.hooks = directory / "hooks.d"
        self.etc = directory / "etc"
        for path in (self.hooks, self.etc):
            path.mkdir(mode=0o755)
        self.settings_file = self.etc / "config.toml"
        self.log = directory / "log"
        self.bundle: MadeBundle = make_bundle(directory / "bundle", rootfs=directory / "none", annotations={"k": "v"})
        self.config = self.bundle.config_path
        self.before_refresh: list[None] = []

    def rule(self, name: str = "a.json", content: str | dict[str, Any] = RULE, **members: Any) -> Path:
        file = self.hooks / name
        file.write_text(content if isinstance(content, str) else json.dumps(content | members))
        file.chmod(0o644)
        return file

    def write_settings(self, text: str) -> None:
        self.settings_file.write_text(f"[ocihooks]\n{text}\n")
        self.settings_file.chmod(0o644)

    def filter(self, script: str) -> None:
        """A rule whose filter is a shell script."""
        program = self.directory / "filter"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        self.rule("filter.json", hook={"path": str(program), "timeout": 10}, stages=["precreate"])

    def prepare(self, *words: str) -> None:
        """What the wrapper does on create."""
        call = parse(words or ("create", "--bundle", str(self.bundle.directory), "c1"), "runc")
        prepare(call, self.installation(), self.refreshing)

    def refreshing(self) -> Callable[[], None]:
        """Counts how often rules are read anew."""
        self.before_refresh.append(None)
        return lambda: None

    def installation(self, supervisor: str = "") -> Installation:
        """What the wrapper was told when it was installed."""
        return Installation(
            name="w",
            script="/w",
            runtime="/r",
            settings=str(self.settings_file),
            hooks_dirs=(str(self.hooks),),
            cache_dir=str(self.directory / "cache"),
            supervisor=supervisor,
        )

    def refusal(self, *words: str) -> OCIHooksError:
        """The error of a create; the file must be as it was."""
        before, data = self.config.lstat(), self.config.read_bytes()
        with pytest.raises(OCIHooksError) as caught:
            self.prepare(*words)
        after = self.config.lstat()
        assert self.config.read_bytes() == data
        assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)
        assert os.listdir(self.bundle.directory) == ["config.json"]
        return caught.value

    def programs(self) -> list[str]:
        """The programs of createRuntime."""
        return [entry["path"] for entry in self.bundle.config().get("hooks", {}).get("createRuntime", [])]

    def lines(self) -> list[dict[str, Any]]:
        """The wrapper's log."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place without rules and settings."""
    return Place(tmp_path)


class TestInjecting:
    """A configuration that gets hooks."""

    def test_only_hooks_differ(self, place: Place) -> None:
        """All other bytes stay, as do mode, owner and name; a second time changes nothing."""
        place.rule()
        before = place.config.read_bytes()
        place.config.chmod(0o600)
        place.prepare()
        after = place.config.read_bytes()
        assert after.startswith(before[:-1])
        assert json.loads(after) == json.loads(before) | {"hooks": json.loads(after)["hooks"]}
        assert stat.S_IMODE(place.config.stat().st_mode) == 0o600
        inode = place.config.stat().st_ino
        place.prepare()
        assert (place.config.read_bytes(), place.config.stat().st_ino) == (after, inode)

    @pytest.mark.parametrize("words", [["run", "-b"], ["restore", "--bundle"], ["create", "--no-pivot", "-b"]])
    def test_operations(self, words: list[str], place: Place) -> None:
        """Every operation that reads a configuration is prepared."""
        place.rule()
        place.prepare(*words, str(place.bundle.directory), "c1")
        assert place.programs() == ["/bin/true"]

    def test_working_directory(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a bundle the working directory is one; a bundle may be relative to it."""
        place.rule()
        monkeypatch.chdir(place.bundle.directory)
        place.prepare("create", "c1")
        assert place.programs() == ["/bin/true"]
        place.rule(hook={"path": "/bin/false"})
        monkeypatch.chdir(place.directory)
        place.prepare("create", "--bundle", "bundle", "c1")
        assert place.programs() == ["/bin/false"]

    def test_link(self, place: Place) -> None:
        """A configuration behind a link is changed where it is."""
        place.rule()
        real = place.directory / "real.json"
        place.config.rename(real)
        place.config.symlink_to(real)
        place.prepare()
        assert place.config.is_symlink()
        assert place.programs() == ["/bin/true"]

    def test_settings_count(self, place: Place) -> None:
        """The settings file decides, and may change between two containers."""
        place.rule(hook={"path": "/nonexistent"})
        assert place.refusal().code == "missing_program"
        place.write_settings('on-invalid = "ignore"')
        place.prepare()
        place.rule("b.json")
        place.write_settings('on-invalid = "warn"\ndefault-timeout = 4')
        place.prepare()
        assert place.bundle.config()["hooks"]["createRuntime"][0]["timeout"] == 4

    def test_inject(self, place: Place) -> None:
        """The commands can do the same, and are told whether the file was replaced."""
        place.rule()
        settings = Settings(hooks_dirs=(str(place.hooks),))
        plans = [inject(str(place.config), settings) for _ in range(2)]
        assert [changed for _, changed in plans] == [True, False]
        assert [rule.name for rule, _ in plans[0][0].injection.reasons] == ["a.json"]

    @pytest.mark.parametrize("installed", [True, False], ids=["installed", "from-the-package"])
    def test_supervisor(self, installed: bool, place: Place) -> None:
        """Supervised hooks are started by the installed supervisor, and by that of the package where there is none."""
        place.rule()
        place.write_settings('supervise = "on"')
        call = parse(("create", "--bundle", str(place.bundle.directory), "c1"), "runc")
        prepare(call, place.installation("/opt/supervisor" if installed else ""), place.refreshing)
        assert place.programs() == ["/opt/supervisor" if installed else os.path.realpath(sys.executable)]

    def test_disk(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """No container waits for the disk."""
        waited: list[int] = []
        monkeypatch.setattr(posix, "fsync", waited.append)
        place.rule()
        place.prepare()
        assert (place.programs(), waited) == (["/bin/true"], [])


class TestNothingToDo:
    """Containers that get nothing."""

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda place: None, id="no-rules"),
            pytest.param(lambda place: place.rule(when={"annotations": {"^x$": "."}}), id="no-match"),
            pytest.param(lambda place: place.rule(stages=[]), id="no-stages"),
            pytest.param(lambda place: place.rule(when={"always": False}), id="never"),
            pytest.param(lambda place: place.filter("cat"), id="filter-that-changes-nothing"),
            pytest.param(lambda place: place.hooks.rmdir(), id="no-directory"),
            pytest.param(lambda place: (place.rule("a.json", "{"), (place.etc / "disabled").touch()), id="kill-switch"),
        ],
    )
    def test_untouched(self, make: Callable[[Place], object], place: Place) -> None:
        """The file is not touched: same inode, same times, same bytes."""
        make(place)
        before, data = place.config.stat(), place.config.read_bytes()
        place.prepare()
        after = place.config.stat()
        assert place.config.read_bytes() == data
        assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (
            before.st_ino,
            before.st_mtime_ns,
            before.st_ctime_ns,
        )


def broken_config(text: str | bytes) -> Callable[[Place], None]:
    """Write something else into config.json."""

    def spoil(place: Place) -> None:
        place.config.write_bytes(text if isinstance(text, bytes) else text.encode())

    return spoil


def untrusted_switch(place: Place) -> None:
    """A kill switch that somebody else may have made."""
    (place.etc / "disabled").touch()
    (place.etc / "disabled").chmod(0o666)


REFUSED = [
    pytest.param(broken_config(""), "json_syntax", id="empty-config"),
    pytest.param(broken_config('{"hooks":'), "json_syntax", id="cut-config"),
    pytest.param(broken_config(b"\xff\xfe{}"), "not_utf8", id="utf-16-config"),
    pytest.param(broken_config('{"hooks":[]}'), "json_type", id="hooks-array"),
    pytest.param(broken_config('{"hooks":{},"hooks":{}}'), "repeated_member", id="hooks-twice"),
    pytest.param(broken_config('{"Hooks":{}}'), "member_case", id="hooks-case"),
    pytest.param(lambda place: place.rule("a.json", "{"), "json_syntax", id="broken-rule"),
    pytest.param(lambda place: place.rule().chmod(0o666), "untrusted", id="untrusted-rule"),
    pytest.param(lambda place: place.hooks.chmod(0o777), "untrusted", id="untrusted-directory"),
    pytest.param(lambda place: place.rule(hook={"path": "/nonexistent"}), "missing_program", id="missing-program"),
    pytest.param(lambda place: place.rule(hook={"path": "bin/x"}), "relative_path", id="relative-path"),
    pytest.param(lambda place: place.rule(hook={"path": "/bin/true", "timeout": 0}), "odd_timeout", id="odd-timeout"),
    pytest.param(lambda place: place.write_settings("x = "), "toml_syntax", id="broken-settings"),
    pytest.param(lambda place: place.write_settings("x = 1"), "unknown_key", id="unknown-key"),
    pytest.param(
        lambda place: (place.write_settings(""), place.settings_file.chmod(0o666)), "untrusted", id="untrusted-settings"
    ),
    pytest.param(
        lambda place: place.write_settings('static-hooks = ["/nonexistent.json"]'), "missing_file", id="missing-static"
    ),
    pytest.param(
        lambda place: ((place.etc / "disabled").touch(), (place.etc / "disabled").chmod(0o666)),
        "untrusted",
        id="switch",
    ),
    pytest.param(lambda place: place.filter("exit 3"), "exit_status", id="failing-filter"),
    pytest.param(lambda place: place.filter("echo no"), "output_json_syntax", id="filter-prints-text"),
    pytest.param(lambda place: place.filter("echo '{}'"), "output_json_type", id="filter-prints-nothing"),
    pytest.param(lambda place: place.filter("""echo '{"a":1}'"""), "filter_output", id="filter-prints-a-part"),
]

STRICTLY = [
    pytest.param('{"ociVersion":"1","hooks":{},"hooks":{}}', id="hooks-twice"),
    pytest.param('{"ociVersion":"1","Hooks":{}}', id="hooks-case"),
    pytest.param('{"ociVersion":"1","hooks":[]}', id="hooks-array"),
    pytest.param('{"ociVersion":"1","hooks":{"poststop":[{}]}}', id="hook-without-path"),
    pytest.param('{"ociVersion":"1","x":NaN}', id="nan"),
    pytest.param('{"ociVersion":"1"} x', id="trailing-text"),
    pytest.param('{"ociVersion":"1","process":{"args":[],"args":["a"]}}', id="args-twice"),
    pytest.param('{"ociVersion":"1","ociVersion":"2"}', id="version-twice"),
]


class TestFailing:
    """Containers that must not be created."""

    @pytest.mark.parametrize(("spoil", "code"), REFUSED)
    def test_unchanged(self, spoil: Callable[[Place], object], code: str, place: Place) -> None:
        """On every failure config.json is what it was, and nothing lies beside it."""
        place.rule("good.json")
        spoil(place)
        error = place.refusal()
        assert error.code == code
        assert error.file or code == "doubt"

    @pytest.mark.parametrize("output", STRICTLY)
    def test_output_of_a_filter(self, output: str, place: Place) -> None:
        """What a filter prints is read as strictly as what an engine writes."""
        place.filter(f"cat <<'END'\n{output}\nEND")
        error = place.refusal()
        assert error.file == str(place.hooks / "filter.json")

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(Path.mkdir, id="directory"),
            pytest.param(os.mkfifo, id="fifo"),
            pytest.param(lambda path: path.symlink_to("/dev/zero"), id="device"),
            pytest.param(lambda path: path.symlink_to(path), id="loop"),
        ],
    )
    def test_something_else(self, make: Callable[[Path], object], place: Place) -> None:
        """What is no plain file is refused at once, and left as it is."""
        place.rule()
        place.config.unlink()
        make(place.config)
        before = place.config.lstat()
        with pytest.raises(OCIHooksError) as caught:
            place.prepare()
        assert (caught.value.code, caught.value.file) == ("read_failed", str(place.config))
        assert (place.config.lstat().st_ino, place.config.lstat().st_mode) == (before.st_ino, before.st_mode)

    def test_no_config(self, place: Place) -> None:
        """A bundle without config.json is named with what may be wrong."""
        place.config.unlink()
        with pytest.raises(OCIHooksError) as caught:
            place.prepare()
        assert str(caught.value) == f"{place.config}: can't be read: it does not exist"
        assert caught.value.hint == "name the bundle with --bundle DIR"

    def test_changed_meanwhile(self, place: Place) -> None:
        """A configuration that somebody edits meanwhile keeps that edit."""
        edited = '{"ociVersion":"1.0.2","edited":true}'
        place.filter(f"cat; printf '%s' '{edited}' > {place.config}")
        place.rule()
        with pytest.raises(OCIHooksError, match="was changed by somebody else meanwhile"):
            place.prepare()
        assert place.config.read_text() == edited


class TestLog:
    """One line per container."""

    def test_added(self, place: Place) -> None:
        """The line names container, operation, bundle and the rules with their stages."""
        place.write_settings(f'log = "{place.log}"')
        place.rule("a.json", stages=["prestart", "poststop"])
        place.rule("b.json", when={"annotations": {"^x$": "."}})
        place.prepare()
        (line,) = place.lines()
        line.pop("time")
        assert line == {
            "level": "info",
            "msg": "hooks added",
            "container": "c1",
            "operation": "create",
            "bundle": str(place.bundle.directory),
            "rules": ["a.json prestart", "a.json poststop"],
            "skipped": [],
            "sandbox": False,
            "warnings": line["warnings"],
        }
        place.prepare()
        assert place.lines()[1]["msg"] == "nothing to add"

    def test_skipped(self, place: Place) -> None:
        """What is left out by policy is told, and why."""
        place.write_settings(f'log = "{place.log}"\non-invalid = "warn"')
        place.rule("a.json", hook={"path": "/nonexistent"})
        place.rule("b.json", "{")
        place.prepare()
        (line,) = place.lines()
        assert line["skipped"] == ["a.json"]
        assert any("/nonexistent" in warning for warning in line["warnings"])
        assert any("b.json" in warning for warning in line["warnings"])

    def test_refused(self, place: Place) -> None:
        """A container that is refused has a line, too, with all that is wrong."""
        place.write_settings(f'log = "{place.log}"')
        place.rule("a.json", hook={"path": "/nonexistent"})
        place.rule("b.json", hook={"path": "x"})
        place.refusal()
        (line,) = place.lines()
        assert (line["level"], line["container"]) == ("error", "c1")
        assert "a.json" in line["msg"]
        assert "b.json" in line["msg"]

    def test_hostile_container(self, place: Place) -> None:
        """Text of a container is cut and escaped, and can't make a line of its own."""
        place.write_settings(f'log = "{place.log}"')
        place.rule()
        place.prepare("create", "--bundle", str(place.bundle.directory), 'c1\n{"level":"info"}' + "x" * 5000)
        data = place.log.read_bytes()
        assert (data.count(b"\n"), data.isascii(), len(data) < 3000) == (1, True, True)

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(Path.mkdir, id="directory"),
            pytest.param(os.mkfifo, id="fifo"),
            pytest.param(lambda path: path.symlink_to("/dev/full"), id="link"),
            pytest.param(lambda path: None, id="missing-directory"),
        ],
    )
    def test_never_matters(self, make: Callable[[Path], object], place: Place) -> None:
        """A log that can't be written changes nothing for the container."""
        make(place.log)
        path = place.directory / "none" / "log" if not os.path.lexists(place.log) else place.log
        place.write_settings(f'log = "{path}"')
        place.rule()
        place.prepare()
        assert place.programs() == ["/bin/true"]
        place.rule("b.json", "{")
        assert place.refusal().code == "json_syntax"

    def test_off(self, place: Place) -> None:
        """Without a log in the settings nothing is written."""
        place.rule()
        place.prepare()
        assert sorted(os.listdir(place.directory)) == sorted(["bundle", "etc", "hooks.d"])


class TestFilters:
    """Filters that rewrite the configuration."""

    def test_last_output(self, place: Place) -> None:
        """The file is the last filter's output, byte for byte; filters see the hooks that were added."""
        place.rule()
        seen = place.directory / "seen"
        place.filter(f'tee {seen} | tr -d "\\n" | sed "s/.$/,\\"added\\" : 1.50}}/"')
        place.prepare()
        data = place.config.read_bytes()
        assert data.endswith(b',"added" : 1.50}')
        assert [entry["path"] for entry in json.loads(seen.read_bytes())["hooks"]["createRuntime"]] == ["/bin/true"]
        assert place.programs() == ["/bin/true"]

    def test_working_directory(self, place: Place) -> None:
        """A filter runs in the bundle."""
        seen = place.directory / "seen"
        place.filter(f"pwd > {seen}; cat")
        place.prepare()
        assert seen.read_text().strip() == str(place.bundle.directory)


class TestCache:
    """Rules that were compiled before."""

    def test_before_refresh(self, place: Place) -> None:
        """The caller is told before rules are read from their files."""
        place.rule()
        place.prepare()
        assert len(place.before_refresh) == 1
