"""
Tells an engine about the wrapper: plans the change, has the engine check it, and writes it.

Everything is planned from the configuration as it would be without our handler, so that doing it again changes nothing.
The undo record is written before the first file changes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ocihooks.engines.edits import Done, are_made, make, parse
from ocihooks.engines.engine import Handler, Planned, Wanted
from ocihooks.engines.errors import EngineError, LeftError
from ocihooks.engines.files import Change, ConfigFile, make_directories, missing_directories, remove_directories
from ocihooks.engines.former import done_by_others, former_text, made_by_others
from ocihooks.engines.records import EngineRecord, FileRecord, Records, sha256
from ocihooks.engines.taking_back import ATTEMPTS, take_back
from ocihooks.errors import OCIHooksError, ReplaceError, UnavailableError, quoted
from ocihooks.install.install import DEFAULT_NAME, Request, install, installed, prepare_install
from ocihooks.install.record import Record
from ocihooks.install.scene import Scene, Target, check_absolute


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """
    What was done, or would be.

    Attributes:
        target: What was asked for.
        file: The engine's main configuration file.
        base: The handler whose runtime the wrapper starts.
        program: The wrapper.
        changes: The files that change.
        record: What is remembered for undoing it.
        former: What was remembered before.
        installed: The wrapper that is installed with it; None where it was there.
    """

    target: Target
    file: str
    base: Handler
    program: str
    changes: tuple[Change, ...]
    record: EngineRecord
    former: EngineRecord | None
    installed: Request | None

    @property
    def changed(self) -> bool:
        """Whether anything was to be done."""
        return any(change.is_any for change in self.changes)


def configure(target: Target, *, dry_run: bool = False) -> Configured:
    """
    Make the wrapper a handler of the engine.

    Args:
        dry_run: Check everything and say what would be done; do nothing.

    Raises:
        UsageError: A name, path or option can't be used for this engine.
        UnavailableError: The engine, its configuration or a runtime is missing.
        EngineError: The configuration can't be understood or changed, or the engine would refuse it.
        ReplaceError: A file can't be written; those that had been are as they were.
        LockedError: Somebody else is changing engines' configurations.
    """
    scene = Scene(target)
    scene.expect_engine()
    if target.program is not None:
        _check_program(target.program)
    if dry_run:
        return _plan(scene, locked=False)
    with scene.records.changing():
        for attempt in range(1, ATTEMPTS + 1):
            planned = _plan(scene, locked=True)
            try:
                return _carry_out(scene.records, planned)
            except ReplaceError as error:
                if error.code != "changed_meanwhile" or attempt == ATTEMPTS:
                    raise
    raise AssertionError("the last attempt returns or raises")


def _check_program(program: str) -> None:
    check_absolute("--path", program)
    if not os.path.isfile(program) or not os.access(program, os.X_OK):
        hint = "install the wrapper first: ocihooks install"
        raise UnavailableError("is no program that can be executed", file=program, hint=hint)


def _plan(scene: Scene, *, locked: bool) -> Configured:
    scene.look()
    target = scene.target
    configuration = scene.configuration()
    if target.name in configuration.handlers:
        raise _taken(scene)
    base = configuration.handler(target.base or configuration.default)
    program, request = _wrapper(target, base)
    wanted = Wanted(
        name=target.name,
        program=program,
        base=base,
        default=target.default,
        drop_in=target.drop_in,
        annotations=target.annotations,
        hooks_dirs=target.hooks_dirs,
    )
    plans = scene.engine.plan(configuration, wanted, scene.version)
    was_installed = scene.record.installed if scene.record and scene.record.program == program else None
    record = EngineRecord(
        engine=target.engine,
        name=target.name,
        file=scene.file,
        program=program,
        base=base.name,
        default=target.default,
        installed=(request.prefix, request.name) if request else was_installed,
        files=(),
    )
    changes: tuple[Change, ...] = ()
    if not _is_done(scene, record, plans):
        changes, files = _changes(scene, plans)
        record = replace(record, files=files)
        scene.validate({change.old.path: change.text for change in changes}, locked=locked)
    elif scene.record is not None:
        record = scene.record
    return Configured(
        target=target,
        file=scene.file,
        base=base,
        program=program,
        changes=changes,
        record=record,
        former=scene.record,
        installed=request,
    )


def _taken(scene: Scene) -> EngineError:
    """That the name of the handler is in use; in a file that two engines read it is there for both."""
    writer, hint = "ocihooks did not write", "take another --name, or take that one out by hand"
    if twins := scene.twins():
        writer = f"ocihooks wrote for {twins[0].engine}"
        hint = f"{scene.target.engine} reads the same file, so nothing is left to be done"
    message = f"there is a handler {quoted(scene.target.name)} already, which {writer}"
    return EngineError(message, code="handler_name", file=scene.file, hint=hint)


def _wrapper(target: Target, base: Handler) -> tuple[str, Request | None]:
    """The wrapper in front of the base's runtime, and how to install it if it is not there."""
    if target.program is not None:
        return target.program, None
    runtime = str(base.program)
    present = [record for record in installed(target.prefix) if os.path.lexists(record.script)]
    if any(record.program == DEFAULT_NAME and record.script == runtime for record in present):  # the base is ours
        return runtime, None
    fitting = [record for record in present if _is_plain(record) and _same_program(record.runtime, runtime)]
    if fitting:
        return min(fitting, key=lambda record: (record.name != DEFAULT_NAME, record.name)).script, None
    taken = {record.name for record in present}
    name = DEFAULT_NAME if DEFAULT_NAME not in taken else f"{DEFAULT_NAME}-{os.path.basename(runtime)}"
    request = Request(prefix=target.prefix, name=name, runtime=runtime)
    return prepare_install(request).record.script, request


