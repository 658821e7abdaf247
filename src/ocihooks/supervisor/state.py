"""
The container's state as the runtime sent it, and as hooks see it under every runtime.

runc and crun differ in the status that they send at one stage; supervised hooks see what the runtime-spec says. All
else stays as it was sent. On the supervisor's warm path.

Spec: runtime-spec 1.3.0, runtime.md "State" and "Lifecycle".
"""

from _json import make_scanner

from ocihooks.records.append import Excerpt, written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STATUS = {"prestart": "creating", "createRuntime": "creating", "poststart": "running", "poststop": "stopped"}
"""The status of a container while the hooks of a stage run."""


class _Reading:
    """How the C scanner reads: as the standard library does by default."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: "dict[str, str]" = {}  # noqa: RUF012  (the scanner wants it here)


def parse(text: str) -> "Any":
    """
    The JSON document *text*.

    Raises:
        ValueError: It is none.
    """
    try:
        value, end = make_scanner(_Reading)(  # type: ignore[arg-type]
            text, len(text) - len(text.lstrip(" \t\r\n"))
        )
        if not text[end:].strip(" \t\r\n"):
            return value
    except (StopIteration, ValueError, SystemError, RecursionError):  # what exactly is wrong, the library knows
        pass
    import json

    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


class State:
    """
    The state of one container.

    Attributes:
        received: As the runtime sent it.
        members: The parsed object, with the status of the stage; empty where it is no object.
    """

    __slots__ = ("members", "received")

    def __init__(self, received: bytes, stage: str) -> None:
        self.received = received
        self.members: dict[str, Any] = {}
        if not received:
            return
        try:
            document = parse(received.decode("utf-8", "replace"))
        except ValueError:
            return
        if isinstance(document, dict):
            self.members = {**document, "status": STATUS.get(stage, document.get("status"))}

    def sent(self) -> bytes:
        """What the hook reads; what could not be read is handed on as it is."""
        return uncut(self.members).encode() if self.members else self.received

    def text(self, name: str) -> str:
        """The member *name* if it is a text, else ""."""
        value = self.members.get(name)
        return value if isinstance(value, str) else ""


def uncut(value: "Any") -> str:
    """*value* as JSON with all of its texts as long as they are."""
    return written(_whole(value))


def _whole(value: "Any") -> "Any":
    if isinstance(value, str):
        return Excerpt(value)
    if isinstance(value, dict):
        return {Excerpt(name): _whole(item) for name, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value
