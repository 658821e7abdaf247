"""One link to an engine: the handshake, requests of every kind, and everything that an engine should not do."""

from __future__ import annotations

import random
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.nri_place import Rules

from ocihooks.nri import link as link_module
from ocihooks.nri.errors import LinkError
from ocihooks.nri.link import Link
from ocihooks.nri.plugin import Plugin
from ocihooks.testing.nri.engine import CallError, EngineLink
from ocihooks.testing.nri.objects import Pod, PodContainer, creation, given_hooks
from ocihooks.testing.nri.protocol import (
    LARGEST,
    PLUGIN,
    PLUGIN_SERVICE,
    REQUEST,
    RESPONSE,
    RUNTIME,
    call,
    chunk,
    framed,
    member,
)

YES = {"com.example.gpu": "yes"}
CREATE = creation(Pod(), PodContainer(annotations=YES))


@pytest.fixture
def rules(private_directory: Path) -> Rules:
    """One rule."""
    made = Rules(private_directory)
    made.configure()
    made.rule("10-gpu.json")
    return made


def works(engine: EngineLink) -> bool:
    """Whether the plugin still answers as it should."""
    return bool(engine.create(PodContainer(annotations=YES)))


def test_handshake(rules: Rules) -> None:
    """The plugin registers, and asks for new containers only, so that no engine refuses events it does not know."""
    with rules.serving() as engine:
        engine.register()
        assert (engine.name, engine.index) == ("ocihooks", "50")
        assert engine.configure("some: configuration") == 1 << 3
        assert engine.synchronize([(Pod(), PodContainer(id=f"{number:064}")) for number in range(5)]) == 3
        assert works(engine)
    assert rules.said == [
        'accepted by "containerd v2.1.4"',
        "the engine's configuration for the plugin has no effect, since ocihooks has its own settings",
        "5 containers were there before and stay as they are",
        "the engine closed the link",
    ]
    assert (rules.metrics.connections, rules.metrics.connected) == (1, False)


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_split_writes(pieces: int, rules: Rules) -> None:
    """Messages may arrive in pieces of any size."""
    with rules.serving() as engine:
        engine.pieces = pieces
        engine.register()
        engine.configure()
        engine.synchronize([(Pod(), PodContainer())])
        assert works(engine)


def test_late_engine(rules: Rules) -> None:
    """An engine may take its time between the steps of the handshake."""
    with rules.serving() as engine:
        for step in (engine.register, engine.configure, engine.synchronize):
            time.sleep(0.3)
            step()
        assert works(engine)


@pytest.mark.parametrize(
    ("service", "method"),
    [
        pytest.param(PLUGIN_SERVICE, "UpdateContainer", id="not-subscribed"),
        pytest.param(PLUGIN_SERVICE, "StateChange", id="state-change"),
        pytest.param(PLUGIN_SERVICE, "FoldContainer", id="newer-method"),
        pytest.param(PLUGIN_SERVICE, "", id="no-method"),
        pytest.param("nri.pkg.api.v9.Plugin", "CreateContainer", id="other-service"),
    ],
)
def test_unknown_method(service: str, method: str, rules: Rules) -> None:
    """Methods that there are not are answered with "unimplemented", and the plugin goes on."""
    with rules.asked() as engine:
        with pytest.raises(CallError, match=f"there is no method.*{method}") as caught:
            engine.call(method, CREATE, service=service)
        assert caught.value.code == 12
        assert works(engine)


def test_overlapping_requests(rules: Rules) -> None:
    """Requests may overlap, and each is answered in its own stream."""
    with rules.asked() as engine:
        streams = {
            number: engine.begin(
                "CreateContainer", creation(Pod(), PodContainer(annotations=YES if number % 2 else {}))
            )
            for number in range(50)
        }
        for number in sorted(streams, reverse=True):
            assert bool(given_hooks(engine.result(streams[number]))) is bool(number % 2)


