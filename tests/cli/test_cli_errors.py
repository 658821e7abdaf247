"""What goes wrong is told in sentences, with the right exit status and never with a traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.cli.place import PROGRAM, Finished, Place, Run, environment

from ocihooks.cli import run as program
from ocihooks.cli.output import write
from ocihooks.testing.fake import write_fake_runtime

NOBODY = 65534


@pytest.mark.parametrize(
    ("words", "first", "hint"),
    [
        pytest.param(["instal"], 'no such command "instal"; did you mean "install"?', "ocihooks --help", id="typo"),
        pytest.param(["zzz"], 'no such command "zzz"', "ocihooks --help", id="unknown-command"),
        pytest.param(["--zzz"], "no such option", "ocihooks --help", id="unknown-option"),
        pytest.param(["list", "--jsn"], "no such option", "ocihooks list --help", id="unknown-option-of-a-command"),
    ],
)
def test_usage(words: list[str], first: str, hint: str, ocihooks: Run) -> None:
    """Wrong usage is one sentence and the command that helps, with status 2."""
    finished = ocihooks(*words)
    assert (finished.status, finished.stdout) == (2, "")
    lines = finished.stderr.splitlines()
    assert lines[0].startswith(f"ocihooks: {first}")
    assert lines[1:] == [f'hint: run "{hint}"']


def test_internal_error(monkeypatch: pytest.MonkeyPatch, ocihooks: Run) -> None:
    """A fault of our own is one sentence that names its place, and a way to see more."""

    def broken(*arguments: object, **options: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("ocihooks.cli.check.check_machine", broken)
    finished = ocihooks("check", "SETTINGS")
    assert (finished.status, finished.stdout) == (3, "")
    sentence, hint = finished.stderr.splitlines()
    assert sentence.startswith("ocihooks: internal error at test_cli_errors.py:")
    assert sentence.endswith(": KeyError: 'x'")
    assert hint == "hint: run it again with OCIHOOKS_TRACEBACK=1 and report what it prints"
    monkeypatch.setenv("OCIHOOKS_TRACEBACK", "1")
    with pytest.raises(KeyError):
        program.run(["check"])


def test_system_error(place: Place, monkeypatch: pytest.MonkeyPatch, ocihooks: Run) -> None:
    """What the system refuses names the file and the reason."""

    def refused(*arguments: object, **options: object) -> None:
        open(place.root / "none/x").close()

    monkeypatch.setattr("ocihooks.cli.check.check_machine", refused)
    finished = ocihooks("check", "SETTINGS")
    assert (finished.status, finished.stdout) == (3, "")
    assert finished.stderr == "ocihooks: {DIR}/none/x: can't be used: it does not exist\n"


def test_interrupted_early(monkeypatch: pytest.MonkeyPatch, ocihooks: Run) -> None:
    """Ctrl-C is status 130, whenever it comes."""

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ocihooks.cli.check.check_machine", interrupted)
    assert ocihooks("check", "SETTINGS").status == 130


@pytest.mark.parametrize("words", [["list"], ["list", "--json"], ["check"]])
def test_nobody_reads(words: list[str], place: Place) -> None:
    """When the reader of a pipe goes away, nothing is said, and the status is that of the work."""
    for number in range(600):
        place.rule(f"a/{number:03}.json", when={"commands": ["x" * 200]})
    command = [PROGRAM, *words, "--settings", str(place.settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


def test_help_into_a_closed_pipe() -> None:
    """That holds for help, too."""
    bash = shutil.which("bash")
    assert bash is not None
    line = f"{PROGRAM} --help | true"
    finished = subprocess.run([bash, "-c", line], capture_output=True, check=True, env=environment(), timeout=60)
    assert finished.stderr == b""


@pytest.mark.parametrize("words", [["list"], ["--help"]], ids=" ".join)
def test_full_disk(place: Place, words: list[str]) -> None:
    """Output that can't be written is an error, not a success, and no fault of ours."""
    place.rule("a/1.json")
    own = ["--settings", str(place.settings)] if words == ["list"] else []
    with open("/dev/full", "w") as full:
        finished = subprocess.run(
            [PROGRAM, *words, *own],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment(),
        )
    assert (finished.returncode, finished.stderr) == (3, "ocihooks: output can't be written: no space left on device\n")


