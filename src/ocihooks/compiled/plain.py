r"""
Patterns that are plain text in disguise, as string operations: ``^com\.example\.gpu$`` is an equality.

Most patterns of rule files are of this kind, and for them the wrapper need not load RE2, which costs more than all
else that it does. Whatever is not surely plain stays a pattern for RE2.

`ocihooks.compiled.search` has the compiled forms.
"""

from __future__ import annotations

from ocihooks.compiled.search import ANYTHING, EXACT, PART, PREFIX, RE2, SUFFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocihooks.compiled.search import CompiledPattern

_SPECIAL = frozenset("\\.+*?()|[]{}^$")
_ESCAPABLE = frozenset("\\.+*?()|[]{}^$-/_!\"#%&',:;<=>@`~ ")
"""Punctuation stands for itself behind a backslash; letters and digits there mean something else."""


def compile_pattern(source: str) -> CompiledPattern:
    """The cheapest form that answers for every text as RE2 would answer for the pattern *source*."""
    rest = source
    begins = rest.startswith("^")
    if begins:
        rest = rest[1:]
    ends = rest.endswith("$") and not _escaped_at_end(rest[:-1])
    if ends:
        rest = rest[:-1]
    # An open ".*" at an end that is not anchored allows anything there, also nothing.
    if not ends and rest.endswith(".*") and not _escaped_at_end(rest[:-2]):
        rest = rest[:-2]
    if not begins and rest.startswith(".*"):
        rest = rest[2:]
    text = _literal(rest)
    if text is None:
        return RE2, source
    if begins and ends:
        return EXACT, text
    if not text:
        return ANYTHING, ""
    return (PREFIX if begins else SUFFIX if ends else PART), text


def _escaped_at_end(text: str) -> bool:
    """Whether what follows *text* is escaped: an odd number of backslashes stands at its end."""
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _literal(source: str) -> str | None:
    """The one text that *source* stands for, or None where it is more than a text."""
    if not _SPECIAL.intersection(source.replace("\\.", "")):
        return source.replace("\\.", ".")
    letters: list[str] = []
    rest = iter(source)
    for letter in rest:
        if letter == "\\":
            following = next(rest, "")
            if following not in _ESCAPABLE:
                return None
            letters.append(following)
        elif letter in _SPECIAL:
            return None
        else:
            letters.append(letter)
    return "".join(letters)
