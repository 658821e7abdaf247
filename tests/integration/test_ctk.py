"""container-hooks-ctk as its users call it: what it refuses, what it undoes, and what it leaves alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ocihooks.dropins.ctk_config import default_text, write_settings
from ocihooks.dropins.ctk_engines import ENGINES, Wanted
from ocihooks.dropins.ctk_install import PROGRAMS, install_programs
from ocihooks.dropins.ctk_runtime import configure, unconfigure
from ocihooks.dropins.toolkit_settings import parse_toolkit_settings
from ocihooks.engines.records import Records
from ocihooks.errors import OCIHooksError

NAME = "container-hooks-ctk"
WANTED = Wanted(name="hooks", program="/opt/hooks", default=True)

CALL = "import os, sys; from ocihooks.dropins.ctk import main; os.seteuid(int(sys.argv.pop(1))); main()"
"""All is imported before: the interpreter may lie where only root can read."""


def call(*words: str, user: int = 0) -> subprocess.CompletedProcess[str]:
    """Call the program as *user*."""
    argv = [sys.executable, "-c", CALL, str(user), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def records(private_directory: Path) -> Records:
    """Where undo records are kept."""
    return Records(directory=str(private_directory / "state"))


REFUSED = {
    "no-such-command": (("walk",), "unknown command", "expected one of runtime, config, install"),
    "no-such-option": (("--walk",), "unknown option", f"{NAME} --help"),
    "switch-with-a-word": (("--quiet=perhaps", "config"), "expected true or false", "leave that out"),
    "no-such-runtime-command": (("runtime", "walk"), "unknown command", "configure, unconfigure"),
    "engine": (("runtime", "configure", "--runtime=podman"), "docker, containerd, crio", "ocihooks configure"),
    "relative-path": (("runtime", "configure", "--path", "runtime"), "expected an absolute path", "from the root"),
    "reserved-name": (("runtime", "configure", "--name=runc"), "keeps this name", "another name"),
    "no-value": (("runtime", "configure", "--config-file"), "expected a value", "usual file"),
    "word-behind": (("runtime", "configure", "docker"), 'unexpected argument "docker"', "--help"),
    "unconfigure-engine": (("runtime", "unconfigure", "--runtime="), '--runtime ""', "ocihooks configure"),
    "unconfigure-name": (("runtime", "unconfigure", "--name="), "expected a name", "leave it out"),
    "unconfigure-option": (("runtime", "unconfigure", "--path=/x"), "unknown option", "unconfigure --help"),
    "config-option": (("config", "--get=a"), "unknown option", "config --help"),
    "config-no-value": (("config", "--set"), "expected a value", "TABLE.KEY=VALUE"),
    "install-nothing": (("install",), "expected a directory", "the three programs"),
    "install-option": (("install", "--prefix=/x"), "unknown option", "install --help"),
}


@pytest.mark.parametrize(("words", "message", "hint"), REFUSED.values(), ids=REFUSED)
def test_refused_words(words: tuple[str, ...], message: str, hint: str) -> None:
    """A command line that can't be meant ends with one sentence, a hint and status 2."""
    done = call(*words)
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first.startswith(f"{NAME}: ")
    assert message in first
    assert second.startswith("hint: ")
    assert hint in second


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (
            ("runtime", "configure", "--config-file=/etc/ocihooks-no-such/daemon.json"),
            "/etc/ocihooks-no-such/daemon.json",
        ),
        (("runtime", "unconfigure", "--runtime=crio"), "/etc/crio/crio.conf"),
        (("config", "--set", "broken"), "/etc/container-hooks/config.toml"),
        (("install", "--toolkit-root=/nowhere"), "/usr/bin/container-hooks-ctk"),
    ],
    ids=["configure", "unconfigure", "config", "install"],
)
def test_others_than_root(words: tuple[str, ...], place: str) -> None:
    """Who may not write a system place is told so before anything else."""
    done = call(*words, user=65534)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"{NAME}: {place}: writing it needs root\nhint: run it as root\n"


BROKEN = {
    "docker-syntax": ("docker", '{"runtimes": {},}', "line 1 column 17: not JSON"),
    "docker-type": ("docker", '{"runtimes": [1]}', "/runtimes: expected an object, found an array"),
    "docker-entry": ("docker", '{"runtimes": {"hooks": 1}}', "expected a table"),
    "containerd-syntax": ("containerd", "version = \n", "not TOML"),
    "containerd-version": ("containerd", 'version = "2"\n', 'version: found version "2", expected one of 1, 2, 3, 4'),
    "containerd-no-version": ("containerd", "[plugins.'io.containerd.cri.v1.runtime']\n", "has plugins of version 2"),
    "crio-syntax": ("crio", "[crio\n", "not TOML"),
    "crio-type": ("crio", 'crio = "x"\n', "crio: expected a table"),
    "crio-inline": ("crio", "crio = {runtime = {}}\n", "can't be changed without rewriting it"),
}


