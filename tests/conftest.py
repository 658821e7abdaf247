"""
What all tests share: a root file system, and an account of the tests that really ran on each runtime or engine.

The account is the end of the output of every run. Where ``CI=true`` promises the runtimes, a run of the integration
tests that did not use one of them fails.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import NoReturn

import pytest

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.install.code import compiled
from ocihooks.testing.bundles import make_rootfs
from ocihooks.testing.engines.buildah import buildah_version
from ocihooks.testing.engines.containerd import containerd_version
from ocihooks.testing.engines.docker import docker_version
from ocihooks.testing.engines.podman import podman_version
from ocihooks.testing.runtimes import RUNTIMES, OrdinaryUser, find_runtime, make_ordinary_user

RAN_ON = "ran on"
"""Name of the user property that says on which runtime or engine a test ran; its value is ``NAME VERSION``."""


def runtime_version(name: str) -> str:
    """The version of a runtime, or UnavailableError."""
    return find_runtime(name).version


PROMISED = {"integration": RUNTIMES, "engines": ("docker", "containerd", "podman")}
"""What a run of each of these folders has to use where ``CI=true``."""

VERSIONS: dict[str, Callable[[], str]] = {
    **{name: partial(runtime_version, name) for name in RUNTIMES},
    "docker": docker_version,
    "containerd": containerd_version,
    "podman": podman_version,
    "buildah": buildah_version,
}
"""What the account lists in any case, and how to ask for its version."""

UnavailableAction = Callable[[OCIHooksError], NoReturn]


def runtimes_are_promised() -> bool:
    """Whether a missing runtime is a failure; elsewhere it is a reason to skip."""
    return os.environ.get("CI") == "true"


@pytest.fixture(scope="session")
def unavailable() -> UnavailableAction:
    """Skip the test that needs what is missing, or fail it under ``CI=true``."""

    def act(error: OCIHooksError) -> NoReturn:
        reason = f"{error}; hint: {error.hint}" if error.hint else str(error)
        if runtimes_are_promised():
            raise pytest.fail.Exception(f"CI=true promises it: {reason}", pytrace=False) from None
        raise pytest.skip.Exception(reason) from None

    return act


@pytest.fixture
def ran_on(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Call it with name and version of the runtime or engine that the test uses, to have the test counted."""

    def count(name: str, version: str) -> None:
        request.node.user_properties.append((RAN_ON, f"{name} {version}"))

    return count


@pytest.fixture(scope="session")
def public_directory() -> Iterator[Path]:
    """A directory that every user can reach, which pytest's own are not."""
    directory = Path(tempfile.mkdtemp(prefix="ocihooks-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def rootfs(public_directory: Path, unavailable: UnavailableAction) -> Path:
    """A root file system of busybox, shared by all bundles."""
    try:
        return make_rootfs(public_directory / "rootfs")
    except UnavailableError as error:
        unavailable(error)


@pytest.fixture
def private_directory(public_directory: Path) -> Path:
    """An empty directory of this test that every user can reach; its path is short."""
    directory = public_directory / f"t{len(list(public_directory.iterdir()))}"
    directory.mkdir(mode=0o755)
    return directory


@pytest.fixture
def ordinary_user(private_directory: Path) -> OrdinaryUser:
    """Somebody without privileges, with an empty home."""
    return make_ordinary_user(private_directory / "home")


@pytest.fixture(scope="session")
def ordinary_python() -> str:
    """An interpreter that users without privileges can execute; a virtual environment's may lie in root's home."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        path = Path(candidate).resolve()
        if all(parent.stat().st_mode & stat.S_IXOTH for parent in (path, *path.parents)):
            return str(path)
    pytest.skip("no interpreter that users without privileges can execute")


class Account:
    """Counts passed tests by what they ran on, in the process that gets all reports, and prints the result last."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._passed: dict[str, set[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test counts when its body passed, and no longer when its clean-up failed."""
        for name, value in report.user_properties:
            if name != RAN_ON:
                continue
            tests = self._passed.setdefault(str(value), set())
            if report.when == "call" and report.passed:
                tests.add(report.nodeid)
            elif report.failed:
                tests.discard(report.nodeid)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        """After everything else has been printed, the account; it may turn success into failure."""
        yield
        if session.config.option.collectonly:
            return
        counts = self._counts()
        lines = [f"{subject}: {count} test{'' if count == 1 else 's'}" for subject, count in counts.items()]
        used = {_name(subject) for subject, count in counts.items() if count}
        unused = [name for name in promised(session.config) if name not in used]
        if unused and runtimes_are_promised():
            lines.insert(0, f"FAILED: CI=true promises {', '.join(unused)}, but no test passed there")
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        self._print(lines)

    def _counts(self) -> dict[str, int]:
        """Tests by ``NAME VERSION``: runtimes and engines first, zeros included, then whatever else tests ran on."""
        counts = dict.fromkeys(map(_subject, VERSIONS), 0)
        return counts | {subject: len(self._passed[subject]) for subject in sorted(self._passed)}

    def _print(self, lines: list[str]) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None:
            return
        for line in lines:
            reporter.write_line(line, red=line.startswith("FAILED"))


def promised(config: pytest.Config) -> list[str]:
    """What a run has to use: that of each folder that it was asked for whole, alone or as a part, not thinned out."""
    if config.option.keyword or "runtime" in config.option.markexpr:
        return []
    asked_for = [(config.invocation_params.dir / argument).resolve() for argument in config.args]
    here = Path(__file__).resolve().parent
    return [
        name
        for folder, names in PROMISED.items()
        if any((here / folder).is_relative_to(path) for path in asked_for)
        for name in names
    ]


def _subject(name: str) -> str:
    try:
        return f"{name} {VERSIONS[name]()}"
    except UnavailableError:
        return f"{name} (missing)"


def _name(subject: str) -> str:
    return subject.partition(" ")[0]


def start_as_from_a_terminal() -> None:
    """
    Ignore no signals but those that Python itself ignores, since all that we start would inherit that.

    Background jobs of a shell ignore SIGINT and SIGQUIT, what nohup starts ignores SIGHUP, and what GNU make starts
    ignores signals 32 and 33, which the C library keeps to itself, so that only the system call can set them.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for ending in (signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(ending) is signal.SIG_IGN:
            signal.signal(ending, signal.SIG_DFL)
    rt_sigaction = {"x86_64": 13, "aarch64": 134}.get(platform.machine())
    if rt_sigaction is not None:
        for number in (32, 33):
            present = ctypes.create_string_buffer(32)
            ctypes.CDLL(None).syscall(rt_sigaction, number, None, present, 8)
            if int.from_bytes(present.raw[:8], sys.byteorder) == signal.SIG_IGN:  # else it is the C library's own
                ctypes.CDLL(None).syscall(rt_sigaction, number, bytes(32), None, 8)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of tests in random order the longest come first, so that at the end no process works alone."""
    items.sort(key=lambda item: "early" not in item.keywords)


def pytest_configure(config: pytest.Config) -> None:
    """The account is kept where all reports arrive: not in the workers of pytest-xdist."""
    start_as_from_a_terminal()
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Account(config), "ocihooks-account")


@pytest.fixture(scope="session", autouse=True)
def images_made_once() -> Iterator[None]:
    """Compile the images of installations once in each process of the tests: they are the same for all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ocihooks.install.install.compiled", cache(compiled))
        yield
