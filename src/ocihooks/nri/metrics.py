"""
What happened, counted for Prometheus.

Format: the text format 0.0.4 of Prometheus.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping

BUCKETS_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0)
"""Upper ends of the classes of times; the last is what engines wait at most, unless they are told otherwise."""


class Metrics:
    """
    The counts; every attribute may be changed by everybody.

    Attributes:
        containers: Requests for a new container.
        matched: Those for which a rule matched.
        rules: How often each rule matched, by its file name.
        errors: What went wrong, by the code of the diagnostic.
        connections: How often an engine accepted the plugin.
        connected: Whether one does now.
    """

    def __init__(self) -> None:
        self.containers = 0
        self.matched = 0
        self.rules: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.connections = 0
        self.connected = False
        self._seconds = 0.0
        self._classes = [0] * (len(BUCKETS_S) + 1)

    def answered(self, seconds: float) -> None:
        """Count a request for a new container that was answered after so many seconds."""
        self.containers += 1
        self._seconds += seconds
        self._classes[bisect_left(BUCKETS_S, seconds)] += 1

    def text(self) -> str:
        """All of them, as Prometheus reads it."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield from _metric("containers_total", "counter", "Requests for a new container.", {"": self.containers})
        yield from _metric("matched_total", "counter", "Containers that a rule matched.", {"": self.matched})
        yield from _metric(
            "rule_matches_total", "counter", "Containers that each rule matched.", _labelled("rule", self.rules)
        )
        yield from _metric("errors_total", "counter", "What went wrong, by code.", _labelled("code", self.errors))
        yield from _metric("connections_total", "counter", "Times that an engine accepted us.", {"": self.connections})
        yield from _metric("connected", "gauge", "1 while an engine asks us.", {"": int(self.connected)})
        yield from _metric("request_seconds", "histogram", "Time until a container was answered.", self._histogram())

    def _histogram(self) -> dict[str, float]:
        found: dict[str, float] = {}
        total = 0
        for end, count in zip((*map(repr, BUCKETS_S), "+Inf"), self._classes, strict=True):
            total += count
            found[f'_bucket{{le="{end}"}}'] = total
        return {**found, "_sum": round(self._seconds, 9), "_count": total}


def _metric(name: str, kind: str, meaning: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP ocihooks_nri_{name} {meaning}"
    yield f"# TYPE ocihooks_nri_{name} {kind}"
    yield from (f"ocihooks_nri_{name}{suffix} {value}" for suffix, value in values.items())


def _labelled(label: str, counts: Mapping[str, int]) -> dict[str, float]:
    return {f'{{{label}="{_escaped(name)}"}}': count for name, count in sorted(counts.items())}


def _escaped(text: str) -> str:
    """A label's value; a file name that is no UTF-8 is shown escaped."""
    shown = text.encode("utf-8", "backslashreplace").decode()
    return shown.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
