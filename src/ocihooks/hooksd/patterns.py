"""
The pattern language of rule files: RE2, searched anywhere in the text, in linear time.

RE2 is the language of the Go programs that made the format; `re` differs on a third of the recorded cases.
"""

try:
    import _re2  # only the wrapper's image offers it so, since the package imports what costs more than all else
except ImportError:
    from re2 import _re2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_MEMORY_BYTES = 8 << 20
"""What one compiled pattern may take; RE2 refuses larger ones when they are compiled."""

MAX_TEXT_BYTES = 1 << 20
"""Longest text that is looked at; container authors choose the texts."""


class PatternError(ValueError):
    """The pattern is not valid RE2; the message is RE2's reason."""

    code = "bad_pattern"


class TextTooLongError(ValueError):
    """The text to search is longer than `MAX_TEXT_BYTES`."""

    code = "text_too_long"


def _options() -> "Any":
    options = _re2.RE2.Options()
    options.max_mem = MAX_MEMORY_BYTES
    options.log_errors = False
    options.never_capture = True  # Only whether it is found counts: ^(a+)+$ on 1 MiB takes 4 ms instead of 98.
    return options


_OPTIONS = _options()
_ANYWHERE = _re2.RE2.Anchor.UNANCHORED
_NOWHERE = (-1, -1)


class Pattern:
    """
    A pattern of a rule file, compiled when first used.

    Attributes:
        source: The text in the rule file; an empty one matches everything.
    """

    __slots__ = ("_compiled", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self._compiled: Any = None

    def compile(self) -> None:
        """
        Compile now, so that a bad pattern shows when its file is read.

        Raises:
            PatternError: It is not valid RE2.
        """
        if self._compiled is None:
            self._compiled = _compile(self.source)

    def search(self, text: str) -> bool:
        """
        Whether the pattern is found anywhere in *text*; bytes that are no UTF-8 (surrogate-escaped) count as U+FFFD.

        Raises:
            PatternError: The pattern is not valid RE2.
            TextTooLongError: *text* is too long to be decided.
        """
        self.compile()
        data = _utf8(text)
        if len(data) > MAX_TEXT_BYTES:
            raise TextTooLongError(f"{len(data)} bytes, more than the {MAX_TEXT_BYTES} that are searched")
        return bool(self._compiled.Match(_ANYWHERE, data, 0, len(data))[0] != _NOWHERE)

    def found_in(self, data: bytes) -> bool:
        """Whether the pattern is found anywhere in *data*, which may be no text, as far as it looks for ASCII only."""
        self.compile()
        return bool(self._compiled.Match(_ANYWHERE, data, 0, len(data))[0] != _NOWHERE)

    def __repr__(self) -> str:
        return f"Pattern({self.source!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other.source == self.source

    def __hash__(self) -> int:
        return hash(self.source)


def _compile(source: str) -> "Any":
    try:
        compiled = _re2.RE2(source.encode(), _OPTIONS)
    except UnicodeEncodeError:
        raise PatternError("not valid UTF-8") from None
    if not compiled.ok():
        reason = compiled.error()
        raise PatternError(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason))
    return compiled


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text).encode()
