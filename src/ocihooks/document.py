"""
A container's config.json: read strictly, and given new hooks without touching any other byte.

The walk over the top-level object is ours and the values are left to the interpreter's C scanner, since `json` with
all it imports costs as much as the interpreter itself. What the runtimes would read differently is refused.

Spec: runtime-spec 1.3.0, config.md.
"""

import posix
import sys
from _json import encode_basestring_ascii, make_scanner, scanstring

import ocihooks
from ocihooks.injection import STAGES
from ocihooks.reading import read_whole
from ocihooks.replace import signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from ocihooks.replace import Signature

MAX_BYTES = 16 << 20
"""Largest config.json that is read."""

MAX_DEPTH = 1024
"""Deepest nesting of arrays and objects that is read."""

_SHALLOW = 100
"""Nesting that every interpreter can handle with the room for recursion that it starts with."""

UNIQUE_MEMBERS = ("hooks", "process", "annotations", "mounts", "root")
"""Top-level members that must be there once and spelt so: runc takes the last in any letter case, crun the first."""

_MOUNT_MEMBERS = frozenset(("destination", "type", "source", "options"))
_HOOK_MEMBERS = ("path", "args", "env", "timeout")

_LETTERS = str.maketrans({"\u017f": "s", "\u212a": "k"})
_SPACE = " \t\n\r"


class JSONNumber(str):
    """A number of the document as its text, so that it is written back as it was."""

    __slots__ = ()


def _object(pairs: "list[tuple[str, object]]") -> "dict[str, object]":
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    from ocihooks.faults import Repeated

    return Repeated(pairs)


def _no_constant(name: str) -> "NoReturn":
    raise ValueError(name)


# What the C scanner asks its decoder for, as a types.SimpleNamespace, whose module is not imported on the warm path.
_namespace: "Any" = type(sys.implementation)
_context = _namespace(
    strict=True,
    object_hook=None,
    object_pairs_hook=_object,
    parse_float=JSONNumber,
    parse_int=JSONNumber,
    parse_constant=_no_constant,
    memo={},
)
_scan: "Any" = make_scanner(_context)


class Document:
    """
    A JSON document whose top level is an object.

    Attributes:
        file: Path for messages.
        text: The text, whole.
        members: The top-level members; numbers are `JSONNumber`.
        spans: For each member the places in *text* at which its value begins and ends.
        end: Where a further member would be inserted.
    """

    __slots__ = ("end", "file", "members", "spans", "text")

    def __init__(self, file: str) -> None:
        self.file = file
        self.text = ""
        self.members: dict[str, Any] = {}
        self.spans: dict[str, tuple[int, int]] = {}
        self.end = 0


def parse_document(data: bytes, file: str) -> Document:
    """
    Parse strict JSON: UTF-8 without byte order mark, one object, no NaN, no repeated top-level member.

    Raises:
        DocumentError: *data* is something else; the error names the line and column or the member.
    """
    document = Document(file)
    _parse_into(document, data)
    return document


