"""
Hands out the files of ConfigMaps: copies them to where nobody but root can write, and again whenever they change.

A directory that is made from a ConfigMap may be written by everybody as far as its mode tells, so that rules in it
can't be trusted. Each target remembers in a file of its own what was copied to it, so that files go when they go from
the ConfigMap, and files of others stay as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import stat
import sys
import time
from dataclasses import dataclass

from ocihooks.errors import OCIHooksError, UnavailableError, quoted
from ocihooks.replace import replace_file

RECORD = ".mirrored-by-ocihooks"
"""What a target remembers; engines that read it as a hooks directory pass over names without .json."""

EVERY_S = 2.0

_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """
    A directory and its copy.

    Attributes:
        source: Where a ConfigMap is mounted; where there is none it counts as empty.
        target: The copy, which is made if it is missing.
        mode: Permission bits of the copied files.
    """

    source: str
    target: str
    mode: int

    def update(self) -> tuple[str, ...]:
        """
        Make the target like the source; returns the paths of files that changed.

        Raises:
            UnavailableError: A file of somebody else has the name of one of ours.
            OSError, ReplaceError: A file can't be read or written.
        """
        wanted = read_source(self.source)
        made = _make_directories(self.target)
        former = self._record()
        ours = dict.fromkeys(former.get("files", ()))
        if not wanted and not ours:
            _remove_directories(made)
            return ()
        for name in wanted.keys() - ours.keys():
            if self._is_of_others(name, wanted[name]):
                hint = "rename one of the two; files of others are never overwritten"
                raise UnavailableError("is there and was not copied by us", file=self._path(name), hint=hint)
        made = [*former.get("made", ()), *made]
        # Named first, so that nothing is forgotten that was copied.
        self._remember([*ours, *(name for name in wanted if name not in ours)], made)
        changed = [self._path(name) for name in wanted if self._put(name, wanted[name])]
        changed += [self._path(name) for name in ours.keys() - wanted.keys() if self._drop(name)]
        self._remember(list(wanted), made)
        return tuple(sorted(changed))

    def remove(self) -> tuple[str, ...]:
        """Take away all that was copied, and the directories that were made for it; returns the paths of the files."""
        former = self._record()
        dropped = [self._path(name) for name in former.get("files", ()) if self._drop(name)]
        if former:
            os.unlink(self._path(RECORD))
            _remove_directories(former.get("made", ()))
        return tuple(dropped)

    def _path(self, name: str) -> str:
        return os.path.join(self.target, name)

    def _record(self) -> dict[str, list[str]]:
        try:
            with open(self._path(RECORD), encoding="utf-8") as stream:
                record: dict[str, list[str]] = json.load(stream)
        except FileNotFoundError:
            return {}
        except ValueError:
            hint = "remove it; what was copied before then counts as files of others"
            raise UnavailableError("is broken", file=self._path(RECORD), hint=hint) from None
        return record

    def _remember(self, files: list[str], made: list[str]) -> None:
        record = {"files": sorted(files), "made": made}
        if record != self._record():
            replace_file(self._path(RECORD), f"{json.dumps(record)}\n".encode())

    def _is_of_others(self, name: str, data: bytes) -> bool:
        return os.path.lexists(self._path(name)) and _data(self._path(name)) != data

    def _put(self, name: str, data: bytes) -> bool:
        path = self._path(name)
        if not os.path.islink(path) and os.path.isfile(path) and _data(path) == data:
            return False
        if os.path.islink(path):
            os.unlink(path)
        replace_file(path, data, mode=self.mode)
        return True

    def _drop(self, name: str) -> bool:
        try:
            os.unlink(self._path(name))
        except FileNotFoundError:
            return False
        return True


def read_source(source: str) -> dict[str, bytes]:
    """The files of a ConfigMap, all of one version: it is changed by one link that leads to them."""
    data = os.path.realpath(os.path.join(source, "..data"))
    directory = data if os.path.isdir(data) else source
    if not os.path.isdir(directory):
        return {}
    names = sorted(name for name in os.listdir(directory) if not name.startswith("."))
    paths = {name: os.path.join(directory, name) for name in names}
    return {name: _data(path) for name, path in paths.items() if os.path.isfile(path)}


def _data(path: str) -> bytes:
    with open(path, "rb") as stream:
        data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise UnavailableError(f"larger than {_MAX_BYTES} bytes", file=path, hint="ConfigMaps hold no such files")
    return data


def _make_directories(path: str) -> list[str]:
    """Make *path* and what is missing above it; returns the new directories."""
    missing: list[str] = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        os.mkdir(directory)
        os.chmod(directory, 0o755)  # noqa: S103  (rules and programs are no secrets)
    return missing[::-1]


def _remove_directories(made: list[str] | tuple[str, ...]) -> None:
    for directory in reversed(made):
        try:
            os.rmdir(directory)
        except OSError:  # somebody else uses it
            continue


def keep_to_root(directory: str) -> None:
    """
    Let only its owner write into *directory*, a volume that the kubelet made for this pod alone.

    Raises:
        UnavailableError: It is not ours.
    """
    status = os.stat(directory)
    if status.st_uid != os.geteuid():
        hint = "mount an emptyDir there"
        raise UnavailableError(f"belongs to user {status.st_uid}", file=directory, hint=hint)
    if stat.S_IMODE(status.st_mode) != 0o755:
        os.chmod(directory, 0o755)  # noqa: S103


def mirror_of(words: str, root: str = "") -> Mirror:
    """
    The mirror that *words* describe: SOURCE:TARGET:MODE.

    Args:
        root: What is in front of the target.

    Raises:
        argparse.ArgumentTypeError: They describe none.
    """
    parts = words.split(":")
    if len(parts) != 3 or not all(part.startswith("/") for part in parts[:2]) or parts[2] not in ("644", "755"):
        message = f"{quoted(words, 200)}: expected SOURCE:TARGET:644 or :755 with absolute paths"
        raise argparse.ArgumentTypeError(message)
    return Mirror(source=parts[0], target=root + parts[1], mode=int(parts[2], 8))


class Stopped(Exception):  # noqa: N818  (it is no error)
    """Kubernetes ends the container."""


def stop_on_signals() -> None:
    """Raise `Stopped` on the signals that end a container; as process 1 it would otherwise not see them."""

    def stop(_number: int, _frame: object) -> None:
        raise Stopped

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def say(sentence: str) -> None:
    """Write a line to the container's log."""
    sys.stderr.write(f"ocihooks: {sentence}\n")
    sys.stderr.flush()


