"""What `--help` teaches is true: examples run, JSON members exist, the reference pages are those of the tables."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from tests.cli.place import PROGRAM, Place, Run, environment

from ocihooks.cli import reference
from ocihooks.cli.command import Command
from ocihooks.cli.group import EXAMPLES, SUMMARIES, cli
from ocihooks.errors import UnavailableError
from ocihooks.testing.fake import write_fake_runtime
from ocihooks.version import __version__

DOCS = Path(__file__).parents[2] / "docs/reference"


def command_of(name: str) -> Command:
    """The command of this name."""
    command = cli.get_command(click.Context(cli), name)
    assert isinstance(command, Command)
    return command


def test_program(ocihooks: Run) -> None:
    """The program's help lists every command with its sentence, examples and exit statuses."""
    finished = ocihooks("--help")
    assert finished.status == 0
    for name, summary in SUMMARIES.items():
        assert f"  {name} " in finished.stdout
        assert summary.split()[0] in finished.stdout
    assert "\nExamples:\n" in finished.stdout
    assert "\nExit status:\n  0  done, or nothing found\n" in finished.stdout


def test_no_arguments(ocihooks: Run) -> None:
    """Without arguments the help goes to standard error, and the status is that of wrong usage."""
    finished = ocihooks()
    assert (finished.status, finished.stdout) == (2, "")
    assert finished.stderr == ocihooks("--help").stdout


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option: str, ocihooks: Run) -> None:
    """The version is one line."""
    assert ocihooks(option).stdout == f"ocihooks {__version__}\n"


@pytest.mark.parametrize("name", SUMMARIES)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_command(name: str, option: str, ocihooks: Run) -> None:
    """A command's help has the table's sentence, a paragraph, options, two to four examples and exit statuses."""
    command = command_of(name)
    finished = ocihooks(name, option)
    assert finished.status == 0
    assert (command.help or "").strip().startswith(f"{SUMMARIES[name]}\n")
    assert len((command.help or "").split("\n\n")) >= 2
    assert 2 <= len(command.examples) <= 4
    for example in command.examples:
        assert f"\n  # {example.meaning}\n  {example.line}\n" in finished.stdout
    assert list(command.statuses) == [0, 1, 2, 3]
    unwrapped = " ".join(finished.stdout.split())
    assert all(f"{status} {text}" in unwrapped for status, text in command.statuses.items())
    documented = {parameter.opts[-1]: getattr(parameter, "help", "") for parameter in command.params}
    assert all(text for option, text in documented.items() if option.startswith("-")), documented


@pytest.mark.parametrize(
    ("page", "lines"),
    [
        pytest.param("cli", reference.cli_page, id="cli"),
        pytest.param("diagnostics", reference.diagnostics_page, id="diag"),
    ],
)
def test_reference(page: str, lines: Any) -> None:
    """The committed page is what the tables give."""
    how = f"python -m ocihooks.cli.reference {page} > docs/reference/{page}.md"
    assert (DOCS / f"{page}.md").read_text() == "\n".join(lines()) + "\n", f"run: {how}"


def test_reference_program(capsys: pytest.CaptureFixture[str]) -> None:
    """The module prints one page, and tells how to call it otherwise."""
    assert reference.main(["diagnostics"]) == 0
    assert capsys.readouterr().out == "\n".join(reference.diagnostics_page()) + "\n"
    assert reference.main([]) == 2
    assert capsys.readouterr().err == "usage: python -m ocihooks.cli.reference cli|diagnostics\n"


