"""The wrapper as an administrator installs it, in a directory of the test, and hooks that tell what they were given."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ocihooks.install.install import Request, install
from ocihooks.testing.bundles import MadeBundle, make_bundle
from ocihooks.testing.configs import bind_mount
from ocihooks.testing.fake import FakeRuntime, write_fake_runtime
from ocihooks.testing.runtimes import Call, PrivateRuntime

ALWAYS: dict[str, Any] = {"always": True}

PROGRAM = "ocihooks-runtime"
"""The name under which tests install the wrapper: the default."""

FIXED_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The environment of hooks whose rule names none, as the documentation has it."""

IN_CONTAINER = "/mnt"
"""Where containers see the directory of the notes."""

_OBSERVE = 'cat > "$1/$0.state"; env -0 > "$1/$0.environment"; pwd > "$1/$0.cwd"; echo "$0" >> "$1/order"'
_OF_THE_SHELL = ("PWD", "OLDPWD", "SHLVL", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapper:
    """
    An installed wrapper.

    Attributes:
        directory: Holds all of it.
        script: What an engine would call: the launcher, or the wrapper in Python itself.
        python_script: The wrapper in Python.
        images: What it loads in place of the package.
        runtime: The program that it becomes.
        settings: Its settings file, which does not exist at first.
        hooks_dirs: Two empty hooks directories; the second overrides the first.
    """

    directory: Path
    script: Path
    python_script: Path
    images: tuple[Path, ...]
    runtime: Path
    settings: Path
    hooks_dirs: tuple[Path, Path]

    @property
    def launched(self) -> bool:
        """Whether engines call the launcher."""
        return self.script != self.python_script

    def write_rule(
        self,
        name: str,
        *,
        hook: Mapping[str, Any],
        stages: Sequence[str] = ("createRuntime",),
        when: Mapping[str, Any] | None = None,
        directory: int = 0,
        **members: Any,
    ) -> Path:
        """Write a rule of schema 1.0.0 that matches every container unless *when* is given."""
        when = ALWAYS if when is None else when
        rule = {"version": "1.0.0", "hook": dict(hook), "when": dict(when), "stages": list(stages), **members}
        return self.write_file(name, json.dumps(rule), directory=directory)

    def write_file(self, name: str, text: str | bytes, *, directory: int = 0) -> Path:
        """Write any file to a hooks directory, whole at every instant; an empty one is old, so that it is a mask."""
        file = self.hooks_dirs[directory] / name
        new = self.hooks_dirs[directory] / f".{name}.new"
        new.write_bytes(text if isinstance(text, bytes) else text.encode())
        new.chmod(0o644)
        if not text:
            os.utime(new, (0, 0))
        new.rename(file)
        return file

    def write_settings(self, text: str = "", **keys: Any) -> Path:
        """Write the settings file: *keys* of the table ``[ocihooks]``, their underscores as hyphens, and *text*."""
        lines = [f"{key.replace('_', '-')} = {json.dumps(value)}\n" for key, value in keys.items()]
        self.settings.write_text(f"[ocihooks]\n{''.join(lines)}{text}")
        self.settings.chmod(0o644)
        return self.settings


def install_wrapper(
    directory: Path,
    runtime: str | os.PathLike[str],
    *,
    python: str | None = None,
    hooks_dirs_fixed: bool = True,
    settings_fixed: bool = True,
    launcher: bool | None = None,
) -> Wrapper:
    """
    Install a wrapper in front of *runtime* below *directory*, with hooks directories, settings and cache there, too.

    Args:
        python: Interpreter; None: the one that runs the tests.
        hooks_dirs_fixed: Whether the installation names the hooks directories; else the settings have to.
        settings_fixed: Whether it names the settings file.
        launcher: Whether to install the launcher in front; None: where it was built.
    """
    hooks_dirs = (directory / "hooks.d", directory / "override.d")
    settings = directory / "etc/config.toml"
    make_empty(directory)
    record = install(
        Request(
            prefix=str(directory / "prefix"),
            runtime=str(runtime),
            hooks_dirs=tuple(map(str, hooks_dirs)) if hooks_dirs_fixed else (),
            settings=str(settings) if settings_fixed else None,
            python=python,
            cache_dir=str(directory / "cache"),
            launcher=launcher,
        )
    )
    beside = [Path(file) for file in record.files]
    return Wrapper(
        directory=directory,
        script=Path(record.script),
        python_script=next((file for file in beside if file.suffix == ".py"), Path(record.script)),
        images=tuple(file for file in beside if file.suffix not in (".py", ".supervise", ".supervisor")),
        runtime=Path(runtime),
        settings=settings,
        hooks_dirs=hooks_dirs,
    )


def make_empty(directory: Path) -> None:
    """Give a wrapper in *directory* empty hooks directories, no settings and no cache."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    directory.chmod(0o755)
    for name in ("hooks.d", "override.d", "etc", "cache"):
        path = directory / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
    for name in ("hooks.d", "override.d", "etc"):
        (directory / name).mkdir(mode=0o755)


class Installations:
    """
    Wrappers that are installed once for many tests, since that takes a moment; each test gets them as good as new.

    Attributes:
        directory: Where they are, and where runtimes may be put for them.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._options: dict[str, Any] = {}
        self._made: dict[tuple[object, ...], tuple[Wrapper, dict[Path, bytes]]] = {}

    def in_form(self, *, launcher: bool) -> Installations:
        """The same, with or without the launcher where nobody says."""
        other = copy.copy(self)
        other._options = self._options | {"launcher": launcher}
        return other

    def wrapper(self, runtime: str | os.PathLike[str], **options: Any) -> Wrapper:
        """A wrapper in front of *runtime*; the arguments are those of ``install_wrapper``."""
        options = self._options | options
        key = (str(runtime), *sorted(options.items()))
        if key not in self._made:
            wrapper = install_wrapper(self.directory / f"w{len(self._made)}", runtime, **options)
            files = (wrapper.script, wrapper.python_script, *wrapper.images)
            self._made[key] = (wrapper, {file: file.read_bytes() for file in files})
        wrapper, saved = self._made[key]
        make_empty(wrapper.directory)
        for file, data in saved.items():
            if not file.exists() or file.read_bytes() != data:
                file.write_bytes(data)
                file.chmod(0o755 if file == wrapper.script else 0o644)
        return wrapper

    def simulated(self, directory: Path, rootfs: Path, **options: Any) -> Simulated:
        """A wrapper in front of a fake runtime that takes runc's command line; all else is in *directory*."""
        fake = write_fake_runtime(
            self.directory / "fake-runc",
            state_directory=directory / "state",
            record=directory / "calls",
            copy_config=True,
        )
        return Simulated(
            wrapper=self.wrapper(fake.path, **options),
            fake=fake,
            bundle=make_bundle(directory / "b", rootfs=rootfs),
            directory=directory,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """
    A wrapper in front of a fake runtime, with a bundle for it.

    Attributes:
        directory: A directory of the test.
    """

    wrapper: Wrapper
    fake: FakeRuntime
    bundle: MadeBundle
    directory: Path

    def call(self, *words: str, script: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        """Call the wrapper, or *script* in its place; *options* as for ``subprocess.run``."""
        command = [str(script or self.wrapper.script), *words]
        settings: dict[str, Any] = {"env": {"PATH": os.defpath}, "stdin": subprocess.DEVNULL, "cwd": self.directory}
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **settings | options)

    def create(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Let it create a container, with *words* as global options."""
        return self.call(*words, "create", "--bundle", str(self.bundle.directory), "c1", **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """
    What an observing hook was given.

    Attributes:
        environment: Its environment by name, without what the shell adds that tells it.
        state: The container's state.
        cwd: Its working directory.
    """

    environment: Mapping[str, str]
    state: Mapping[str, Any]
    cwd: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """A directory that hooks write to, also those that run in a container which mounts it."""

    directory: Path

    def hook(self, label: str, *, in_container: bool = False, **members: Any) -> dict[str, Any]:
        """A hook object without environment that notes what it was given under *label*, a word that is a file name."""
        place = IN_CONTAINER if in_container else str(self.directory)
        return {"path": "/bin/sh", "args": ["sh", "-c", _OBSERVE, label, place], **members}

    @property
    def mount(self) -> dict[str, Any]:
        """The mount by which hooks in the container find the directory."""
        return bind_mount(str(self.directory), IN_CONTAINER)

    def order(self) -> list[str]:
        """The labels of the hooks that ran, in order."""
        file = self.directory / "order"
        return file.read_text().split() if file.exists() else []

    def read(self, label: str) -> Observation:
        """What the hook of that label was given when it ran last."""
        entries = (self.directory / f"{label}.environment").read_text(errors="surrogateescape").split("\0")[:-1]
        environment = dict(entry.split("=", 1) for entry in entries)
        return Observation(
            environment={name: value for name, value in environment.items() if name not in _OF_THE_SHELL},
            state=json.loads((self.directory / f"{label}.state").read_text()),
            cwd=(self.directory / f"{label}.cwd").read_text().removesuffix("\n"),
        )


def make_notes(directory: Path, owner: tuple[int, int] | None = None) -> Notes:
    """An empty directory for notes; *owner*: whom it shall belong to."""
    directory.mkdir(mode=0o755)
    if owner is not None:
        os.chown(directory, *owner)
    return Notes(directory=directory)


def timeout_of(runtime: PrivateRuntime, seconds: int) -> dict[str, Any]:
    """
    The timeout member for a hook that ends by itself.

    None on crun: 1.8 waits with sigtimedwait for a SIGCHLD of the hook, which is lost when another child ends in the
    same moment, and then takes the hook for one that runs on.
    """
    return {} if runtime.name == "crun" else {"timeout": seconds}


def entries_of(bundle: MadeBundle, stage: str) -> list[dict[str, Any]]:
    """The hooks of *stage* in a bundle's config.json."""
    entries: list[dict[str, Any]] = (bundle.config().get("hooks") or {}).get(stage) or []
    return entries


def rules_of(bundle: MadeBundle, stage: str = "createRuntime") -> list[str | None]:
    """For each hook of *stage* the name of the rule file that it was made from; None for those of others."""
    return [_rule_of(entry) for entry in entries_of(bundle, stage)]


def _rule_of(entry: Mapping[str, Any]) -> str | None:
    files = [item.removeprefix("OCIHOOKS_RULE=") for item in entry.get("env", ()) if item.startswith("OCIHOOKS_RULE=")]
    return os.path.basename(files[-1]) if files else None


def litter(bundle: MadeBundle) -> list[str]:
    """What lies in a bundle besides its config.json."""
    return sorted(name for name in os.listdir(bundle.directory) if name != "config.json")


def live(runtime: PrivateRuntime, bundle: MadeBundle, program: Path | None = None) -> tuple[Call, int]:
    """
    Create, start and delete a container, each call through *program*, and wait for its end in between.

    Returns:
        The call of create, and the pid that the container had on the host.
    """
    container_id = runtime.new_id()
    created = runtime.create(bundle, container_id, program=program)
    assert created.status == 0, created
    state = runtime.state(container_id)
    assert state is not None
    started = runtime.start(container_id, program=program)
    assert started.status == 0, started
    runtime.wait_for_status(container_id, "stopped")
    deleted = runtime.delete(container_id, program=program)
    assert deleted.status == 0, deleted
    return created, int(state["pid"])


def give_away(path: Path, *, uid: int = 1, gid: int = 1) -> None:
    """Let somebody else own *path*; a test that needs that is skipped where it can't be done."""
    if os.geteuid() != 0:
        pytest.skip("needs root to give files away")
    os.chown(path, uid, gid)


def assert_refused(call: Call | subprocess.CompletedProcess[str], *fragments: str) -> None:
    """The wrapper failed with status 1 and a clear message on standard error that has all *fragments*."""
    status = call.status if isinstance(call, Call) else call.returncode
    assert (status, call.stdout) == (1, ""), call
    lines = call.stderr.splitlines()
    assert lines, call
    assert lines[0].startswith(f"{PROGRAM}: "), call
    assert lines[0].endswith("; container not created"), call
    assert all(line.startswith((f"{PROGRAM}: ", "hint: ")) for line in lines), call
    assert len(call.stderr.encode()) < 4000, call
    for fragment in fragments:
        assert fragment in call.stderr, call
    for fragment in ("Traceback", "internal error", "no such file or directory", "permission denied"):
        assert fragment not in call.stderr.lower(), call


def lives_on(pid: int) -> bool:
    """Whether a process exists that has not ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "\nState:\tZ" not in status
