"""
``container-hooks-ctk runtime``: tells an engine about the wrapper, and takes it back.

How to undo it is kept where ``ocihooks configure`` keeps it, so what was there before returns, and each of both
programs knows of the other's changes. What another program wrote is taken out by its name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

from ocihooks.dropins.ctk_engines import Engine, Wanted
from ocihooks.engines.edits import Done, make, parse, undo
from ocihooks.engines.files import (
    Change,
    ConfigFile,
    make_directories,
    missing_directories,
    read_config_file,
    remove_directories,
)
from ocihooks.engines.former import done_by_others, former_text, made_by_others, relink
from ocihooks.engines.records import EngineRecord, FileRecord, Records, sha256
from ocihooks.errors import OCIHooksError, ReplaceError, UnavailableError

ATTEMPTS = 5
"""How often a change is planned anew because somebody else was quicker."""

_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    What becomes of an engine's file.

    Attributes:
        change: The file.
        record: How to undo it; None: there is nothing to be undone any more, or nothing changes.
        former: The record that there was.
        warnings: What the user should know.
    """

    change: Change
    record: EngineRecord | None
    former: EngineRecord | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """
    An engine's file as it is, and what is known about it.

    Attributes:
        engine: The engine.
        name: Name of the handler.
        now: The file.
        records: Where changes are remembered.
        record: The record of the handler, if the file still has it.
    """

    engine: Engine
    name: str
    now: ConfigFile
    records: Records
    record: EngineRecord | None

    def plain(self, text: str) -> str:
        """*text* without a byte order mark, where the engine doesn't mind it."""
        return text.removeprefix(_BYTE_ORDER_MARK) if self.engine.syntax == "toml" else text

    def parse(self, text: str) -> dict[str, Any]:
        """What *text* would mean as this file."""
        return parse(self.engine.syntax, self.plain(text), self.now.path)


def configure(engine: Engine, wanted: Wanted, file: str, records: Records) -> Plan:
    """
    Make the wrapper a handler of the engine.

    Raises:
        UnavailableError: The file can't be read, or records can't be kept.
        EngineError: The file can't be understood or changed.
        ReplaceError: It can't be written; it is as it was.
        LockedError: Somebody else is changing engines' configurations.
    """
    return _carry_out(engine, wanted.name, file, records, lambda scene: _plan(scene, wanted))


def unconfigure(engine: Engine, name: str, file: str, records: Records) -> Plan:
    """Take a handler out of the engine's configuration. Raises as `configure`."""
    return _carry_out(engine, name, file, records, _plan_back)


def _carry_out(engine: Engine, name: str, file: str, records: Records, planner: Any) -> Plan:
    with records.changing():
        for attempt in range(1, ATTEMPTS + 1):
            plan: Plan = planner(_look(engine, name, file, records))
            try:
                _write(records, plan)
            except ReplaceError as error:
                if error.code != "changed_meanwhile" or attempt == ATTEMPTS:
                    raise
            else:
                return plan
    raise AssertionError("the last attempt returns or raises")


def _look(engine: Engine, name: str, file: str, records: Records) -> Scene:
    now = read_config_file(file)
    scene = Scene(engine=engine, name=name, now=now, records=records, record=None)
    document = scene.parse(now.text)
    record = records.find(engine.name, name, file)
    if record is not None and not engine.has(document, name, file):  # somebody else has taken it out
        record = None
    return replace(scene, record=record)


def _plan(scene: Scene, wanted: Wanted) -> Plan:
    engine, file, record = scene.engine, scene.now.path, scene.record
    one = record.files[0] if record else None
    former = former_text(scene.records, one, scene.now) if one else (scene.now.text if scene.now.exists else None)
    start = scene.plain(former or "")
    if record is not None and engine.is_default(scene.parse(scene.now.text), wanted.name, file):
        wanted = replace(wanted, default=True)  # it stays what it is
    document = scene.parse(start)
    others = done_by_others(scene.records, file, record)
    ours = made_by_others(others)
    text, done = make(engine.syntax, start, engine.edits(document, wanted, file), file, ours=ours)
    change = Change(old=scene.now, text=text, mode=masked(0o666))
    related = [*([one] if one else []), *others]
    made = tuple(dict.fromkeys(directory for other in related for directory in other.made_directories))
    remembered = FileRecord(
        file=file,
        syntax=engine.syntax,
        former=former,
        backup=None,
        sha256=sha256(text),
        start=next((other.start for other in related if other.start is not None), None) if former is not None else "",
        done=done,
        made_directories=made or missing_directories(os.path.dirname(file)),
    )
    return Plan(
        change=change,
        record=_record(scene, wanted, remembered) if change.is_any or record is not None else None,
        former=scene.records.find(engine.name, wanted.name, file),
        warnings=tuple(engine.warnings(document, wanted, file)),
    )


def _record(scene: Scene, wanted: Wanted, remembered: FileRecord) -> EngineRecord:
    return EngineRecord(
        engine=scene.engine.name,
        name=wanted.name,
        file=scene.now.path,
        program=wanted.program,
        base="runc",
        default=wanted.default,
        installed=None,
        files=(remembered,),
    )


def _plan_back(scene: Scene) -> Plan:
    engine, file = scene.engine, scene.now.path
    text: str | None = scene.now.text if scene.now.exists else None
    if scene.record is not None:
        text = former_text(scene.records, scene.record.files[0], scene.now)
    if text is not None and (scene.record is None or not engine.has(scene.parse(text), scene.name, file)):
        text = _without(scene, text)
    former = scene.records.find(engine.name, scene.name, file)
    return Plan(change=Change(old=scene.now, text=text), record=None, former=former)


def _without(scene: Scene, text: str) -> str | None:
    """*text* without the handler, whoever wrote it; None where nothing is left."""
    engine, file = scene.engine, scene.now.path
    plain = scene.plain(text)
    done: tuple[Done, ...] = engine.undoing(scene.parse(text), scene.name, file)
    without = undo(engine.syntax, plain, done, file)
    if engine.is_nothing(without, file):
        return None
    return without if done else text


def _write(records: Records, plan: Plan) -> None:
    """Write the file, and remember how to undo it: before it changes, or forget it afterwards."""
    if plan.record is None:
        plan.change.write()
        if plan.former is not None:
            remove_directories(plan.former.files[0].made_directories if plan.change.text is None else ())
            relink(records, plan.former)
            records.forget(plan.former)
        return
    one = plan.record.files[0]
    backup = records.back_up(one.file, one.former) if one.former is not None else None
    record = replace(plan.record, files=(replace(one, backup=backup),))
    records.keep(record)
    try:
        make_directories(one.made_directories, masked(0o777))
        plan.change.write()
    except OCIHooksError:
        remove_directories(one.made_directories)
        records.forget(record) if plan.former is None else records.keep(plan.former)
        raise


def masked(most: int) -> int:
    """The permission bits that the caller's umask leaves of *most*."""
    umask = os.umask(0o077)
    os.umask(umask)
    return most & ~umask


def expect_access(place: str) -> None:
    """Raise if *place* is for root to write, or to make, and the caller is somebody else."""
    directory = os.path.dirname(os.path.realpath(place))
    while not os.path.isdir(directory) and directory != "/":
        directory = os.path.dirname(directory)
    if os.geteuid() != 0 and not os.access(directory, os.W_OK, effective_ids=True):
        raise UnavailableError("writing it needs root", file=place, hint="run it as root")
