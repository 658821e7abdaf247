"""Filters in the wrapper: their order, their time, and what is told when one fails."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_wrapper_create import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place without rules and settings."""
    return Place(tmp_path)


def add_filter(place: Place, name: str, script: str, **members: Any) -> None:
    """A rule called *name* whose filter is a shell script."""
    program = place.directory / f"filter-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    place.rule(f"{name}.json", hook={"path": str(program), **members}, stages=["precreate"])


def test_order(place: Place) -> None:
    """Filters run in the order of their rules, each over what the one before it has made."""
    add_filter(place, "b", """sed 's/"added":"a"/"added":"ab"/'""")
    add_filter(place, "a", """tr -d '\\n' | sed 's/}$/,"added":"a"}/'""")
    place.prepare()
    assert place.bundle.config()["added"] == "ab"


def test_surroundings(place: Place) -> None:
    """A filter finds its rule and its stage in its environment."""
    seen = place.directory / "seen"
    add_filter(place, "a", f'echo "$OCIHOOKS_RULE $OCIHOOKS_STAGE" > {seen}; cat')
    place.prepare()
    assert seen.read_text() == f"{place.hooks}/a.json precreate\n"


def test_own_timeout(place: Place) -> None:
    """A rule's own timeout counts, whatever the settings say."""
    place.write_settings("default-timeout = 5")
    add_filter(place, "a", "exec sleep 60", timeout=1)
    assert "did not end within 1 s" in place.refusal().message


def test_late_output(place: Place) -> None:
    """What a child of the filter still writes a moment after the filter's end is part of the configuration."""
    add_filter(place, "a", """new=$(tr -d '\\n' | sed 's/}$/,"added":1}/'); (sleep 0.1; printf %s "$new") & exit 0""")
    place.prepare()
    assert place.bundle.config()["added"] == 1


def test_process_that_stays(place: Place) -> None:
    """A process that a filter leaves behind with its output open does not keep the container waiting for its end."""
    left = place.directory / "left"
    add_filter(place, "a", f"""tr -d '\\n' | sed 's/}}$/,"added":1}}/'; sleep 60 & echo $! > {left}""")
    try:
        place.prepare()
    finally:
        os.kill(int(left.read_text()), signal.SIGKILL)  # which fails unless it is there
    assert place.bundle.config()["added"] == 1


@pytest.mark.parametrize(
    ("script", "code", "said", "hint"),
    [
        pytest.param(
            "echo oops >&2; exit 3",
            "exit_status",
            "oops",
            "run the filter by hand with the configuration on its standard input",
            id="failed",
        ),
        pytest.param(
            "echo no",
            "output_json_syntax",
            "its output is no configuration",
            "a filter has to write the whole configuration to standard output, and nothing else",
            id="text",
        ),
        pytest.param(
            "echo '{\"a\":1}'",
            "filter_output",
            "its output is no configuration: /ociVersion: expected a string, found none",
            "a filter has to write the whole configuration to standard output, and nothing else",
            id="part",
        ),
    ],
)
def test_failure(script: str, code: str, said: str, hint: str, place: Place) -> None:
    """A failure names stage, program and rule, says what was wrong, and how to go on."""
    add_filter(place, "a", script)
    error = place.refusal()
    assert error.message.startswith(f"precreate filter {place.directory}/filter-a: ")
    assert said in error.message
    assert (error.file, error.code, error.hint) == (str(place.hooks / "a.json"), code, hint)
