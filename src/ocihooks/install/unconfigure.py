"""Takes a handler out of an engine's configuration: the former bytes return if nobody else has changed the file."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ocihooks.engines.errors import EngineError
from ocihooks.engines.files import Change, remove_directories
from ocihooks.engines.former import relink
from ocihooks.engines.programs import Daemon
from ocihooks.engines.records import EngineRecord, named_in
from ocihooks.engines.taking_back import ATTEMPTS
from ocihooks.errors import ReplaceError, quoted
from ocihooks.install.configure import write_all
from ocihooks.install.record import read_record
from ocihooks.install.scene import Scene, Target
from ocihooks.install.uninstall import User, in_use, prepare_uninstall, uninstall, users_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfigured:
    """
    What was done, or would be.

    Attributes:
        target: What was asked for.
        file: The engine's main configuration file.
        changes: The files that change.
        record: What was remembered; None where there was nothing to undo.
        uninstalled: Whether the wrapper goes, too, since it had been installed for this handler.
        daemons: Daemons that know the handler until they are restarted; the wrapper stays for them.
        users: Processes of running containers that still need the wrapper.
    """

    target: Target
    file: str
    changes: tuple[Change, ...] = ()
    record: EngineRecord | None = None
    uninstalled: bool = False
    daemons: tuple[Daemon, ...] = ()
    users: tuple[User, ...] = ()


def unconfigure(target: Target, *, force: bool = False, dry_run: bool = False) -> Unconfigured:
    """
    Undo what `configure` did for this engine and handler.

    Args:
        force: Go on although running containers need the wrapper.
        dry_run: Check everything and say what would be done; do nothing.

    Raises:
        InUseError: Running containers need the wrapper, and *force* is not given.
        EngineError: The handler is not ours or still the default, or the engine would refuse the result.
        ReplaceError: A file can't be written; those that had been are as they were.
        LockedError: Somebody else is changing engines' configurations.
    """
    scene = Scene(target)
    if dry_run:
        return _plan(scene, force=force, locked=False)
    with scene.records.changing():
        for attempt in range(1, ATTEMPTS + 1):
            planned = _plan(scene, force=force, locked=True)
            try:
                return _carry_out(scene, planned, force=force)
            except ReplaceError as error:
                if error.code != "changed_meanwhile" or attempt == ATTEMPTS:
                    raise
    raise AssertionError("the last attempt returns or raises")


def _plan(scene: Scene, *, force: bool, locked: bool) -> Unconfigured:
    scene.look()
    target, record = scene.target, scene.record
    configuration = scene.configuration()
    foreign = target.name in configuration.handlers and not configuration.handlers[target.name].built_in
    if foreign and not scene.twins():
        raise EngineError(
            f"handler {quoted(target.name)} was not written by ocihooks",
            code="handler_name",
            file=scene.file,
            hint="take it out by hand",
        )
    if record is None:
        return Unconfigured(target=target, file=scene.file)
    if configuration.default == target.name:
        raise EngineError(
            f"handler {quoted(target.name)} is the default, which somebody else has made it",
            code="engine_layout",
            file=scene.file,
            hint="make another one the default first, or the engine would not start",
        )
    users = tuple(users_of(record.program))
    if users and not force:
        hint = "stop them first, or use --force; they then find a link to the runtime, or the wrapper, in its place"
        raise in_use(record.program, users, hint)
    changes = []
    for one in reversed(record.files):
        former = scene.without_us(one.file)
        text = former.text if former.exists else None
        changes.append(Change(old=scene.now(one.file), text=text, beside=one.beside))
    scene.validate({change.old.path: change.text for change in changes}, locked=locked)
    daemons = scene.engine.running(scene.file)
    goes = (
        record.installed is not None
        and not daemons
        and not _others(scene, record)
        and read_record(*record.installed) is not None
    )
    if goes and record.installed is not None:
        prepare_uninstall(*record.installed, force=force)
    return Unconfigured(
        target=target,
        file=scene.file,
        changes=tuple(changes),
        record=record,
        uninstalled=goes,
        daemons=daemons,
        users=users,
    )


def _others(scene: Scene, record: EngineRecord) -> tuple[EngineRecord, ...]:
    """The other handlers that are the same program."""
    return named_in([other for other in scene.records.all() if other != record], record.program)


def _carry_out(scene: Scene, planned: Unconfigured, *, force: bool) -> Unconfigured:
    record = planned.record
    if record is None:
        return planned
    write_all(planned.changes)
    for one in record.files:
        remove_directories(one.made_directories)
    if planned.uninstalled and record.installed is not None:
        uninstall(*record.installed, force=force)
    for heir in _others(scene, record)[:1]:
        scene.records.keep(replace(heir, installed=heir.installed or record.installed))
    relink(scene.records, record)
    scene.records.forget(record)
    return planned
