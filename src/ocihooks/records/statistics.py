"""What the hooks of each rule cost, from the records of their runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ocihooks.records.read import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """
    The supervised runs of one rule at one stage.

    Attributes:
        count: How many.
        failures: How many of them failed, tolerated failures included.
        p50_s: Half of the runs took at most as many seconds; p95_s: 95 of 100 did; max_s: all did.
    """

    rule: str
    stage: str
    count: int
    failures: int
    p50_s: float
    p95_s: float
    max_s: float

    def to_json(self) -> dict[str, Any]:
        """The statistics as a JSON object."""
        return asdict(self)


def statistics(records: Iterable[Record]) -> list[Statistics]:
    """Statistics for each rule and stage, by rule and stage."""
    runs: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record["kind"] == "run":
            runs.setdefault((str(record.get("rule")), str(record.get("stage"))), []).append(record)
    return [_of(rule, stage, found) for (rule, stage), found in sorted(runs.items())]


def _of(rule: str, stage: str, runs: list[Record]) -> Statistics:
    times = sorted(float(run.get("wall_s") or 0) for run in runs)
    return Statistics(
        rule=rule,
        stage=stage,
        count=len(runs),
        failures=sum(1 for run in runs if run.get("outcome") != "succeeded"),
        p50_s=percentile(times, 50),
        p95_s=percentile(times, 95),
        max_s=times[-1],
    )


def percentile(ascending: list[float], share: int) -> float:
    """The smallest of the values that at least *share* of 100 values do not exceed."""
    return ascending[max(-(-len(ascending) * share // 100), 1) - 1]
