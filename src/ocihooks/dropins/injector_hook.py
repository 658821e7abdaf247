"""
``oci-injector-hook``: a hook that puts files of the host into the containers whose environment asks for them.

It loads what changes a container only for a container that asks.
"""

import posix
import sys

from ocihooks.document import JSONNumber, parse_document, read_file
from ocihooks.dropins.injector_log import Log, wants_debug
from ocihooks.dropins.once import parse_tolerantly
from ocihooks.errors import DocumentError, OCIHooksError, os_reason, quoted
from ocihooks.injector.files import DIRECTORY, read_injector_files, wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn

    from ocihooks.document import Document
    from ocihooks.injector.target import Target
    from ocihooks.wrapper.installation import Installation

NAME = "oci-injector-hook"
CONFIG_DIR = "OCI_INJECTOR_CONFIG_DIR"
STATE = "the state on standard input"
_STATE_HINT = "a runtime starts this program, as a hook, with the state of a container"
_HELP = f"""usage: {NAME}

A hook that puts files of the host into the containers whose environment asks for them.
It reads a container's state on standard input, and {DIRECTORY}/*.json; {CONFIG_DIR} names another directory.
"""


class State:
    """
    What a runtime tells about the container.

    Attributes:
        bundle: The path of its bundle.
        id: Its id.
        pid: Its first process; 0: there is none.
        is_over: Whether it has ended.
    """

    __slots__ = ("bundle", "id", "is_over", "pid")

    def __init__(self, bundle: str, name: str, pid: int, *, is_over: bool) -> None:
        self.bundle = bundle
        self.id = name
        self.pid = pid
        self.is_over = is_over


class Container:
    """
    What has to be known about the container.

    Attributes:
        root: Absolute path of its root, or relative to the working directory as the bundle is.
        environment: The entries of its process's environment.
        members: Those of its config.json.
    """

    __slots__ = ("environment", "members", "root")

    def __init__(self, root: str, environment: "Sequence[str]", members: "dict[str, Any]") -> None:
        self.root = root
        self.environment = environment
        self.members = members


def main(installation: "Installation | None" = None, load: "Callable[[str], None] | None" = None) -> "NoReturn":
    """
    Be the program.

    Args:
        load: Loads an image of compiled modules by its ending; None: the package itself is imported.
    """
    words = sys.argv[1:]
    if words[:1] in (["--help"], ["-h"]):
        sys.stdout.write(_HELP)
    elif words[:1] == ["--version"]:
        from ocihooks.version import __version__

        sys.stdout.write(f"{NAME} {__version__}\n")
    else:
        own = sys.argv[0] if installation is None else installation.script
        posix._exit(_run(own, load))  # noqa: SLF001  (os._exit is this function)
    sys.stdout.flush()
    posix._exit(0)  # noqa: SLF001


def _run(own: str, load: "Callable[[str], None] | None") -> int:
    environ = {_text(name): _text(value) for name, value in posix.environ.items()}
    log = Log(NAME, debug=wants_debug(environ))
    try:
        state = read_state(_standard_input())
        if state.is_over:
            _undo(state, environ, log)
        else:
            _inject(state, environ, log, own, load)
    except OCIHooksError as error:
        log.tell("error", error.render(NAME).replace(f"{NAME}: ", ""))
    except Exception as error:  # noqa: BLE001  (whatever it is: one sentence, no traceback, and no container)
        log.tell("error", f"failed, which is a fault in this program: {type(error).__name__}: {error}")
    else:
        return 0
    return 1


def _inject(
    state: State, environ: "Mapping[str, str]", log: Log, own: str, load: "Callable[[str], None] | None"
) -> None:
    files = read_injector_files(environ.get(CONFIG_DIR) or DIRECTORY, _parse)
    if not files:
        return
    container = read_container(state.bundle)
    asked = wanted(files, container.environment)
    for file in files:
        if file not in asked:
            log.tell("info", f"{file.file}: not wanted, since the container has no variable {quoted(file.flag, 200)}")
    if asked:
        if load is not None:
            _load_rest(load)
        from ocihooks.injector.inject import inject

        _undo(state, environ, log)  # what a container of this name has left, if nobody could do so at its end
        inject(_target(state, container, environ, own), asked, log.tell, details=log.debug)


def _load_rest(load: "Callable[[str], None]") -> None:
    """Load the modules that put something into a container; if the image can't be used, the package is imported."""
    before = set(sys.modules)
    try:
        load(".create")
    except Exception:  # noqa: BLE001  (whatever is wrong with it, the package is there)
        for name in set(sys.modules) - before:
            del sys.modules[name]


