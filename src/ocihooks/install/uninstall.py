"""
Takes an installed wrapper away, unless running containers still need it: their engine calls it to stop them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ocihooks.engines.records import Records, named_in
from ocihooks.engines.shims import runtime_of_bundle
from ocihooks.errors import OCIHooksError, UnavailableError, os_reason
from ocihooks.install.install import installation, is_unchanged
from ocihooks.install.record import Record, record_file
from ocihooks.install.supervisor import SUPERVISING


class InUseError(OCIHooksError):
    """Running containers were started through the wrapper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """
    A process that is going to call the wrapper.

    Attributes:
        pid: Its process id.
        program: What it is: conmon or a containerd shim.
        container: The container that it looks after, as far as known.
    """

    pid: int
    program: str
    container: str


class StillNamedError(OCIHooksError):
    """An engine is configured to start the wrapper."""


def uninstall(
    prefix: str, name: str, *, force: bool = False, state_dir: str | None = None
) -> tuple[Record, tuple[User, ...]]:
    """
    Remove script and record, and the directories that installation made if they are empty.

    Args:
        force: Go on although containers need the wrapper, and leave a link to the runtime in its place. The
            supervisor stays, too, since their poststop hooks call it.
        state_dir: Where it is remembered which engines were told about the wrapper; None: don't look.

    Returns:
        The record of what was installed, and who still needs it (empty unless *force*).

    Raises:
        UnavailableError: There is no such installation, or the script was changed since.
        InUseError: Containers need it and *force* is not given.
        StillNamedError: An engine's configuration names it.
    """
    record, users = prepare_uninstall(prefix, name, force=force, state_dir=state_dir)
    _remove(record, prefix, pass_through=bool(users))
    return record, users


def prepare_uninstall(
    prefix: str, name: str, *, force: bool = False, state_dir: str | None = None
) -> tuple[Record, tuple[User, ...]]:
    """Check whether `uninstall` can go on, and return or raise what it would; removes nothing."""
    record = installation(prefix, name)
    if os.path.lexists(record.script) and not os.path.islink(record.script) and not is_unchanged(record):
        hint = 'look at it; remove it by hand, or write it anew with "ocihooks install"'
        raise UnavailableError("was changed since it was installed", file=record.script, hint=hint)
    if state_dir is not None:
        _check_not_named(record.script, state_dir)
    users = tuple(users_of(record.script))
    if users and not (force and record.runtime):
        raise _in_use(record, users)
    return record, users


def _check_not_named(script: str, state_dir: str) -> None:
    named = named_in(Records(directory=state_dir).all(), script)
    if named:
        shown = ", ".join(f"{one.engine} ({one.file})" for one in named)
        one = named[0]
        hint = f"take it out first: ocihooks unconfigure {one.engine} --name {one.name} --config {one.file}"
        raise StillNamedError(f"is named by {shown}", code="still_named", file=script, hint=hint)


def _in_use(record: Record, users: tuple[User, ...]) -> InUseError:
    hint = "stop them first"
    if record.runtime:
        hint += ", or use --force, which leaves a link to the runtime in its place"
    return in_use(record.script, users, hint)


def in_use(script: str, users: tuple[User, ...], hint: str) -> InUseError:
    """The error for a wrapper that running containers need."""
    shown = ", ".join(f"{user.container} ({user.program} {user.pid})" for user in users[:5])
    more = f" and {len(users) - 5} more" if len(users) > 5 else ""
    count = "a running container was" if len(users) == 1 else f"{len(users)} running containers were"
    return InUseError(f"{count} started through it: {shown}{more}", code="in_use", file=script, hint=hint)


def _remove(record: Record, prefix: str, *, pass_through: bool) -> None:
    try:
        if pass_through:
            temporary = f"{record.script}.ocihooks-{os.getpid()}"
            os.symlink(record.runtime, temporary)
            os.replace(temporary, record.script)
        elif os.path.lexists(record.script):
            os.unlink(record.script)
        for file in (*record.files, record_file(prefix, record.name)):
            if os.path.lexists(file) and not (pass_through and file.endswith(SUPERVISING)):
                os.unlink(file)
    except OSError as error:
        message = f"can't be removed: {os_reason(error)}"
        raise UnavailableError(message, file=str(error.filename or record.script)) from None
    for directory in reversed(record.made_directories):
        try:
            os.rmdir(directory)
        except OSError:  # somebody else uses it
            continue


def users_of(script: str) -> Iterator[User]:
    """
    The processes on this host that are going to call *script* for a container that runs.

    conmon names the runtime on its command line; a containerd shim keeps it in a file of its task directory.
    Containers that were started without an engine are not found; the runtime itself can handle them.
    """
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        words = _command_line(entry)
        if not words:
            continue
        program = os.path.basename(words[0])
        if program == "conmon":
            yield from _conmon(int(entry), words, script)
        elif program.startswith("containerd-shim"):
            yield from _shim(int(entry), words, script)


def _command_line(pid: str) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return [os.fsdecode(word) for word in stream.read().split(b"\0")]
    except OSError:
        return []


def _conmon(pid: int, words: list[str], script: str) -> Iterator[User]:
    for option, value in pairwise(words):
        if option in ("-r", "--runtime") and _same(value, script):
            container = next((v for o, v in pairwise(words) if o in ("-c", "--cid")), "?")
            yield User(pid=pid, program="conmon", container=container[:12])


def _shim(pid: int, words: list[str], script: str) -> Iterator[User]:
    """A shim serves all containers of a pod; their task directories lie beside the one that it works in."""
    try:
        tasks = os.path.dirname(os.path.realpath(f"/proc/{pid}/cwd", strict=True))
        names = os.listdir(tasks)
    except OSError:
        return
    served = words[words.index("-id") + 1] if "-id" in words[:-1] else ""
    for name in names:
        if name == served and _same(runtime_of_bundle(os.path.join(tasks, name)), script):
            yield User(pid=pid, program=os.path.basename(words[0]), container=name[:12])


def _same(path: str, script: str) -> bool:
    if path == script:
        return True
    try:
        return path.startswith("/") and os.path.samefile(path, script)
    except OSError:
        return False
