"""
Conversations of our own engine with the plugin, whose bytes are kept in tests/data/nri.

    python -m tests.unit.nri_streams

writes them anew, after the protocol has changed on purpose.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.unit.nri_place import Rules

from ocihooks.testing.nri.engine import CallError, EngineLink
from ocihooks.testing.nri.objects import GivenHook, Mount, Pod, PodContainer
from ocihooks.testing.nri.protocol import PLUGIN, REQUEST, chunk, framed, member

DATA = Path(__file__).parents[1] / "data/nri"

PLACE_BYTES = 60
PLACE = "/place" + "-" * (PLACE_BYTES - 6)
"""Stands in the kept bytes for the directory of the rules, whose path is padded to this length."""

YES = {"com.example.gpu": "yes"}

Stream = list[tuple[bool, bytes]]


def containers(engine: EngineLink) -> None:
    """A handshake, containers that match and do not, and an end that is announced."""
    engine.register()
    engine.configure()
    engine.synchronize([(Pod(), PodContainer(id=f"{number:064}")) for number in range(3)])
    engine.create(PodContainer())
    engine.create(PodContainer(annotations=YES))
    engine.create(PodContainer(), Pod(annotations=YES))
    present = GivenHook(path="/bin/date", args=("date",), timeout=3)
    engine.create(PodContainer(annotations=YES, hooks={"createRuntime": (present,)}))
    engine.create(PodContainer(name="data", mounts=(Mount(destination="/data", source="/srv/data"),)))
    engine.shutdown()


def newer_engine(engine: EngineLink) -> None:
    """An engine with fields, methods and connections of a later protocol."""
    extra = member(77, "later") + member(78, 1 << 40)
    engine.register()
    engine.configure("some: text\n", engine="cri-o", version="9.9.9")
    engine.send(chunk(3, b"a service of its own"))
    engine.call("Synchronize", member(1, Pod().packed() + extra) + extra)
    engine.create(PodContainer(annotations=YES, extra=extra), Pod(extra=extra))
    refused(engine, "PostCreateContainer", b"")


def faulty_engine(engine: EngineLink) -> None:
    """An engine whose requests are broken in several ways."""
    engine.register()
    engine.configure()
    engine.synchronize()
    refused(engine, "CreateContainer", member(2, member(1, "c1") + member(3, "web") + member(7, b"\xff")))
    refused(engine, "CreateContainer", b"\x12\x7fcut off")
    stream = engine.next_stream()
    engine.send(chunk(PLUGIN, framed(stream, REQUEST, b"\xff")) + chunk(PLUGIN, framed(4, 9, b"?")))
    engine.create(PodContainer(annotations=YES))


def refused(engine: EngineLink, method: str, payload: bytes) -> None:
    """Call what the plugin has to refuse."""
    try:
        engine.call(method, payload)
    except CallError:
        return
    raise AssertionError(f"{method} was not refused")


CONVERSATIONS: dict[str, Callable[[EngineLink], None]] = {
    "containers": containers,
    "newer-engine": newer_engine,
    "faulty-engine": faulty_engine,
}


def rules_in(directory: Path) -> Rules:
    """The rules of the conversations, in a directory whose path has `PLACE_BYTES`."""
    padded = directory / ("-" * (PLACE_BYTES - len(str(directory)) - 1))
    padded.mkdir()
    made = Rules(padded)
    made.configure("shortcut = false")
    made.rule("10-gpu.json", timeout=5, stages=["createRuntime", "poststop"])
    made.rule("20-data.json", {"hasBindMounts": True}, env=["X=1"])
    return made


def masked(stream: Stream, rules: Rules) -> Stream:
    """*stream* with `PLACE` for the directory of *rules*."""
    place = str(rules.root).encode()
    return [(sent, data.replace(place, PLACE.encode())) for sent, data in stream]


def kept(name: str) -> Stream:
    """What is kept of a conversation."""
    lines = (DATA / f"{name}.jsonl").read_text().splitlines()
    return [(sent, bytes.fromhex(data)) for sent, data in map(json.loads, lines)]


def hold(name: str, rules: Rules) -> Stream:
    """Hold a conversation, and return its bytes."""
    with rules.serving() as engine:
        CONVERSATIONS[name](engine)
        return masked(engine.transcript, rules)


def main() -> None:
    """Keep all conversations."""
    for name in CONVERSATIONS:
        with tempfile.TemporaryDirectory(dir="/tmp") as directory:
            stream = hold(name, rules_in(Path(directory)))
        text = "".join(f"{json.dumps([sent, data.hex()])}\n" for sent, data in stream)
        (DATA / f"{name}.jsonl").write_text(text)


if __name__ == "__main__":
    main()
