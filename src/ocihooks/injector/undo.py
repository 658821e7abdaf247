"""
Takes out of a root what was put into it, when the container is gone and its root is not.

What was put there is kept in an undo record that only root can write, what it replaced beside it under a second name.
Whatever somebody has changed since stays as it is.
"""

from __future__ import annotations

import json
import posix

from ocihooks.errors import OCIHooksError, os_reason, quoted
from ocihooks.injector.changes import signature
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


def keep(target: Target, made: Sequence[Made]) -> None:
    """
    Keep what was *made* in the root of *target*, so that `undo` finds it.

    Raises:
        NotInjectedError: It can't be kept.
    """
    root = target.root if target.root.startswith("/") else f"{posix.getcwd()}/{target.root}"
    record = {"version": _VERSION, "name": target.name, "root": root, "made": made}
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


def _make_directory(directory: str) -> None:
    for path in (directory.rpartition("/")[0], directory):
        try:
            posix.mkdir(path, 0o700)
        except FileExistsError:
            continue


def _sweep(directory: str) -> None:
    """Where there are too many records, remove those of containers whose bundle is gone."""
    names = posix.listdir(directory)
    for name in names if len(names) > MOST_RECORDS else ():
        path = f"{directory}/{name}"
        try:
            posix.stat(_read(path)["name"][1])
        except (OSError, OCIHooksError):
            posix.unlink(path)


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
            _undo(root, found["made"], tell)
    posix.unlink(record)


def _read(record: str) -> dict[str, Any]:
    """The record; raises FileNotFoundError, or an error of ours."""
    try:
        found = json.loads(read_trusted(record, trust_here(), RECORD_BYTES))
        if found["version"] == _VERSION and found.keys() >= {"name", "root", "made"}:
            return dict(found)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise explained(record, error) from None
    except (ValueError, KeyError, TypeError):
        pass
    message, hint = "not an undo record of this program", f"remove it: rm {record}"
    raise NotInjectedError(message, code="not_injected", file=record, hint=hint)


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