@pytest.mark.parametrize(("name", "text", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_files(name: str, text: str, message: str, private_directory: Path, records: Records) -> None:
    """A file that can't be understood or extended stays as it is, and the message tells the place."""
    file = private_directory / "file"
    file.write_text(text)
    with pytest.raises(OCIHooksError) as caught:
        configure(ENGINES[name], WANTED, str(file), records)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    assert caught.value.hint
    assert file.read_text() == text
    assert list(Path(records.directory).rglob("*.json")) == []


FILES = {
    "docker": '{\n\t"default-runtime": "nvidia",\n\t"runtimes": {"nvidia": {"path": "/n"}}\n}',
    "containerd": (
        '\ufeffversion = 3 # c\n["plugins".\'io.containerd.cri.v1.runtime\'.containerd]\ndefault_runtime_name = "k"\n'
    ),
    "crio": "# keep\n[crio.runtime]\n  default_runtime = 'crun' # mine\n",
}


@pytest.mark.parametrize("changed", [False, True], ids=["untouched", "changed-meanwhile"])
@pytest.mark.parametrize("name", FILES)
def test_there_and_back(name: str, changed: bool, private_directory: Path, records: Records) -> None:
    """Undone, the file is as before byte for byte, with the former default; what others added meanwhile stays."""
    engine, file = ENGINES[name], private_directory / "file"
    file.write_text(FILES[name])
    configure(engine, WANTED, str(file), records)
    written = file.read_text()
    assert "/opt/hooks" in written
    assert configure(engine, WANTED, str(file), records).change.is_any is False
    if changed:
        file.write_text(added(name, written))
    unconfigure(engine, "hooks", str(file), records)
    expected = added(name, FILES[name]).removeprefix("\ufeff") if changed else FILES[name]
    assert file.read_text() == expected
    assert unconfigure(engine, "hooks", str(file), records).change.is_any is False
    assert list(Path(records.directory).rglob("*")) == [Path(records.directory) / "engines.lock"]


def added(name: str, text: str) -> str:
    """*text* with a further setting of somebody else."""
    return text.replace("{", '{"debug": true,', 1) if name == "docker" else f"{text}\n[debug]\nlevel = 1\n"


@pytest.mark.parametrize("name", ENGINES)
def test_no_file_before(name: str, private_directory: Path, records: Records) -> None:
    """A file that was made, with its directory, goes again."""
    file = private_directory / "etc/engine/file"
    configure(ENGINES[name], WANTED, str(file), records)
    assert file.exists()
    unconfigure(ENGINES[name], "hooks", str(file), records)
    assert not (private_directory / "etc").exists()


def test_two_handlers(private_directory: Path, records: Records) -> None:
    """When the first of two defaults goes, the second one no longer leads back to it."""
    file = private_directory / "daemon.json"
    file.write_text("{}\n")
    for name in ("a", "b"):
        configure(ENGINES["docker"], Wanted(name=name, program="/opt/hooks", default=True), str(file), records)
    unconfigure(ENGINES["docker"], "a", str(file), records)
    assert json.loads(file.read_text())["default-runtime"] == "b"
    unconfigure(ENGINES["docker"], "b", str(file), records)
    assert json.loads(file.read_text()) == {}


def test_replaced_file(private_directory: Path, records: Records) -> None:
    """Where somebody put another file in its place, nothing of the old one returns."""
    file = private_directory / "daemon.json"
    file.write_text('{"old": 1}')
    configure(ENGINES["docker"], WANTED, str(file), records)
    file.write_text('{"new": 1}')
    assert unconfigure(ENGINES["docker"], "hooks", str(file), records).change.is_any is False
    assert file.read_text() == '{"new": 1}'
    assert records.all() == ()


def test_crio_drop_ins(private_directory: Path, records: Records) -> None:
    """A drop-in that CRI-O reads later, and that says otherwise, is told about."""
    drop_in = private_directory / "crio.conf.d/10-crun.conf"
    drop_in.parent.mkdir()
    drop_in.write_text('[crio.runtime]\ndefault_runtime = "crun"\n')
    (warning,) = configure(ENGINES["crio"], WANTED, str(private_directory / "crio.conf"), records).warnings
    assert warning.startswith(f'{drop_in}: crio.runtime.default_runtime: is "crun"')


SETTINGS = """\
# mine
[container-hooks]
path = "/h"  # hooks

[container-hooks-runtime]
runtimes = ["crun"]
log-level = "info"
[other]
n = 1
on = true
x = 1.5
"""


def test_settings(private_directory: Path) -> None:
    """Single keys are set with the type that they have, and all else stays as it is written."""
    file = private_directory / "etc/config.toml"
    write_settings((), str(file))
    assert file.read_text() == default_text()
    assert parse_toolkit_settings(file.read_bytes(), "x") == parse_toolkit_settings(b"", "x")
    file.write_text(SETTINGS)
    assert write_settings((), str(file)).is_any is False
    words = ("container-hooks.path=/a,b=c,container-hooks-runtime.runtimes=runc,crun", "other.n=2", "other.on=false")
    write_settings((*words, "other.x=2"), str(file))
    expected = SETTINGS.replace('"/h"', '"/a,b=c"').replace('["crun"]', '["runc", "crun"]')
    assert file.read_text() == expected.replace("n = 1", "n = 2", 1).replace("true", "false").replace("1.5", "2.0")
    file.write_text("# nothing yet\n")
    write_settings(("container-hooks-runtime.log-level=debug",), str(file))
    assert file.read_text().startswith("# nothing yet\n\n[container-hooks]\n")
    assert tomllib.loads(file.read_text())["container-hooks-runtime"]["log-level"] == "debug"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("container-hooks.path", "expected TABLE.KEY=VALUE"),
        ("=x", "expected TABLE.KEY=VALUE"),
        ("container-hooks.nope=1", "there is no such key"),
        ("other=1", "expected TABLE.KEY=VALUE"),
        ("container-hooks-runtime.log-level=loud", "expected a level"),
        ("other.n=two", 'found "two"'),
        ("other.on=yes", 'expected true or false, found "yes"'),
        ("container-hooks.path=/a\nb", "can't be shown"),
    ],
)
def test_refused_settings(setting: str, message: str, private_directory: Path) -> None:
    """A setting that can't be meant is refused, and the file stays."""
    file = private_directory / "config.toml"
    file.write_text(SETTINGS)
    with pytest.raises(OCIHooksError) as caught:
        write_settings(("container-hooks.path=/other", setting), str(file))
    assert message in caught.value.message
    assert caught.value.hint
    assert file.read_text() == SETTINGS