def told(error: Exception) -> str:
    """*error* as a sentence with its place and its remedy."""
    if isinstance(error, OCIHooksError):
        return str(error.problems[0]) + (f"; hint: {error.hint}" if error.hint else "")
    return f"{error.filename or 'here'}: {error.strerror}" if isinstance(error, OSError) else str(error)


def update_all(mirrors: list[Mirror]) -> None:
    """Update *mirrors* in turn, so that programs can be there before the rules that name them."""
    for mirror in mirrors:
        for path in mirror.update():
            say(f"{path}: {'copied' if os.path.exists(path) else 'taken away'}")


def follow(mirrors: list[Mirror]) -> None:
    """Update *mirrors* until stopped; what goes wrong is told once, and tried again."""
    trouble = ""
    while True:
        time.sleep(EVERY_S)
        try:
            update_all(mirrors)
            trouble = ""
        except (OCIHooksError, OSError) as error:
            if told(error) != trouble:
                trouble = told(error)
                say(trouble)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="ocihooks_image.mirror", description="Hand out the files of ConfigMaps.")
    parser.add_argument("mirrors", metavar="SOURCE:TARGET:MODE", type=mirror_of, nargs="+")
    parser.add_argument("--private", metavar="DIR", help="a volume of this pod into which only root is to write")
    parser.add_argument("--ready", metavar="FILE", help="made when all files have been copied once")
    parser.add_argument("--once", action="store_true", help="end then")
    options = parser.parse_args()
    stop_on_signals()
    try:
        if options.private:
            keep_to_root(options.private)
        update_all(options.mirrors)
        if options.ready:
            replace_file(options.ready, b"", durable=False)
        if not options.once:
            follow(options.mirrors)
    except Stopped:
        pass
    except (OCIHooksError, OSError) as error:
        say(told(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
