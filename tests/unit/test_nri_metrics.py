"""Metrics: what is counted, the text that Prometheus reads, and who may ask for it."""

from __future__ import annotations

import os
import re
import resource
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ocihooks.errors import UnavailableError, UsageError
from ocihooks.nri.metrics import Metrics
from ocihooks.nri.scrape import CLIENTS, Address, Listener, address_of

LINE = re.compile(r'ocihooks_nri_\w+(\{\w+="([^"\\\n]|\\["\\n])*"\})? [0-9.e-]+')


def test_text() -> None:
    """Each metric has its help, its type and its values; odd names of rules are escaped."""
    metrics = Metrics()
    for seconds in (0.0001, 0.0003, 0.004, 3.0):
        metrics.answered(seconds)
    metrics.matched = 2
    metrics.rules.update({'a"b\\c\n.json': 1, "10-gpu.json": 2, "\udcff.json": 1})
    metrics.errors["json_syntax"] = 1
    metrics.connected = True
    lines = metrics.text().splitlines()
    assert [line for line in lines if not line.startswith("#") and not LINE.fullmatch(line)] == []
    assert "ocihooks_nri_containers_total 4" in lines
    assert 'ocihooks_nri_rule_matches_total{rule="10-gpu.json"} 2' in lines
    assert 'ocihooks_nri_rule_matches_total{rule="a\\"b\\\\c\\n.json"} 1' in lines
    assert 'ocihooks_nri_rule_matches_total{rule="\\\\udcff.json"} 1' in lines
    assert 'ocihooks_nri_errors_total{code="json_syntax"} 1' in lines
    assert "ocihooks_nri_connected 1" in lines
    named = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    used = {re.sub(r"_(bucket|sum|count)$", "", re.split(r"[{ ]", line)[0]) for line in lines if line[0] != "#"}
    assert used == named


def test_histogram() -> None:
    """Each class counts what took at most as long; the last is all of them."""
    metrics = Metrics()
    for seconds in (0.0001, 0.00025, 0.0003, 0.004, 3.0):
        metrics.answered(seconds)
    found = dict(re.findall(r'request_seconds_bucket\{le="(.+)"\} (\d+)', metrics.text()))
    assert (found["0.00025"], found["0.0005"], found["0.005"], found["2.0"], found["+Inf"]) == ("2", "3", "4", "4", "5")
    assert "request_seconds_sum 3.00465\n" in metrics.text()
    assert "request_seconds_count 5\n" in metrics.text()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/x.sock", Address(path="/run/x.sock")),
        ("127.0.0.1:9461", Address(host="127.0.0.1", port=9461)),
        ("[::1]:9461", Address(host="::1", port=9461)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    """A Unix socket or a port of the loopback interface."""
    assert address_of(text) == address


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0:9461", ":9461", "localhost:9461", "10.0.0.1:80", "[::]:80", "unix:x", "9461", "127.0.0.1:", "::1:99999"],
)
def test_refused_addresses(text: str) -> None:
    """Whatever others could reach, and whatever is no address, is refused with what is expected."""
    with pytest.raises(UsageError, match=r"expected unix:/PATH, 127\.0\.0\.1:PORT or \[::1\]:PORT"):
        address_of(text)


@contextmanager
def serving(address: Address, answer: str = "a 1\n", made: list[str] | None = None) -> Iterator[Listener]:
    """Somebody who answers, in a thread; *made* gets each text that is made."""
    import select

    def text() -> str:
        (made if made is not None else []).append(answer)
        return answer

    listener, stop = Listener(address), threading.Event()

    def serve() -> None:
        while not stop.is_set():
            poll = select.poll()
            for descriptor, events in listener.waits_for.items():
                poll.register(descriptor, events)
            for descriptor, _ in poll.poll(20):
                listener.serve(descriptor, text)
            listener.drop_late()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener
    finally:
        stop.set()
        thread.join()
        listener.close()


