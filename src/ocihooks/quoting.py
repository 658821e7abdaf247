"""
Showing text that somebody else chose: data, on one line, never a format. On the warm path of programs that log.
"""

CONTAINER_TEXT_LIMIT = 1024
"""Characters of container-controlled text that a message or log line may hold."""


def quoted(value: object, limit: int = CONTAINER_TEXT_LIMIT) -> str:
    """*value* as JSON shows it (ASCII, control characters escaped), cut to *limit* characters: data, never a format."""
    if isinstance(value, str):
        from _json import encode_basestring_ascii

        if len(value) > limit:
            return f"{encode_basestring_ascii(value[:limit])}… ({len(value)} characters)"
        return str(encode_basestring_ascii(value))
    import json

    try:
        text = json.dumps(value, default=str)
    except (ValueError, TypeError, RecursionError):  # nested too deep, a number of too many digits, odd keys
        return f"something of type {type(value).__name__}"
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def printable(text: str) -> str:
    """*text* (a path, say) on one line: control characters and lone surrogates are shown escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