@pytest.mark.parametrize("stream", [2, 8, 1 << 31, (1 << 32) - 1])
def test_odd_streams(stream: int, rules: Rules) -> None:
    """Streams that no engine uses are answered like others, also when one is used twice."""
    with rules.asked() as engine:
        data = framed(stream, REQUEST, call(PLUGIN_SERVICE, "CreateContainer", CREATE))
        engine.send(chunk(PLUGIN, data + data))
        engine.connected.settimeout(30)
        received = b""
        while received.count(b"/bin/true") < 4:
            received += engine.connected.recv(1 << 16)
        assert received.count(stream.to_bytes(4, "big") + bytes([RESPONSE])) == 2


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(chunk(PLUGIN, framed(9, 3, b"data")), id="data-message"),
        pytest.param(chunk(PLUGIN, framed(9, RESPONSE, b"")), id="answer-that-was-not-asked-for"),
        pytest.param(chunk(RUNTIME, framed(9, RESPONSE, member(1, b"x"))), id="answer-to-another-call"),
        pytest.param(chunk(RUNTIME, framed(1, REQUEST, b"")), id="request-to-the-runtime"),
        pytest.param(chunk(PLUGIN, framed(9, 77, b"?")), id="unknown-type"),
        pytest.param(chunk(99, b"who are you"), id="unknown-connection"),
        pytest.param(chunk(0, b"reserved"), id="reserved-connection"),
        pytest.param(chunk(PLUGIN, b""), id="empty-chunk"),
    ],
)
def test_noise(noise: bytes, rules: Rules) -> None:
    """What is nobody's is passed over."""
    with rules.asked() as engine:
        engine.send(noise)
        assert works(engine)


def test_request_without_meaning(rules: Rules) -> None:
    """A call that can't be read is answered in its stream."""
    with rules.asked() as engine:
        stream = engine.next_stream()
        engine.send(chunk(PLUGIN, framed(stream, REQUEST, b"\xff\xff\xff")))
        with pytest.raises(
            CallError, match=r"a request that can't be read: it ends in the middle of a field"
        ) as caught:
            engine.result(stream)
        assert caught.value.code == 3
        assert works(engine)
    assert rules.metrics.errors == {"nri_request": 1}


@pytest.mark.parametrize("method", ["Configure", "Synchronize"])
def test_broken_payload(method: str, rules: Rules) -> None:
    """A broken payload of another method is answered with an error, too."""
    with rules.asked() as engine:
        with pytest.raises(CallError, match="a request that can't be read"):
            engine.call(method, b"\x0a\x05a")
        assert works(engine)


def test_request_too_large(rules: Rules) -> None:
    """A request that is larger than any may be is refused, its container is named, and the next one is served."""
    with rules.asked() as engine:
        huge = creation(Pod(), PodContainer(annotations={"a": "x" * LARGEST}))
        stream = engine.next_stream()
        data = framed(stream, REQUEST, call(PLUGIN_SERVICE, "CreateContainer", huge))
        for at in range(0, len(data), 1 << 20):
            engine.send(chunk(PLUGIN, data[at : at + (1 << 20)]))
        with pytest.raises(CallError, match=r"a request of 419\d+ bytes.*; container \"web\" c+ of pod") as caught:
            engine.result(stream)
        assert caught.value.code == 8
        assert works(engine)


def test_largest_request(rules: Rules) -> None:
    """A request that is as large as one may be is served, although its texts are too long for patterns."""
    with rules.asked() as engine:
        padding = LARGEST - len(call(PLUGIN_SERVICE, "CreateContainer", CREATE)) - 100
        assert engine.create(PodContainer(annotations=YES, env=("x" * padding,)))


def test_chunk_too_large(rules: Rules) -> None:
    """A chunk that announces more than there can be ends the link, since nothing behind it can be found."""
    with rules.asked() as engine:
        engine.send(chunk(PLUGIN, b"", 1 << 30))
        engine.wait_closed()
    assert rules.said[-1] == "the engine sent a chunk of 1073741824 bytes, more than the 4194314 that are allowed"


