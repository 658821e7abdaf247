"""`ocihooks completion`: the script that a shell sources, and what it then completes."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from tests.cli.place import PROGRAM, Place, Run, environment

_ASK = """\
source <({program} completion bash)
function=$(complete -p ocihooks | sed -n 's/.*-F \\([^ ]*\\).*/\\1/p')
COMP_WORDS=({words} "{last}")
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
COMP_TYPE=9
$function "$(dirname {program})/ocihooks" 2>&1
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(words: str, last: str) -> list[str]:
    """What bash offers for the last word of a command line."""
    bash = shutil.which("bash")
    assert bash is not None
    text = _ASK.format(program=PROGRAM, words=words, last=last)
    finished = subprocess.run(
        [bash, "--norc", "-c", text], capture_output=True, text=True, check=True, env=environment(), timeout=60
    )
    assert finished.stderr == ""
    return finished.stdout.split()


@pytest.mark.parametrize(
    ("words", "last", "expected"),
    [
        pytest.param("ocihooks", "in", ["install", "inject", "injector"], id="commands"),
        pytest.param("ocihooks", "--v", ["--version"], id="options-of-the-program"),
        pytest.param("ocihooks install", "--ru", ["--runtime"], id="options"),
        pytest.param("ocihooks completion", "", ["bash", "zsh", "fish"], id="choices"),
        pytest.param("ocihooks nonsense", "x", [], id="nothing"),
    ],
)
def test_bash(words: str, last: str, expected: list[str]) -> None:
    """After sourcing the script bash completes commands, options and choices."""
    assert completed(words, last) == expected


def test_rule_names(place: Place) -> None:
    """The names of rules are completed from the directories that the command line names."""
    for name in ("10-a.json", "11-b.json", "20-c.json", "1.txt"):
        place.rule(f"a/{name}")
    words = f"ocihooks explain --settings {place.settings} --rule"
    assert completed(words, "1") == ["10-a.json", "11-b.json"]


def test_rule_names_with_broken_settings(place: Place) -> None:
    """Completion offers nothing, and says nothing, where settings are broken."""
    place.settings.write_text("[")
    assert completed(f"ocihooks explain --settings {place.settings} --rule", "1") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(shell: str, ocihooks: Run) -> None:
    """Each shell gets a script of its own that asks this program."""
    finished = ocihooks("completion", shell)
    assert (finished.status, finished.stderr) == (0, "")
    assert f"_OCIHOOKS_COMPLETE={shell}_complete" in finished.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "missing argument", id="no-shell"),
        pytest.param(["tcsh"], "'tcsh'", id="unknown-shell"),
        pytest.param(["bash", "zsh"], "unexpected extra argument", id="two-shells"),
    ],
)
def test_bad_usage(arguments: list[str], message: str, ocihooks: Run) -> None:
    """Anything but one known shell is refused."""
    finished = ocihooks("completion", *arguments)
    assert (finished.status, finished.stdout) == (2, "")
    assert message in finished.stderr
