"""
Reads one rule file: a reader for each schema version, then the checks that all versions share.

Format: oci-hooks(5) for 1.0.0; 0.1.0 is the older flat form, which a file without a version has, too.
"""

from __future__ import annotations

from ocihooks.errors import Diagnostic, HookError, NotJSONNameError, only_errors, os_reason, quoted
from ocihooks.hooksd.config import VERSION, HookConfig, When
from ocihooks.hooksd.fields import Reading
from ocihooks.hooksd.jsontext import JSONTextError, parse
from ocihooks.hooksd.lint import lint
from ocihooks.hooksd.patterns import Pattern, PatternError
from ocihooks.injection import STAGES
from ocihooks.spec.hook import Hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from typing import Any

    from ocihooks.hooksd.fields import Place

    Reader = Callable[[Any, Reading], HookConfig]
    """Turns a parsed document into a rule and notes what is wrong with it; the rule counts only if nothing failed."""

SUFFIX = ".json"
"""What the name of a rule file ends in, in lower case."""


def read_1_0_0(document: Any, reading: Reading) -> HookConfig:
    """Read a document of schema 1.0.0: nested ``hook`` and ``when``, all conditions must hold."""
    top = reading.members([("", document)], ("version", "hook", "when", "stages"))
    hook = reading.members(top["hook"], ("path", "args", "env", "timeout"))
    stages = reading.strings(top["stages"])
    reading.stages_missing = stages is None and not reading.failed()
    return HookConfig(
        hook=Hook(
            path=reading.string(hook["path"]),
            args=reading.strings(hook["args"]),
            env=reading.strings(hook["env"]),
            timeout=reading.optional_int(hook["timeout"]),
        ),
        when=read_when(top["when"], reading),
        stages=stages or (),
    )


def read_when(places: Sequence[Place], reading: Reading, *, any_of: bool = False) -> When:
    """Read the conditions of schema 1.0.0 from the ``when`` objects at *places*, which merge."""
    found = reading.members(places, ("always", "hasBindMounts", "annotations", "commands"))
    annotations = reading.string_map(found["annotations"])
    return When(
        always=reading.optional_bool(found["always"]),
        has_bind_mounts=reading.optional_bool(found["hasBindMounts"]),
        annotations=None if annotations is None else tuple((Pattern(k), Pattern(v)) for k, v in annotations.items()),
        commands=_patterns(reading.strings(found["commands"])),
        any_of=any_of,
    )


_PAIRS_0_1_0 = (("stage", "stages"), ("cmd", "cmds"), ("annotation", "annotations"))


def read_0_1_0(document: Any, reading: Reading) -> HookConfig:
    """Read a document of schema 0.1.0: flat, one met condition is enough, annotation patterns see values only."""
    names = ("version", "hook", "arguments", "hasbindmounts", *(name for pair in _PAIRS_0_1_0 for name in pair))
    top = reading.members([("", document)], names)
    path = reading.optional_string(top["hook"])
    arguments = reading.strings(top["arguments"])
    values = {name: reading.strings(top[name]) for pair in _PAIRS_0_1_0 for name in pair}
    has_bind_mounts = reading.optional_bool(top["hasbindmounts"])
    typed = not reading.failed()
    if path is None and typed:
        reading.error("missing_property", "/hook", 'missing required member "hook", a path')
    stages, commands, annotations = (_either(reading, values, *pair) for pair in _PAIRS_0_1_0)
    if stages is None and typed:
        reading.error("missing_property", "/stages", 'missing required member "stages"', STAGES_HINT)
    _lint_0_1_0(reading, annotations)
    return HookConfig(
        hook=Hook(path=path or "", args=None if arguments is None else (path or "", *arguments)),
        when=When(
            has_bind_mounts=has_bind_mounts,
            annotations=None if annotations is None else ((Pattern(".*"), Pattern("|".join(annotations))),),
            commands=_patterns(commands),
            any_of=True,
        ),
        stages=stages or (),
    )


def _either(reading: Reading, values: dict[str, tuple[str, ...] | None], old: str, new: str) -> tuple[str, ...] | None:
    if values[old] is not None and values[new] is not None:
        message = f"found both {quoted(old)} and {quoted(new)}, expected one of them"
        reading.error("conflicting_properties", f"/{old}", message, f"keep {quoted(new)}")
    return values[old] if values[new] is None else values[new]


def _lint_0_1_0(reading: Reading, annotations: tuple[str, ...] | None) -> None:
    hint = 'schema 1.0.0 says it as "when": {"annotations": {"key": "value"}}'
    if annotations == ():
        reading.warn(
            "empty_annotations", "/annotations", "an empty list matches every container with an annotation", hint
        )
    elif annotations and len(annotations) > 1 and any("(" in text or "[" in text for text in annotations):
        message = "the patterns are joined with |, so groups, classes and flags of one reach into the next"
        reading.warn("joined_annotations", "/annotations", message, hint)


def _patterns(sources: tuple[str, ...] | None) -> tuple[Pattern, ...] | None:
    return None if sources is None else tuple(Pattern(source) for source in sources)


STAGES_HINT = f"use some of {', '.join(STAGES)}"

READERS: dict[str, Reader] = {VERSION: read_1_0_0, "0.1.0": read_0_1_0, "": read_0_1_0}
"""The reader of each schema version; the empty version is a file without one."""


