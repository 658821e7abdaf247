"""
Reads mutated configurations and prints what became of them; run by each interpreter in a process of its own.

    python -I -S mutate_documents.py SOURCES DIRECTORY COUNT SEED MODE

SOURCES is the directory of the package, DIRECTORY holds the documents that are mutated. MODE is "fresh" (nothing else
was imported before), "json" (the standard library's reader was), "forgotten" (it is taken away before each document) or
"careless" (somebody reads with the standard library alone, and is held to the same laws).
The answer is a JSON object on standard output.
"""

import hashlib
import os
import random
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TOKENS = (
    *(b'"hooks":', b'"Hooks":{},', b'"hook\xc5\xbf":1,', b'"hooks":{},"hooks":{},', b"null", b"NaN", b"-Infinity"),
    *(b"1e400", b"-0", b"9" * 4301, b"[" * 60, b"{" * 1100, b'{"a":' * 30, b"]]", b"}", b",", b":", b'"', b"\\"),
    *(b"\\ud800", b"\\u12", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\0", b"\t", b"\n", b"/*", b"//", b" "),
)

EXCHANGES = (
    *(
        (b'"hooks"', b'"HOOKS"'),
        (b'"root"', b'"annotations"'),
        (b'"mounts"', b'"mount\xc5\xbf"'),
        (b'"args"', b'"Args"'),
    ),
    *((b'"destination"', b'"type"'), (b'"path"', b'"timeout"'), (b'"env"', b'"annotations"'), (b'"cwd"', b'"args"')),
    *((b'"poststop"', b'"prestart"'), (b'["', b'{"'), (b'"]', b'"}'), (b'"hostname"', b'"process"')),
)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """*data* with one to six changes."""
    for _ in range(chance.randrange(1, 7)):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.choice((1, 1, 2, 8, 64, 1000)))
        other = chance.randrange(len(data) + 1)
        kind = chance.randrange(8)
        if kind == 0:
            data = data[:start] + bytes([chance.randrange(256)]) + data[start + 1 :]
        elif kind == 1:
            data = data[:start] + data[end:]
        elif kind == 2:
            data = data[:end] + data[start:end] + data[end:]
        elif kind in (3, 4):
            data = data[:start] + chance.choice(TOKENS) + data[start:]
        elif kind == 5:
            data = data[:other] + data[start:end] + data[other:]
        elif kind == 6:
            data = data[:start] + data[start:].replace(*chance.choice(EXCHANGES), 1)
        elif start and chance.randrange(4) == 0:
            data = data[:start]
    return data


def spliced(data: bytes) -> str:
    """Read and splice a document: "ok", or the law that was broken."""
    from ocihooks.document import parse_config, with_member

    config = parse_config(data, "config.json")
    after = with_member(config, "hooks", config.hooks)
    start, end = (len(config.text[:at].encode()) for at in config.spans.get("hooks", (config.end, config.end)))
    if not (after.startswith(data[:start]) and after.endswith(data[end:])):
        return "other bytes changed"
    again = parse_config(after, "config.json")
    return "ok" if (again.hooks, again.args, again.mounts) == (config.hooks, config.args, config.mounts) else "differs"


def spliced_carelessly(data: bytes) -> str:
    """The same by somebody who parses a document and writes it again."""
    import json

    from ocihooks.errors import DocumentError

    try:
        document = json.loads(data)
    except ValueError as error:
        raise DocumentError("not JSON", code="json_syntax", file="config.json") from error
    after = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    return "ok" if after == data else "other bytes changed"


def judged(splice: "Callable[[bytes], str]", data: bytes) -> "tuple[str, float]":
    """The verdict on a document, and the CPU seconds that it took."""
    from ocihooks.errors import DocumentError

    started = time.thread_time()
    try:
        verdict = splice(data)
    except DocumentError as error:
        verdict = error.code if str(error).startswith("config.json: ") and "\n" not in str(error) else "odd message"
    except Exception as error:  # noqa: BLE001  (that there is none is what is tested)
        verdict = f"{type(error).__name__}: {error}"
    return verdict, time.thread_time() - started


def main(sources: str, directory: str, count: int, seed: int, mode: str) -> None:
    """Read *count* mutated documents."""
    sys.path.insert(0, sources)
    if mode in ("json", "careless"):
        __import__("json")
    splice = spliced_carelessly if mode == "careless" else spliced
    documents = []
    for name in sorted(os.listdir(directory)):
        with open(os.path.join(directory, name), "rb") as stream:
            documents.append(stream.read())
    chance, digest, slowest_s = random.Random(seed), hashlib.sha256(), 0.0
    verdicts: dict[str, int] = {}
    unexpected: list[list[str]] = []
    for number in range(count):
        data = mutated(documents[number % len(documents)], chance)
        if mode == "forgotten":
            for module in [name for name in sys.modules if name.startswith(("json", "ocihooks.notjson"))]:
                del sys.modules[module]
        verdict, took_s = judged(splice, data)
        if took_s > slowest_s:  # what is imported once, and what others do meanwhile, is not what is measured
            took_s = min(took_s, judged(splice, data)[1], judged(splice, data)[1])
        slowest_s = max(slowest_s, took_s)
        if " " in verdict or verdict == "differs":
            unexpected.append([verdict, repr(data[:200])])
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
        digest.update(hashlib.sha256(data).digest() + verdict.encode())
    import json

    answer = {"digest": digest.hexdigest(), "verdicts": verdicts, "slowest_s": slowest_s}
    print(json.dumps({**answer, "broken": len(unexpected), "unexpected": unexpected[:5]}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
