"""When the wrapper keeps compiled rules, when it uses what it kept, and what it writes down."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_wrapper_injectors import Scene

import ocihooks.version
from ocihooks.compiled import store
from ocihooks.compiled.skip import allows_skipping, checksum_of
from ocihooks.errors import OCIHooksError
from ocihooks.places import RECORDS_FILE
from ocihooks.settings import Settings
from ocihooks.wrapper import refresh
from ocihooks.wrapper.arguments import parse
from ocihooks.wrapper.cache import Cache, environment, load_cached
from ocihooks.wrapper.create import prepare
from ocihooks.wrapper.installation import Installation

ADDED = "c.add_hook('createRuntime', Hook(path='/bin/cat'))"
STATIC = {"createRuntime": [{"path": "/bin/false"}]}


class Kept(Scene):
    """A place whose rules are kept as soon as they were read; it has one of each kind of source."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.start = directory / "start.pyc"
        self.static = self.etc / "static.json"
        self.modifier = self.etc / "modifier.py"
        self.readme = self.hooks / "README"
        self.start.write_text("start")
        self.static.write_text(json.dumps(STATIC))
        self.modifier.write_text(f"from ocihooks import Hook\n\ndef ask(c):\n    {ADDED}\n")
        self.readme.write_text("rules")
        self.rule()
        self.injector()
        self.set()

    def set(self, more: str = "") -> None:
        """Write settings that name all sources."""
        named = (
            f'static-hooks = ["{self.static}"]\nmodifiers = ["{self.modifier}:ask"]\ninjector-dir = "{self.injectors}"'
        )
        self.write_settings(f"{named}\n{more}")

    def installed(self, *hooks_dirs: Path) -> Installation:
        """An installation with these directories in place of those of the settings."""
        return Installation(
            name="w",
            script="/w",
            runtime="/r",
            settings=str(self.settings_file),
            hooks_dirs=tuple(map(str, hooks_dirs)),
            cache_dir=str(self.directory / "cache"),
            start=str(self.start),
        )

    def cache(self, *hooks_dirs: Path) -> Cache:
        """Where the rules of that installation are kept."""
        return Cache(self.installed(*hooks_dirs or (self.hooks,)), environment())

    def create(self, *unchanged: int) -> bool:
        """Prepare a container; whether that took kept rules."""
        told: list[None] = []
        call = parse(("create", "--bundle", str(self.bundle.directory), "c1"), "runc")

        def refreshing() -> Callable[[], None]:
            told.append(None)
            return lambda: None

        prepare(call, self.installed(self.hooks), refreshing, *unchanged)
        return not told

    def kept(self) -> list[str]:
        """How the names of the files in the cache end."""
        directory = self.directory / "cache"
        return sorted(path.suffix for path in directory.iterdir()) if directory.exists() else []


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """A place whose rules need not be old to be kept."""
    monkeypatch.setattr(store, "QUIET_NS", 0)
    return Kept(tmp_path)