def _parse_into(document: Document, data: bytes) -> None:
    file = document.file
    if len(data) > MAX_BYTES:
        hint = "make it smaller; annotations and environment are the usual cause"
        raise ocihooks.errors.DocumentError(
            f"larger than the {MAX_BYTES} bytes that are read", code="too_large", file=file, hint=hint
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        from ocihooks.notjson import not_utf8

        raise not_utf8(data, file, error) from None
    if text.count("[") + text.count("{") > _SHALLOW and (depth := _depth(text)) > _SHALLOW:
        from ocihooks.faults import allow_depth

        allow_depth(depth, MAX_DEPTH, file)
    document.text = text
    try:
        _walk(document)
    except (ValueError, StopIteration, SystemError, IndexError):
        from ocihooks.notjson import not_json

        raise not_json(text, file) from None


def _walk(document: Document) -> None:
    text = document.text
    at = _skip(text, 0)
    if text[at] != "{":
        raise ValueError
    at = _skip(text, at + 1)
    document.end = at
    while text[at] != "}":
        if text[at] != '"':
            raise ValueError
        name, at = scanstring(text, at + 1, True)
        at = _skip(text, at)
        if text[at] != ":":
            raise ValueError
        start = _skip(text, at + 1)
        value, at = _scan(text, start)
        if name in document.members:
            _refuse_repeated(document.file, (name,))
        document.members[name] = value
        document.spans[name] = (start, at)
        document.end = at
        at = _skip(text, at)
        if text[at] == "}":
            break
        if text[at] != "," or text[(at := _skip(text, at + 1))] == "}":
            raise ValueError
    if text[at + 1 :].strip(_SPACE):
        raise ValueError


def _skip(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at


def _depth(text: str) -> int:
    """The deepest nesting of brackets outside strings."""
    from itertools import accumulate

    brackets = b"[{]}"
    others = bytes(byte for byte in range(256) if byte not in brackets)
    outside = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    steps = outside.encode().translate(bytes.maketrans(brackets, b"\x01\x01\xff\xff"), others)
    return max(accumulate(memoryview(steps).cast("b")), default=0)


class Config(Document):
    """
    A config.json with what rules ask about it.

    Attributes:
        args: ``process.args``; None where there is no process.
        annotations: Key to value; empty where there are none.
        mounts: The ``mounts`` array; empty where there is none.
        hooks: The ``hooks`` object; None where it is missing or null.
        signature: Which version of the file this is; None where it did not come from a file.
    """

    __slots__ = ("annotations", "args", "hooks", "mounts", "signature")

    args: "tuple[str, ...] | None"
    annotations: "dict[str, str]"
    mounts: "list[dict[str, Any]]"
    hooks: "dict[str, list[Any] | None] | None"
    signature: "Signature | None"


def read_config(path: str) -> Config:
    """
    Read the config.json at *path*, which must be a regular file of at most `MAX_BYTES`.

    Raises:
        DocumentError: It can't be read, or `parse_config` refuses it.
    """
    data, version = read_file(path)
    config = parse_config(data, path)
    config.signature = version
    return config


def parse_config(data: bytes, file: str) -> Config:
    """
    Parse a config.json and check all that hooks depend on.

    Raises:
        DocumentError: It is not strict JSON, or has a member that runtimes would read differently (repeated, or in
            another letter case), or one of the wrong type.
    """
    config = Config(file)
    config.signature = None
    _parse_into(config, data)
    members = config.members
    _refuse_variants(members, UNIQUE_MEMBERS, file, "")
    process = _member(members, "process", dict, file)
    config.args = None if process is None else _args(process, file)
    config.annotations = _annotations(members, file)
    config.mounts = _member(members, "mounts", list, file) or []
    for index, mount in enumerate(config.mounts):
        if type(mount) is not dict or not mount.keys() <= _MOUNT_MEMBERS or type(mount.get("options", [])) is not list:
            _check_mount(mount, file, f"/mounts/{index}")
    config.hooks = _hooks(members, file)
    return config


def _check_mount(mount: "Any", file: str, place: str) -> None:
    _refuse_variants(_expect(mount, dict, file, place), tuple(_MOUNT_MEMBERS), file, place)
    _member(mount, "options", list, file, place)


def _refuse_variants(members: "dict[str, Any]", names: "tuple[str, ...]", file: str, pointer: str) -> None:
    if type(members) is not dict:
        found: Any = members
        _refuse_repeated(file, [name for name in found.names if name in names], pointer)
    known = {name.lower(): name for name in names}
    for name in members:
        folded = name if name.isascii() else name.translate(_LETTERS)
        if known.get(folded.lower(), name) != name:
            raise ocihooks.errors.DocumentError(
                f"member {ocihooks.errors.quoted(name, 80)} differs from "
                f"{ocihooks.errors.quoted(known[folded.lower()])} in letter case only",
                code="member_case",
                file=file,
                pointer=f"{pointer}/{ocihooks.errors.reference_token(name)}",
                hint="runc would read it, crun would not; use the spelling of the runtime-spec",
            )


def _refuse_repeated(file: str, names: "Sequence[str]", pointer: str = "") -> None:
    """Refuse an object whose members *names*, if any, are there more than once."""
    if names:
        from ocihooks.faults import repeated

        raise repeated(file, names[0], pointer)


def _expect(value: "Any", kind: type, file: str, pointer: str) -> "Any":
    if not isinstance(value, kind) or isinstance(value, JSONNumber):
        raise _wrong_type(kind(), value, file, pointer)
    return value


def _wrong_type(expected: object, value: object, file: str, pointer: str) -> "ocihooks.errors.DocumentError":
    from ocihooks.faults import wrong_type

    return wrong_type(expected, value, file, pointer)


def _member(members: "dict[str, Any]", name: str, kind: type, file: str, pointer: str = "") -> "Any":
    value = members.get(name)
    return None if value is None else _expect(value, kind, file, f"{pointer}/{name}")


def _args(process: "dict[str, Any]", file: str) -> "tuple[str, ...]":
    _refuse_variants(process, ("args",), file, "/process")
    args = _member(process, "args", list, file, "/process") or []
    for index, item in enumerate(args):
        if type(item) is not str:
            _expect(item, str, file, f"/process/args/{index}")
    return tuple(args)


def _annotations(members: "dict[str, Any]", file: str) -> "dict[str, str]":
    annotations: dict[str, str] = _member(members, "annotations", dict, file) or {}
    if type(annotations) is not dict:
        found: Any = annotations
        _refuse_repeated(file, found.names, "/annotations")
    for name, value in annotations.items():
        if type(value) is not str:
            _expect(value, str, file, f"/annotations/{ocihooks.errors.reference_token(name)}")
    return annotations


def _hooks(members: "dict[str, Any]", file: str) -> "dict[str, list[Any] | None] | None":
    hooks: dict[str, list[Any] | None] | None = _member(members, "hooks", dict, file)
    if hooks is not None:
        check_hooks(hooks, file, "/hooks", STAGES)
    return hooks


def check_hooks(hooks: "dict[str, Any]", file: str, pointer: str, stages: "tuple[str, ...]") -> None:
    """
    Check a hooks object: each stage an array of hook objects, no member twice or in another letter case.

    Raises:
        DocumentError: It is something else; the error names the place.
    """
    _refuse_variants(hooks, stages, file, pointer)
    for stage in stages:
        for index, item in enumerate(_member(hooks, stage, list, file, pointer) or ()):
            place = f"{pointer}/{stage}/{index}"
            _check_hook(_expect(item, dict, file, place), file, place)


def _check_hook(hook: "dict[str, Any]", file: str, place: str) -> None:
    _refuse_variants(hook, _HOOK_MEMBERS, file, place)
    if "path" not in hook:
        message, hint = 'missing required member "path"', "a hook names its program with an absolute path"
        raise ocihooks.errors.DocumentError(message, code="missing_property", file=file, pointer=place, hint=hint)
    _expect(hook["path"], str, file, f"{place}/path")
    for name in ("args", "env"):
        for index, item in enumerate(_member(hook, name, list, file, place) or ()):
            _expect(item, str, file, f"{place}/{name}/{index}")
    timeout = hook.get("timeout")
    if timeout is not None and not isinstance(timeout, JSONNumber):
        raise _wrong_type(0, timeout, file, f"{place}/timeout")


def read_file(path: str) -> "tuple[bytes, Signature]":
    """
    The bytes of the regular file at *path*, and which version of it they are; see `read_whole` for too large ones.

    Raises:
        DocumentError: It can't be read.
    """
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC | posix.O_NOCTTY)
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        status = posix.fstat(fd)
        if status.st_mode & 0o170000 != 0o100000:
            hint = "put a plain file in its place"
            raise ocihooks.errors.DocumentError("expected a regular file", code="read_failed", file=path, hint=hint)
        return read_whole(fd, status.st_size, MAX_BYTES), signature(status)
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        posix.close(fd)


def _unreadable(path: str, error: OSError) -> "ocihooks.errors.DocumentError":
    from ocihooks.faults import unreadable

    return unreadable(path, error)


def with_member(document: Document, name: str, value: object) -> bytes:
    """The document with the top-level member *name* set to *value*, all bytes outside of it as they were."""
    text = document.text
    if name in document.spans:
        start, end = document.spans[name]
        return f"{text[:start]}{dumps(value)}{text[end:]}".encode()
    comma = "," if document.members else ""
    return f"{text[: document.end]}{comma}{encode_basestring_ascii(name)}:{dumps(value)}{text[document.end :]}".encode()


def dumps(value: object) -> str:
    """*value* as compact JSON in ASCII; a `JSONNumber` keeps its text."""
    if isinstance(value, JSONNumber):
        return str(value)
    if isinstance(value, str):
        return str(encode_basestring_ascii(value))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, dict):
        return "{" + ",".join([f"{encode_basestring_ascii(name)}:{dumps(item)}" for name, item in value.items()]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([dumps(item) for item in value]) + "]"
    raise TypeError(f"{type(value).__name__} has no JSON form here")
