"""The pages about the NRI plugin: what was seen where, the metrics, and the systemd unit."""

from __future__ import annotations

import ast
import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest
from tests.docs.markdown import PROJECT, tables

from ocihooks.cli.group import cli
from ocihooks.nri import link, plugin
from ocihooks.nri.metrics import Metrics

SEEN = tables(PROJECT / "docs/explanation/nri.md")["What was seen where"]

UNIT = PROJECT / "deploy/systemd/ocihooks-nri.service"


@pytest.mark.parametrize(("part", "test", "seen"), SEEN, ids=[row[0] for row in SEEN])
def test_seen(part: str, test: str, seen: str) -> None:
    """Each part has a test with our own engine; none was ever seen with another, which changes here when it is."""
    file, _, name = test.strip("`").partition("::")
    tree = ast.parse((PROJECT / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, part
    assert seen == "never"


def test_every_method_is_listed() -> None:
    """Every method that the plugin serves or calls is a part of the table."""
    source = "".join(Path(str(module.__file__)).read_text() for module in (link, plugin))
    methods = set(re.findall(r'"(Configure|Synchronize|Shutdown|CreateContainer|RegisterPlugin|\w+Container)"', source))
    listed = " ".join(row[0] for row in SEEN)
    assert methods == {"Configure", "Synchronize", "Shutdown", "CreateContainer", "RegisterPlugin"}
    assert [method for method in methods if method not in listed] == []


def test_metrics() -> None:
    """The how-to lists every metric, and no other."""
    listed = [row[0].strip("`") for row in tables(PROJECT / "docs/how-to/nri.md")["Watch it"]]
    assert listed == [line.split()[2] for line in Metrics().text().splitlines() if line.startswith("# TYPE")]


def test_unit() -> None:
    """The unit starts a command line that the program understands, and systemd finds nothing to complain about."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text())
    program, name, *words = shlex.split(unit["Service"]["ExecStart"])
    command = cli.get_command(click.Context(cli), name)
    assert program == "/opt/ocihooks/bin/ocihooks"
    assert command is not None
    assert command.make_context(name, words).params["address"] == "unix:/run/ocihooks-nri/metrics.sock"


def test_unit_is_confined(private_directory: Path) -> None:
    """systemd knows every directive of the unit, and counts it among those that are well confined."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    there = private_directory / UNIT.name
    text = UNIT.read_text().replace("/opt/ocihooks/bin/ocihooks", "/bin/true").replace("Documentation=", "#")
    there.write_text(text)
    verified = subprocess.run([analyze, "verify", str(there)], capture_output=True, text=True, check=False)
    assert [line for line in verified.stderr.splitlines() if UNIT.name in line] == []
    rated = subprocess.run(
        [analyze, "security", "--offline=true", str(there)], capture_output=True, text=True, check=False
    )
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", rated.stdout)
    assert level, rated.stderr
    assert float(level[1]) <= 2.0
