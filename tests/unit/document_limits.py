"""
Configurations at the limits of what is read, and what has to become of each; read by each interpreter in a process.

    python -I -S document_limits.py SOURCES [CORPUS]

SOURCES is the directory of the package. CORPUS is a file with one document in each line, as in tests/data/fuzz; without
it the documents are `LIMITS`. The answer is a JSON object on standard output: for each document its verdict, "ok" or
the code of the error. Whatever else happens stands there with its name.
"""

import json
import sys

DEPTH, SIZE = 1024, 16 << 20
"""The limits, as they are promised."""

HEAD = b'{"process":{"args":["sh"]},'
"""What each document begins with that has no reason not to."""


def member(value: bytes, name: bytes = b"x") -> bytes:
    """A document with one more member."""
    return b'%s"%s":%s}' % (HEAD, name, value)


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]", inner: bytes = b"") -> bytes:
    """A document that is nested *depth* levels deep."""
    return member(opening * (depth - 1) + inner + closing * (depth - 1))


def sized(size: int) -> bytes:
    """A document of *size* bytes."""
    return member(b'"' + b"x" * (size - len(member(b'""'))) + b'"')


MANY = b",".join(b'"m%d":""' % number for number in range(5000))

LIMITS = {
    "deepest arrays": (nested(DEPTH), "ok"),
    "deeper arrays": (nested(DEPTH + 1), "too_deep"),
    "deepest objects": (nested(DEPTH, b'{"a":', b"}", b"1"), "ok"),
    "deeper objects": (nested(DEPTH + 1, b'{"a":', b"}", b"1"), "too_deep"),
    "far too deep": (nested(100_000), "too_deep"),
    "deep and never closed": (HEAD + b'"x":' + b"[" * 100_000, "too_deep"),
    "deep in hooks": (member(b'{"poststop":[{"path":"/p","x":%s%s}]}' % (b"[" * 1000, b"]" * 1000), b"hooks"), "ok"),
    "brackets in a text": (member(b'"' + b'[{\\"' * 2000 + b'"'), "ok"),
    "closing brackets": (HEAD + b"]" * 2000, "json_syntax"),
    "wide": (member(b"[" + b",".join([b"[]"] * 20_000) + b"]"), "ok"),
    "many members": (b"%s%s}" % (HEAD, MANY), "ok"),
    "one of many repeated": (b'%s%s,"m7":1}' % (HEAD, MANY), "repeated_member"),
    "one of many annotations repeated": (member(b'{%s,"m7":""}' % MANY, b"annotations"), "repeated_member"),
    "many arguments": (b'{"process":{"args":[%s]}}' % b",".join([b'"a"'] * 20_000), "ok"),
    "a long name": (member(b"1", b"n" * 100_000), "ok"),
    "an empty name": (member(b"1", b""), "ok"),
    "largest for the launcher": (sized(1 << 20), "ok"),
    "larger than for the launcher": (sized((1 << 20) + 1), "ok"),
    "largest": (sized(SIZE), "ok"),
    "larger": (sized(SIZE + 1), "too_large"),
    "empty": (b"", "json_syntax"),
    "blanks": (b" \t\r\n", "json_syntax"),
    "byte order mark": (b"\xef\xbb\xbf" + member(b"1"), "json_syntax"),
    "UTF-16": (member(b"1").decode().encode("utf-16"), "not_utf8"),
    "UTF-32": (member(b"1").decode().encode("utf-32-be"), "json_syntax"),
    "a byte of Latin-1": (member(b'"\xe9"'), "not_utf8"),
    "an overlong slash": (member(b'"\xc0\xaf"'), "not_utf8"),
    "a surrogate in UTF-8": (member(b'"\xed\xa0\x80"'), "not_utf8"),
    "beyond Unicode": (member(b'"\xf4\x90\x80\x80"'), "not_utf8"),
    "last letter of Unicode": (member(b'"\xf4\x8f\xbf\xbf"'), "ok"),
    "half a pair": (member(b'"\\ud800"'), "ok"),
    "the other half": (member(b'"\\udc00x"'), "ok"),
    "a NUL escaped": (member(b'"\\u0000"'), "ok"),
    "a NUL": (member(b'"\0"'), "json_syntax"),
    "a tabulator": (member(b'"\t"'), "json_syntax"),
    "delete": (member(b'"\x7f"'), "ok"),
    "an escape too short": (member(b'"\\u12"'), "json_syntax"),
    "an escape with a sign": (member(b'"\\u+123"'), "json_syntax"),
    "an unknown escape": (member(b'"\\x41"'), "json_syntax"),
    "an escape at the end": (HEAD + b'"\\', "json_syntax"),
    "NaN": (member(b"NaN"), "json_syntax"),
    "Infinity": (member(b"Infinity"), "json_syntax"),
    "minus Infinity": (member(b"-Infinity"), "json_syntax"),
    "more than a double": (member(b"1e400"), "ok"),
    "more digits than int takes": (member(b"9" * 5000), "ok"),
    "a hundred thousand digits": (member(b"-0." + b"9" * 100_000), "ok"),
    "minus zero": (member(b"-0"), "ok"),
    "a leading zero": (member(b"01"), "json_syntax"),
    "a plus sign": (member(b"+1"), "json_syntax"),
    "a dot at the end": (member(b"1."), "json_syntax"),
    "digits of another script": (member("\u0661".encode()), "json_syntax"),
    "a comma at the end": (HEAD[:-1] + b",}", "json_syntax"),
    "a comment": (member(b"1/**/"), "json_syntax"),
    "a blank of Unicode": (member("1\u00a0".encode()), "json_syntax"),
    "text behind": (member(b"1") + b"x", "json_syntax"),
    "a NUL behind": (member(b"1") + b"\0", "json_syntax"),
    "a second document": (member(b"1") * 2, "json_syntax"),
    "hooks twice": (member(b'{},"hooks":{}', b"hooks"), "repeated_member"),
    "hooks twice, once escaped": (member(b'{},"\\u0068ooks":{}', b"hooks"), "repeated_member"),
    "HOOKS": (member(b"{}", b"HOOKS"), "member_case"),
    "hooks with a long s": (member(b"{}", "hook\u017f".encode()), "member_case"),
    "hooks with a Kelvin sign": (member(b"{}", "hoo\u212as".encode()), "member_case"),
    "args twice": (b'{"process":{"args":["sh"],"args":["sh"]}}', "repeated_member"),
}
"""By name: the document, and its verdict."""


def verdict_of(data: bytes) -> str:
    """What becomes of a document: "ok", the code of our error, or the name of whatever else it is."""
    from ocihooks.document import parse_config
    from ocihooks.errors import DocumentError

    try:
        parse_config(data, "config.json")
    except DocumentError as error:
        return error.code
    except Exception as error:  # noqa: BLE001  (that there is none is what is tested)
        return f"{type(error).__name__}: {error}"
    return "ok"


def main(sources: str, corpus: str = "") -> None:
    """Read all documents."""
    sys.path.insert(0, sources)
    documents = {name: data for name, (data, _) in LIMITS.items()}
    if corpus:
        with open(corpus) as stream:
            documents = {line: json.loads(line).encode("latin-1") for line in stream}
    print(json.dumps({name: verdict_of(data) for name, data in documents.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
