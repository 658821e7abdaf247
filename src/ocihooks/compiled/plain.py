r"""
Patterns that are plain text in disguise, as string operations: ``^com\.example\.gpu$`` is an equality.

Most patterns of rule files are of this kind, and for them the wrapper need not load RE2, which costs more than all
else that it does. Whatever is not surely plain stays a pattern for RE2.

The compiled forms are pairs ``(kind, text)``, since that is what the cached file holds.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    CompiledPattern = tuple[int, str]

ANYTHING, EXACT, PREFIX, SUFFIX, PART, RE2 = range(6)
"""Kinds: found in every text; equals it; begins it; ends it; is a part of it; ask RE2 (*text* is the source)."""

_SPECIAL = frozenset("\\.+*?()|[]{}^$")
_ESCAPABLE = frozenset("\\.+*?()|[]{}^$-/_!\"#%&',:;<=>@`~ ")
"""Punctuation stands for itself behind a backslash; letters and digits there mean something else."""


def compile_pattern(source: str) -> "CompiledPattern":
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
    if not _SPECIAL.intersection(source):
        return source
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


class Search:
    """
    A compiled pattern that answers as `ocihooks.Pattern` does.

    Attributes:
        source: Text of the pattern; what the rule file says, for messages.
    """

    __slots__ = ("_kind", "_text", "source")

    def __init__(self, compiled: "CompiledPattern", source: str) -> None:
        self._kind, self._text = compiled
        self.source = source

    def search(self, text: str) -> bool:
        """
        Whether the pattern is found in *text*, which holds no lone surrogates.

        Raises:
            ValueError: *text* is too long to be decided by RE2.
        """
        kind = self._kind
        if kind == EXACT:
            return text == self._text
        if kind == PREFIX:
            return text.startswith(self._text)
        if kind == SUFFIX:
            return text.endswith(self._text)
        if kind == PART:
            return self._text in text
        return True if kind == ANYTHING else _re2_search(self._text, text)


def _re2_search(source: str, text: str) -> bool:
    from ocihooks.hooksd.patterns import Pattern

    return Pattern(source).search(text)