def asked(path: Path, request: bytes, *, finish: bool = False) -> str:
    """The answer to *request*."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(request)
        if finish:
            client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(1 << 16):
            answer += piece
    return answer.decode()


def test_answers(private_directory: Path) -> None:
    """GET /metrics is answered, whatever its size and however it arrives; all else is told off or let go."""
    path, text = private_directory / "m.sock", "x 1\n" * 200_000
    with serving(Address(path=str(path)), text):
        answer = asked(path, b"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = answer.partition("\r\n\r\n")
        assert (head.splitlines()[0], body) == ("HTTP/1.1 200 OK", text)
        assert "Content-Type: text/plain; version=0.0.4; charset=utf-8" in head
        assert asked(path, b"HEAD /metrics HTTP/1.1\r\n\r\n").endswith("\r\n\r\n")
        assert asked(path, b"GET / HTTP/1.1\r\n\r\n").startswith("HTTP/1.1 404 ")
        assert asked(path, b"POST /metrics HTTP/1.1\r\n\r\n").startswith("HTTP/1.1 405 ")
        assert asked(path, b"\xff\r\n\r\n").startswith("HTTP/1.1 405 ")
        assert asked(path, b"GET /metr", finish=True) == ""


def test_many_and_idle_clients(private_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that say nothing are let go after a while, and more than there is room for wait until then."""
    path = private_directory / "m.sock"
    monkeypatch.setattr("ocihooks.nri.scrape.PATIENCE_S", 0.3)
    with serving(Address(path=str(path))) as listener:
        idle = []
        for _ in range(CLIENTS):
            idle.append(socket.socket(socket.AF_UNIX))
            idle[-1].connect(str(path))
        assert asked(path, b"GET /metrics HTTP/1.1\r\n\r\n").endswith("a 1\n")
        for client in idle:
            client.close()
        assert len(listener.clients) <= CLIENTS


def test_no_descriptor_left(private_directory: Path) -> None:
    """Who can't be accepted, since there is no descriptor left, waits a moment instead of keeping the plugin busy."""
    path = private_directory / "m.sock"
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    listener = Listener(Address(path=str(path)))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            listener.serve(listener.socket.fileno(), str)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert (listener.waits_for, listener.clients) == ({}, {})
        until = time.monotonic() + 10
        while not listener.waits_for and time.monotonic() < until:
            time.sleep(0.02)
        listener.serve(listener.socket.fileno(), str)
        assert len(listener.clients) == 1
        listener.close()


def test_slow_client(private_directory: Path) -> None:
    """Who sends a request byte by byte costs no more than others: the metrics are put together once."""
    path, made = private_directory / "m.sock", list[str]()
    with serving(Address(path=str(path)), made=made), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        for byte in b"GET /metrics HTTP/1.1\r\n\r\n":
            client.sendall(bytes([byte]))
            time.sleep(0.002)
        client.settimeout(10)
        while client.recv(1 << 16):
            pass
    assert len(made) == 1


def test_socket_file(private_directory: Path) -> None:
    """The socket file is root's alone, goes with the listener, and a stale one is replaced."""
    path = private_directory / "m.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    listener = Listener(Address(path=str(path)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UnavailableError, match="metrics can't be served there: address already in use"):
        Listener(Address(path=str(path)))
    listener.close()
    assert not path.exists()
    path.write_text("a file")
    with pytest.raises(UnavailableError):
        Listener(Address(path=str(path)))
    assert path.read_text() == "a file"
    assert os.listdir(private_directory) == ["m.sock"]


def test_port() -> None:
    """A port of the loopback interface is served to this machine."""
    listener = Listener(Address(host="127.0.0.1", port=0))
    try:
        assert listener.socket.getsockname()[0] == "127.0.0.1"
        with pytest.raises(UnavailableError, match="address already in use"):
            Listener(Address(host="127.0.0.1", port=listener.socket.getsockname()[1]))
    finally:
        listener.close()