def paths_of(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all members in a JSON document, items of arrays as []."""
    if isinstance(value, dict):
        for name, item in value.items():
            inner = f"{path}.{name}" if path else name
            yield inner
            yield from paths_of(item, inner)
    elif isinstance(value, list):
        for item in value:
            yield from paths_of(item, f"{path}[]")


_FREE = (
    "container.annotations",
    "stages[].state",
    "rules[].when",
    "rules[].hook",
    "adds",
    "removes",
    "static[].stages",
)
"""Members whose own members are somebody else's."""


@pytest.mark.parametrize(
    "name", [name for name in SUMMARIES if name not in ("completion", "manifest", "nri", "schema", "verify")]
)
def test_json_members(name: str, place: Place, ocihooks: Run) -> None:
    """Every member that a JSON document has is documented, and every documented one is there."""
    runtime = write_fake_runtime(place.root / "runc").path
    place.configure('on-invalid = "warn"\non-failure = "warn"\nstatic-hooks = ["{DIR}/static.json"]')
    place.write("static.json", "{")
    prefix = ["--prefix", "{DIR}/prefix"]
    install = ["install", *prefix, "--runtime", str(runtime), "--no-launcher"]
    handler = ["--config", "{DIR}/daemon.json", "--state-dir", "{DIR}/state"]
    configure = ["configure", "docker", *handler, "--path", str(runtime)]
    calls: dict[str, list[list[str]]] = {
        "engines": [["engines", "--state-dir", "{DIR}/state", "--json"]],
        "configure": [[*configure, "--json"]],
        "unconfigure": [configure, ["unconfigure", "docker", *handler, "--json"]],
        "install": [[*install, "--dry-run", "--json"]],
        "uninstall": [install, ["uninstall", *prefix, "--json"]],
        "disable": [["disable", "SETTINGS", "--json"]],
        "enable": [["enable", "SETTINGS", "--json"], ["disable", "SETTINGS", "--json"]],
        "list": [["disable", "SETTINGS"], ["list", "SETTINGS", "--json"]],
        "check": [["check", "SETTINGS", "--json"]],
        "doctor": [install, ["doctor", "SETTINGS", *prefix, "--state-dir", "{DIR}/state", "--json"]],
        "explain": [["disable", "SETTINGS"], ["explain", "SETTINGS", "--annotation", "a=b", "--json"]],
        "simulate": [["simulate", "SETTINGS", "bundle", "--dry-run", "--json"]],
        "new": [["new", "audit", "--dry-run", "--json"]],
        "inject": [["inject", "SETTINGS", "-b", "bundle", "--json"], ["disable", "SETTINGS"]],
        "injector": [["disable", "SETTINGS"], ["injector", "explain", "SETTINGS", "bundle", "--json"]],
        "cache": [install, ["cache", "show", *prefix, "--json"]],
        "logs": [["logs", "SETTINGS", "--json"]],
        "stats": [["stats", "SETTINGS", "--json"]],
    }
    place.rule("a/1.json", stages=["precreate", "poststop"], path="/bin/cat")
    place.rule("a/2.json", timeout=0)
    place.write("a/3.json", "{")
    place.bundle()
    if name == "injector":
        place.configure('on-invalid = "warn"\ninjector-dir = "{DIR}/injectors"')
        place.write("injectors/1.json", '{"activation_flag": "PATH", "binaries": "/none/x", "env": ["A=1"]}')
    if name in ("inject", "simulate"):
        place.configure('on-invalid = "warn"')
    if name in ("logs", "stats"):
        ocihooks(*install, "--settings", "{DIR}/etc/config.toml")
        make_records(place)
    calls["inject"].append(["inject", "SETTINGS", "-b", "bundle", "--json"])
    found: set[str] = set()
    for call in calls[name]:
        finished = ocihooks(*call)
        if "--json" in call:
            found |= set(paths_of(finished.json()))
    found = {path for path in found if not path.startswith(tuple(f"{free}." for free in _FREE))}
    found = {path for path in found if not path.startswith(tuple(f"{free}[]." for free in _FREE))}
    documented = set(command_of(name).json_members)
    assert found <= documented
    rare = ("live.", "masked[].", "users[].", "filters[].", "refused[].", "engines[].problem.")
    assert {path for path in documented - found if not path.startswith(rare)} == set()


def make_records(place: Place) -> None:
    """Create a container through the installed wrapper, with one supervised hook and an injector file."""
    settings = 'supervise = "on"\nrecords = "{DIR}/records.jsonl"\ninjector-dir = "{DIR}/injectors"'
    place.configure(settings, hooks_dirs=("c",))
    place.write("injectors/1.json", '{"activation_flag": "PATH", "env": ["A=1"]}')
    place.rule("c/1.json")
    create = [f"{place.root}/prefix/bin/ocihooks-runtime", "create", "--bundle", f"{place.root}/bundle", "c1"]
    subprocess.run(create, check=True, env=environment(), stdin=subprocess.DEVNULL)


def test_startup() -> None:
    """The program's help imports no command, no rules and nothing heavy."""
    code = "import sys; from ocihooks.cli.run import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    finished = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    modules = finished.stderr.split()
    assert sorted(module for module in modules if module.partition(".")[0] == "ocihooks") == [
        "ocihooks",
        "ocihooks.cli",
        "ocihooks.cli.command",
        "ocihooks.cli.group",
        "ocihooks.cli.output",
        "ocihooks.cli.run",
        "ocihooks.errors",
        "ocihooks.quoting",
        "ocihooks.version",
    ]
    assert not {"re2", "rich", "watchfiles", "tomllib", "subprocess", "compileall"} & set(modules)


def test_piped_list_needs_no_rich(place: Place) -> None:
    """Tables that go into a pipe are made without rich."""
    place.rule("a/1.json")
    words = ["list", "--settings", str(place.settings)]
    code = f"import sys; from ocihooks.cli.run import run; run({words}); print('rich' in sys.modules)"
    finished = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.splitlines()[-1] == "False"


INSTALLED = ["install", "cache", "uninstall"]
NOT_ALONE = [*INSTALLED, "nri"]


class TestExamples:
    """Every example of every command, typed as it stands, as root, on a copy of this machine's directories."""

    @pytest.fixture
    def machine(self, place: Place, unavailable: Any) -> Path:
        """A script that runs its arguments on a machine of the test: /etc, /run, /usr/local and others are overlays."""
        program = place.write("machine", _MACHINE.format(directory=shlex.quote(str(place.root))))
        program.chmod(0o755)
        programs = place.root / "programs"
        programs.mkdir()
        write_fake_runtime(programs / "runc")
        (programs / "ocihooks").symlink_to(PROGRAM)
        done = subprocess.run(["unshare", "-m", str(program), "true"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            unavailable(UnavailableError(f"no private machine for examples: {done.stderr.strip()}"))
        work = place.root / "work"
        gpu = {"hasBindMounts": True, "always": True}
        for directory in ("work/hooks.d", "upper/etc/containers/oci/hooks.d"):
            place.rule(f"{directory}/10-gpu.json", when=gpu)
            place.rule(f"{directory}/20-python.json", when={"annotations": {"^com[.]example[.]gpu$": "^yes$"}})
            place.rule(f"{directory}/30-all.json", stages=["poststop"])
        place.rule("work/10-gpu.json")
        place.write("work/config.toml", "[ocihooks]\n")
        (work / "rootfs").mkdir()
        place.bundle("upper/run/bundles/web", annotations={"com.example.gpu": "yes"})
        (place.root / "upper/usr/local/share/bash-completion/completions").mkdir(parents=True)
        for path in [place.root / "upper", *(place.root / "upper").rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)
        return work.parent / "machine"

    @pytest.mark.parametrize(
        "names", [[""], INSTALLED, *([name] for name in SUMMARIES if name not in NOT_ALONE)], ids="-".join
    )
    def test_run(self, names: list[str], machine: Path, place: Place) -> None:
        """Examples end with status 0; those about installed wrappers come behind those of install.

        Those of nri wait for an engine; tests/integration/test_nri_command.py has one for them.
        """
        lines = [example.line for name in names for example in (command_of(name).examples if name else EXAMPLES)]
        if any("| jq" in line for line in lines) and shutil.which("jq") is None:
            pytest.skip("jq is not installed")
        (place.root / "lines").write_text("\n".join(lines) + "\n")
        path = f"{place.root}/programs:{os.environ['PATH']}"
        done = subprocess.run(
            ["unshare", "-m", str(machine)],
            capture_output=True,
            text=True,
            check=False,
            env=environment() | {"PATH": path},
            stdin=subprocess.DEVNULL,
        )
        answers = [line.partition(" ") for line in (place.root / "answers").read_text().splitlines()]
        found = [(line, int(status)) for status, _, line in answers]
        assert found == [(line, EXPECTED.get(line, 0)) for line in lines], done.stdout + done.stderr


EXPECTED = {
    "ocihooks manifest check web.json rootfs": 1,
    "ocihooks injector explain /run/bundles/web": 1,
    "ocihooks cache show": 1,
    "ocihooks doctor --strict --json": 1,
    "ocihooks explain --engine docker web": 3,
    "ocihooks logs --last-failure": 1,
    "ocihooks logs --failed --stage createRuntime": 1,
    "ocihooks logs --container 3f2a --json": 1,
    "ocihooks stats": 1,
    "ocihooks stats --json | jq -r '.hooks[] | select(.failures > 0) | .rule'": 1,
    "ocihooks configure docker --name gpu-hooks --base nvidia": 1,
    "ocihooks verify docker": 1,
    "ocihooks verify containerd --name gpu-hooks --address /run/containerd/containerd.sock": 1,
}
"""
Statuses that are not 0: on the machine of the examples no container has been created, so nothing is compiled or
recorded, no engine runs or is configured, Podman does not
read all rules, and nobody has a key.
"""

_MACHINE = """\
#!/bin/bash
# Runs the lines of the file "lines" in shells of their own, and writes their statuses to "answers".
set -e
D={directory}
for place in etc run usr/local opt var/lib; do
  mkdir -p $D/upper/$place $D/scratch/$place
  mount -t overlay overlay -o lowerdir=/$place,upperdir=$D/upper/$place,workdir=$D/scratch/$place /$place
done
[ "$1" != true ] || exit 0
cd $D/work
set +e
while read -r line; do
  bash -o pipefail -c "$line"
  printf '%s %s\\n' $? "$line" >> $D/answers
done < $D/lines
"""


def test_help_is_not_cut_in_pipes(ocihooks: Run) -> None:
    """Help is plain text of moderate width."""
    with contextlib.redirect_stdout(io.StringIO()):
        text = ocihooks("install", "--help").stdout
    assert "\x1b" not in text
    assert all(len(line) <= 120 for line in text.splitlines())
