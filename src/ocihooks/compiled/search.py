"""
Searching with compiled patterns. On the wrapper's warm path; RE2 is loaded only if a pattern needs it.

A compiled pattern is a pair ``(kind, text)``, since that is what the cached file holds; for RE2 the text is the source.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocihooks.hooksd.patterns import Pattern

    CompiledPattern = tuple[int, str]

ANYTHING, EXACT, PREFIX, SUFFIX, PART, RE2 = range(6)
"""Kinds of compiled patterns: found in every text; equals it; begins it; ends it; is a part of it; ask RE2."""


class Search:
    """
    A compiled pattern that answers as `ocihooks.Pattern` does.

    Attributes:
        source: Text of the pattern; what the rule file says, for messages.
    """

    __slots__ = ("_kind", "_pattern", "_text", "source")

    def __init__(self, compiled: "CompiledPattern", source: str) -> None:
        self._kind, self._text = compiled
        self._pattern: Pattern | None = None  # for RE2, once it was used: a container may have thousands of texts
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
        if kind == ANYTHING:
            return True
        if self._pattern is None:
            self._pattern = _re2_pattern(self._text)
        return self._pattern.search(text)


def _re2_pattern(source: str) -> "Pattern":
    from ocihooks.hooksd.patterns import Pattern

    return Pattern(source)