def _is_plain(record: Record) -> bool:
    """Whether an installation is one of the wrapper with the settings that everybody means."""
    return record.program == DEFAULT_NAME and not record.settings and not record.hooks_dirs


def _same_program(one: str, other: str) -> bool:
    return one == other or (os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other))


def _is_done(scene: Scene, record: EngineRecord, plans: Sequence[Planned]) -> bool:
    """Whether the files already say all that is planned, as we remember having written it."""
    former = scene.record
    if (
        former is None
        or replace(former, files=()) != record
        or [one.file for one in former.files] != [plan.file for plan in plans if plan.edits or plan.block]
    ):
        return False
    planned = {plan.file: plan for plan in plans}
    return all(_says(scene, planned[one.file], one) for one in former.files)


def _says(scene: Scene, plan: Planned, one: FileRecord) -> bool:
    text = scene.now(plan.file).text
    if plan.syntax is None:
        return bool(one.block) and one.block in text and one.block.strip() == plan.block.strip()
    document = parse(plan.syntax, text, plan.file)
    return [done.edit for done in one.done] == list(plan.edits) and are_made(document, plan.edits)


def _changes(scene: Scene, plans: Sequence[Planned]) -> tuple[tuple[Change, ...], tuple[FileRecord, ...]]:
    changes, files = [], []
    for plan in plans:
        if plan.edits or plan.block:
            change, one = _change(scene, plan)
            changes.append(change)
            files.append(one)
    planned = {plan.file for plan in plans}
    for one in reversed(scene.record.files if scene.record else ()):
        if one.file not in planned:
            former = scene.without_us(one.file)
            text = former.text if former.exists else None
            changes.append(Change(old=scene.now(one.file), text=text, beside=one.beside))
    return tuple(changes), tuple(files)


