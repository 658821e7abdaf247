"""
Reads and replaces the configuration files of engines.

What is read here may be a link, of any owner, and larger than ours; the engine decides whether it trusts it. It is
only never a FIFO or a device, on which we would wait.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocihooks.engines.errors import EngineError
from ocihooks.errors import ReplaceError, UnavailableError, os_reason
from ocihooks.replace import replace_file, signature

if TYPE_CHECKING:
    from ocihooks.replace import Signature

LIMIT_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """
    A configuration file as it was read.

    Attributes:
        path: Where it is.
        text: What is in it; "" where there is none.
        signature: Which version it was; None where there is none.
    """

    path: str
    text: str
    signature: Signature | None

    @property
    def exists(self) -> bool:
        """Whether there is such a file."""
        return self.signature is not None


def read_config_file(path: str) -> ConfigFile:
    """
    Read *path*, which need not exist.

    Raises:
        UnavailableError: It can't be read.
        EngineError: It is no regular file, too large, or not UTF-8.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ConfigFile(path=path, text="", signature=None)
    except OSError as error:
        hint = "run it as root" if isinstance(error, PermissionError) else "look at what is in its place"
        raise UnavailableError(f"can't be read: {os_reason(error)}", code="read_failed", file=path, hint=hint) from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            hint = "put a plain file in its place"
            raise EngineError("expected a regular file", code="engine_layout", file=path, hint=hint)
        data = _read(fd)
    except OSError as error:
        message, hint = f"can't be read: {os_reason(error)}", "look at the disk"
        raise UnavailableError(message, code="read_failed", file=path, hint=hint) from None
    finally:
        os.close(fd)
    if len(data) > LIMIT_BYTES:
        hint = "look at who wrote so much into it"
        raise EngineError(f"larger than the {LIMIT_BYTES} bytes that are read", code="too_large", file=path, hint=hint)
    try:
        return ConfigFile(path=path, text=data.decode(), signature=signature(status))
    except UnicodeDecodeError as error:
        line = f"line {data.count(bytes([10]), 0, error.start) + 1}"
        message, hint = f"not UTF-8: {error.reason}", "save it as UTF-8"
        raise EngineError(message, code="not_utf8", file=path, pointer=line, hint=hint) from None


def _read(fd: int) -> bytes:
    data = b""
    while len(data) <= LIMIT_BYTES and (chunk := os.read(fd, LIMIT_BYTES + 1)):
        data += chunk
    return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    What becomes of one file.

    Attributes:
        old: The file as it is.
        text: What is to be in it; None: the file is to go.
        beside: Directory for the temporary file where that of the file won't do, else None.
        mode: Permission bits of a new file.
    """

    old: ConfigFile
    text: str | None
    beside: str | None = None
    mode: int = 0o644

    @property
    def is_any(self) -> bool:
        """Whether there is anything to be done."""
        return self.text != (self.old.text if self.old.exists else None)

    def difference(self) -> str:
        """The change as a unified diff; "" where there is none."""
        if not self.is_any:
            return ""
        path = self.old.path
        before = self.old.text.splitlines(keepends=True)
        after = (self.text or "").splitlines(keepends=True)
        names = (path if self.old.exists else os.devnull, path if self.text is not None else os.devnull)
        lines = difflib.unified_diff(before, after, *names)
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)

    def write(self) -> None:
        """
        Do it.

        Raises:
            ReplaceError: The file is as it was; with the code ``changed_meanwhile`` it was changed by somebody else.
        """
        path = self.old.path
        if not self.is_any:
            return
        if self.text is None:
            self._remove()
            return
        if not self.old.exists and os.path.lexists(path):
            self._refuse_what_is_there()
        replace_file(path, self.text.encode(), expected=self.old.signature, beside=self.beside, mode=self.mode)

    def _refuse_what_is_there(self) -> None:
        path = self.old.path
        if os.path.exists(path):
            hint = "try again"
            raise ReplaceError("was made by somebody else meanwhile", code="changed_meanwhile", file=path, hint=hint)
        # Undoing could not tell the link, which was there, from its target, which was not.
        hint = "make the file that it leads to, or remove the link"
        raise ReplaceError("is a link that leads nowhere", code="not_replaced", file=path, hint=hint)

    def _remove(self) -> None:
        path = self.old.path
        try:
            if signature(os.stat(path)) != self.old.signature:
                message, hint = "was changed by somebody else meanwhile", "try again"
                raise ReplaceError(message, code="changed_meanwhile", file=path, hint=hint)
            os.unlink(path)
            sync_directory(os.path.dirname(path))
        except OSError as error:
            raise ReplaceError(
                f"can't be removed: {os_reason(error)}", code="not_replaced", file=path, hint="do it as root"
            ) from None


def sync_directory(directory: str) -> None:
    """Let what was made or removed in *directory* reach the disk, as far as the file system can."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(fd)
    finally:
        os.close(fd)


def missing_directories(directory: str) -> tuple[str, ...]:
    """The directories that are to be made for *directory* to be there, the innermost last."""
    missing: list[str] = []
    while directory and not os.path.isdir(directory):
        missing.insert(0, directory)
        directory = os.path.dirname(directory)
    return tuple(missing)


def make_directories(directories: tuple[str, ...], mode: int = 0o755) -> None:
    """Make *directories* in this order, whatever the umask."""
    for directory in directories:
        try:
            os.mkdir(directory)
            os.chmod(directory, mode)
        except FileExistsError:
            continue
        except OSError as error:
            hint = "run it as root"
            raise UnavailableError(f"can't be made: {os_reason(error)}", file=directory, hint=hint) from None


def remove_directories(directories: tuple[str, ...]) -> None:
    """Remove those of *directories*, the innermost last, that are empty."""
    for directory in reversed(directories):
        with contextlib.suppress(OSError):  # somebody else uses it, or it is gone
            os.rmdir(directory)


def remove_tree(directory: str) -> None:
    """Remove *directory*, which is ours alone, with all that is in it, as far as that can be done."""
    for place, _, files in os.walk(directory, topdown=False):
        for name in files:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(place, name))
        with contextlib.suppress(OSError):
            os.rmdir(place)