@pytest.mark.parametrize("cut", [1, 7, 8, 12, 18, 100, -1])
def test_engine_goes_in_the_middle(cut: int, rules: Rules) -> None:
    """An engine may go in the middle of a header, of a call, or of a message."""
    with rules.asked() as engine:
        data = chunk(PLUGIN, framed(7, REQUEST, call(PLUGIN_SERVICE, "CreateContainer", CREATE)))
        engine.send(data[:cut])
    assert rules.said[-1] == "the engine closed the link"


@pytest.mark.parametrize("registered", [False, True])
def test_engine_that_does_not_go_on(registered: bool, rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that does not finish the handshake is given up."""
    monkeypatch.setattr(link_module, "HANDSHAKE_S", 1.5)
    with rules.serving() as engine:
        if registered:
            engine.register()
        engine.wait_closed()
    assert rules.said == ["the engine did not accept the plugin within 1.5 seconds"]


def test_refused(rules: Rules) -> None:
    """An engine that refuses the plugin is quoted."""
    with rules.serving() as engine:
        engine.register(code=2, reason="plugin disabled\n")
        engine.wait_closed()
    assert rules.said == ['the engine refuses the plugin: "plugin disabled\\n"']


@pytest.mark.parametrize("answer", [b"\xff", member(1, b"\x0a"), member(1, 5)])
def test_answer_without_meaning(answer: bytes, rules: Rules) -> None:
    """An answer to the registration that can't be read ends the link."""
    with rules.serving() as engine:
        engine.send(chunk(RUNTIME, framed(1, RESPONSE, answer)))
        engine.wait_closed()
    assert rules.said[0].startswith("the engine's answer to the registration can't be read: ")


def test_shutdown(rules: Rules) -> None:
    """An engine that ends says so, and then its end is no trouble."""
    with rules.asked() as engine:
        engine.shutdown()
    assert rules.said[-1] == "the engine ends"


def test_engine_that_does_not_read(rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an engine reads no answers nothing more is read from it; later it finds every answer."""
    monkeypatch.setattr(link_module, "_UNSENT_BYTES", 1 << 16)
    for number in range(40):
        rules.rule(f"{number}.json", args=["x" * 1000])
    with rules.asked() as engine:
        streams = [engine.begin("CreateContainer", CREATE) for _ in range(30)]
        time.sleep(0.3)
        for stream in streams:
            assert len(given_hooks(engine.result(stream))["createRuntime"]) == 41


MUTATIONS: dict[str, Callable[[bytearray, random.Random], None]] = {
    "flip": lambda data, dice: data.__setitem__(dice.randrange(len(data)), dice.randrange(256)),
    "cut": lambda data, dice: data.__delitem__(slice(dice.randrange(len(data)), None)),
    "drop": lambda data, dice: data.__delitem__(dice.randrange(len(data))),
    "double": lambda data, dice: data.__setitem__(slice(5, 5), data[: dice.randrange(len(data))]),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_mutations(mutation: str, rules: Rules) -> None:
    """Whatever becomes of the bytes on the way, the plugin answers or gives up the link, and nothing worse."""
    dice = random.Random(mutation)
    rules.rule("20.json", {"always": True, "hasBindMounts": True})
    whole = chunk(RUNTIME, framed(1, RESPONSE, b"")) + chunk(
        PLUGIN, framed(1, REQUEST, call(PLUGIN_SERVICE, "CreateContainer", CREATE))
    )
    given_up = 0
    with rules.live() as live:
        plugin = Plugin(live, metrics=rules.metrics, tell=rules.told.append, say=rules.said.append)
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(dice.randrange(1, 4)):
                MUTATIONS[mutation](data, dice)
                data = data or bytearray(whole)
            given_up += not is_served(bytes(data), plugin)
    assert not any("internal error" in sentence for sentence in rules.said)
    assert given_up < 150


def is_served(data: bytes, plugin: Plugin) -> bool:
    """Whether a link survives *data*."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        served = Link(theirs, plugin, name="ocihooks", index="50")
        ours.sendall(data)
        try:
            served.serve(select.POLLIN)
        except LinkError:
            return False
    return True
