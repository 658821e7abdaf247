"""
The pattern language of rule files: RE2, searched anywhere in the text, in linear time.

RE2 is the language of the Go programs that made the format; `re` differs on a third of the recorded cases.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_MEMORY_BYTES = 8 << 20
"""What one compiled pattern may take; RE2 refuses larger ones when they are compiled."""

MAX_TEXT_BYTES = 1 << 20
"""Longest text that is looked at; container authors choose the texts."""


_PLAIN = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz^$.-/_=:,@%&~ "
"""Characters that alone make no pattern invalid, in whatever order they stand."""

_PLAIN_CHARACTERS = 4096
"""Longest pattern that is known to be valid by its characters; RE2 refuses those that take too much memory."""


class PatternError(ValueError):
    """The pattern is not valid RE2; the message is RE2's reason."""

    code = "bad_pattern"


class TextTooLongError(ValueError):
    """The text to search is longer than `MAX_TEXT_BYTES`."""

    code = "text_too_long"


class _Library:
    """RE2, loaded when the first pattern needs it, since that costs more than reading a hundred rules."""

    def __init__(self) -> None:
        try:
            import _re2  # only the wrapper's image offers it so: the package imports what costs more than all else
        except ImportError:
            from re2 import _re2
        options = _re2.RE2.Options()
        options.max_mem = MAX_MEMORY_BYTES
        options.log_errors = False
        options.never_capture = True  # Only whether it is found counts: ^(a+)+$ on 1 MiB takes 4 ms instead of 98.
        self.options: Any = options
        self.compile: Any = _re2.RE2
        self.anywhere: Any = _re2.RE2.Anchor.UNANCHORED


_loaded: list[_Library] = []
_NOWHERE = (-1, -1)


def _library() -> _Library:
    if not _loaded:
        _loaded.append(_Library())
    return _loaded[0]


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

    def check(self) -> None:
        """As `compile`, but most patterns of rule files show by their characters that they are valid."""
        if not _is_surely_valid(self.source):
            self.compile()

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
        return self._is_in(data)

    def found_in(self, data: bytes) -> bool:
        """Whether the pattern is found anywhere in *data*, which may be no text, as far as it looks for ASCII only."""
        self.compile()
        return self._is_in(data)

    def _is_in(self, data: bytes) -> bool:
        return bool(self._compiled.Match(_loaded[0].anywhere, data, 0, len(data))[0] != _NOWHERE)

    def __repr__(self) -> str:
        return f"Pattern({self.source!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other.source == self.source

    def __hash__(self) -> int:
        return hash(self.source)


def _is_surely_valid(source: str) -> bool:
    r"""Whether *source* is made of plain characters, ``\.`` and ``.*`` alone, which RE2 takes in any order."""
    return len(source) <= _PLAIN_CHARACTERS and not source.replace("\\.", "").replace(".*", "").strip(_PLAIN)


def _compile(source: str) -> "Any":
    library = _library()
    try:
        compiled = library.compile(source.encode(), library.options)
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
