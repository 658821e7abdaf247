"""
Gives containers what injector files say before they are created: a configuration in, a configuration out.
"""

from __future__ import annotations

from ocihooks.document import dumps, parse_document
from ocihooks.injector.decide import decide
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.files import wanted
from ocihooks.injector.host import things_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from ocihooks.errors import DocumentError
    from ocihooks.injector.decide import Outcome
    from ocihooks.injector.files import InjectorFile

    Edit = Callable[[Any, str], str]  # takes a value and its text, "" where there is none; returns the text to be there

_SPACE = " \t\n\r"


def environment_of(members: Mapping[str, Any], file: str) -> tuple[str, ...]:
    """
    The environment of the process that the configuration *file* describes.

    Raises:
        DocumentError: It is no list of texts, or is there more than once.
    """
    process = members.get("process")
    if process is None:
        return ()
    if not isinstance(process, dict):
        raise _wrong({}, process, file, "/process")
    entries = [value for name, value in process.items() if name.lower() == "env"]
    if len(entries) > 1 or "env" in getattr(process, "names", ()):
        from ocihooks.faults import repeated

        raise repeated(file, "env", "/process")
    return _texts(entries[0] if entries else None, file)


def _texts(value: Any, file: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _wrong([], value, file, "/process/env")
    for index, item in enumerate(value):
        if type(item) is not str:
            raise _wrong("", item, file, f"/process/env/{index}")
    return tuple(value)


def asked_for(files: Sequence[InjectorFile], members: Mapping[str, Any], file: str) -> tuple[InjectorFile, ...]:
    """Those of *files* that the container of the configuration *file* asks for."""
    return wanted(files, environment_of(members, file))


def outcome_for(asked: Sequence[InjectorFile], members: Mapping[str, Any], directory: str) -> Outcome:
    """What the container of a configuration with *members* gets of the files that it asks for."""
    return decide([(one, things_of(one)) for one in asked], members, directory)


def given(
    data: bytes, file: str, files: Sequence[InjectorFile], directory: str
) -> tuple[bytes, tuple[InjectorFile, ...]]:
    """
    The configuration *data* with what its container asks for of *files*; all other bytes stay.

    Args:
        file: The path of the configuration, for messages.
        directory: Where the files are, see `decide`.

    Returns:
        The configuration, and those of the files of which it has something.

    Raises:
        NotInjectedError: One of them can't be given; has all problems.
        DocumentError: The configuration is not as it should be.
    """
    members = parse_document(data, file).members
    outcome = outcome_for(asked_for(files, members, file), members, directory)
    problems = [problem for decision in outcome.decisions for error in decision.problems for problem in error.problems]
    if problems:
        raise NotInjectedError(problems=problems)
    return written(data, file, outcome), tuple([one.file for one in outcome.decisions if one.gives])


def written(data: bytes, file: str, outcome: Outcome) -> bytes:
    """
    The configuration *data* with what *outcome* adds to it.

    Raises:
        DocumentError: There is something else in the place of an object or array.
    """
    text = data.decode()
    text = _with_items(text, file, ("mounts",), outcome.mounts)
    text = _with_items(text, file, ("linux", "devices"), outcome.devices)
    text = _with_items(text, file, ("linux", "resources", "devices"), outcome.rules)
    if outcome.env is not None:
        env = dumps(outcome.env)
        text = _edited(text, file, ("process", "env"), lambda _value, _text: env)
    return text.encode()


def _with_items(text: str, file: str, names: tuple[str, ...], items: Sequence[Mapping[str, Any]]) -> str:
    """The document *text* with *items* behind those of the array at *names*."""
    added = ",".join(map(dumps, items))

    def append(value: Any, found: str) -> str:
        if value is None:
            return f"[{added}]"
        if not isinstance(value, list):
            raise _wrong([], value, file, "/" + "/".join(names))
        return f"{found[:-1].rstrip(_SPACE)}{',' if value else ''}{added}]"

    return _edited(text, file, names, append) if items else text


def _edited(text: str, file: str, names: tuple[str, ...], edit: Edit, above: str = "") -> str:
    """The document *text* with the value at *names* as *edit* makes it; objects that are missing are made."""
    document = parse_document(text.encode(), f"{file}: {above}" if above else file)
    name, rest = names[0], names[1:]
    start, end = document.spans.get(name, (document.end, document.end))
    value, found = document.members.get(name), text[start:end]
    if value is not None and rest and not isinstance(value, dict):
        raise _wrong({}, value, file, f"{above}/{name}")
    inner = "{}" if value is None else found
    new = _edited(inner, file, rest, edit, f"{above}/{name}") if rest else edit(value, found)
    if name not in document.spans:
        new = f"{',' if document.members else ''}{dumps(name)}:{new}"
    return f"{text[:start]}{new}{text[end:]}"


def _wrong(expected: object, value: object, file: str, pointer: str) -> DocumentError:
    from ocihooks.faults import wrong_type

    return wrong_type(expected, value, file, pointer)