def test_narrow_character_set(place: Place) -> None:
    """Where the character set lacks a letter, it is shown escaped."""
    place.rule("a/1-\u20ac.json")
    words = [PROGRAM, "list", "--settings", str(place.settings)]
    finished = subprocess.run(words, capture_output=True, check=True, env=environment(PYTHONIOENCODING="latin-1"))
    assert b"1-\\u20ac.json" in finished.stdout


def test_write_after_the_reader_left(capfd: pytest.CaptureFixture[str]) -> None:
    """Further output is dropped silently once a write has failed."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    saved = os.dup(1)
    os.dup2(write_end, 1)
    try:
        write("one")
        write("two")
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(write_end)
    assert capfd.readouterr().err == ""


_AS_NOBODY = """\
import os, sys, sysconfig
from ocihooks.cli import check, disable, enable, explain, inject, install, run, uninstall
from ocihooks.wrapper import filters
run.run(["check", "--settings", sys.argv[1]])
sysconfig.get_config_vars()
sys.stdout.flush()
print("---", flush=True)
os.setgroups([]); os.setresgid({id}, {id}, {id}); os.setresuid({id}, {id}, {id})
sys.exit(run.run(sys.argv[2:]))
""".replace("{id}", str(NOBODY))


@pytest.fixture
def as_nobody(private_directory: Path) -> Run:
    """Run a command line as a user without privileges; {DIR} is a directory that everybody can reach."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    place = Place(root=private_directory)
    place.configure()

    def call(*words: str) -> Finished:
        arguments = [word.replace("{DIR}", str(private_directory)) for word in words]
        finished = subprocess.run(
            [sys.executable, "-c", _AS_NOBODY, str(place.settings), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )
        stdout = finished.stdout.partition("---\n")[2]
        return Finished(status=finished.returncode, stdout=place.named(stdout), stderr=place.named(finished.stderr))

    return call


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            ["install", "--prefix", "{DIR}/x", "--runtime", "{DIR}/runc", "--python", "/bin/sh"], id="install"
        ),
        pytest.param(["uninstall", "--prefix", "{DIR}/installed"], id="uninstall"),
        pytest.param(["disable", "--settings", "{DIR}/etc/config.toml"], id="disable"),
        pytest.param(["enable", "--settings", "{DIR}/off/config.toml"], id="enable"),
        pytest.param(["inject", "--settings", "{DIR}/etc/config.toml", "-b", "{DIR}/bundle"], id="inject"),
        pytest.param(["explain", "--settings", "{DIR}/etc/config.toml", "{DIR}/bundle"], id="explain"),
        pytest.param(["check", "{DIR}/secret.json"], id="check"),
    ],
)
def test_no_permission(words: list[str], as_nobody: Run, private_directory: Path) -> None:
    """Where root is needed, others get status 3 and are told so."""
    place = Place(root=private_directory)
    runtime = write_fake_runtime(private_directory / "runc").path
    if "uninstall" in words:
        installed = ["--prefix", str(private_directory / "installed"), "--runtime", str(runtime), "--no-launcher"]
        assert program.run(["install", *installed]) == 0
    place.write("off/config.toml", "")
    place.write("off/disabled", "")
    place.write("secret.json", "{}").chmod(0o600)
    bundle = place.bundle()
    bundle.directory.chmod(0o755)
    bundle.config_path.chmod(0o600)
    finished = as_nobody(*words)
    assert (finished.status, finished.stdout) == (3, "")
    sentence, hint = finished.stderr.splitlines()
    assert "not allowed" in sentence
    assert "as root" in hint


def test_run_never_raises_usage_errors(ocihooks: Run) -> None:
    """Errors that click raises without a context are sentences, too."""
    with pytest.MonkeyPatch.context() as patch:

        def failing(*arguments: object, **options: object) -> None:
            raise click.ClickException("No luck.")

        patch.setattr("ocihooks.cli.check.check_machine", failing)
        finished = ocihooks("check", "SETTINGS")
    assert (finished.status, finished.stderr) == (1, 'ocihooks: no luck\nhint: run "ocihooks --help"\n')
