"""
A document's console blocks as one walk through a machine, which is made of private parts so that nothing is left.

The commands run as they stand, in one shell, in a mount namespace with its own /opt, /run, /usr/local,
/var/lib, /var/log, hooks directories and home; or on a private host with an engine, which has some of them already.
"""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.docs.markdown import PROJECT, Block, blocks

from ocihooks.testing.engines.host import PrivateHost

PACKAGES_DIR = Path("/usr/share/containers/oci/hooks.d")

ASKS_FOR_STATUS = "echo $?"

_MARK = "walk-through-step"
_HEREDOC = re.compile(r"<<'(\w+)'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    A command of a console block.

    Attributes:
        block: Where it stands.
        command: What is typed, without the prompt; may have several lines.
        output: The lines that the block shows; None where it shows none, so that anything may come.
    """

    block: Block
    command: str
    output: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a step: its exit status, and what it printed on both streams."""

    status: int
    output: str


def steps(document: Path, remark: str) -> list[Step]:
    """The commands of those console blocks of *document* that have the *remark*."""
    return [step for block in blocks(document) if block.remark == remark for step in _steps(block)]


def _steps(block: Block) -> Iterator[Step]:
    waiting = block.text.splitlines()
    while waiting:
        line = waiting.pop(0)
        assert line.startswith("# "), f"{block}: expected a command behind the prompt, found {line!r}"
        command = [line[2:]]
        if match := _HEREDOC.search(line):
            while command[-1] != match[1]:
                command.append(waiting.pop(0))
        output: list[str] = []
        while waiting and not waiting[0].startswith("# "):
            output.append(waiting.pop(0))
        yield Step(block=block, command="\n".join(command), output=tuple(output) or None)


def matches(shown: Sequence[str], output: str) -> bool:
    """Whether *output* is what a block shows: a line of three dots is any lines, three dots in a line are any text."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else ".*?".join(map(re.escape, line.split("..."))) + r"\n" for line in shown
    )
    return re.fullmatch(pattern, output) is not None


def follow(document: Path, machine: Machine) -> None:
    """Do what *document* says: all succeeds, unless it asks for the status right behind, and prints what it shows."""
    walk = steps(document, "run")
    may_fail = [*(step.command == ASKS_FOR_STATUS for step in walk[1:]), False]
    for step, outcome, allowed in zip(walk, machine.run(walk), may_fail, strict=True):
        told = f"{step.block}: {step.command}\nstatus {outcome.status}, printed:\n{outcome.output}"
        assert allowed or outcome.status == 0, told
        assert step.output is None or matches(step.output, outcome.output), told


class Packages:
    """
    What is installed from, below *directory*.

    The package index is a folder with a wheel of this project; what the package depends on is copied from the
    environment that runs the tests.
    """

    def __init__(self, directory: Path) -> None:
        self.wheels, self.site = directory / "wheels", directory / "site"
        for place in (self.wheels, self.site):
            place.mkdir(mode=0o755)
        _copy_dependencies(_build_wheel(self.wheels), self.site)


class Machine:
    """
    This machine with private parts below *directory*, as it is before anything of ours was installed.

    Programs and libraries are the real ones.

    Args:
        host: Where the commands run, which keeps what is mounted for them; None: in a mount namespace of their own.
    """

    def __init__(self, directory: Path, packages: Packages, host: PrivateHost | None = None) -> None:
        self.directory = directory
        self._packages = packages
        self._host = host
        for name in ("etc", "home", "opt", "packages", "real-etc", "usr-local/bin", "usr-local/sbin"):
            (directory / name).mkdir(mode=0o755, parents=True)
        for entry in Path("/etc").iterdir():
            if entry.name not in ("container-hooks", "containers", "oci-add-hooks", "ocihooks"):
                (directory / "etc" / entry.name).symlink_to(directory / "real-etc" / entry.name)

    def run(self, steps: Sequence[Step]) -> list[Outcome]:
        """Do all *steps* in one shell; a step that fails does not keep the next one from being done."""
        script = self.directory / "script"
        script.write_text(self._script(steps))
        argv = ["bash", str(script)]
        done = subprocess.run(
            self._host.command(argv) if self._host else ["unshare", "--mount", "--propagation", "private", *argv],
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
            cwd=self.directory,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
        )
        _, *parts = re.split(rf"^{_MARK} (\d+)\n", done.stdout, flags=re.MULTILINE)
        assert len(parts) == 2 * len(steps) + 2, f"not all steps were done:\n{done.stdout}{done.stderr}"
        outputs, statuses = parts[1:-1:2], parts[2::2]
        return [Outcome(status=int(status), output=text) for text, status in zip(outputs, statuses, strict=True)]

    def left_over(self) -> list[Path]:
        """The files that are there after the last step and were not there before the first one."""
        places = ("etc/containers", "home", "opt", "usr-local")
        return [path for place in places for path in sorted((self.directory / place).rglob("*")) if not path.is_dir()]

    def _script(self, steps: Sequence[Step]) -> str:
        """Mount the private parts or give up; then do each step, with a mark and its status behind it."""
        lines = ["set -e", *self._mounts(), "set +e", "cd", f"echo {_MARK} 0"]
        for step in steps:
            lines += ["{", step.command, "} 2>&1", "status=$?"]
            if "-m venv" in step.command:
                lines.append(f"cp -a {self._packages.site}/. /opt/ocihooks/lib/python*/site-packages/ || status=99")
            lines += [f"echo {_MARK} $status", "(exit $status)"]
        return "\n".join(lines) + "\n"

    def _mounts(self) -> Iterator[str]:
        own, empty = {"usr-local": "/usr/local", "opt": "/opt"}, ["/var/log"]
        if PACKAGES_DIR.is_dir():
            own["packages"] = str(PACKAGES_DIR)
        directory = shlex.quote(str(self.directory))
        if self._host is None:  # a private host has these of its own
            own["etc"] = "/etc"
            empty += ["/run", "/var/lib"]
            yield f"mount --rbind /etc {directory}/real-etc"
        yield from (f"mount --bind {directory}/{name} {place}" for name, place in own.items())
        yield from (f"mount -t tmpfs -o mode=755 tmpfs {place}" for place in empty)

    def _environment(self) -> dict[str, str]:
        interpreter = f"{sys.base_prefix}/bin"
        return {
            "PATH": f"/usr/local/sbin:/usr/local/bin:{interpreter}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.directory / "home"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self._packages.wheels),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }


def _build_wheel(directory: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    built = subprocess.run(command, check=False, capture_output=True, text=True, cwd=PROJECT, timeout=120)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = directory.glob("*.whl")
    return wheel


def _copy_dependencies(wheel: Path, directory: Path) -> None:
    """Copy the installed distributions that *wheel* needs, with those of its extras, and those that they need."""
    (metadata,) = (entry for entry in zipfile.Path(wheel).iterdir() if entry.name.endswith(".dist-info"))
    waiting: list[importlib.metadata.Distribution] = [importlib.metadata.PathDistribution(metadata)]
    seen = set()
    while waiting:
        for requirement in waiting.pop().requires or ():
            match = re.match(r"[\w.-]+", requirement)
            if match and match[0] not in seen and _is_installed(match[0]):
                seen.add(match[0])
                waiting.append(importlib.metadata.distribution(match[0]))
                _copy_distribution(waiting[-1], directory)


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _copy_distribution(distribution: importlib.metadata.Distribution, directory: Path) -> None:
    """Copy the files of one distribution; its programs, which lie elsewhere, are left out."""
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    for file in distribution.files or ():
        source = Path(str(distribution.locate_file(file)))
        if ".." in file.parts or not source.exists() or not any(source.is_relative_to(place) for place in places):
            continue
        target = directory / file
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.copy2(source, target)  # with its time, so that compiled modules count
