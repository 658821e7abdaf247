"""The recorded cases of the rule format, replayed against the public API; and the adapter, which must not help them."""

from __future__ import annotations

import ast
import fnmatch
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ADAPTER = HERE / "adapter.py"
DIFFERENCES = HERE / "differences.txt"

EXPECTED = {
    # file: cases, of which differ on purpose
    "hooks_read": (574, 4),
    "hooks_manager": (467, 7),
    "hooks_match": (1297, 0),
    "regex": (794, 13),
    "run": (90, 7),
    "filter": (36, 4),
    "libcontainer_hooks": (251, 5),
}


def replay(*arguments: str | Path) -> list[str]:
    """The lines that replay.py prints; its exit status says no more than they do."""
    command = [sys.executable, HERE / "replay.py", ADAPTER, *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.stderr == ""
    return finished.stdout.splitlines()


def failed(lines: list[str]) -> list[str]:
    """The ids of the cases that do not agree and are not excused."""
    return [line.split()[1].rstrip(":") for line in lines if line.startswith("FAIL ")]


def cases() -> dict[str, tuple[Path, bool]]:
    """For each recorded case its file, and whether it carries a verdict of its own."""
    found = {}
    for path in sorted(HERE.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            found[case["id"]] = (path, "verdict" in case)
    return found


def differences() -> list[str]:
    """The ids and patterns of the project's own list."""
    lines = DIFFERENCES.read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("name", EXPECTED)
def test_recorded_cases(name: str) -> None:
    """Every recorded case of the file agrees, but for exactly those that differ on purpose."""
    lines = replay("--differences", DIFFERENCES, HERE / f"{name}.jsonl")
    count, differing = EXPECTED[name]
    assert failed(lines) == []
    assert lines[-2].split(None, 1) == [name, f"{count} cases, 0 failed, {differing} differ on purpose, 0 skipped"]
    assert lines[-1] == f"{count} cases, 0 failed"


@pytest.mark.parametrize("pattern", differences())
def test_difference_is_needed(pattern: str) -> None:
    """Each deliberate difference names recorded cases without a verdict that really differ."""
    recorded = cases()
    named = fnmatch.filter(recorded, pattern)
    assert named, f"no recorded case is called {pattern}"
    for case in named:
        path, has_verdict = recorded[case]
        assert not has_verdict, f"{case} may differ anyway"
        assert failed(replay("--only", case, path)) == [case]


def test_replay_notices_disagreement(tmp_path: Path) -> None:
    """A case that expects something else is counted as failed."""
    lines = (HERE / "hooks_match.jsonl").read_text(encoding="utf-8").splitlines()
    case = json.loads(lines[0])
    case["expect"] = {"match": not case["expect"]["match"]}
    (tmp_path / "wrong.jsonl").write_text(json.dumps(case))
    assert failed(replay(tmp_path / "wrong.jsonl")) == [case["id"]]


def test_adapter_is_thin() -> None:
    """The adapter stays below 150 lines."""
    assert len(ADAPTER.read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.parametrize("path", sorted(HERE.glob("adapter*.py")), ids=lambda path: path.name)
def test_adapter_knows_no_case(path: Path) -> None:
    """No text in the adapter is, or looks like, a part of a case's id."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = {str(node.value) for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    groups = {"/".join(case.split("/")[:2]) for case in cases()}
    names = "|".join(re.escape(group) for group in groups)
    assert [text for text in texts if re.search(f"({names})", text)] == []
    assert "{DIR}" not in texts