def _change(scene: Scene, plan: Planned) -> tuple[Change, FileRecord]:
    former = scene.without_us(plan.file)
    start = former.text if former.exists else plan.start
    others = done_by_others(scene.records, plan.file, scene.record)
    block = ""
    done: tuple[Done, ...] = ()
    if plan.syntax is None:
        gap = "" if not start or start.endswith("\n\n") else "\n" if start.endswith("\n") else "\n\n"
        block = gap + plan.block
        text = start + block
    else:
        text, done = make(plan.syntax, start, plan.edits, plan.file, ours=made_by_others(others))
    earlier = [one for one in (scene.record.files if scene.record else ()) if one.file == plan.file]
    related = [*earlier, *others]
    made = tuple(dict.fromkeys(path for one in related for path in one.made_directories))
    one = FileRecord(
        file=plan.file,
        syntax=plan.syntax or "",
        former=former.text if former.exists else None,
        backup=None,
        sha256=sha256(text),
        start=plan.start if not former.exists else next((o.start for o in related if o.start is not None), None),
        done=done,
        block=block,
        made_directories=made or missing_directories(os.path.dirname(plan.file)),
        beside=plan.beside,
    )
    return Change(old=scene.now(plan.file), text=text, beside=plan.beside), one


def _carry_out(records: Records, planned: Configured) -> Configured:
    if planned.installed is not None:
        install(planned.installed)
    if not planned.changed and planned.former == planned.record:
        return planned
    files = tuple(
        replace(one, backup=records.back_up(one.file, one.former) if one.former is not None else None)
        for one in planned.record.files
    )
    done = replace(planned, record=replace(planned.record, files=files))
    records.keep(done.record)
    try:
        write_all(done.changes, done.record.files, partial(_without_us, records, done))
    except LeftError:  # what is left of it can be undone later
        raise
    except OCIHooksError:
        _remember(records, done)
        raise
    return done


def _remember(records: Records, done: Configured) -> None:
    """Remember what was remembered before *done*."""
    if done.former is None:
        records.forget(done.record)
    else:
        records.keep(done.former)


def _without_us(records: Records, done: Configured, now: ConfigFile) -> str | None:
    """What is to be in the file *now*, which somebody else has changed since, for *done* to be undone in it."""
    former = {one.file for one in done.former.files} if done.former else ()
    for one in done.record.files:
        if one.file == now.path and now.path not in former:
            return former_text(records, one, now)
    raise EngineError("what was configured before would be lost with that", code="engine_layout", file=now.path)


def write_all(
    changes: Sequence[Change],
    files: Sequence[FileRecord] = (),
    without_us: Callable[[ConfigFile], str | None] | None = None,
) -> None:
    """
    Write all *changes*, or none: when one can't be written, those before it are taken back.

    Args:
        files: What is remembered about them, for the directories that they need.
        without_us: For those that somebody else has changed meanwhile, see `take_back`.
    """
    for one in files:
        make_directories(one.made_directories)
    for number, change in enumerate(changes):
        try:
            change.write()
        except ReplaceError as error:
            if error.code == "not_durable":
                number += 1  # noqa: PLW2901  (it was written)
            _take_all_back(changes[:number], files, without_us)
            raise


def _take_all_back(
    changes: Sequence[Change], files: Sequence[FileRecord], without_us: Callable[[ConfigFile], str | None] | None
) -> None:
    """Give the files of *changes*, which were written, their former text; one that can't have it keeps none from it."""
    left: LeftError | None = None
    for change in reversed([change for change in changes if change.is_any]):
        try:
            take_back(change, without_us)
        except LeftError as error:
            left = error
    for one in files:
        remove_directories(one.made_directories)
    if left is not None:
        raise left


def roll_back(done: Configured) -> None:
    """Undo a change with which the engine doesn't work; the wrapper stays installed."""
    records = Records(directory=done.target.state_dir)
    with records.changing():
        try:
            _take_all_back(done.changes, done.record.files, partial(_without_us, records, done))
        except LeftError as error:
            message = f"the engine does not work with the new configuration, but the file {error.message}"
            raise LeftError(message, code=error.code, file=error.file, hint=error.hint) from None
        _remember(records, done)
