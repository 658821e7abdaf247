"""What `configure` and `unconfigure` refuse: with file, place, reason and remedy, and nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.engine_places import EnginePlace, make_place

from ocihooks.engines.errors import EngineError
from ocihooks.errors import OCIHooksError, UnavailableError, UsageError
from ocihooks.install.configure import configure
from ocihooks.install.unconfigure import unconfigure


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnginePlace:
    """An empty machine."""
    return make_place(tmp_path, monkeypatch)


CRI = 'plugins."io.containerd.grpc.v1.cri".containerd'

FILES = [
    pytest.param("docker", {"daemon.json": "{"}, {}, "daemon.json: line 1 column 2: not JSON", id="docker-syntax"),
    pytest.param("docker", {"daemon.json": "[]"}, {}, "expected an object, found an array", id="docker-array"),
    pytest.param(
        "docker",
        {"daemon.json": '{"runtimes": []}'},
        {},
        "/runtimes: expected a table, found an array",
        id="docker-list",
    ),
    pytest.param(
        "docker",
        {"daemon.json": '{"Runtimes": {}}'},
        {},
        '/Runtimes: found "Runtimes", expected "runtimes"',
        id="letters",
    ),
    pytest.param(
        "docker",
        {"daemon.json": '{"default-runtime": "gone"}'},
        {},
        'there is no handler "gone"',
        id="docker-default-missing",
    ),
    pytest.param(
        "docker",
        {"daemon.json": '{"runtimes": {"ocihooks": {"path": "/x"}}}'},
        {},
        'there is a handler "ocihooks" already, which ocihooks did not write',
        id="docker-taken",
    ),
    pytest.param(
        "docker",
        {"daemon.json": '{"runtimes": {"k": {"runtimeType": "io.containerd.kata.v2"}}}'},
        {"base": "k"},
        'it is run by the shim "io.containerd.kata.v2"',
        id="docker-shim",
    ),
    pytest.param(
        "docker",
        {"daemon.json": '{"runtimes": {"g": {"path": "{DIR}/bin/runsc"}}}'},
        {"base": "g"},
        "runsc does not run all stages of hooks",
        id="docker-gvisor",
    ),
    pytest.param(
        "docker",
        {"daemon.json": '{"runtimes": {"a": {"path": "{DIR}/bin/crun", "runtimeArgs": ["--debug"]}}}'},
        {"base": "a"},
        "it has runtimeArgs, which the wrapper could not hand on",
        id="docker-arguments",
    ),
    pytest.param(
        "docker",
        {"daemon.json": '{"runtimes": {"a": {"path": "/no/such"}}}'},
        {"base": "a"},
        "its program is missing",
        id="docker-missing-program",
    ),
    pytest.param("containerd", {"config.toml": "version = \n"}, {}, "not TOML: invalid value", id="containerd-syntax"),
    pytest.param("containerd", {"config.toml": "version = 5\n"}, {}, "unknown version 5", id="containerd-version-5"),
    pytest.param("containerd", {"config.toml": "version = true\n"}, {}, "unknown version true", id="version-true"),
    pytest.param(
        "containerd",
        {"config.toml": "version = 3\n"},
        {},
        "containerd 1.7.2 does not know version 3",
        id="containerd-too-old",
    ),
    pytest.param(
        "containerd",
        {
            "config.toml": 'version = 2\nimports = ["more.toml"]\n',
            "more.toml": f"version = 2\n[{CRI}]\nsnapshotter = 'native'\n",
        },
        {},
        "more.toml, which is imported, replaces all settings of the CRI plugin",
        id="containerd-import",
    ),
    pytest.param(
        "containerd",
        {"config.toml": f"version = 2\n[{CRI}.runtimes.runc]\nruntime_type = 'io.containerd.kata.v2'\n"},
        {},
        'it is run by the shim "io.containerd.kata.v2"',
        id="containerd-kata",
    ),
    pytest.param(
        "containerd",
        {"config.toml": "version = 2\nplugins = { x = 1 }\n"},
        {},
        "since it is written as an inline table",
        id="containerd-inline",
    ),
    pytest.param(
        "containerd",
        {"own.tmpl": "x"},
        {"file": "own.tmpl"},
        "expected a file named config.toml.tmpl",
        id="template-name",
    ),
    pytest.param("crio", {"crio.conf": "crio = 1\n"}, {}, "expected a table, found an integer", id="crio-type"),
    pytest.param(
        "crio",
        {"crio.conf.d/1": "[crio.runtime.runtimes.k]\nruntime_type = 'vm'\nruntime_path = '{DIR}/bin/crun'\n"},
        {"base": "k"},
        'its runtime_type is "vm"',
        id="crio-vm",
    ),
    pytest.param(
        "podman",
        {"containers.conf": "[engine.runtimes]\nx = 1\n"},
        {},
        "expected an array of strings",
        id="podman-type",
    ),
]


@pytest.mark.parametrize(("engine", "files", "options", "message"), FILES)
def test_files(engine: str, files: dict[str, str], options: dict[str, Any], message: str, place: EnginePlace) -> None:
    """A configuration that can't be understood, or not be changed safely, is left alone and the reason told."""
    for file, text in files.items():
        place.write(file, text)
    place.version("containerd", "1.7.2")
    before = place.files()
    if "file" in options:
        options = options | {"file": str(place.etc / options["file"])}
    with pytest.raises(EngineError) as caught:
        configure(place.target(engine, **options))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{place.etc}/")
    assert caught.value.hint is not None
    assert place.files() == before
    assert place.litter() == []


