"""Recorded bytes: our own engine still says the same, and the plugin still answers the same, byte by byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.nri_streams import CONVERSATIONS, PLACE, hold, kept, masked, rules_in

each_conversation = pytest.mark.parametrize("name", CONVERSATIONS)


@each_conversation
def test_engine(name: str, private_directory: Path) -> None:
    """The conversation goes as it went when it was recorded, on both sides."""
    assert hold(name, rules_in(private_directory)) == kept(name)


@each_conversation
def test_replay(name: str, private_directory: Path) -> None:
    """The recorded bytes of the engine get the recorded bytes of the plugin, without any engine's code in between."""
    rules = rules_in(private_directory)
    with rules.serving() as engine:
        engine.connected.settimeout(10)
        for sent, data in kept(name):
            if sent:
                engine.connected.sendall(data)
            else:
                received = b""
                while len(received) < len(data):
                    received += engine.connected.recv(len(data) - len(received))
                assert masked([(False, received)], rules) == [(False, data)]


@each_conversation
def test_replay_in_one_piece(name: str, private_directory: Path) -> None:
    """The same in one write for all that the engine says, so that it even asks before it has accepted the plugin."""
    rules = rules_in(private_directory)
    stream = kept(name)
    with rules.serving() as engine:
        engine.connected.settimeout(10)
        engine.connected.sendall(b"".join(data for sent, data in stream if sent))
        wanted = b"".join(data for sent, data in stream if not sent)
        received = b""
        while len(received) < len(wanted):
            received += engine.connected.recv(1 << 16)
        assert received.replace(str(rules.root).encode(), PLACE.encode()) == wanted
