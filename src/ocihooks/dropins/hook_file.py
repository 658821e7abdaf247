"""
The files with the hooks that every container gets. On the warm path.

Two forms: ``{"hooks": {STAGE: [...]}}`` (`nested_hooks`), and the object with the stages alone (`bare_hooks`).
"""

import posix

import ocihooks
from ocihooks.document import JSONNumber, parse_document, read_file
from ocihooks.dropins.once import parse_tolerantly
from ocihooks.injection import STAGES
from ocihooks.wrapper.static import check_stages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    HooksObject = dict[str, Any]

_SHAPE = 'write {"hooks": {"createRuntime": [{"path": "/the/program"}]}}'
_BARE_SHAPE = 'write {"createRuntime": [{"path": "/the/program"}]}'


def nested_hooks(file: str) -> "HooksObject":
    """
    The hooks in *file*, which has them in its member ``hooks``; null means none, and other members are not looked at.

    Raises:
        DocumentError: It is missing or broken, or names a stage that the runtime-spec doesn't know.
    """
    return parse_tolerantly(_parse_nested, _read(file), file)


def bare_hooks(file: str) -> "HooksObject":
    """
    The hooks in *file*, which is a hooks object by itself; null means none, and so does a missing file.

    Members that could be no stage, comments say, are not looked at.

    Raises:
        DocumentError: It is broken, or names a stage that the runtime-spec doesn't know.
    """
    if not file or is_missing(file):
        return {}
    return parse_tolerantly(_parse_bare, _read(file), file)


def _parse_nested(data: bytes, file: str) -> "HooksObject":
    members = parse_document(data, file).members
    if "hooks" not in members:
        raise ocihooks.errors.DocumentError(
            'missing required member "hooks"', code="missing_property", file=file, hint=_SHAPE
        )
    hooks: Any = members["hooks"]
    if hooks is None:
        return {}
    if not isinstance(hooks, dict):
        from ocihooks.faults import type_name

        message = f"expected an object, found {type_name(hooks)}"
        raise ocihooks.errors.DocumentError(message, code="json_type", file=file, pointer="/hooks", hint=_SHAPE)
    check_stages(hooks, file, "/hooks")
    return dict(hooks)


def _parse_bare(data: bytes, file: str) -> "HooksObject":
    if data.strip(b" \t\r\n") == b"null":
        return {}
    members = parse_document(data, file).members
    if isinstance(members.get("hooks"), dict):
        message = "the stages are expected at the top level, found below /hooks"
        raise ocihooks.errors.DocumentError(
            message, code="unknown_member", file=file, pointer="/hooks", hint=_BARE_SHAPE
        )
    hooks = {name: value for name, value in members.items() if _may_be_stage(name, value)}
    check_stages(hooks, file, "")
    _check_timeouts(hooks, file)
    return hooks


def _may_be_stage(name: str, value: object) -> bool:
    return isinstance(value, list) or name.lower() in [stage.lower() for stage in STAGES]


def is_missing(file: str) -> bool:
    """Whether there is no such file; a link to nowhere is none."""
    try:
        posix.stat(file)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):  # reading it tells
        pass
    return False


def is_link_to_nowhere(file: str) -> bool:
    """Whether there is a link that leads to no file."""
    try:
        posix.lstat(file)
    except (OSError, ValueError):
        return False
    return is_missing(file)


def _read(file: str) -> bytes:
    try:
        posix.stat(file)
    except (OSError, ValueError) as error:
        reason = ocihooks.errors.os_reason(error) if isinstance(error, OSError) else "the path holds a NUL character"
        message, hint = f"the hook file can't be read: {reason}", "name a file that is there"
        raise ocihooks.errors.DocumentError(message, code="read_failed", file=file or '""', hint=hint) from None
    return read_file(file)[0]


def _check_timeouts(hooks: "HooksObject", file: str) -> None:
    """Raise unless every timeout is a whole number that the runtimes can read."""
    for stage, entries in hooks.items():
        for index, entry in enumerate(entries or ()):
            timeout = entry.get("timeout")
            if timeout is None or _is_whole(timeout):
                continue
            message, hint = f"expected a whole number of seconds, found {timeout[:40]}", "round it"
            place = f"/{stage}/{index}/timeout"
            raise ocihooks.errors.DocumentError(message, code="json_type", file=file, pointer=place, hint=hint)


def _is_whole(number: JSONNumber) -> bool:
    digits = number.removeprefix("-")
    return digits.isdigit() and len(digits) < 20 and -(1 << 63) <= int(number) < 1 << 63
