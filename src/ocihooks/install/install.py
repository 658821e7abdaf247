"""
Installs the wrapper: one script, one record, and the package compiled for its interpreter.

What root is going to run before every container must not be writable by anybody else, so interpreter, package and
runtime are checked from the root directory down.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ocihooks.dropins.toolkit_cache import DEFAULT_FILE as TOOLKIT_SETTINGS
from ocihooks.dropins.toolkit_cache import data_file, kept_file
from ocihooks.dropins.toolkit_settings import read_toolkit_settings
from ocihooks.errors import ReplaceError, UnavailableError, UsageError, os_reason, quoted
from ocihooks.install.code import check_code, check_place, compile_package, compiled
from ocihooks.install.launcher import MARK as LAUNCHER_MARK
from ocihooks.install.launcher import is_built, launcher_for
from ocihooks.install.programs import DEFAULT, PROGRAMS, Program
from ocihooks.install.record import Record, read_record, record_file, sha256
from ocihooks.install.runtime import RUNTIMES, find_runtime, flavour_of
from ocihooks.install.script import MARK, START, Script, make_script
from ocihooks.install.supervisor import ASLEEP, AWAKE, BODY, EXTENSIONS, IMAGE, SCRIPT, supervisor_script
from ocihooks.package import package_paths
from ocihooks.replace import replace_file
from ocihooks.settings import read_settings
from ocihooks.trust import trust_here
from ocihooks.version import __version__
from ocihooks.wrapper.cache import Cache
from ocihooks.wrapper.installation import Installation

DEFAULT_PREFIX = "/usr/local"
DEFAULT_NAME = DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """
    What to install.

    Attributes:
        prefix: Absolute path; the script goes to ``bin``, the record to ``lib/ocihooks`` below it.
        program: Which of `PROGRAMS` it is; those that find their runtime and hooks otherwise take no options for that.
        name: File name of the script.
        runtime: Path or name of the real runtime; None: the first of `RUNTIMES` on PATH.
        hooks_dirs: Hooks directories that replace those of the settings; empty: none.
        settings: The settings file; None: the default place.
        python: The interpreter; None: the one that runs now.
        cache_dir: Where compiled rules are kept; None: the default place.
        launcher: Whether to put the compiled launcher in front; None: where the package has it.
    """

    prefix: str = DEFAULT_PREFIX
    program: str = DEFAULT
    name: str = DEFAULT_NAME
    runtime: str | None = None
    hooks_dirs: tuple[str, ...] = ()
    settings: str | None = None
    python: str | None = None
    cache_dir: str | None = None
    launcher: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """
    A checked request.

    Attributes:
        record: The record to be.
        script: The script.
        program: The launcher with its settings; None: engines call the script.
    """

    record: Record
    script: Script
    program: bytes | None


def prepare_install(request: Request) -> Prepared:
    """
    Check everything about *request* and say what `install` would write; writes nothing.

    Raises:
        UsageError: A name or path can't be used.
        UnavailableError: The runtime or the interpreter is missing.
        UntrustedError: Something that root would run could be written by others.
        SettingsError: The settings file is broken.
    """
    kind = _kind(request)
    _check_words(request)
    python = os.path.realpath(request.python or sys.executable)
    script = os.path.join(request.prefix, "bin", request.name)
    launched = request.launcher if request.launcher is not None else "launcher" in kind.options and is_built()
    runtime = find_runtime(request.runtime) if kind.has_fixed_runtime else ""
    _check_not_itself(runtime, script)
    paths = package_paths()
    check_code(python, runtime, paths)
    _check_settings(request, kind)
    own = os.path.join(request.prefix, "lib", "ocihooks", request.name)
    supervised = (f"{own}{SCRIPT}", f"{own}{IMAGE}") if kind.name == DEFAULT else ()
    installation = Installation(
        name=request.name,
        script=script,
        runtime=runtime,
        flavour=flavour_of(runtime) if runtime else "",
        settings=request.settings or "",
        hooks_dirs=request.hooks_dirs,
        cache_dir=request.cache_dir or "",
        launched=launched,
        supervisor=supervised[0] if supervised else "",
    )
    script_made = make_script(installation, python, paths, own, kind)
    program = _launcher(installation, python, f"{own}.py", kind) if launched else None
    _check_place(script, request, runtime)
    record = Record(
        name=request.name,
        program=kind.name,
        script=script,
        script_sha256=sha256(program or script_made.text.encode()),
        runtime=runtime,
        flavour=installation.flavour,
        settings=installation.settings,
        hooks_dirs=installation.hooks_dirs,
        python=python,
        version=__version__,
        cache_dir=installation.cache_dir,
        launcher=launched,
        files=(
            *([f"{own}.py"] if launched else []),
            *supervised,
            *(f"{own}{ending}" for ending in (START, *kind.images)),
        ),
        made_directories=_missing_directories(request),
    )
    return Prepared(record=record, script=script_made, program=program)


def _check_settings(request: Request, kind: Program) -> None:
    """Refuse settings that are broken, by the rules of the program that reads them."""
    if request.settings and kind.name == DEFAULT:
        read_settings(request.settings)
    elif "settings" in kind.options and kind.name != DEFAULT:
        read_toolkit_settings(request.settings or TOOLKIT_SETTINGS)


def _launcher(installation: Installation, python: str, script: str, kind: Program) -> bytes:
    data = Cache(installation, {}).skip_file
    if not kind.has_fixed_runtime:
        data = data_file(kept_file(installation, {})) if "settings" in kind.options else ""
    return launcher_for(
        runtime=installation.runtime,
        python=python,
        script=script,
        data=data,
        name=installation.name,
    )


def install(request: Request) -> Record:
    """
    Install the wrapper, or bring an installed one up to date.

    Raises:
        OCIHooksError: As `prepare_install`, or a file can't be written.
    """
    prepared = prepare_install(request)
    before = read_record(request.prefix, request.name)
    record = prepared.record
    for directory in record.made_directories:
        _make_directory(directory)
    compile_package(record.python)
    if before is not None:
        record = Record.from_json(record.to_json() | {"made_directories": before.made_directories})
    _write_images(record, prepared.script)
    script = prepared.script.text.encode()
    if prepared.program is not None:
        replace_file(record.files[0], script)
    _write_program(record.script, prepared.program or script)
    text = json.dumps(record.to_json(), indent=2) + "\n"
    replace_file(record_file(request.prefix, request.name), text.encode())
    return record


def _write_images(record: Record, script: Script) -> None:
    """
    Compile the script's body and the modules of the warm path by the interpreter that is going to load them.

    The supervisor's image is written before its script, since running containers may start it.
    """
    endings = PROGRAMS[record.program].images
    files = record.files[-len(endings) :]
    calls: dict[str, str] = {}
    before: tuple[str, ...] = ()
    for file, modules in zip(files, endings.values(), strict=True):
        calls[file] = f"build_image({modules!r}, {before!r})"
        before += modules
    supervisor = next((file for file in record.files if file.endswith(SCRIPT)), "")
    image = next((file for file in record.files if file.endswith(IMAGE)), "")
    if image:
        calls[image] = f"build_supervisor({BODY!r}, {AWAKE!r}, {ASLEEP!r}, {EXTENSIONS!r})"
    (start,) = compiled(record.python, f"build_start({script.body!r}, {record.script!r}, {script.key!r})")
    replace_file(record.files[-len(endings) - 1], start)
    for file, data in zip(calls, compiled(record.python, *calls.values()), strict=True):
        replace_file(file, data)
    if supervisor:
        text = supervisor_script(record.python, package_paths(), image, MARK)
        replace_file(supervisor, text.encode(), mode=0o755)


def _write_program(script: str, data: bytes) -> None:
    if os.path.islink(script):  # the link that an uninstallation left in use; its target must stay as it is
        temporary = f"{script}.ocihooks-{os.getpid()}"
        replace_file(temporary, data, mode=0o755)
        try:
            os.replace(temporary, script)
        except OSError as error:
            os.unlink(temporary)
            raise ReplaceError(f"can't be replaced: {os_reason(error)}", file=script) from None
    else:
        replace_file(script, data, mode=0o755)


def _kind(request: Request) -> Program:
    """What is to be installed; options that mean nothing to it are refused."""
    program = PROGRAMS.get(request.program)
    if program is None:
        raise UsageError(f"--program {quoted(request.program, 80)}: expected one of {', '.join(PROGRAMS)}")
    for attribute, option in _OPTIONS.items():
        if getattr(request, attribute) and attribute not in program.options:
            raise UsageError(f"{option} means nothing to {program.name}", hint=program.instead)
    return program


_OPTIONS = {
    "runtime": "--runtime",
    "hooks_dirs": "--hooks-dir",
    "settings": "--settings",
    "cache_dir": "--cache-dir",
    "launcher": "--launcher",
}


def _check_words(request: Request) -> None:
    if not request.name or "/" in request.name or not request.name.isprintable() or request.name in (".", ".."):
        raise UsageError(f"--name {quoted(request.name, 80)}: expected a file name")
    if request.name in RUNTIMES:
        hint = "engines and people would take the wrapper for the runtime itself"
        raise UsageError(f"--name {quoted(request.name)} is the name of a runtime", hint=hint)
    absolute = [("--prefix", request.prefix), *(("--hooks-dir", path) for path in request.hooks_dirs)]
    given = (("--settings", request.settings), ("--cache-dir", request.cache_dir))
    absolute += [(option, path) for option, path in given if path]
    for option, path in absolute:
        if not path.startswith("/") or not path.isprintable():
            raise UsageError(f"{option} {quoted(path, 200)}: expected an absolute path")


def _check_not_itself(runtime: str, script: str) -> None:
    if runtime and not os.path.islink(script) and os.path.exists(script) and os.path.samefile(runtime, script):
        hint = "name the real runtime with --runtime PATH, or another --name"
        raise UsageError(f"--runtime {quoted(runtime, 200)} is the wrapper itself", hint=hint)


def _check_place(script: str, request: Request, runtime: str) -> None:
    """Refuse to overwrite what is not ours, or to write where others could."""
    for file in (script, record_file(request.prefix, request.name)):
        directory = os.path.dirname(file)
        while not os.path.lexists(directory):
            directory = os.path.dirname(directory)
        check_place(directory, trust_here())
    record = read_record(request.prefix, request.name)
    if not os.path.lexists(script) or is_ours(script, record):
        return
    if os.path.islink(script) and os.readlink(script) == runtime:  # left by an uninstallation
        return
    raise ReplaceError(
        "is there already and was not written by ocihooks", file=script, hint="take another --name, or remove the file"
    )


def _missing_directories(request: Request) -> tuple[str, ...]:
    missing: list[str] = []
    for place in (os.path.join(request.prefix, "bin"), os.path.join(request.prefix, "lib", "ocihooks")):
        above = []
        while not os.path.isdir(place):
            above.append(place)
            place = os.path.dirname(place)  # noqa: PLW2901  (walking up is the point)
        missing += [path for path in reversed(above) if path not in missing]
    return tuple(missing)


def _make_directory(directory: str) -> None:
    try:
        os.mkdir(directory)
        os.chmod(directory, 0o755)  # noqa: S103  (whatever the umask: rootless users start the wrapper, too)
    except OSError as error:
        raise UnavailableError(f"can't be made: {os_reason(error)}", file=directory) from None


def is_ours(script: str, record: Record | None) -> bool:
    """Whether *script* is as we wrote it, or at least bears our mark, as after an interrupted installation."""
    data = _program(script)
    bears_mark = MARK.encode() in data.splitlines()[1:2] or LAUNCHER_MARK in data
    return bears_mark or (record is not None and sha256(data) == record.script_sha256)


def is_unchanged(record: Record) -> bool:
    """Whether the program that engines call is as it was written."""
    return sha256(_program(record.script)) == record.script_sha256


def _program(script: str) -> bytes:
    """The bytes of a plain file; none where there is something else."""
    if os.path.islink(script) or not os.path.isfile(script):
        return b""
    try:
        with open(script, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def installation(prefix: str, name: str) -> Record:
    """
    The record of the wrapper *name* below *prefix*.

    Raises:
        UnavailableError: There is none; the error names those that are there.
        UntrustedError: Somebody else could have written it.
    """
    record = read_record(prefix, name)
    if record is None:
        others = ", ".join(record.name for record in installed(prefix))
        hint = f"installed there: {others}" if others else "name the installation with --prefix DIR and --name NAME"
        raise UnavailableError(f"no wrapper {quoted(name, 80)} is installed below {quoted(prefix, 200)}", hint=hint)
    return record


def installed(prefix: str) -> Sequence[Record]:
    """All wrappers installed below *prefix*, by name."""
    directory = os.path.dirname(record_file(prefix, "x"))
    if not os.path.isdir(directory):
        return []
    names = sorted(name.removesuffix(".json") for name in os.listdir(directory) if name.endswith(".json"))
    records = (read_record(prefix, name) for name in names)
    return [record for record in records if record is not None]
