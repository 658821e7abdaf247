"""
No code of a container runs with the host's privilege: not by its environment, nor by files in its root.

A container carries one injection at a time; rules for all six stages run programs that would fall for it: a dynamic
one, shells, and Python. Whatever gets in leaves its mark. The control runs the same programs with hooks that have no
environment, as a careless wrapper writes them: runc 1.1 hands them the container's, and they do leave marks.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.integration.wrappers import FIXED_PATH, Installations, Wrapper, live

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.spec.stage import STAGES
from ocihooks.testing.bundles import MadeBundle, make_rootfs
from ocihooks.testing.runtimes import PrivateRuntime

pytestmark = [pytest.mark.runtime, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

Record = Callable[[str, object], None]

INJECTIONS: dict[str, tuple[str, ...]] = {
    "preload-here": ("LD_PRELOAD=./evil.so",),
    "preload-by-proc": ("LD_PRELOAD=/proc/self/cwd/evil.so",),
    "library-path": ("LD_LIBRARY_PATH=.",),
    "audit": ("LD_AUDIT=./evil.so",),
    "tunables": ("GLIBC_TUNABLES=glibc.malloc.perturb=255", "LD_DEBUG=files", "LD_DEBUG_OUTPUT=debug"),
    "python-path": ("PYTHONPATH=.",),
    "python-home": ("PYTHONHOME=/proc/self/cwd",),
    "python-user-site": ("PYTHONUSERBASE=.",),
    "python-options": ("PYTHONSTARTUP=./evil.py", "PYTHONINSPECT=1", "PYTHONVERBOSE=1", "PYTHONWARNINGS=error"),
    "path": ("PATH=.:/usr/bin:/bin",),
    "shell": ("BASH_ENV=./evil.sh", "ENV=./evil.sh"),
    "planted-modules": (),
}
"""What a container brings; the last one has only what lies in its root, which is where the wrapper is called."""

EVIL = r"""
#include <fcntl.h>
#include <unistd.h>
unsigned la_version(unsigned version) { return version; }
int gift(void) { return 0; }
__attribute__((constructor)) static void leave_mark(void) { close(open(MARK, O_CREAT | O_WRONLY, 0600)); }
"""
VICTIM = "int gift(void); int main(void) { return gift(); }\n"

PYTHON = os.path.realpath(sys.executable)
"""Not that of a virtual environment, which looks for less."""

# Each program in turn falls for another kind of injection. What they print does not matter.
HOOK = """\
cat >/dev/null
exec 2>/dev/null
env -0 > {notes}/$1
{place}/victim
id >/dev/null
bash -c :
{python} {place}/victim.py >/dev/null </dev/null
exit 0
"""
MODULES = (
    "json.py",
    "os.py",
    "re2.py",
    "ocihooks.py",
    "sitecustomize.py",
    "usercustomize.py",
    "posix.py",
    "marshal.py",
)


@dataclass(frozen=True, kw_only=True)
class Trap:
    """
    Programs that fall for injections, and a root file system with what there is to inject.

    Attributes:
        marks: A directory on the host; whatever runs leaves a file there.
        notes: A directory with the environment of each stage's hook.
    """

    place: Path
    rootfs: Path
    marks: Path
    notes: Path

    def hook(self, stage: str) -> dict[str, Any]:
        """The hook of a stage, without an environment."""
        if stage == "startContainer":  # it runs in the container, whose code is at home there
            return {"path": "/bin/sh", "args": ["sh", "-c", f"env -0 > /notes/{stage}"]}
        return {"path": "/bin/bash", "args": ["bash", str(self.place / "hook.sh"), stage]}

    def environment(self, stage: str) -> list[str]:
        """The environment of a stage's hook, without what bash adds."""
        entries = (self.notes / stage).read_text(errors="surrogateescape").split("\0")[:-1]
        return [entry for entry in entries if not entry.startswith(("_=", "SHLVL=", "PWD=", "OLDPWD="))]

    def marked(self) -> bool:
        """Whether something that was injected has run."""
        return bool(list(self.marks.iterdir()))


@pytest.fixture
def trap(runtime: PrivateRuntime, unavailable: Callable[[OCIHooksError], NoReturn]) -> Trap:
    """A trap for the containers of one test."""
    for program in ("cc", "bash"):
        if shutil.which(program) is None:
            unavailable(UnavailableError(f"{program}: not found on PATH", hint=f"apt-get install gcc {program}"))
    place, rootfs = runtime.directory / "victims", make_rootfs(runtime.directory / "rootfs")
    trap = Trap(place=place, rootfs=rootfs, marks=runtime.directory / "marks", notes=runtime.directory / "notes")
    for directory in (place, trap.marks, trap.notes):
        directory.mkdir(mode=0o755)
    build_libraries(trap)
    (place / "hook.sh").write_text(HOOK.format(notes=trap.notes, place=place, python=PYTHON))
    (place / "victim.py").write_text("import json\n")
    bait(trap)
    return trap


def build_libraries(trap: Trap) -> None:
    """A program with a library of its own, and one that leaves a mark when it is loaded, under two names."""
    (trap.place / "evil.c").write_text(EVIL)
    (trap.place / "victim.c").write_text(VICTIM)
    mark = f'-DMARK="{trap.marks}/library"'
    harmless = '-DMARK="/dev/null"'
    for command in (
        ["-shared", "-fPIC", mark, "-o", str(trap.rootfs / "evil.so"), "evil.c"],
        ["-shared", "-fPIC", harmless, "-o", "libgift.so", "evil.c"],
        ["-o", "victim", "victim.c", "-L.", "-lgift", f"-Wl,-rpath,{trap.place},--enable-new-dtags"],
    ):
        subprocess.run(["cc", *command], check=True, cwd=trap.place)
    shutil.copy(trap.rootfs / "evil.so", trap.rootfs / "libgift.so")


