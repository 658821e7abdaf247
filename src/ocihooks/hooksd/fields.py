"""
Takes the members of a rule file apart, with the tolerance of the recorded readers and a finding for each use of it.

Member names match in any letter case; a repeated member replaces values and lists and merges objects; null changes
nothing but clears lists, maps and optional values.
"""

from __future__ import annotations

from ocihooks.errors import ERROR, WARNING, Diagnostic, quoted
from ocihooks.hooksd.config import escaped
from ocihooks.hooksd.jsontext import Members, Number, without_surrogates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    Place = tuple[str, Any]
    """A JSON pointer and the value that stands there."""

_LETTERS = str.maketrans({"\u017f": "s", "\u212a": "k"})
"""Long s and the Kelvin sign count as s and k in member names; no other letter outside ASCII folds to one inside."""

_INT_MIN, _INT_MAX = -(1 << 63), (1 << 63) - 1


class Reading:
    """
    One rule file while it is being read; collects all findings.

    Attributes:
        file: Path for messages.
        problems: Findings in the order in which they were made.
        stages_missing: Set by a reader that leaves it to the checks behind it to say so.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Diagnostic] = []
        self.stages_missing = False

    def error(self, code: str, pointer: str | None, message: str, hint: str | None = None) -> None:
        """Note that the file can't be used."""
        self._note(ERROR, code, pointer, message, hint)

    def warn(self, code: str, pointer: str | None, message: str, hint: str | None = None) -> None:
        """Note something that works, but hardly as meant."""
        self._note(WARNING, code, pointer, message, hint)

    def _note(self, severity: str, code: str, pointer: str | None, message: str, hint: str | None) -> None:
        finding = Diagnostic(message, code=code, severity=severity, file=self.file, pointer=pointer, hint=hint)
        if finding not in self.problems:
            self.problems.append(finding)

    def failed(self) -> bool:
        """Whether the file can't be used."""
        return bool(self.problems) and any(problem.severity == ERROR for problem in self.problems)

    def members(self, places: Iterable[Place], known: Sequence[str], *, lint: bool = True) -> dict[str, list[Place]]:
        """
        The occurrences of each *known* member in the objects at *places*, in the order of the text.

        Objects at several places merge, as repeated members do. Anything else there is a type error, null is empty.
        """
        found: dict[str, list[Place]] = {name: [] for name in known}
        repeated = False
        for pointer, value in places:
            if value is None:
                continue
            pairs = _pairs(value)
            if pairs is None:
                self.wrong_type(pointer, "an object", value)
                continue
            for written, item in pairs:
                name = written if written in found else _known_name(written, known)
                if name is not None:
                    repeated = repeated or bool(found[name])
                    found[name].append((f"{pointer}/{name}", item))
                if lint and name != written:
                    self._lint_member(pointer, written, name, known)
        if lint and repeated:
            self._lint_repeats(found)
        return found

    def _lint_member(self, pointer: str, written: str, name: str | None, known: Sequence[str]) -> None:
        if name is None:
            import difflib

            close = difflib.get_close_matches(written.lower(), [k.lower() for k in known], n=1, cutoff=0.75)
            guess = next((k for k in known if close and k.lower() == close[0]), None)
            hint = f"did you mean {quoted(guess)}?" if guess else f"known members here: {', '.join(known)}"
            if not written.startswith("_"):
                place = f"{pointer}/{escaped(without_surrogates(written))}"
                self.warn("unknown_member", place, f"unknown member {quoted(written, 80)} has no effect", hint)
        else:
            self.warn(
                "member_case", f"{pointer}/{name}", f"member is spelt {quoted(written, 80)}", f"write {quoted(name)}"
            )

    def _lint_repeats(self, found: Mapping[str, list[Place]]) -> None:
        for name, places in found.items():
            if len(places) > 1:
                message = (
                    f"member {quoted(name)} is there {len(places)} times; later ones replace or merge into earlier ones"
                )
                self.warn("repeated_member", places[0][0], message, "keep one")

    def string(self, places: Iterable[Place]) -> str:
        """The last string; null changes nothing; "" where there is none."""
        text = ""
        for pointer, value in places:
            if value is not None:
                text = self._text(pointer, value, text)
        return text

    def optional_string(self, places: Iterable[Place]) -> str | None:
        """The last string, None where missing or null."""
        text: str | None = None
        for pointer, value in places:
            text = None if value is None else self._text(pointer, value, text or "")
        return text

    def optional_bool(self, places: Iterable[Place]) -> bool | None:
        """The last value, None where missing or null."""
        answer: bool | None = None
        for pointer, value in places:
            if value is None or isinstance(value, bool):
                answer = value
            else:
                self.wrong_type(pointer, "true or false", value)
        return answer

    def optional_int(self, places: Iterable[Place]) -> int | None:
        """The last integer of 64 bits, written without fraction and exponent; None where missing or null."""
        answer: int | None = None
        for pointer, value in places:
            if value is None:
                answer = None
            elif isinstance(value, Number) and _is_int64(value):
                answer = int(value)
            else:
                self.wrong_type(pointer, "an integer of at most 64 bits", value)
        return answer

    def strings(self, places: Iterable[Place]) -> tuple[str, ...] | None:
        """The last list of strings, None where missing or null; a null in it is ""."""
        answer: tuple[str, ...] | None = None
        for pointer, value in places:
            if value is None:
                answer = None
            elif isinstance(value, list) and not isinstance(value, Members):
                answer = tuple(self._item(f"{pointer}/{index}", item) for index, item in enumerate(value))
            else:
                self.wrong_type(pointer, "an array of strings", value)
        return answer

    def string_map(self, places: Iterable[Place]) -> dict[str, str] | None:
        """All maps merged; null clears what was before, None where that is all; a null value is ""."""
        answer: dict[str, str] | None = None
        for pointer, value in places:
            pairs = _pairs(value)
            if value is None:
                answer = None
            elif pairs is None:
                self.wrong_type(pointer, "an object of strings", value)
            else:
                answer = answer or {}
                for written, item in pairs:
                    name = without_surrogates(written)
                    answer[name] = self._item(f"{pointer}/{escaped(name)}", item)
        return answer

    def _item(self, pointer: str, value: object) -> str:
        if value is None:
            self.warn("null_item", pointer, 'null counts as ""', "write the text that is meant, or take the item out")
            return ""
        return self._text(pointer, value, "")

    def _text(self, pointer: str, value: object, fallback: str) -> str:
        if not isinstance(value, str) or isinstance(value, Number):
            self.wrong_type(pointer, "a string", value)
            return fallback
        text = without_surrogates(value)
        if "\ufffd" in text:
            message = "holds U+FFFD, which stands for bytes that are not UTF-8 or for half a surrogate pair"
            self.warn("replaced_text", pointer, message, "save the file as UTF-8")
        return text

    def wrong_type(self, pointer: str, expected: str, value: object) -> None:
        """Note a value of the wrong JSON type."""
        shown = f" {quoted(value, 40)}" if isinstance(value, str) and not isinstance(value, Number) else ""
        number = f" {value[:40]}" if isinstance(value, Number) else ""
        self.error("json_type", pointer or "/", f"expected {expected}, found {_json_type(value)}{shown}{number}")


def _pairs(value: object) -> Iterable[tuple[str, Any]] | None:
    if isinstance(value, Members):
        return value
    return value.items() if isinstance(value, dict) else None


def _known_name(written: str, known: Sequence[str]) -> str | None:
    """The *known* name that differs from what is *written* in letter case only."""
    folded = written.translate(_LETTERS).lower()
    return next((name for name in known if name.lower() == folded), None)


def _is_int64(number: Number) -> bool:
    digits = number.removeprefix("-")
    return digits.isdigit() and len(digits) <= 19 and _INT_MIN <= int(number) <= _INT_MAX


def _json_type(value: object) -> str:
    if isinstance(value, Number):
        return "the number"
    if isinstance(value, str):
        return "the string"
    if isinstance(value, bool):
        return "true" if value else "false"
    if _pairs(value) is not None:
        return "an object"
    return "an array" if isinstance(value, list) else "null"
