"""
A document's console blocks as one walk through a machine, which is made of private parts so that nothing is left.

The commands run as they stand, in one shell, in a mount namespace with its own /opt, /run, /usr/local,
/var/lib, hooks directories and home.
"""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.docs.markdown import PROJECT, Block, blocks

PACKAGES_DIR = Path("/usr/share/containers/oci/hooks.d")

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


class Machine:
    """
    This machine with private parts below *directory*, as it is before anything of ours was installed.

    Programs and libraries are the real ones. The package index is a folder with a wheel of this project; what the
    package depends on is copied from the environment that runs the tests.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("etc", "home", "opt", "packages", "real-etc", "site", "usr-local/bin", "usr-local/sbin", "wheels"):
            (directory / name).mkdir(mode=0o755, parents=True)
        for entry in Path("/etc").iterdir():
            if entry.name not in ("container-hooks", "containers", "oci-add-hooks", "ocihooks"):
                (directory / "etc" / entry.name).symlink_to(directory / "real-etc" / entry.name)
        _build_wheel(directory / "wheels")
        _copy_dependencies("ocihooks", directory / "site")

    def run(self, steps: Sequence[Step]) -> list[Outcome]:
        """Do all *steps* in one shell; a step that fails does not keep the next one from being done."""
        script = self.directory / "script"
        script.write_text(self._script(steps))
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "bash", str(script)],
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

    def _script(self, steps: Sequence[Step]) -> str:
        """Mount the private parts or give up; then do each step, with a mark and its status behind it."""
        lines = ["set -e", *self._mounts(), "set +e", "cd", f"echo {_MARK} 0"]
        for step in steps:
            lines += ["{", step.command, "} 2>&1", "status=$?"]
            if "-m venv" in step.command:
                lines.append(f"cp -a {self.directory}/site/. /opt/ocihooks/lib/python*/site-packages/ || status=99")
            lines += [f"echo {_MARK} $status", "(exit $status)"]
        return "\n".join(lines) + "\n"

    def _mounts(self) -> list[str]:
        own = {"usr-local": "/usr/local", "opt": "/opt", "etc": "/etc"}
        if PACKAGES_DIR.is_dir():
            own["packages"] = str(PACKAGES_DIR)
        directory = shlex.quote(str(self.directory))
        return [
            f"mount --rbind /etc {directory}/real-etc",
            *(f"mount --bind {directory}/{name} {place}" for name, place in own.items()),
            "mount -t tmpfs -o mode=755 tmpfs /run",
            "mount -t tmpfs -o mode=755 tmpfs /var/lib",
        ]

    def _environment(self) -> dict[str, str]:
        interpreter = f"{sys.base_prefix}/bin"
        return {
            "PATH": f"/usr/local/sbin:/usr/local/bin:{interpreter}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.directory / "home"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.directory / "wheels"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }


def _build_wheel(directory: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    built = subprocess.run(command, check=False, capture_output=True, text=True, cwd=PROJECT, timeout=120)
    assert built.returncode == 0, built.stdout + built.stderr


def _copy_dependencies(name: str, directory: Path) -> None:
    """Copy the installed distributions that *name* needs, and those that they need."""
    waiting, seen = [name], {name}
    while waiting:
        distribution = importlib.metadata.distribution(waiting.pop())
        if distribution.name != name:
            _copy_distribution(distribution, directory)
        for requirement in distribution.requires or ():
            match = re.match(r"[\w.-]+", requirement)
            if match and match[0] not in seen and _is_installed(match[0]):
                seen.add(match[0])
                waiting.append(match[0])


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
        shutil.copyfile(source, target)