WORDS = [
    pytest.param("docker", {"name": "runc"}, '--name "runc" is reserved by Docker', id="docker-runc"),
    pytest.param("docker", {"name": "io.containerd.x"}, "is reserved by Docker", id="docker-shim"),
    pytest.param("docker", {"name": ""}, '--name "" is no name for a handler', id="empty"),
    pytest.param("docker", {"name": "a/b"}, "is no name for a handler", id="slash"),
    pytest.param("containerd", {"name": "Upper"}, "is no name for a handler", id="containerd-upper"),
    pytest.param("podman", {"name": "crun"}, "is reserved by Podman", id="podman-crun"),
    pytest.param("docker", {"file": "daemon.json"}, '--config "daemon.json": expected an absolute path', id="config"),
    pytest.param("docker", {"program": "wrapper"}, '--path "wrapper": expected an absolute path', id="path"),
    pytest.param("docker", {"drop_in": True}, "--drop-in: Docker reads no configuration but", id="docker-drop-in"),
    pytest.param("containerd", {"drop_in": True}, "--drop-in: containerd 1.7.2 replaces", id="containerd-drop-in"),
    pytest.param("crio", {"annotations": ("x",)}, "--annotations: CRI-O hands on all", id="crio-annotations"),
]


@pytest.mark.parametrize(("engine", "options", "message"), WORDS)
def test_words(engine: str, options: dict[str, Any], message: str, place: EnginePlace) -> None:
    """Names, paths and options that can't be used are wrong usage."""
    place.version("containerd", "1.7.2")
    with pytest.raises(UsageError) as caught:
        configure(place.target(engine, **options))
    assert message in str(caught.value)
    assert place.files() == {}


@pytest.mark.parametrize("path", ["/no/such", "{DIR}/etc"])
def test_no_program(path: str, place: EnginePlace) -> None:
    """A wrapper that is not there is refused with the way to get it."""
    with pytest.raises(UnavailableError) as caught:
        configure(place.target("docker", program=path.replace("{DIR}", str(place.root))))
    assert caught.value.hint == "install the wrapper first: ocihooks install"


