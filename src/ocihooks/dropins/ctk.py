"""
``container-hooks-ctk``: tells engines about container-hooks-runtime, writes its settings, and copies the programs.

What is done is told on standard error, as the older program did; ``--quiet`` leaves only errors.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import NoReturn

from ocihooks.dropins.ctk_config import write_settings
from ocihooks.dropins.ctk_engines import ENGINES, Engine, Wanted
from ocihooks.dropins.ctk_install import TARGET, install_programs
from ocihooks.dropins.ctk_runtime import Plan, configure, expect_access, unconfigure
from ocihooks.dropins.ctk_words import NAME, Line, help_text, read_words
from ocihooks.dropins.toolkit_settings import FILE
from ocihooks.engines.files import Change
from ocihooks.engines.records import Records
from ocihooks.errors import OCIHooksError, UsageError, printable, quoted
from ocihooks.places import state_directory
from ocihooks.version import __version__

Told = Iterator[str]
"""Lines about what was done; those behind a tab are for ``--debug``."""


def main(_installation: object = None, _load: object = None) -> NoReturn:
    """Be the program."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word
    try:
        status = _run(read_words(sys.argv[1:]))
    except OCIHooksError as error:
        _write(sys.stderr.fileno(), f"{error.render(NAME)}\n")
        status = error.exit_status
    sys.exit(status)


def _run(line: Line) -> int:
    if "version" in line.switches:
        _write(1, f"{NAME} {__version__}\n")
    elif "help" in line.switches or line.command.words not in _COMMANDS:
        _write(1, help_text(line.command))
    else:
        for told in (*_ignored(line), *_COMMANDS[line.command.words](line)):
            _tell(told, line.switches)
    return 0


def _ignored(line: Line) -> Told:
    if line.rest:
        yield f"{' '.join(map(quoted, line.rest))}: ignored, since it means nothing here"


def _tell(told: str, switches: frozenset[str]) -> None:
    if "quiet" in switches or (told.startswith("\t") and "debug" not in switches):
        return
    lines = told[1:].splitlines() if told.startswith("\t") else [f"{NAME}: {told}"]
    _write(2, "".join(f"{printable(text)}\n" for text in lines))


def _configure(line: Line) -> Told:
    engine, name, file = _target(line)
    program = line.value("path")
    if not program.startswith("/") or not _is_text(program):
        raise UsageError(f"--path {quoted(program, 200)}: expected an absolute path", hint="write it from the root on")
    wanted = Wanted(name=name, program=program, default="set-as-default" in line.switches)
    plan = configure(engine, wanted, file, _records())
    if not os.access(program, os.X_OK):
        yield f"{program}: is no program yet; {engine.name} can't start containers with it until it is there"
    yield from plan.warnings
    yield from _changed(plan, engine, f"has the handler {quoted(name)}{' as the default' if wanted.default else ''}")


def _unconfigure(line: Line) -> Told:
    engine, name, file = _target(line)
    yield from _changed(unconfigure(engine, name, file, _records()), engine, f"has no handler {quoted(name)}")


def _changed(plan: Plan, engine: Engine, what: str) -> Told:
    if not plan.change.is_any:
        yield f"{plan.change.old.path}: {what}; nothing was to be done"
        return
    yield f"{plan.change.old.path}: {what} now; restart {engine.name} for it"
    yield from _difference(plan.change)


def _difference(change: Change) -> Told:
    yield f"\t{change.difference()}"


def _target(line: Line) -> tuple[Engine, str, str]:
    """The engine, the name of the handler, and the file, which the caller may write."""
    engine = ENGINES.get(line.value("runtime"))
    if engine is None:
        known = ", ".join(ENGINES)
        message = f"--runtime {quoted(line.value('runtime'), 80)}: expected one of {known}"
        raise UsageError(message, hint="for Podman and Buildah there is ocihooks configure")
    name, file = line.value("name"), os.path.abspath(line.value("config-file") or engine.file)
    if not _is_text(name):
        raise UsageError(f"--name {quoted(name, 200)}: expected text", hint="take another name")
    engine.check_name(name)
    expect_access(file)
    return engine, name, file


def _is_text(value: str) -> bool:
    """Whether *value* can stand in a file: neither a null nor what is not UTF-8."""
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def _records() -> Records:
    return Records(directory=state_directory(os.environ))


def _config(line: Line) -> Told:
    expect_access(FILE)
    change = write_settings(line.values.get("set", ()))
    if change.is_any:
        yield f"{FILE}: written"
        yield from _difference(change)
    else:
        yield f"{FILE}: is as it was"


def _install(line: Line) -> Told:
    expect_access(os.path.join(TARGET, NAME))
    copies = install_programs(line.value("toolkit-root"))
    if not copies:
        yield f"{TARGET}: has these programs already"
    for copy in copies:
        yield f"{copy.target}: copied from {copy.source}"


_COMMANDS: Mapping[tuple[str, ...], Callable[[Line], Told]] = {
    ("runtime", "configure"): _configure,
    ("runtime", "unconfigure"): _unconfigure,
    ("config",): _config,
    ("install",): _install,
}


def _write(fd: int, text: str) -> None:
    data = text.encode("utf-8", "backslashreplace")
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:  # nobody is there to read it
        return
