"""`ocihooks completion`: the script that a shell sources, and what it then completes."""

from __future__ import annotations

import shutil
import subprocess
import tempfile

import pytest
from tests.cli.place import PROGRAM, Place, Run, environment

_BASH = """\
source <({program} completion bash)
function=$(complete -p ocihooks | sed -n 's/.*-F \\([^ ]*\\).*/\\1/p')
COMP_WORDS=({words} "{last}")
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
COMP_TYPE=9
$function "$(dirname {program})/ocihooks" 2>&1
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

# The two that hand candidates to the line editor, which is there on a terminal only, print them instead.
_ZSH = """\
autoload -Uz compinit && compinit -D -u
source <({program} completion zsh)
compadd() {{ shift 4; print -l -- ${{(P)1}}; }}
_describe() {{ print -l -- ${{${{(P)3}}%%:*}}; }}
words=({words} "{last}") CURRENT=$#words
${{_comps[ocihooks]}}
"""

_FISH = """\
{program} completion fish | source
complete --do-complete "{words} {last}" | string replace --regex '\\t.*' ''
"""

SHELLS = {"bash": (["--norc"], _BASH), "zsh": (["-f"], _ZSH), "fish": (["--no-config"], _FISH)}
"""How each shell starts without the files of its user, and asks itself."""


def completed(words: str, last: str, shell: str = "bash") -> list[str]:
    """What a shell offers for the last word of a command line."""
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    options, script = SHELLS[shell]
    text = script.format(program=PROGRAM, words=words, last=last)
    with tempfile.TemporaryDirectory() as home:  # where fish makes directories
        own = environment(HOME=home, XDG_DATA_HOME=home, XDG_CONFIG_HOME=home, XDG_CACHE_HOME=home)
        command = [path, *options, "-c", text]
        finished = subprocess.run(command, capture_output=True, text=True, check=False, env=own, timeout=60)
    assert finished.stderr == ""
    return finished.stdout.split()


@pytest.mark.parametrize("shell", SHELLS)
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
def test_offers(words: str, last: str, expected: list[str], shell: str) -> None:
    """After sourcing the script a shell completes commands, options and choices; fish sorts them."""
    assert completed(words, last, shell) == (sorted(expected) if shell == "fish" else expected)


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


@pytest.mark.parametrize("shell", SHELLS)
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