def bait(trap: Trap) -> None:
    """Scripts and modules in the root file system, each of which leaves a mark."""
    # While the interpreter starts there is no open yet.
    code = f"import posix; posix.close(posix.open({str(trap.marks / 'python')!r}, posix.O_CREAT | posix.O_WRONLY))\n"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = trap.rootfs / "lib" / version / "site-packages"
    site.mkdir(parents=True, exist_ok=True)
    (site / "evil.pth").write_text(code)
    for name in (*MODULES, "evil.py", f"lib/{version}/encodings.py"):
        (trap.rootfs / name).write_text(code)
    for name in ("id", "evil.sh", "bash"):
        (trap.rootfs / name).write_text(f"#!/bin/sh\n: > {trap.marks}/{name}\n")
        (trap.rootfs / name).chmod(0o755)


def bundle_for(runtime: PrivateRuntime, trap: Trap, entries: tuple[str, ...], **members: Any) -> MadeBundle:
    """A bundle of a container that brings *entries*."""
    mounts = [{"destination": "/notes", "type": "bind", "source": str(trap.notes), "options": ["bind"]}]
    env = [*entries, *(["PATH=/usr/bin:/bin"] if not any(entry.startswith("PATH=") for entry in entries) else [])]
    return runtime.make_bundle(rootfs=trap.rootfs, args=["/bin/true"], env=env, mounts=mounts, **members)


def write_rules(wrapper: Wrapper, trap: Trap) -> None:
    """A rule for each stage: without environment, or with an empty one, which means the same."""
    for number, stage in enumerate(STAGES):
        hook = trap.hook(stage) | ({"env": []} if number % 2 else {})
        wrapper.write_rule(f"{stage}.json", hook=hook, stages=[stage])


def assert_clean(trap: Trap) -> None:
    """Nothing that was injected has run, and no hook has seen an environment but ours."""
    assert list(trap.marks.iterdir()) == []
    for stage in STAGES:
        ours = {"OCIHOOKS_RULE", "OCIHOOKS_STAGE"}
        entries = trap.environment(stage)
        assert [entry for entry in entries if entry.partition("=")[0] not in ours] == [FIXED_PATH], stage


@pytest.mark.parametrize("name", INJECTIONS)
def test_injection(runtime: PrivateRuntime, wrapper: Wrapper, trap: Trap, name: str, record_property: Record) -> None:
    """In none of the six stages does anything of the container run on the host, or show in a hook's environment."""
    write_rules(wrapper, trap)
    bundle = bundle_for(runtime, trap, INJECTIONS[name])
    container_id, call = runtime.new_id(), partial(runtime.call, cwd=trap.rootfs, program=wrapper.script)
    assert call("create", "--bundle", str(bundle.directory), container_id).status == 0
    assert call("start", container_id).status == 0
    runtime.wait_for_status(container_id, "stopped")
    assert call("delete", container_id).status == 0
    assert_clean(trap)
    record_property("amount", f"{len(STAGES)} hooks with something to fall for")


def test_injection_after_a_rewrite(
    runtime: PrivateRuntime, installations: Installations, trap: Trap, record_property: Record
) -> None:
    """Somebody between us and the runtime writes config.json anew, and drops empty lists as Go does: still clean."""
    wrapper = installations.wrapper("/bin/true")
    write_rules(wrapper, trap)
    everything = tuple(entry for entries in INJECTIONS.values() for entry in entries)
    bundle = bundle_for(runtime, trap, everything)
    subprocess.run([wrapper.script, "create", "--bundle", str(bundle.directory), "c1"], check=True)
    config = bundle.config()
    for hooks in config["hooks"].values():
        hooks[:] = [{key: value for key, value in hook.items() if value not in ([], None, 0)} for hook in hooks]
    bundle.write_config(json.dumps(config).encode())
    live(runtime, bundle)
    assert_clean(trap)
    record_property("amount", f"{len(STAGES)} hooks with everything at once, after empty lists were dropped")


MARKED = {name for name in INJECTIONS if name not in ("tunables", "python-options")}
"""What leaves a mark when nobody takes care; the others only show in the environment."""


@pytest.mark.parametrize("installed_runtime", ["runc"], indirect=True)
@pytest.mark.parametrize("name", INJECTIONS)
def test_control(runtime: PrivateRuntime, trap: Trap, name: str, record_property: Record) -> None:
    """Without our environment the same hooks fall for each injection, in createContainer on runc 1.1."""
    if not runtime.version.startswith("1.1."):
        pytest.skip(f"recorded for runc 1.1, this is runc {runtime.version}")
    if name == "planted-modules":
        subprocess.run([sys.executable, "-c", "import ocihooks"], check=True, cwd=trap.rootfs)
    else:
        hooks = {"createContainer": [trap.hook("createContainer")]}
        live(runtime, bundle_for(runtime, trap, INJECTIONS[name], hooks=hooks))
        assert set(INJECTIONS[name]) <= set(trap.environment("createContainer"))
    assert trap.marked() == (name in MARKED)
    if trap.marked():
        record_property("control", "1 injections that run on the host without us")
