"""Checks installed wrappers: whether they are whole, up to date, and fit their interpreter, runtime and package."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from collections.abc import Iterator

from ocihooks.cli.cache import cache_of
from ocihooks.engines.programs import output_of
from ocihooks.errors import ERROR, WARNING, Diagnostic, OCIHooksError, UnavailableError, quoted
from ocihooks.install.code import check_place
from ocihooks.install.install import DEFAULT_NAME, DEFAULT_PREFIX, is_unchanged
from ocihooks.install.record import Record
from ocihooks.install.supervisor import SUPERVISING
from ocihooks.trust import trust_here
from ocihooks.version import __version__
from ocihooks.wrapper.cache import load_cached

_TEXTS = (".py", *SUPERVISING[:1])
"""Endings of scripts; all other files beside a wrapper are compiled for its interpreter."""

_FAULTS = ("damaged", "written by another version or interpreter", "a source has a time in the future")
"""What is wrong with compiled rules that nobody could expect; that a source changed is as it should be."""


def wrapper_findings(record: Record, prefix: str) -> Iterator[Diagnostic]:
    """Everything about one installed wrapper."""
    again = again_command(record, prefix)
    if not os.path.lexists(record.script):
        yield _finding(
            record.script, "the installed wrapper is not there", again, code="wrapper_missing", severity=ERROR
        )
        return
    yield from _untrusted(record)
    if not is_unchanged(record):
        kind = "is a link in place of the wrapper" if os.path.islink(record.script) else "is not as it was installed"
        yield _finding(record.script, kind, again, code="wrapper_changed", severity=WARNING)
    if record.version != __version__:
        message = f"was installed by ocihooks {record.version}, the package is {__version__}"
        yield _finding(record.script, message, again, code="wrapper_outdated", severity=WARNING)
    yield from _missing_files(record, again)
    yield from _interpreter(record, again)
    if record.runtime and not os.access(record.runtime, os.X_OK):
        message = f"its runtime {quoted(record.runtime, 200)} is not there"
        yield _finding(
            record.script,
            message,
            "install a runtime, then: ocihooks install",
            code="runtime_unavailable",
            severity=ERROR,
        )
    yield from _compiled_rules(record)


def _finding(file: str, message: str, hint: str, *, code: str, severity: str) -> Diagnostic:
    return Diagnostic(message, code=code, severity=severity, file=file, hint=hint)


def again_command(record: Record, prefix: str) -> str:
    """The command that installs the same wrapper again."""
    options = [
        ("--prefix", prefix, DEFAULT_PREFIX),
        ("--program", record.program, DEFAULT_NAME),
        ("--name", record.name, record.program),
        ("--runtime", record.runtime, ""),
        *(("--hooks-dir", directory, "") for directory in record.hooks_dirs),
        ("--settings", record.settings, ""),
        ("--cache-dir", record.cache_dir, ""),
    ]
    words = [word for option, value, default in options if value != default for word in (option, value)]
    return shlex.join(["ocihooks", "install", *words])


def _untrusted(record: Record) -> Iterator[Diagnostic]:
    for path in (record.script, *record.files, record.runtime):
        if path and os.path.exists(path):
            try:
                check_place(path, trust_here())
            except OCIHooksError as error:
                yield from error.problems


def _missing_files(record: Record, again: str) -> Iterator[Diagnostic]:
    for file in record.files:
        if not os.path.isfile(file):
            is_script = file.endswith(_TEXTS)
            message = "belongs to an installed wrapper and is not there" + ("" if is_script else ", so it is slower")
            yield _finding(file, message, again, code="wrapper_missing", severity=ERROR if is_script else WARNING)


def _interpreter(record: Record, again: str) -> Iterator[Diagnostic]:
    """Whether the interpreter is there, and still takes what was compiled for it."""
    hint = again if os.path.realpath(sys.executable) == record.python else f"{again} --python PATH"
    if not os.access(record.python, os.X_OK):
        message = f"its interpreter {quoted(record.python, 200)} is not there"
        yield _finding(record.script, message, hint, code="wrapper_interpreter", severity=ERROR)
        return
    try:
        magic = _magic_number(record.python)
    except UnavailableError as error:
        yield _finding(
            record.script, f"its interpreter does not run: {error}", hint, code="wrapper_interpreter", severity=ERROR
        )
        return
    for file in record.files:
        if not file.endswith(_TEXTS) and os.path.isfile(file) and _beginning(file) != magic:
            message = f"was compiled for another interpreter than {record.python}, so it is slower"
            yield _finding(file, message, hint, code="wrapper_outdated", severity=WARNING)


def _magic_number(python: str) -> bytes:
    """The number by which the interpreter *python* knows its own compiled code."""
    if os.path.realpath(sys.executable) == python:
        return importlib.util.MAGIC_NUMBER
    question = "import sys; sys.stdout.write(sys.modules['_frozen_importlib_external'].MAGIC_NUMBER.hex())"
    try:
        return bytes.fromhex(output_of([python, "-IS", "-c", question]))
    except ValueError:
        raise UnavailableError(f"{python} is no Python") from None


def _beginning(file: str) -> bytes:
    with open(file, "rb") as stream:
        return stream.read(4)


def _compiled_rules(record: Record) -> Iterator[Diagnostic]:
    if record.program != DEFAULT_NAME:
        return
    cache = cache_of(record)
    _, reason = load_cached(cache)
    if reason in _FAULTS:
        own = "" if record.name == DEFAULT_NAME else f" --name {record.name}"
        message = f"the compiled rules of {record.script} can't be used: {reason}"
        yield _finding(cache.file, message, f"ocihooks cache clear{own}", code="compiled_rules", severity=WARNING)