def test_no_engine(place: EnginePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is not on this machine is refused, unless its configuration is named."""
    from ocihooks.engines import programs

    monkeypatch.setenv("PATH", str(place.root / "nothing"))
    monkeypatch.setattr(programs, "_ALSO_IN", ())
    with pytest.raises(UnavailableError) as caught:
        configure(place.target("crio", file=None))
    assert str(caught.value) == "crio is not on this machine"
    assert caught.value.hint == "install it, or name its configuration with --config FILE"


@pytest.mark.parametrize(
    ("engine", "program", "version", "said"),
    [
        pytest.param("docker", "dockerd", "24.0.5", "dockerd would not start with it: unknown option", id="docker"),
        pytest.param("containerd", "containerd", "2.1.0", "containerd would not start with it: ", id="containerd"),
        pytest.param("crio", "crio", "1.30.0", "CRI-O would not start with it: ", id="crio"),
    ],
)
def test_engine_refuses(engine: str, program: str, version: str, said: str, place: EnginePlace) -> None:
    """What the engine's own check says is told, and nothing is written."""
    place.program(program, f'[ "$1" = --version ] && echo "v {version}" && exit; echo "unknown option" >&2; exit 1')
    with pytest.raises(EngineError) as caught:
        configure(place.target(engine))
    assert said in str(caught.value)
    assert caught.value.code == "engine_refuses"
    assert place.files() == {}
    assert place.litter() == []


def test_check_sees_the_result(place: EnginePlace) -> None:
    """The engine's own check gets the file as it is going to be, and is not asked where there is none."""
    place.write("daemon.json", '{"debug": true}\n')
    note = f'{{ echo "$1 $2"; cat "$3"; }} > {place.root}/seen'
    place.program("dockerd", f'[ "$1" = --version ] && echo "v 24.0.5" && exit; {note}')
    configure(place.target("docker"))
    seen = (place.root / "seen").read_text()
    assert seen == "--validate --config-file\n" + (place.etc / "daemon.json").read_text()
    unconfigure(place.target("docker"))
    (place.root / "seen").unlink()
    place.version("docker", "20.10.24")
    configure(place.target("docker"))
    assert not (place.root / "seen").exists()


def test_default_by_somebody_else(place: EnginePlace) -> None:
    """A handler that somebody else has made the default is not taken out, since the engine would not start."""
    file = place.write("daemon.json", "{}")
    configure(place.target("docker"))
    file.write_text(file.read_text().replace("{", '{"default-runtime": "ocihooks",', 1))
    with pytest.raises(EngineError) as caught:
        unconfigure(place.target("docker"))
    assert "is the default, which somebody else has made it" in str(caught.value)
    assert caught.value.hint == "make another one the default first, or the engine would not start"


def test_defaults_in_any_order(place: EnginePlace) -> None:
    """Of two handlers that were made the default one after the other, the first may go first."""
    file = place.write("daemon.json", '{\n  "default-runtime": "runc"\n}\n')
    first = place.target("docker", name="first", default=True)
    second = place.target("docker", name="second", default=True, base="runc")
    configure(first)
    configure(second)
    unconfigure(first)
    assert '"default-runtime": "second"' in file.read_text()
    unconfigure(second)
    assert file.read_text() == '{\n  "default-runtime": "runc"\n}\n'


def test_foreign_handler_stays(place: EnginePlace) -> None:
    """A handler that was not written by us is not taken out."""
    place.write("daemon.json", '{"runtimes": {"ocihooks": {"path": "/x"}}}')
    before = place.files()
    with pytest.raises(EngineError, match="was not written by ocihooks"):
        unconfigure(place.target("docker"))
    assert place.files() == before


def test_nothing_to_undo(place: EnginePlace) -> None:
    """A handler that is not there need not be taken out."""
    assert unconfigure(place.target("docker")).record is None
    assert place.files() == {}


def test_damaged_record(place: EnginePlace) -> None:
    """A record that can't be read is told, with what to do."""
    configure(place.target("docker"))
    (record,) = (place.root / "state/engines").iterdir()
    record.write_text("{")
    with pytest.raises(OCIHooksError) as caught:
        unconfigure(place.target("docker"))
    assert str(caught.value) == f"{record}: is no record of a change"
    assert "by hand" in str(caught.value.hint)


def test_lost_backup(place: EnginePlace) -> None:
    """Without the copy of the former file, what is ours is taken out, and nothing else."""
    file = place.write("daemon.json", '{\n  "debug": true\n}\n')
    configure(place.target("docker"))
    (backup,) = (place.root / "state/backups").iterdir()
    assert (backup.stat().st_mode & 0o777, backup.read_text()) == (0o600, '{\n  "debug": true\n}\n')
    backup.write_text("damaged")
    unconfigure(place.target("docker"))
    assert file.read_text() == '{\n  "debug": true\n}\n'
    assert place.litter() == []