def programs(directory: Path, text: str, names: tuple[str, ...] = PROGRAMS) -> Path:
    """A directory with programs."""
    directory.mkdir()
    for name in names:
        (directory / name).write_text(f"{text} {name}")
        (directory / name).chmod(0o777)
    return directory


def test_install(private_directory: Path) -> None:
    """The programs are copied, writable by their owner only; links are replaced, and doing it from there is nothing."""
    source, target = programs(private_directory / "new", "new"), programs(private_directory / "bin", "old")
    victim = private_directory / "victim"
    victim.write_text("keep")
    (target / "container-hooks").unlink()
    (target / "container-hooks").symlink_to(victim)
    assert len(install_programs(str(source), str(target))) == 3
    assert {path.name: path.read_text() for path in target.iterdir()} == {name: f"new {name}" for name in PROGRAMS}
    assert {path.lstat().st_mode for path in target.iterdir()} == {0o100755}
    assert victim.read_text() == "keep"
    assert install_programs(str(target), str(target)) == ()


@pytest.mark.parametrize("missing", PROGRAMS)
def test_install_in_part(missing: str, private_directory: Path) -> None:
    """Where one of the programs is missing none is replaced, and nothing is left beside them."""
    names = tuple(name for name in PROGRAMS if name != missing)
    source, target = programs(private_directory / "new", "new", names), programs(private_directory / "bin", "old")
    with pytest.raises(OCIHooksError, match="can't be read") as caught:
        install_programs(str(source), str(target))
    assert caught.value.file == str(source / missing)
    assert {path.name: path.read_text() for path in target.iterdir()} == {name: f"old {name}" for name in PROGRAMS}


def test_help_and_version() -> None:
    """Help is told for every command, in both forms, and the version behind its name."""
    assert call("help", "runtime", "configure").stdout == call("runtime", "configure", "-h").stdout != ""
    assert call().stdout == call("--help").stdout == call("help").stdout != ""
    assert call("runtime").stdout == call("runtime", "--help").stdout != ""
    assert call("--version").stdout.startswith(f"{NAME} ")
