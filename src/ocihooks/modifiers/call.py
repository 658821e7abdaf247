"""
Asks modifiers about a container, one after the other in one child, and makes sentences of whatever goes wrong.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ocihooks.document import MAX_DEPTH
from ocihooks.engines.images import image_of
from ocihooks.errors import Diagnostic, OCIHooksError, RefusedError, os_reason, printable, quoted
from ocihooks.modifiers.child import Tell, told_by_child
from ocihooks.modifiers.creation import Creation
from ocihooks.modifiers.load import ModifierError, load
from ocihooks.spec.hook import Hook
from ocihooks.trust import Trust

_DIGITS = 4000
"""Digits of the longest integer that is read as such; the interpreter refuses even longer ones."""

Added = tuple[tuple[str, Hook], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    The container that modifiers are asked about.

    Attributes:
        text: Its config.json.
        id: Its id; "" where nobody says.
        operation: ``create``, ``run`` or ``restore``.
        bundle: Absolute path of its bundle.
    """

    text: str
    id: str
    operation: str
    bundle: str


def ask(modifiers: Sequence[str], asked: Asked, trust: Trust) -> tuple[Added, ...]:
    """
    The hooks that each of *modifiers* adds to a container, with their stages.

    Raises:
        RefusedError: One of them refuses the container.
        ModifierError: One of them can't be loaded or fails.
        UntrustedError: Somebody else could have written one of their files.
    """

    def work(tell: Tell) -> None:
        image = image_of(asked.id, asked.bundle, _config(asked.text), trust)
        for word in modifiers:
            tell(word)
            config = _config(asked.text)  # none sees what another one made of it
            creation = Creation(config, id=asked.id, operation=asked.operation, bundle=asked.bundle, image=image)
            problems = _problems(word, creation, trust)
            tell({"problems": problems} if problems else {"hooks": _hooks_json(creation)})
            if problems:
                return

    answers = _answers(work, len(modifiers))
    return tuple(tuple((stage, Hook.from_json(hook)) for stage, hook in answer["hooks"]) for answer in answers)


def check(modifiers: Sequence[str], trust: Trust) -> tuple[Diagnostic, ...]:
    """What is wrong with *modifiers* as far as loading them tells; none of them is called."""
    found: list[Diagnostic] = []
    for word in modifiers:

        def work(tell: Tell, word: str = word) -> None:
            tell(word)
            tell({"problems": _problems(word, None, trust)})

        try:
            _answers(work, 1)
        except OCIHooksError as error:
            found += error.problems
    return tuple(found)


def _config(text: str) -> dict[str, Any]:
    """The configuration, as `ocihooks.document` has found it sound: it may be deep, and numbers may be long."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 10 * MAX_DEPTH))
    config: dict[str, Any] = json.loads(text, parse_int=_integer)
    return config


def _integer(text: str) -> int | float:
    return int(text) if len(text) <= _DIGITS else float(text)


def _problems(word: str, creation: Creation | None, trust: Trust) -> list[list[str | None]]:
    """Load a modifier and, if there is a container, call it; what goes wrong as members of diagnostics."""
    try:
        modifier = load(word, trust)
        result: object = modifier(creation) if creation is not None else None
    except RefusedError as error:
        return [_members(problem) for problem in _refusal(error, word)]
    except OCIHooksError as error:
        return [_members(problem) for problem in _named(error, word)]
    except BaseException as error:  # noqa: BLE001  (whatever it raises becomes a sentence, and no container is created)
        return [_members(_failure(error, word))]
    if result is None:
        return []
    message = f"modifier {quoted(word, 200)} returned {quoted(result, 80)}, expected None"
    hint = "add hooks with add_hook, refuse by raising ocihooks.RefusedError, and return nothing"
    return [_members(Diagnostic(message, code="modifier_failed", hint=hint))]


def _refusal(error: RefusedError, word: str) -> Sequence[Diagnostic]:
    return [
        Diagnostic(
            f"modifier {quoted(word, 200)} refuses the container: {printable(problem.message)}",
            code="modifier_refused",
            file=problem.file,
            pointer=problem.pointer,
            hint=problem.hint,
        )
        for problem in error.problems
    ]


def _named(error: OCIHooksError, word: str) -> Sequence[Diagnostic]:
    """The problems of *error*, each naming the modifier, and the place in its file unless they are about another."""
    file, line = _place(error, word)
    name = quoted(word, 200)
    return [
        Diagnostic(
            problem.message if name in problem.message else f"modifier {name}: {problem.message}",
            code=problem.code,
            file=problem.file or file,
            pointer=problem.pointer if problem.file or not line else f"line {line}",
            hint=problem.hint,
        )
        for problem in error.problems
    ]


def _failure(error: BaseException, word: str) -> Diagnostic:
    """What a modifier or its module raised, and where in its own file."""
    file, line = _place(error, word)
    text = printable(" ".join(str(error).split()))
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return Diagnostic(
        f"modifier {quoted(word, 200)} failed: {said}",
        code="modifier_failed",
        file=file,
        pointer=f"line {line}" if line else None,
        hint="mend it, or take it out of the settings",
    )


def _place(error: BaseException, word: str) -> tuple[str | None, int | None]:
    """The file and line to look at: of a syntax error, else the last ones in code that is not the interpreter's."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno
    trace = traceback.extract_tb(error.__traceback__)
    frames: list[tuple[str, int | None]] = [(frame.filename, frame.lineno) for frame in trace]
    theirs = [place for place in frames if not place[0].startswith(("<", __file__, load.__code__.co_filename))]
    name = word.rpartition(":")[0]
    own = [place for place in theirs if place[0] == name or place[0].endswith(f"/{name.replace('.', '/')}.py")]
    return own[-1] if own else theirs[-1] if theirs else (None, None)


def _members(problem: Diagnostic) -> list[str | None]:
    return list(problem.to_json().values())


def _hooks_json(creation: Creation) -> list[list[Any]]:
    return [[stage, replace(hook, extra={}).to_json()] for stage, hook in creation.hooks]


def _answers(work: Any, count: int) -> list[dict[str, Any]]:
    """What *work* told about *count* modifiers; raises what went wrong."""
    try:
        told, status = told_by_child(work)
    except OSError as error:
        raise ModifierError(f"modifiers can't be asked: {os_reason(error)}", code="modifier_failed") from error
    words = [item for item in told if isinstance(item, str)]
    answers = [item for item in told if isinstance(item, dict)]
    for answer in answers:
        problems = [Diagnostic.from_members(tuple(members)) for members in answer.get("problems", ())]
        if problems and problems[0].code == "modifier_refused":
            raise RefusedError(problems=problems)
        if problems:
            raise ModifierError(problems=problems)
    if len(answers) < count:
        word = words[-1] if words else "?"
        message = f"modifier {quoted(word, 200)} ended its process{_how(status)}"
        raise ModifierError(message, code="modifier_failed", hint="a modifier returns, or raises an error")
    return answers


def _how(status: int | None) -> str:
    if status is None:
        return ""
    return f" by signal {-status}" if status < 0 else f" with status {status}"