def read_document(
    data: bytes, reading: Reading, extension_stages: Sequence[str] = (), *, look_at_program: bool = False
) -> HookConfig | None:
    """
    Read a rule from the bytes of its file.

    Args:
        reading: Gets all findings, in the order in which readers of the format make them.
        extension_stages: Names besides the stages of the runtime-spec that the rule may use.
        look_at_program: Count it as an error if the program that the rule names can't be reached from here.

    Returns:
        The rule, or None when *reading* has an error.
    """
    try:
        document = parse(data)
    except JSONTextError as error:
        reading.error("json_syntax", f"line {error.line} column {error.column}", str(error))
        return None
    version = reading.string(reading.members([("", document)], ("version",), lint=False)["version"])
    if reading.failed():
        return None
    reader = READERS.get(version)
    if reader is None:
        known = " or ".join(quoted(name) for name in READERS if name)
        reading.error("unknown_version", "/version", f"unknown schema version {quoted(version, 80)}, expected {known}")
        return None
    rule = reader(document, reading)
    if version == "" and any(p.code == "json_type" and p.pointer == "/hook" for p in reading.problems):
        reading.warn(
            "missing_version", "/version", "this looks like schema 1.0.0 without a version", 'add "version": "1.0.0"'
        )
    _validate_hook(rule, reading, look_at_program=look_at_program)
    _validate_when(rule, reading)
    _validate_stages(rule, reading, extension_stages)
    if reading.failed():
        return None
    lint(rule, reading)
    return rule


def _validate_hook(rule: HookConfig, reading: Reading, *, look_at_program: bool) -> None:
    if any(problem.pointer in ("/hook", "/hook/path") for problem in only_errors(reading.problems)):
        return
    if not rule.hook.path:
        reading.error("missing_property", "/hook/path", 'missing required member "path", the program to run')
    elif look_at_program:
        check_program(rule, reading)


def _validate_when(rule: HookConfig, reading: Reading) -> None:
    for pointer, pattern in rule.when.patterns():
        try:
            pattern.check()
        except PatternError as error:
            message = f"pattern {quoted(pattern.source, 200)} is not valid RE2: {error}"
            reading.error("bad_pattern", pointer, message)


def _validate_stages(rule: HookConfig, reading: Reading, extension_stages: Sequence[str]) -> None:
    if reading.stages_missing:
        reading.error("missing_property", "/stages", 'missing required member "stages"', STAGES_HINT)
    for index, stage in enumerate(rule.stages):
        if stage not in STAGES and stage not in extension_stages:
            from ocihooks.spec.stage import stage_hint

            hint = stage_hint(stage, extension_stages)
            reading.error("unknown_stage", f"/stages/{index}", f"unknown stage {quoted(stage, 80)}", hint)


def check_program(rule: HookConfig, reading: Reading) -> None:
    """Note an error if the rule's program can't be reached from here (its existence counts, not its mode)."""
    import errno
    import os

    path = rule.hook.path
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        code = "missing_program" if number == errno.ENOENT else "unreachable_program"
        reason = os_reason(error) if isinstance(error, OSError) else "the path holds a NUL character"
        hint = "install the program, or mask the rule with an empty file of its name in a later directory"
        reading.error(code, "/hook/path", f"program {quoted(path, 200)}: {reason}", hint)


def read_hook(path: str | os.PathLike[str], extension_stages: Sequence[str] = ()) -> HookConfig:
    """
    Read one rule file and check that its program is there.

    Args:
        path: Its name must end in ``.json``.
        extension_stages: Names besides the stages of the runtime-spec that the rule may use.

    Raises:
        NotJSONNameError: The name ends otherwise.
        HookError: The file can't be read or used; ``problems`` has all reasons. Warnings: see `ocihooks check`.
    """
    import os

    file = os.fspath(path)
    if not file.endswith(SUFFIX):
        raise NotJSONNameError(f"the name of a rule file ends in {SUFFIX}", code="not_json_name", file=file)
    reading = Reading(file)
    rule = read_document(_read(file), reading, extension_stages, look_at_program=True)
    if rule is None:
        raise HookError(problems=only_errors(reading.problems))
    return rule


def _read(file: str) -> bytes:
    try:
        return read_bytes(file)
    except (OSError, ValueError) as error:
        raise HookError(problems=[unreadable(file, error)]) from error


def read_bytes(file: str) -> bytes:
    """
    The bytes of *file*; none where it is /dev/null.

    Raises:
        OSError: It can't be read.
        ValueError: It is a FIFO or device, for which we would have to wait, or the name holds a NUL character.
    """
    import os
    import stat

    with open(file, "rb", opener=_open_without_waiting) as stream:
        status = os.fstat(stream.fileno())
        is_null = stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)
        if not stat.S_ISREG(status.st_mode) and not is_null:
            raise ValueError("expected a regular file, found a FIFO or device")
        return stream.read()


def _open_without_waiting(file: str, flags: int) -> int:
    import os

    return os.open(file, flags | os.O_NONBLOCK | os.O_NOCTTY)


def unreadable(file: str, error: OSError | ValueError, *, missing: str = "missing_file") -> Diagnostic:
    """The diagnostic for a rule file or directory that can't be read; *missing* is the code if it is not there."""
    reason = os_reason(error) if isinstance(error, OSError) else str(error)
    code = missing if isinstance(error, FileNotFoundError) else "read_failed"
    return Diagnostic(f"can't be read: {reason}", code=code, file=file)
