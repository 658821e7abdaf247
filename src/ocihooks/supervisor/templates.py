"""
Templates in the arguments and the environment of supervised hooks: ``${id}`` and its kind become what they stand for.

What is put in is data: it is not looked at again, never split, and no shell sees it unless the rule starts one.
On the supervisor's warm path.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ocihooks.supervisor.state import State

NAMES = ("id", "bundle", "rootfs", "pid")
ANNOTATION = "annotations["

MAX_CONFIG_BYTES = 16 << 20


class TemplateError(Exception):
    """A template has no value for this container; the message says which one and why."""


def expand(text: str, state: "State") -> str:
    """
    *text* with its templates replaced; ``$${`` stands for ``${``, and what is no template stays.

    Raises:
        TemplateError: A template has no value for this container.
    """
    if "${" not in text:
        return text
    return "".join(_value(part[2:-1], state) if is_template else part for part, is_template in parts(text))


def parts(text: str) -> "Iterator[tuple[str, bool]]":
    """The pieces of *text* in order, and whether each is a template."""
    at = 0
    while (start := text.find("${", at)) >= 0:
        end = _end(text, start)
        if text[start - 1 : start] == "$" and start > at:
            yield text[at : start - 1] + "${", False
            at = start + 2
        elif end:
            yield text[at:start], False
            yield text[start:end], True
            at = end
        else:
            yield text[at : start + 2], False
            at = start + 2
    yield text[at:], False


def _end(text: str, start: int) -> int:
    """Where the template that begins at *start* ends; 0 where there is none."""
    if text.startswith(ANNOTATION, start + 2):
        return text.find("]}", start) + 2 if text.find("]}", start) > 0 else 0
    return next((start + len(name) + 3 for name in NAMES if text.startswith(f"{name}}}", start + 2)), 0)


def _value(name: str, state: "State") -> str:
    if name.startswith(ANNOTATION):
        return _annotation(name[len(ANNOTATION) : -1], state)
    found: Callable[[State], str] = {"rootfs": _rootfs, "pid": _pid}.get(name) or (lambda known: known.text(name))
    value = found(state)
    if not value:
        raise TemplateError(f"${{{name}}} has no value, since the state that the runtime sent has none")
    return value


def _annotation(key: str, state: "State") -> str:
    from ocihooks.errors import quoted

    annotations = state.members.get("annotations")
    value = annotations.get(key) if isinstance(annotations, dict) else None
    if not isinstance(value, str):
        raise TemplateError(
            f"${{annotations[…]}} has no value, since the container has no annotation {quoted(key, 200)}"
        )
    return value


def _pid(state: "State") -> str:
    """The process id as it was sent; 0 where there is no process any more, as crun has it."""
    pid = state.members.get("pid", 0)
    return str(pid) if isinstance(pid, int) else "0"


def _rootfs(state: "State") -> str:
    """The root file system's path; only crun sends it, so it may have to be looked up in the bundle."""
    return state.text("root") or _configured_root(state.text("bundle"))


def _configured_root(bundle: str) -> str:
    from ocihooks.supervisor.state import parse

    try:
        with open(f"{bundle}/config.json", "rb") as stream:
            config = parse(stream.read(MAX_CONFIG_BYTES).decode())
        path = config["root"]["path"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if not isinstance(path, str):
        return ""
    return path if path.startswith("/") else f"{bundle}/{path}"
