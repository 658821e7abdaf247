"""What authors of containers choose is shown as data: nothing of it moves a terminal's cursor or forges a line."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.cli.place import Place, Run

EVIL = "\x1b[31mX\nocihooks: forged\r\u202e\x07\x9b"

HARMFUL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]|^ocihooks: forged", re.MULTILINE)

HOOK = {"path": f"/{EVIL}", "args": [EVIL, EVIL], "env": [f"A={EVIL}"]}

CONTAINER: dict[str, Any] = {
    "args": [EVIL, EVIL],
    "annotations": {EVIL: EVIL, "a": EVIL, "io.kubernetes.cri.container-name": EVIL},
    "env": [f"{EVIL}=1", f"WITH={EVIL}"],
    "hostname": EVIL,
    "hooks": {"createRuntime": [HOOK], "startContainer": [HOOK]},
    "mounts": [{"destination": f"/{EVIL}", "source": f"/{EVIL}", "type": "bind", "options": ["bind"]}],
}

COMMANDS = (
    "explain {DIR}/bundle SETTINGS",
    "simulate {DIR}/bundle SETTINGS --dry-run",
    "simulate {DIR}/bundle --no-rules --stage createRuntime",
    "inject --bundle {DIR}/bundle SETTINGS --dry-run",
    "injector explain {DIR}/bundle SETTINGS",
    "check {DIR}/bundle",
)


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: line.replace("{DIR}/", "").replace(" SETTINGS", ""))
def test_hostile_container(line: str, place: Place, ocihooks: Run) -> None:
    """A container whose every text is hostile is described in plain lines."""
    place.configure('injector-dir = "{DIR}/injected"')
    place.write("injected/a.json", '{"activation_flag": "WITH", "binaries": ["/bin/true"]}')
    place.rule("a/a.json", when={"annotations": {"^a$": "X"}})
    place.rule("a/b.json", when={"commands": ["never"]})
    place.bundle(**CONTAINER)
    finished = ocihooks(*line.split())
    assert finished.stdout
    assert HARMFUL.findall(finished.stdout + finished.stderr) == []


def test_the_look_notices_it() -> None:
    """Control: the text itself is noticed, whole and in parts."""
    assert all(HARMFUL.search(text) for text in (EVIL, "\nocihooks: forged", "a\x1bb", "\u202e"))
