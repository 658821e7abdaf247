"""What the programs behind the launcher inherit is what the launcher inherited, and valgrind finds nothing in it."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from tests.unit import launcher_programs
from tests.unit.launcher_programs import Builds, Bundle, Installed, make_config

from ocihooks.compiled.skip import MAGIC, _checksum
from ocihooks.errors import OCIHooksError, UnavailableError

builds = launcher_programs.builds
installed = launcher_programs.installed
bundle = launcher_programs.bundle

KINDS = (
    *("plain environment", "odd environment", "no environment", "signals", "descriptors", "closed descriptors"),
    *("limits", "usable"),
)


def seen_directly(installed: Installed, builds: Builds, kind: str, words: tuple[str, ...]) -> list[str]:
    """What the runtime sees in surroundings of this *kind* when nothing stands in front of it."""
    seen = installed.directory / "runtime.seen"
    seen.unlink(missing_ok=True)
    command = [str(builds.surroundings), "--start", kind, str(installed.runtime), *words]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return facts(seen)


def facts(seen: Path) -> list[str]:
    """The lines of *seen* but for the process, which is another each time."""
    return [line for line in seen.read_text().splitlines() if line.partition(" ")[0] not in ("process", "parent")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("operation", ["start", "create", "run"])
def test_nothing_is_changed(installed: Installed, bundle: Bundle, builds: Builds, kind: str, operation: str) -> None:
    """
    Words, environment bytes, working directory, descriptors, signals, mask, limits, umask, niceness and privileges are
    those of a direct start: for a harmless operation, a skipped create, and (words aside) for the wrapper.
    """
    words = bundle.create if operation == "create" else (operation, "id", "\x7f")
    before = [str(builds.surroundings), "--start", kind]
    expected = seen_directly(installed, builds, kind, words)
    ran = installed.call(*words, before=before)
    assert ran.program == ("python" if operation == "run" else "runtime")
    found = facts(installed.directory / f"{ran.program}.seen")
    if operation == "run":
        expected, found = ([line for line in lines if not line.startswith("word ")] for lines in (expected, found))
    assert found == expected


def test_the_comparison_sees_differences(installed: Installed, builds: Builds) -> None:
    """The surroundings differ from each other as they should, so that an equal result means something."""
    seen = {kind: seen_directly(installed, builds, kind, ("start",)) for kind in KINDS}
    assert len({tuple(lines) for lines in seen.values()}) == len(KINDS)
    odd, closed = seen["odd environment"], seen["closed descriptors"]
    assert "env 41" in odd
    assert "env " in odd
    assert sum(line.startswith("env 50415448") for line in odd) == 2
    assert not any(line.startswith(("fd 0:", "fd 1:", "fd 2:")) for line in closed)
    assert sum(line.startswith("fd 63:") for line in closed) == 1
    assert sum(line.startswith("ignored ") for line in seen["signals"]) > 25
    assert sum(line.startswith("blocked ") for line in seen["signals"]) > 15
    assert "umask 157" in seen["limits"]


def test_many_variables_arrive(installed: Installed) -> None:
    """Thousands of variables reach the runtime in their order."""
    environment = {f"V{number}": "x" * (number % 50) for number in range(5_000)}
    ran = installed.call("start", "x", env=environment)
    expected = [f"env {f'{name}={value}'.encode().hex()}" for name, value in environment.items()]
    assert [fact for fact in ran.facts if fact.startswith("env ")] == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_ordinary_users_can_use_it(builds: Builds, private_directory: Path) -> None:
    """Somebody without privileges gets the runtime for harmless operations, and the wrapper for a create."""
    private_directory.chmod(0o777)
    installed = Installed(builds.launcher, builds.surroundings, private_directory / "installed")
    installed.directory.chmod(0o777)
    bundle = Bundle(private_directory, installed.data)
    assert installed.call("start", "x", user=65534).program == "runtime"
    assert installed.call(*bundle.create, user=65534).program == "python"


class Checked:
    """
    The launcher under valgrind.

    Attributes:
        installed: Where it is.
    """

    def __init__(self, valgrind: str, installed: Installed) -> None:
        self.installed = installed
        self._before = (valgrind, "-q", "--error-exitcode=99", "--exit-on-first-error=yes")

    def call(self, *words: str | bytes) -> str | None:
        """Call it; gives the name of the program that it started, and fails if valgrind has anything to say."""
        ran = self.installed.call(*words, before=self._before)
        assert ran.status in (0, 1), ran.stderr
        assert "==" not in ran.stderr, ran.stderr
        return ran.program


class TestValgrind:
    """Memcheck: no byte is used that was not set, none is touched that is not there."""

    @pytest.fixture
    def checked(self, builds: Builds, tmp_path: Path, unavailable: Callable[[OCIHooksError], NoReturn]) -> Checked:
        """The launcher, not optimised, under valgrind."""
        valgrind = shutil.which("valgrind")
        if valgrind is None:
            unavailable(UnavailableError("valgrind is missing", hint="apt-get install valgrind"))
        return Checked(valgrind, Installed(builds.plain, builds.surroundings, tmp_path / "checked"))

    def test_calls(self, checked: Checked, tmp_path: Path) -> None:
        """Harmless, changing, unusual and hopeless calls."""
        options = ["--root", "/r", f"--log={tmp_path}/log", "--log-format", "json"]
        assert checked.call(*options, "start", "x", *["w" * 100] * 100) == "runtime"
        assert checked.call("--debug", "run", b"\xff", "") == "python"
        assert checked.call() == "python"
        assert checked.call("--log") == "python"
        checked.installed.python.unlink()
        assert checked.call(*options, "create", "x") is None
        assert checked.call("--new", "--root", "delete") == "runtime"

    def test_data(self, checked: Checked, tmp_path: Path) -> None:
        """Data that is whole, cut, of other sizes, and with huge counts under a sum that is right."""
        bundle = Bundle(tmp_path, checked.installed.data)
        whole = bundle.encoded()
        assert checked.call(*bundle.create) == "runtime"
        for data in (MAGIC, whole[:40], whole[:-8], with_counts(2**32 - 1, 2**32 - 1)):
            bundle.data.write_bytes(data)
            assert checked.call(*bundle.create) == "python"

    def test_configurations(self, checked: Checked, tmp_path: Path) -> None:
        """Configurations that end anywhere, and one of nearly the largest size."""
        bundle = Bundle(tmp_path, checked.installed.data)
        for config in (b'{"process"', b'{"process":{"args":[', b'{"a\\'):
            bundle.config.write_bytes(config)
            assert checked.call(*bundle.create) == "python"
        bundle.config.write_bytes(make_config(annotations={"x": "com.example.gp" * 70_000}))
        assert checked.call(*bundle.create) == "runtime"


def with_counts(sources: int, texts: int) -> bytes:
    """Data that claims to have so many sources and texts, and has a right sum."""
    body = struct.pack("=II", sources, texts) + bytes(8)
    return MAGIC + struct.pack("=Q", _checksum(body)) + body