class TestUsing:
    """Rules that were kept."""

    def test_kept_rules_serve(self, place: Kept) -> None:
        """The second container gets the same as the first, from what was kept."""
        assert [place.create(), place.create()] == [False, True]
        before = place.config.read_bytes()
        assert place.programs() == ["/bin/false", "/bin/true", "/bin/cat"]
        place.bundle.write_config({"ociVersion": "1.0.2"})
        assert place.create()
        assert json.loads(before)["hooks"] == place.bundle.config()["hooks"]

    @pytest.mark.parametrize("part", [0, -1], ids=["first-byte", "last-byte"])
    def test_damaged(self, part: int, place: Kept) -> None:
        """Where a byte of what was kept is another one the rules are read from their files, and kept anew."""
        place.create()
        file = Path(place.cache().file)
        whole = bytearray(file.read_bytes())
        whole[part] ^= 1
        file.write_bytes(whole)
        place.bundle.write_config({"ociVersion": "1.0.2"})
        assert [place.create(), place.create()] == [False, True]
        assert place.programs() == ["/bin/false", "/bin/true", "/bin/cat"]

    def test_refused_by_kept_rules(self, place: Kept) -> None:
        """A container that kept rules refuses is refused once, with one line of the log."""
        program = place.directory / "program"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        place.rule(hook={"path": str(program)})
        place.set(f'log = "{place.log}"')
        place.create()
        program.unlink()
        place.bundle.write_config({"ociVersion": "1.0.2"})
        with pytest.raises(OCIHooksError, match="program"):
            place.create()
        assert [line["level"] for line in place.lines()] == ["info", "error"]
        assert place.bundle.config() == {"ociVersion": "1.0.2"}

    def test_launchers_word(self, place: Kept) -> None:
        """Only the checksum of the launcher's own data makes the sources not looked at."""
        place.create()
        checksum = checksum_of(Path(place.cache().skip_file).read_bytes())
        place.settings_file.unlink()
        assert load_cached(place.cache(), checksum)[1] == "fresh"
        for word in (checksum + 1, 1, -1, 0):
            assert load_cached(place.cache(), word) == (None, "a source changed")
        assert load_cached(place.cache()) == (None, "a source changed")
        assert place.create(checksum)
        assert not place.create()

    @pytest.mark.parametrize("checksum", [1, -1])
    def test_no_word(self, checksum: int, place: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the launcher said nothing, no checksum of its data makes the sources not looked at."""
        monkeypatch.setattr(refresh, "checksum_of", lambda _: checksum)
        place.create()
        place.settings_file.touch()
        assert load_cached(place.cache()) == (None, "a source changed")
        assert not place.create()


SOURCES: dict[str, Callable[[Kept], Path]] = {
    "settings": lambda place: place.settings_file,
    "rule": lambda place: place.hooks / "a.json",
    "hooks-directory": lambda place: place.hooks,
    "static": lambda place: place.static,
    "modifier": lambda place: place.modifier,
    "injector": lambda place: place.injectors / "a.json",
    "injectors": lambda place: place.injectors,
    "start": lambda place: place.start,
}


def paths_in(data: bytes) -> set[str]:
    """The paths of the sources in the launcher's data."""
    found, at = set(), 32
    for _ in range(struct.unpack_from("=I", data, 24)[0]):
        end = data.index(b"\0", at + 72)
        found.add(os.fsdecode(data[at + 72 : end]))
        at = end + 1
    return found


class TestSources:
    """What makes kept rules out of date."""

    @pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
    def test_changed(self, source: Callable[[Kept], Path], place: Kept) -> None:
        """Each source that was touched makes the rules be read anew, once."""
        place.create()
        source(place).touch()
        assert [place.create(), place.create()] == [False, True]

    @pytest.mark.parametrize("started", [True, False], ids=["started", "not-started"])
    def test_program_and_version(self, started: bool, place: Kept) -> None:
        """The package is a source; the interpreter and the script only where the launcher starts them."""
        cache = place.cache()
        cache.start = cache.start if started else ""
        refresh.refresh(cache)
        found = paths_in(Path(cache.skip_file).read_bytes())
        assert os.path.abspath(ocihooks.version.__file__) in found
        assert {sys.executable, str(place.start)} & found == ({sys.executable, cache.start} if started else set())
        assert "" not in found

    def test_switch(self, place: Kept) -> None:
        """The kill switch is looked at before kept rules are used, and nothing is read or kept while it is on."""
        place.create()
        (place.etc / "disabled").touch()
        place.bundle.write_config({"ociVersion": "1.0.2"})
        assert not place.create()
        assert place.bundle.config() == {"ociVersion": "1.0.2"}
        (place.etc / "disabled").unlink()
        place.create()
        assert place.programs() == ["/bin/false", "/bin/true", "/bin/cat"]

    def test_other_files(self, place: Kept) -> None:
        """A file in a hooks directory that is no rule may change."""
        place.create()
        place.readme.write_text("more rules")
        assert place.create()

    def test_missing_directory(self, place: Kept) -> None:
        """A hooks directory that comes later is seen."""
        later = place.directory / "later.d"
        cache = place.cache(later, place.hooks)
        assert refresh.refresh(cache) is not None
        assert load_cached(cache)[1] == "fresh"
        later.mkdir()
        assert load_cached(cache) == (None, "a source changed")

    def test_rules_behind_a_missing_directory(self, place: Kept) -> None:
        """A rule of a directory behind one that is missing is a source."""
        cache = place.cache(place.directory / "later.d", place.hooks)
        refresh.refresh(cache)
        place.rule(hook={"path": "/bin/false"})
        assert load_cached(cache) == (None, "a source changed")


class TestKeeping:
    """What is kept, and when."""

    def test_both(self, place: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        """The rules and the launcher's data are kept; without a safe place there is neither."""
        place.create()
        assert place.kept() == [".rules", ".skip"]
        cache = place.cache()
        cache.file = cache.skip_file = ""
        monkeypatch.chdir(place.directory / "cache")
        assert refresh.refresh(cache) is not None
        assert place.kept() == [".rules", ".skip"]

    def test_young_sources(self, place: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        """Rules of sources that were touched a moment ago are not kept."""
        monkeypatch.setattr(store, "QUIET_NS", 60_000_000_000)
        assert [place.create(), place.create(), place.kept()] == [False, False, []]

    def test_refused(self, place: Kept) -> None:
        """Rules that refuse containers are read again for the next one."""
        place.rule("b.json", "{")
        for _ in range(2):
            with pytest.raises(OCIHooksError):
                place.create()
        assert place.kept() == []

    @pytest.mark.parametrize("when", ["before", "meanwhile", "meanwhile-shorter"])
    def test_changed_meanwhile(self, when: str, place: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        """Rules are not kept if the settings change after they were read, or any source while rules are read."""
        if when == "before":
            name, touched = "read_settings", place.settings_file
        else:
            name, touched = "read_rules", place.hooks / "a.json"
        real = getattr(refresh, name)

        def late(given: Any) -> Any:
            read = real(given)
            touched.write_bytes(b"" if when.endswith("shorter") else touched.read_bytes() + b"\n")
            return read

        monkeypatch.setattr(refresh, name, late)
        assert place.create() is False
        assert place.kept() == []

    def test_no_directories(self, place: Kept) -> None:
        """Rules are kept where there is no directory for any, too."""
        place.write_settings("hooks-dirs = []")
        cache = Cache(place.installed(), environment())
        assert refresh.refresh(cache) is not None
        assert load_cached(cache)[1] == "fresh"

    @pytest.mark.parametrize(
        ("more", "allowed"), [("", True), ("shortcut = false", False)], ids=["usual", "without-shortcut"]
    )
    def test_shortcut(self, more: str, allowed: bool, place: Kept) -> None:
        """The launcher may skip containers unless the settings say otherwise, or the rules are for all."""
        place.rule(when={"annotations": {"^wanted$": "."}})
        place.write_settings(more)
        place.create()
        assert allows_skipping(Path(place.cache().skip_file).read_bytes()) is allowed
        place.rule(when={"always": True})
        place.create()
        assert not allows_skipping(Path(place.cache().skip_file).read_bytes())
        assert place.create()


class TestReading:
    """What is read from the settings."""

    def test_own_directories(self, place: Kept) -> None:
        """Directories of the installation stand in place of those of the settings, and only where there are any."""
        other = place.directory / "other.d"
        other.mkdir(mode=0o755)
        place.set(f'hooks-dirs = ["{other}"]')
        names = []
        for cache in (Cache(place.installed(), environment()), place.cache()):
            rules = refresh.refresh(cache)
            assert rules is not None
            names.append([rule[0] for rule in rules.rules])
        assert [len(found) for found in names] == [0, 1]


class TestRecords:
    """What is written down about containers that got something."""

    def test_one_for_each_change(self, place: Kept) -> None:
        """A container that gets hooks has one record that names them; one that has them already has none."""
        records = place.directory / "records"
        place.write_settings(f'records = "{records}"')
        place.create()
        place.create()
        (record,) = [json.loads(line) for line in records.read_text().splitlines()]
        record.pop("time")
        assert record == {
            "kind": "injection",
            "container": "c1",
            "bundle": str(place.bundle.directory),
            "operation": "create",
            "hooks": [{"rule": str(place.hooks / "a.json"), "stage": "createRuntime"}],
        }

    def test_filters(self, place: Kept) -> None:
        """A container that injector files or a filter changed has a record that names them."""
        records = place.directory / "records"
        (place.hooks / "a.json").unlink()
        place.ask()
        place.write_settings(f'injector-dir = "{place.injectors}"\nrecords = "{records}"')
        place.create()
        assert place.environment() == ["X=1", "FOUND=yes"]
        place.filter("""sed 's/"X=1"/"Y=1"/'""")
        place.create()
        first, second = [json.loads(line) for line in records.read_text().splitlines()]
        assert (first["hooks"], first["injector_files"]) == ([], [str(next(place.injectors.iterdir()))])
        assert [hook["stage"] for hook in second["hooks"]] == ["precreate"]
        assert (place.hooks / Path(second["hooks"][0]["rule"]).name).exists()

    def test_nothing(self, place: Kept) -> None:
        """A container that gets nothing has no record."""
        records = place.directory / "records"
        place.rule(when={"always": False})
        place.write_settings(f'records = "{records}"')
        place.create()
        assert not records.exists()

    def test_place_of_a_rootless_user(self, place: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a user namespace the records of supervised hooks are below the user's own directory."""
        settings = Settings(hooks_dirs=(str(place.hooks),), supervise="on")
        assert refresh.read_rules(settings).records == RECORDS_FILE
        monkeypatch.setattr("ocihooks.trust.in_user_namespace", lambda: True)
        monkeypatch.setenv("XDG_STATE_HOME", str(place.directory))
        assert refresh.read_rules(settings).records == f"{place.directory}/ocihooks/records.jsonl"
