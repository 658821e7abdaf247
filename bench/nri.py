"""
What the NRI plugin takes: times until requests are answered, measured at the socket with 50 in flight, and memory.

A bare plugin in the same language, which gives every container nothing without looking, is measured in turn with ours,
so that the share of machine, interpreter and this program itself can be seen. Machines are noisy: of the bursts of each
row the faster quarter counts.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ocihooks.testing.nri.engine import EngineLink
from ocihooks.testing.nri.objects import Mount, Pod, PodContainer, creation
from ocihooks.testing.nri.protocol import PLUGIN, PLUGIN_SERVICE, REQUEST, call, chunk, framed

IN_FLIGHT = 50
RULES = 100
MATCHING = {f"com.example.rule{number}": "yes" for number in (3, 7, 50)}

MEDIAN_MS, P99_MS, RSS_MIB, GROWTH_MIB = 1.0, 5.0, 60.0, 2.0
"""What we allow ourselves."""

BARE = """
import socket, struct, sys
link = socket.socket(fileno=int(sys.argv[1]))
name = b"\\x0a\\x1cnri.pkg.api.v1alpha1.Runtime\\x12\\x0eRegisterPlugin\\x1a\\x0a\\x0a\\x04bare\\x12\\x0250"
link.sendall(struct.pack(">IIIIBB", 2, 10 + len(name), len(name), 1, 1, 0) + name)
data = b""
while piece := link.recv(1 << 18):
    data, at, answers = data + piece, 0, []
    while len(data) >= at + 18 and len(data) >= at + 8 + (size := int.from_bytes(data[at + 4 : at + 8], "big")):
        connection, _, length, stream, kind, _ = struct.unpack_from(">IIIIBB", data, at)
        if connection == 1 and kind == 1:
            answer = b"\\x12\\x02\\x10\\x08" if b"\\x12\\x09Configure" in data[at + 18 : at + 80] else b"\\x12\\x00"
            answers.append(struct.pack(">IIIIBB", 1, 10 + len(answer), len(answer), stream, 2, 0) + answer)
        at += 8 + size
    data = data[at:]
    link.sendall(b"".join(answers))
"""
"""A plugin that does nothing but answer."""


@dataclass(kw_only=True)
class Row:
    """
    One line of the table.

    Attributes:
        label: What is measured.
        link: The engine's end.
        requests: What it asks, in turn.
        limited: Whether the budget counts here.
        bursts_s: For each burst the times until its answers.
    """

    label: str
    link: EngineLink
    requests: Sequence[bytes]
    limited: bool = False
    bursts_s: list[list[float]] = field(default_factory=list)
    stream: int = 1001

    def burst(self) -> None:
        """Ask `IN_FLIGHT` times at once, and take the time until each answer has arrived."""
        streams = range(self.stream, self.stream + 2 * IN_FLIGHT, 2)
        self.stream = streams[-1] + 2
        data = b"".join(
            chunk(PLUGIN, framed(stream, REQUEST, self.requests[number % len(self.requests)]))
            for number, stream in enumerate(streams)
        )
        self.link.connected.settimeout(20)
        started = time.perf_counter()
        sender = self.link.connected
        sent = sender.send(data)
        received = bytearray()
        times: list[float] = []
        while len(times) < IN_FLIGHT:
            if sent < len(data):
                sent += sender.send(data[sent : sent + 65536])
            received += sender.recv(1 << 18)
            times += [time.perf_counter() - started] * self._answers(received)
        self.bursts_s.append(times)

    def counted_s(self) -> list[float]:
        """The times of the faster quarter of the bursts, in order."""
        best = sorted(self.bursts_s, key=max)[: max(1, len(self.bursts_s) // 4)]
        return sorted(seconds for burst in best for seconds in burst)

    def _answers(self, received: bytearray) -> int:
        """Take the whole answers out of *received*, and count them."""
        at = count = 0
        while len(received) >= at + 8 and len(received) >= at + 8 + (size := int.from_bytes(received[at + 4 : at + 8])):
            if self._is_end_of_answer(received, at, size):
                count += 1
            at += 8 + size
        del received[:at]
        return count

    @staticmethod
    def _is_end_of_answer(received: bytearray, at: int, size: int) -> bool:
        """Whether a chunk is a whole answer; answers here are smaller than a first chunk may be."""
        return int.from_bytes(received[at + 8 : at + 12]) + 10 == size


def requests(matching_each: int) -> list[bytes]:
    """Requests for containers as Kubernetes makes them; one of so many matches three rules (0: none, 1: all)."""
    found, pod = [], Pod(annotations={"example.com/team": "shop"})
    for number in range(IN_FLIGHT):
        matches = matching_each and number % matching_each == 0
        annotations = {f"kubernetes.io/annotation-{n}": "x" * 30 for n in range(8)} | (MATCHING if matches else {})
        mounts = tuple(Mount(destination=f"/data/{n}", source=f"/var/lib/kubelet/pods/x/volumes/{n}") for n in range(4))
        env = tuple(f"SERVICE_{n}_PORT=tcp://10.0.0.{n}:80" for n in range(20))
        container = PodContainer(id=f"{number:064}", annotations=annotations, env=env, mounts=mounts)
        found.append(call(PLUGIN_SERVICE, "CreateContainer", creation(pod, container)))
    return found


@contextmanager
def plugin(argv: Sequence[str], place: Path) -> Iterator[tuple[EngineLink, int]]:
    """The engine's end for a plugin that was started as *argv*, and its process id; FD stands for its descriptor."""
    ours, theirs = socket.socketpair()
    environment = {"NRI_PLUGIN_SOCKET": str(theirs.fileno()), "NRI_PLUGIN_NAME": "bench", "NRI_PLUGIN_IDX": "50"}
    words = [word.replace("FD", str(theirs.fileno())) for word in argv]
    with open(place / "said", "ab") as said:
        process = subprocess.Popen(words, env=environment, pass_fds=[theirs.fileno()], stderr=said)
    theirs.close()
    link = EngineLink(ours)
    try:
        link.register()
        link.configure()
        link.synchronize()
        yield link, process.pid
    finally:
        ours.close()
        process.wait(10)


