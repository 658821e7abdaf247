"""`ocihooks doctor`: what is wrong with rules, wrappers and engines; Podman is the one engine here, and pretended."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from tests.cli.place import Finished, Place, Run

from ocihooks.cli.checks import engines as checks
from ocihooks.cli.inventory import look
from ocihooks.engines.known import ENGINES
from ocihooks.install import discovery
from ocihooks.install.install import Request, install
from ocihooks.install.record import Record, record_file
from ocihooks.settings import read_settings
from ocihooks.testing.fake import write_fake_runtime
from ocihooks.version import __version__


@pytest.fixture
def machine(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A machine with Podman, which reads the first of the hooks directories itself."""
    podman = place.write("bin/podman", '#!/bin/sh\necho "podman version 4.3.1"\n')
    podman.chmod(0o755)
    conf = place.write("containers.conf", '[engine]\nruntime = "real"\nhooks_dir = ["{DIR}/a"]\n')
    place.write("containers.conf.d/1.conf", f'[engine.runtimes]\nreal = ["{place.root}/runc"]\n')
    write_fake_runtime(place.root / "runc")
    monkeypatch.setenv("PATH", f"{place.root}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("CONTAINERS_CONF", str(conf))
    monkeypatch.setattr(discovery, "ENGINES", {"podman": ENGINES["podman"]})
    return place


@pytest.fixture(scope="module")
def installed(public_directory: Path) -> tuple[Record, dict[Path, tuple[int, bytes]]]:
    """The wrapper, installed once since that takes a moment, and the files that it consists of."""
    directory = public_directory / "doctor"
    directory.mkdir(mode=0o755)
    runtime = write_fake_runtime(directory / "runc").path
    record = install(Request(prefix=str(directory / "prefix"), runtime=str(runtime), launcher=False))
    files = [path for path in (directory / "prefix").rglob("*") if path.is_file()]
    return record, {path: (path.stat().st_mode, path.read_bytes()) for path in files}


@pytest.fixture
def wrapper(machine: Place, installed: tuple[Record, dict[Path, tuple[int, bytes]]]) -> Record:
    """The installed wrapper as good as new, with settings and cache of the place."""
    record, files = installed
    for path, (mode, data) in files.items():
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        path.chmod(mode)
    return change_record(record, settings=str(machine.settings), cache_dir=str(machine.root / "cache"))


def change_record(record: Record, **members: Any) -> Record:
    """Have the record of an installation say something else."""
    document = record.to_json() | members
    Path(record_file(prefix_of(record), record.name)).write_text(json.dumps(document))
    return replace(record, **members)


def prefix_of(record: Record) -> str:
    """Below which the wrapper is installed."""
    return os.path.dirname(os.path.dirname(record.script))


@pytest.fixture
def doctor(request: pytest.FixtureRequest, machine: Place, ocihooks: Run) -> Run:
    """Run the command; wrappers are looked for where the test has one."""
    prefix = "{DIR}/prefix"
    if "wrapper" in request.fixturenames:
        prefix = prefix_of(request.getfixturevalue("wrapper"))
    return partial(ocihooks, "doctor", "--prefix", prefix, "--state-dir", "{DIR}/state")


def findings(finished: Finished) -> list[tuple[str, str, str]]:
    """Severity, code and message of all findings in a JSON document; each has a remedy."""
    document = finished.json()
    assert all(finding["hint"] for finding in document["findings"]), document["findings"]
    return [(finding["severity"], finding["code"], finding["message"]) for finding in document["findings"]]


def test_all_is_well(machine: Place, wrapper: Record, doctor: Run) -> None:
    """Engines, wrappers and masked rules are shown; where nothing is wrong the status is 0."""
    machine.rule("a/1.json")
    machine.rule("a/2.json")
    machine.write("b/2.json", "")
    finished = doctor()
    lines = [" ".join(line.split()) for line in finished.stdout.splitlines()]  # columns are as wide as {DIR} is
    assert lines == [
        "engine version starts the wrapper reads itself",
        "podman 4.3.1 no {DIR}/a",
        "",
        "wrapper program runtime version",
        f"{wrapper.script} ocihooks-runtime {wrapper.runtime} {__version__}",
        "",
        "rule masks",
        "{DIR}/b/2.json {DIR}/a/2.json",
        "",
        "4 files: no problems",
    ]
    assert (finished.status, finished.stderr) == (0, "")


def test_everything_at_once(machine: Place, wrapper: Record, ocihooks: Run, doctor: Run) -> None:
    """Findings of all kinds come in one go, the kill switch first, each with its remedy; the status is 1."""
    machine.rule("a/1.json", stages=["prestart"])
    machine.rule("b/2.json", path="/no/such")
    assert ocihooks("disable", "SETTINGS").status == 0
    os.utime(machine.root / "etc/disabled", (1767323045, 1767323045))
    Path(wrapper.script).unlink()
    finished = doctor()
    assert finished.status == 1
    text = finished.stdout.split("\n\n")[-1].replace(prefix_of(wrapper), "PREFIX").replace(wrapper.runtime, "RUNC")
    assert text == dedent("""\
        ocihooks: {DIR}/etc/disabled: hooks are switched off since 2026-01-02T03:04:05Z, all containers start without them
        hint: switch them on again with ocihooks enable --settings {DIR}/etc/config.toml
        ocihooks: warning: {DIR}/a/1.json: /stages/0: prestart is deprecated; it is handed on as createRuntime
        hint: write "createRuntime"
        ocihooks: {DIR}/b/2.json: /hook/path: program "/no/such": it does not exist
        hint: install the program, or mask the rule with an empty file of its name in a later directory
        ocihooks: PREFIX/bin/ocihooks-runtime: the installed wrapper is not there
        hint: ocihooks install --prefix PREFIX --runtime RUNC --settings {DIR}/etc/config.toml --cache-dir {DIR}/cache
        ocihooks: warning: {DIR}/b: podman does not read these rules itself, only those in {DIR}/a
        hint: ocihooks configure podman --default, or name the directory in {DIR}/containers.conf
        3 files: 3 errors, 2 warnings
        """)  # noqa: E501 - findings are long lines


def _file(record: Record, ending: str) -> Path:
    return next(Path(file) for file in record.files if file.endswith(ending))


def _write_script(record: Record) -> None:
    with open(record.script, "a") as stream:
        stream.write("# changed\n")


def _link_script(record: Record) -> None:
    Path(record.script).unlink()
    Path(record.script).symlink_to(record.runtime)


def _damage_cache(record: Record) -> None:
    for file in Path(record.cache_dir).iterdir():
        file.write_bytes(file.read_bytes()[:-1] + b"?")


WRAPPERS: dict[str, tuple[Callable[[Record], object], str, str, str]] = {
    "outdated": (
        lambda record: change_record(record, version="0.0.9"),
        "warning",
        "wrapper_outdated",
        f"was installed by ocihooks 0.0.9, the package is {__version__}",
    ),
    "no-interpreter": (
        lambda record: change_record(record, python="/no/python"),
        "error",
        "wrapper_interpreter",
        'its interpreter "/no/python" is not there',
    ),
    "odd-interpreter": (
        lambda record: change_record(record, python="/bin/false"),
        "error",
        "wrapper_interpreter",
        "its interpreter does not run: /bin/false: ended with status 1",
    ),
    "other-interpreter": (
        lambda record: _file(record, ".call").write_bytes(b"\0\0\r\n"),
        "warning",
        "wrapper_outdated",
        "was compiled for another interpreter than {python}, so it is slower",
    ),
    "changed": (_write_script, "warning", "wrapper_changed", "is not as it was installed"),
    "link": (_link_script, "warning", "wrapper_changed", "is a link in place of the wrapper"),
    "no-image": (
        lambda record: _file(record, ".create").unlink(),
        "warning",
        "wrapper_missing",
        "belongs to an installed wrapper and is not there, so it is slower",
    ),
    "no-supervisor": (
        lambda record: _file(record, ".supervise").unlink(),
        "error",
        "wrapper_missing",
        "belongs to an installed wrapper and is not there",
    ),
    "no-runtime": (
        lambda record: change_record(record, runtime="/no/runc"),
        "error",
        "runtime_unavailable",
        'its runtime "/no/runc" is not there',
    ),
    "no-record": (
        lambda record: change_record(record, files=5),
        "error",
        "other",
        "is no record of an installation",
    ),
    "writable": (
        lambda record: Path(record.script).chmod(0o777),
        "error",
        "untrusted",
        "not used, since everybody may write it",
    ),
}
"""What may become of a wrapper: how to make it so, and the finding."""


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers(name: str, wrapper: Record, doctor: Run) -> None:
    """Whatever has become of an installed wrapper is one finding with a remedy, and decides about the status."""
    change, severity, code, message = WRAPPERS[name]
    change(wrapper)
    finished = doctor("--json")
    assert findings(finished) == [(severity, code, message.replace("{python}", wrapper.python))]
    assert finished.status == (1 if severity == "error" else 0)
    assert doctor("--strict").status == 1


def test_compiled_rules(machine: Place, wrapper: Record, ocihooks: Run, doctor: Run) -> None:
    """Compiled rules that are damaged are a finding, those whose sources changed are not."""
    cache = machine.root / "cache"
    machine.rule("a/1.json")
    for path in (
        machine.settings,
        machine.root / "a/1.json",
        machine.root / "a",
        machine.root / "b",
        machine.settings.parent,
    ):
        os.utime(path, (1767323045, 1767323045))
    assert findings(doctor("SETTINGS", "--json")) == []
    cache.mkdir(mode=0o700)
    file = cache / os.path.basename(ocihooks("cache", "show", "--prefix", prefix_of(wrapper), "--json").json()["file"])
    file.write_bytes(b"another version\n")
    file.chmod(0o600)
    (found,) = findings(doctor("--json"))
    assert found[:2] == ("warning", "compiled_rules")
    assert found[2].endswith("can't be used: written by another version or interpreter")


def test_handlers_that_lead_nowhere(machine: Place, ocihooks: Run, doctor: Run) -> None:
    """A handler whose program is gone, and one that is gone itself, are told with the way back."""
    words = ["--prefix", "{DIR}/prefix", "--state-dir", "{DIR}/state"]
    assert ocihooks("configure", "podman", *words, "--default").status == 0
    assert findings(doctor("SETTINGS", "--json")) == []
    Path(machine.root / "prefix/bin/ocihooks-runtime").unlink()
    assert [found[:2] for found in findings(doctor("SETTINGS", "--json"))] == [
        ("error", "dead_handler"),
        ("error", "wrapper_missing"),
    ]
    text = doctor("SETTINGS").stdout
    assert 'handler "ocihooks" of podman starts "{DIR}/prefix/bin/ocihooks-runtime", which is not there\n' in text
    assert "hint: ocihooks install, or ocihooks unconfigure podman --name ocihooks\n" in text
    machine.write("containers.conf", '[engine]\nhooks_dir = ["{DIR}/a"]\n')
    assert findings(doctor("SETTINGS", "--json"))[0] == (
        "warning",
        "lost_handler",
        'podman was configured with handler "ocihooks", which is not there any more',
    )


def test_foreign_handler(machine: Place, doctor: Run) -> None:
    """A handler of somebody else that leads nowhere is an error only as the default."""
    machine.write("containers.conf.d/2.conf", '[engine.runtimes]\nother = ["/no/such"]\n')
    message = 'handler "other" of podman starts "/no/such", which is not there'
    assert findings(doctor("SETTINGS", "--json")) == [("warning", "dead_handler", message)]
    machine.write("containers.conf.d/3.conf", '[engine]\nruntime = "other"\n')
    assert findings(doctor("SETTINGS", "--json")) == [("error", "dead_handler", message)]


def test_rules_in_nobodys_reach(machine: Place, doctor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules that no engine reads and no wrapper adds are told once."""
    monkeypatch.setattr(checks, "running", lambda: iter([(1, ("/sbin/init",))]))  # others may run a plugin here
    machine.write("containers.conf", '[engine]\nruntime = "real"\nhooks_dir = []\n')
    machine.rule("b/1.json")
    ((severity, code, message),) = findings(doctor("SETTINGS", "--json"))
    assert (severity, code) == ("warning", "unreached_rules")
    assert message.startswith("rules reach no container of podman: ")
    machine.write("containers.conf", '[engine]\nruntime = "real"\nhooks_dir = ["{DIR}/a", "{DIR}/b"]\n')
    assert findings(doctor("SETTINGS", "--json")) == []


def test_rules_in_reach_of_a_plugin(machine: Place, doctor: Run) -> None:
    """A running plugin of an engine gives containers their hooks, so rules are in reach."""
    machine.write("containers.conf", '[engine]\nruntime = "real"\nhooks_dir = []\n')
    machine.rule("b/1.json")
    words = [sys.executable, "-c", "import sys, time; print(flush=True); time.sleep(60)", "/opt/x/ocihooks", "nri"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as plugin:
        assert plugin.stdout is not None
        plugin.stdout.readline()
        assert findings(doctor("SETTINGS", "--json")) == []
        plugin.kill()


def test_rules_that_only_the_engine_reads(machine: Place, doctor: Run) -> None:
    """A broken rule in a directory that the engine reads, and no settings name, is found as well."""
    machine.write("containers.conf", '[engine]\nruntime = "real"\nhooks_dir = ["{DIR}/a", "{DIR}/b", "{DIR}/own"]\n')
    machine.rule("own/1.json", stages=["poststrat"])
    assert [found[:2] for found in findings(doctor("SETTINGS", "--json"))] == [("error", "unknown_stage")]


@pytest.mark.parametrize(("engine", "consequence"), [("buildah", "runs nothing"), ("crio", "does not start")])
def test_stage_that_an_engine_does_not_know(engine: str, consequence: str, machine: Place) -> None:
    """Engines that read a rule with a stage of the wrapper are told of, and the others are not."""
    filters = machine.rule("a/1.json", stages=["precreate"])
    machine.rule("a/2.json")
    machine.rule("b/3.json", stages=["precreate"])
    rules, _ = look(read_settings(str(machine.settings)))
    for name, expected in ((engine, [str(filters)]), ("podman", [])):
        reader = discovery.Discovered(
            name=name,
            program="/bin/true",
            version=(),
            has_daemon=False,
            running=(),
            file="/etc/x.conf",
            default="runc",
            native_hooks=True,
            hooks_dirs=(str(machine.root / "a"),),
        )
        told = [finding for finding in checks.reach_findings([reader], rules) if finding.code == "engine_stage"]
        assert [finding.file for finding in told] == expected
        assert all(f"itself, and {consequence}, since it does not know the stage" in one.message for one in told)


def test_engine_that_cannot_be_understood(machine: Place, doctor: Run) -> None:
    """What is wrong with an engine's configuration is a finding."""
    machine.write("containers.conf", "[engine\n")
    document = doctor("SETTINGS", "--json").json()
    assert [finding["code"] for finding in document["findings"]] == ["engine_syntax"]
    assert doctor("SETTINGS").status == 1


class TestStartContainer:
    """Programs of startContainer, which have to be in the container."""

    @pytest.fixture
    def image(self, machine: Place) -> Path:
        """A root file system with one program, a link to it, and a link out."""
        root = machine.root / "image"
        (root / "bin").mkdir(parents=True)
        machine.write("image/bin/setup", "").chmod(0o755)
        machine.write("image/bin/text", "")
        (root / "bin/link").symlink_to("/bin/setup")
        (root / "bin/out").symlink_to("../../../../../../bin/sh")
        return root

    @pytest.mark.parametrize(
        ("program", "reason"),
        [
            pytest.param("/bin/setup", None, id="there"),
            pytest.param("/bin/link", None, id="link-inside"),
            pytest.param("/bin/out", "it does not exist", id="link-out"),
            pytest.param("/bin/sh", "it does not exist", id="only-on-the-host"),
            pytest.param("/bin/setup/x", "not a directory", id="below-a-file"),
            pytest.param("/bin/text", "it is not executable", id="not-executable"),
            pytest.param("/bin", "it is no regular file", id="directory"),
        ],
    )
    def test_rootfs(self, program: str, reason: str | None, image: Path, machine: Place, doctor: Run) -> None:
        """A program is looked for inside the root file system, whatever links say."""
        machine.rule("a/1.json", path=program, stages=["startContainer"])
        found = findings(doctor("SETTINGS", "--json", "--rootfs", str(image)))
        message = f"startContainer program {json.dumps(program)} in {{DIR}}/image: {reason}"
        assert found == ([("error", "missing_in_container", message)] if reason else [])

    def test_bundle(self, image: Path, machine: Place, doctor: Run) -> None:
        """Of a bundle its own hooks count, and the rules that match it."""
        machine.rule("a/1.json", path="/bin/no", stages=["startContainer"], when={"commands": ["^/bin/sh$"]})
        machine.rule("a/2.json", path="/bin/never", stages=["startContainer"], when={"commands": ["^/x$"]})
        bundle = machine.bundle(args=["/bin/sh"], hooks={"startContainer": [{"path": "/bin/old"}]})
        config = bundle.config()
        bundle.config_path.write_text(json.dumps(config | {"root": {"path": str(image)}}))
        found = findings(doctor("SETTINGS", "--json", "--bundle", "bundle"))
        assert sorted(message.split()[2] for _, _, message in found) == ['"/bin/no"', '"/bin/old"']


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--bundle", "a"], "a is no bundle: it holds no config.json", id="no-bundle"),
        pytest.param(["--bundle", "rootless"], "names no root file system", id="bundle-without-root"),
        pytest.param(["--rootfs", "none"], '"none" is no root file system: it does not exist', id="no-rootfs"),
        pytest.param(["--rootfs", "etc/config.toml"], "is no root file system: not a directory", id="file"),
        pytest.param(["bundle"], "unexpected extra argument", id="argument"),
    ],
)
def test_bad_usage(words: list[str], message: str, machine: Place, doctor: Run) -> None:
    """What can't be meant is refused with status 2, one sentence and a hint."""
    hooks = {"startContainer": [{"path": "/x"}]}
    machine.write("rootless/config.json", json.dumps({"ociVersion": "1.0.2", "hooks": hooks}))
    finished = doctor("SETTINGS", *words)
    assert (finished.status, finished.stdout) == (2, "")
    first, second = finished.stderr.splitlines()
    assert message in first
    assert second.startswith("hint: ")


def test_nothing_is_changed(machine: Place, wrapper: Record, doctor: Run) -> None:
    """Looking changes no file."""
    machine.rule("a/1.json")

    def seen() -> dict[Path, tuple[int, int, bytes]]:
        files = [path for path in machine.root.rglob("*") if stat.S_ISREG(path.lstat().st_mode)]
        return {path: (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = seen()
    assert doctor().status == 0
    assert seen() == before