def _target(state: State, container: Container, environ: "Mapping[str, str]", own: str) -> "Target":
    from ocihooks.injector.target import Target, devices_of, is_undone, mounts_of, owner_of, record_file

    config, name = container.members, (state.id, state.bundle)
    return Target(
        container.root,
        mounts=mounts_of(config),
        devices=devices_of(config),
        environment=frozenset(container.environment),
        owner=owner_of(config),
        pid=state.pid,
        record=record_file(environ, name) if is_undone(config, own) else "",
        name=name,
    )


def _undo(state: State, environ: "Mapping[str, str]", log: Log) -> None:
    """Take out what was put into the container before, if somebody has kept what that was."""
    from ocihooks.injector.target import record_file

    record = record_file(environ, (state.id, state.bundle))
    if record and _exists(record):
        from ocihooks.injector.undo import undo

        undo(record, (state.id, state.bundle), log.tell)


def read_state(data: bytes) -> State:
    """
    What the state in *data* says; what follows it is not looked at.

    Raises:
        DocumentError: It is no state, or has no bundle.
    """
    members = _state_members(data)
    for name in ("ociVersion", "id", "status", "bundle"):
        _check(members.get(name), str, f"/{name}", STATE)
    pid = members.get("pid")
    if pid is not None and not (isinstance(pid, JSONNumber) and pid.removeprefix("-").isdigit()):
        raise _wrong("a whole number", pid, "/pid", STATE)
    annotations = _check(members.get("annotations"), dict, "/annotations", STATE) or {}
    for value in annotations.values():
        _check(value, str, "/annotations", STATE)
    bundle = members.get("bundle")
    if not bundle:
        message = 'missing required member "bundle"'
        raise DocumentError(message, code="missing_property", file=STATE, hint=_STATE_HINT)
    first = int(pid or 0)
    return State(str(bundle), str(members.get("id") or ""), max(first, 0), is_over=members.get("status") == "stopped")


def read_container(bundle: str) -> Container:
    """
    What the config.json in *bundle* says about the container.

    Raises:
        DocumentError: It can't be read, or lacks what has to be known.
    """
    file = f"{bundle.rstrip('/')}/config.json" if bundle != "/" else "/config.json"
    members = _parse(read_file(file)[0], file).members
    process = _required(members, "process", dict, file, "")
    environment = _check(process.get("env"), list, "/process/env", file) or []
    for index, entry in enumerate(environment):
        _check(entry, str, f"/process/env/{index}", file)
    path = _required(_required(members, "root", dict, file, ""), "path", str, file, "/root")
    return Container(path if path.startswith("/") else f"{bundle}/{path}", environment, members)


def _state_members(state: bytes) -> "dict[str, Any]":
    try:
        return _parse(state, STATE).members
    except DocumentError as error:
        found = _first_value(state)
        if isinstance(found, dict):
            return found
        problem = error.problems[0]
        raise DocumentError(
            problem.message, code=problem.code, file=STATE, pointer=problem.pointer, hint=_STATE_HINT
        ) from None


def _first_value(state: bytes) -> "Any":
    """The JSON at the beginning of *state*, None if there is none."""
    from json import JSONDecoder

    decoder = JSONDecoder(parse_int=JSONNumber, parse_float=JSONNumber)
    try:
        return decoder.raw_decode(state.decode().lstrip(" \t\r\n"))[0]
    except (ValueError, RecursionError):
        return None


def _parse(data: bytes, file: str) -> "Document":
    return parse_tolerantly(parse_document, data, file)


def _required(members: "dict[str, Any]", name: str, kind: type, file: str, above: str) -> "Any":
    value = _check(members.get(name), kind, f"{above}/{name}", file)
    if value is None:
        message, hint = f"missing required member {quoted(name)}", "have the engine make the bundle again"
        raise DocumentError(message, code="missing_property", file=file, pointer=above or None, hint=hint)
    return value


def _check(value: "Any", kind: type, pointer: str, file: str) -> "Any":
    """*value*, which is of *kind* or None."""
    if value is None or (isinstance(value, kind) and not isinstance(value, JSONNumber)):
        return value
    expected = "an object" if kind is dict else "an array" if kind is list else "a string"
    raise _wrong(expected, value, pointer, file)


def _wrong(expected: str, value: object, pointer: str, file: str) -> DocumentError:
    message = f"expected {expected}, found {quoted(value, 80)}"
    return DocumentError(message, code="json_type", file=file, pointer=pointer, hint=_STATE_HINT)


def _standard_input() -> bytes:
    data = b""
    try:
        while chunk := posix.read(0, 65536):
            data += chunk
    except OSError as error:
        message = f"can't be read: {os_reason(error)}"
        raise DocumentError(message, code="read_failed", file=STATE, hint=_STATE_HINT) from None
    return data


def _exists(path: str) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