def make_rules(place: Path) -> None:
    """Settings that name a hundred rules."""
    (place / "hooks.d").mkdir()
    (place / "config.toml").write_text(f'[ocihooks]\nhooks-dirs = ["{place}/hooks.d"]\n')
    for number in range(RULES):
        rule = {
            "version": "1.0.0",
            "hook": {"path": "/bin/true", "args": ["true", str(number)]},
            "when": {"annotations": {rf"^com\.example\.rule{number}$": "^yes$"}},
            "stages": ["createRuntime"],
        }
        (place / "hooks.d" / f"{number:03}.json").write_text(json.dumps(rule))


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    with open(f"/proc/{pid}/statm", "rb") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def show(row: Row) -> None:
    """Print a line of the table."""
    times = row.counted_s()
    median, p99 = statistics.median(times) * 1000, times[int(len(times) * 0.99)] * 1000
    verdict = ""
    if row.limited:
        verdict = f"{MEDIAN_MS:g}/{P99_MS:g} {'ok' if median <= MEDIAN_MS and p99 <= P99_MS else 'OVER'}"
    print(f"{row.label:58} {median:8.2f} {p99:8.2f} {verdict}".rstrip())


def show_memory(row: Row, pid: int, count: int) -> None:
    """Ask so many times, and print what memory has become of it."""
    for _ in range(count // 10 // IN_FLIGHT):
        row.burst()
    before = rss_mib(pid)
    for _ in range((count - count // 10) // IN_FLIGHT):
        row.burst()
    after = rss_mib(pid)
    fine = after <= RSS_MIB and after - before <= GROWTH_MIB
    label = f"nri: MiB after {count:,} requests, and more than after a tenth"
    print(f"{label:58} {after:8.1f} {after - before:8.1f} {RSS_MIB:g}/{GROWTH_MIB:g} {'ok' if fine else 'OVER'}")


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60, help="how many bursts each row takes (default 60)")
    parser.add_argument("--requests", type=int, default=100_000, help="how many for memory (default 100000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ocihooks-bench-", dir="/tmp") as directory:
        place = Path(directory)
        make_rules(place)
        program = os.path.join(sysconfig.get_path("scripts"), "ocihooks")
        ours = [program, "nri", "--settings", f"{place}/config.toml"]
        bare = [sys.executable, "-I", "-S", "-c", BARE, "FD"]
        with plugin(bare, place) as (nothing, _), plugin(ours, place) as (link, pid):
            rows = [
                Row(label="nri: a bare plugin that gives nothing", link=nothing, requests=requests(0)),
                Row(label="nri: 100 rules, none possible", link=link, requests=requests(0), limited=True),
                Row(label="nri: 100 rules, 1 of 10 matches 3", link=link, requests=requests(10), limited=True),
                Row(label="nri: 100 rules, each matches 3", link=link, requests=requests(1)),
            ]
            for number, row in enumerate(rows):
                row.stream = 1001 + number * 1_000_000
            for _ in range(options.rounds):
                for row in rows:
                    row.burst()
            print(f"{f'{IN_FLIGHT} requests in flight':58} {'median ms':>8} {'p99 ms':>7} limits")
            for row in rows:
                show(row)
            show_memory(rows[2], pid, options.requests)
    return 0


if __name__ == "__main__":
    sys.exit(main())
