"""
Reads mutated configurations and prints what became of them; run by each interpreter in a process of its own.

    python -I -S mutate_documents.py SOURCES DIRECTORY COUNT SEED MODE

SOURCES is the directory of the package, DIRECTORY holds the documents that are mutated. MODE is "fresh" (nothing else
was imported before), "json" (the standard library's reader was) or "forgotten" (it is taken away before each document).
The answer is a JSON object on standard output.
"""

import hashlib
import os
import random
import sys
import time

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


def main(sources: str, directory: str, count: int, seed: int, mode: str) -> None:
    """Read *count* mutated documents."""
    sys.path.insert(0, sources)
    if mode == "json":
        __import__("json")
    from ocihooks.document import parse_config, with_member
    from ocihooks.errors import DocumentError

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
        started = time.thread_time()
        try:
            config = parse_config(data, "config.json")
            again = parse_config(with_member(config, "hooks", config.hooks), "config.json")
            verdict = "ok" if again.hooks == config.hooks and again.args == config.args else "differs"
        except DocumentError as error:
            verdict = error.code if str(error).startswith("config.json: ") and "\n" not in str(error) else "odd message"
        except Exception as error:  # noqa: BLE001  (that there is none is what is tested)
            verdict = f"{type(error).__name__}: {error}"
        slowest_s = max(slowest_s, time.thread_time() - started)
        if verdict in ("differs", "odd message") or ":" in verdict:
            unexpected.append([verdict, repr(data[:200])])
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
        digest.update(hashlib.sha256(data).digest() + verdict.encode())
    import json

    answer = {"digest": digest.hexdigest(), "verdicts": verdicts, "unexpected": unexpected[:5], "slowest_s": slowest_s}
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
