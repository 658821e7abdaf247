"""
Takes out of a root what was put into it, when the container is gone and its root is not.

What was put there is kept in an undo record that only root can write, what it replaced beside it under a second name.
Whatever somebody has changed since stays as it is. A record is not believed more than it has to be: it counts for the
very root that it was written for, and names nothing but files in it.
"""

from __future__ import annotations

import json
import posix

from ocihooks.errors import OCIHooksError, os_reason, quoted
from ocihooks.injector.changes import PREFIX, signature
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.rootfs import Place, Root, look
from ocihooks.injector.worker import Line, Worker
from ocihooks.replace import replace_file
from ocihooks.trust import explained, read_trusted, trust_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ocihooks.injector.changes import Made
    from ocihooks.injector.target import Target

    Tell = Callable[[str, str], None]

RECORD_BYTES = 16 << 20
"""Largest record."""

MOST_RECORDS = 1000
"""When there are more, those of containers that are gone are removed."""

_VERSION = 1
_HINT = "look at who may write there, or take the hook out of the stage poststop"


def keep(target: Target, root: Root, made: Sequence[Made]) -> None:
    """
    Keep what was *made* in the *root* of *target*, so that `undo` finds it.

    Raises:
        NotInjectedError: It can't be kept.
    """
    path = target.root if target.root.startswith("/") else f"{posix.getcwd()}/{target.root}"
    record = {"version": _VERSION, "name": target.name, "root": path, "inode": _inode(root), "made": made}
    data = json.dumps(record).encode()
    if len(data) > RECORD_BYTES:
        message = f"what has to be undone takes more than the {RECORD_BYTES} bytes that are kept"
        raise NotInjectedError(message, code="not_injected", file=target.record, hint=_HINT)
    directory = target.record.rpartition("/")[0]
    try:
        _make_directory(directory)
        replace_file(target.record, data, durable=False, mode=0o600)
    except (OSError, OCIHooksError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else error.message
        message = f"what has to be undone can't be kept: {reason}"
        raise NotInjectedError(message, code="not_injected", file=target.record, hint=_HINT) from None
    _sweep(directory)


def _inode(root: Root) -> list[int]:
    """What tells a root from all others: device and inode."""
    status = posix.fstat(root.fd)
    return [status.st_dev, status.st_ino]


def _make_directory(directory: str) -> None:
    for path in (directory.rpartition("/")[0], directory):
        try:
            posix.mkdir(path, 0o700)
        except FileExistsError:
            continue


def _sweep(directory: str) -> None:
    """
    Where there are too many records, remove those of containers whose bundle is gone.

    Others may do the same at the same time; what can't be read or removed now stays for the next time.
    """
    try:
        records = [name for name in posix.listdir(directory) if name.endswith(".json") and not name.startswith(".")]
    except OSError:
        return
    for name in records if len(records) > MOST_RECORDS else ():
        record = f"{directory}/{name}"
        if _is_stale(record):
            _remove(record)


def _is_stale(record: str) -> bool:
    """Whether *record* is of a container whose bundle is gone; one that we can't read may be another version's."""
    try:
        bundle = _read(record)["name"][1]
    except (OSError, OCIHooksError):
        return False
    try:
        posix.stat(bundle)
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False


def _remove(record: str) -> None:
    try:
        posix.unlink(record)
    except OSError:
        return


def undo(record: str, name: tuple[str, str], tell: Tell) -> None:
    """
    Undo what *record* says about the container *name*, and remove it; nothing where there is none.

    Raises:
        OCIHooksError: The record can't be used, or the root can't be changed.
    """
    try:
        found = _read(record)
    except FileNotFoundError:
        return
    if tuple(found["name"]) != name:
        return
    try:
        root = Root(found["root"])
    except OSError as error:
        tell("debug", f"{found['root']}: nothing to undo, since the root is gone: {os_reason(error)}")
    else:
        with root:
            if _inode(root) == found["inode"]:
                _undo(root, found["made"], tell)
            else:
                tell("warning", f"{found['root']}: nothing is undone, since another directory is in the root's place")
    try:
        posix.unlink(record)
    except FileNotFoundError:  # the start of another container was faster, see `_sweep`
        return


def _read(record: str) -> dict[str, Any]:
    """The record; raises FileNotFoundError, or an error of ours."""
    found = _document(record)
    pointer, wrong = _fault(found)
    if wrong:
        hint = f"remove it: rm {record}"
        raise NotInjectedError(wrong, code="not_injected", file=record, pointer=pointer or None, hint=hint)
    return dict(found)


def _document(record: str) -> Any:
    """The JSON in *record*; None: it is none, or has texts that can't be names of files."""
    try:
        found = json.loads(read_trusted(record, trust_here(), RECORD_BYTES))
        json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogateescape")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise explained(record, error) from None
    except (ValueError, RecursionError):
        return None
    return found


def _fault(found: Any) -> tuple[str, str]:
    """What is wrong with the document *found*, and where; "" for nothing."""
    if not _is_record(found):
        return "", "not an undo record of this program"
    for index, row in enumerate(found["made"]):
        wrong = _wrong(row)
        if wrong:
            return f"/made/{index}", wrong
    return "", ""


def _is_record(found: Any) -> bool:
    """Whether *found* has what a record has, but for the rows of what was made."""
    if type(found) is not dict or found.get("version") != _VERSION:
        return False
    root, made = found.get("root"), found.get("made")
    has_root = type(root) is str and root.startswith("/") and "\0" not in root
    return has_root and type(made) is list and _has(found.get("name"), str, str) and _has(found.get("inode"), int, int)


def _wrong(row: Any) -> str:
    """What is wrong with a *row* of what was made, see `Changes.made`; "" for nothing."""
    if not _has(row, str, str, str, list) or not _has(row[3], int, int, int, int, int):
        return f"expected a directory, a name, a second name and a signature, found {quoted(row, 200)}"
    _, name, former, _ = row
    if not _is_name(name):
        return f"expected a name in a directory, found {quoted(name, 200)}"
    if former not in ("", "/") and not (_is_name(former) and former.startswith(PREFIX)):
        return f"expected a second name that begins with {quoted(PREFIX)}, found {quoted(former, 200)}"
    return ""


def _has(value: Any, *types: type) -> bool:
    """Whether *value* is an array of items of these *types*."""
    return type(value) is list and tuple(map(type, value)) == types


def _is_name(text: str) -> bool:
    return text not in ("", ".", "..") and "/" not in text and "\0" not in text


def _undo(root: Root, made: Sequence[Made], tell: Tell) -> None:
    worker = Worker((root.fd,), lambda line, _: _work(root, made, line))
    try:
        for level, sentence in worker.hear():
            tell(level, sentence)
        worker.hear()
    finally:
        worker.close()


def _work(root: Root, made: Sequence[Made], line: Line) -> None:
    """The child's part."""
    told = []
    for directory, name, former, was in reversed(made):
        place = f"{directory}/{name}"
        try:
            sentence = _undo_one(look(root.directory(directory), name), former, tuple(was))
        except OSError as error:
            sentence = f"can't be undone: {os_reason(error)}"
        if sentence:
            told.append(("warning", f"{quoted(place, 200)} in the container's root {sentence}"))
    line.tell(("undone", tuple(told)))


def _undo_one(place: Place, former: str, was: Sequence[int]) -> str:
    """Undo one thing; what there is to tell about it."""
    parent = place.parent
    if former == "/":
        return _remove_directory(place, was)
    if place.status is None or signature(place.status) != was:
        if former:
            posix.unlink(former, dir_fd=parent)
        return "is left alone: it was " + ("removed" if place.status is None else "changed") + " meanwhile"
    if former:
        posix.rename(former, place.name, src_dir_fd=parent, dst_dir_fd=parent)
    else:
        posix.unlink(place.name, dir_fd=parent)
    return ""


def _remove_directory(place: Place, was: Sequence[int]) -> str:
    """Remove a directory that was made, if nothing is in it."""
    if place.status is None or place.status.st_ino != was[0] or not place.is_directory:
        return ""
    try:
        posix.rmdir(place.name, dir_fd=place.parent)
    except OSError:
        return ""
    return ""
