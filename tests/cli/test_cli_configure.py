"""`ocihooks configure`, `unconfigure` and `engines`, with engines that are only pretended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from textwrap import dedent

import pytest
from tests.cli.place import Place, Run
from tests.unit.engine_places import EnginePlace, make_place

from ocihooks.engines import reloading
from ocihooks.engines.programs import daemons_with
from ocihooks.install.install import Request, install

HANDLER = ["--config", "{DIR}/etc/daemon.json", "--state-dir", "{DIR}/state", "--prefix", "{DIR}/prefix"]


@pytest.fixture
def engines(place: Place, monkeypatch: pytest.MonkeyPatch) -> EnginePlace:
    """Pretended engines in the place."""
    place.settings.unlink()
    place.settings.parent.rmdir()
    made = make_place(place.root, monkeypatch)
    made.version("docker", "20.10.24")
    return made


def daemon(engines: EnginePlace, program: str, *arguments: str, contained: bool = False) -> subprocess.Popen[bytes]:
    """A process that looks like the daemon of an engine, and notes its signals; *contained*: in a pid namespace."""
    note = engines.root / "signals"
    code = (
        "import signal, sys, time\n"
        f"signal.signal(signal.SIGHUP, lambda *_: open({str(note)!r}, 'a').write('HUP'))\n"
        "print('ready', flush=True); time.sleep(1000)"
    )
    start = f"import os, sys; os.execv(sys.executable, {[program, '-I', '-c', code, *arguments]!r})"
    command = [sys.executable, "-I", "-c", start]
    if contained:
        command = ["unshare", "--pid", "--fork", "--kill-child", *command]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process of `daemon`."""
    with process:
        process.send_signal(signal.SIGKILL)


def test_there_and_back(engines: EnginePlace, ocihooks: Run) -> None:
    """Configuring installs the wrapper and tells what to do next; undoing it leaves nothing."""
    file = engines.write("daemon.json", '{\n  "debug": true\n}\n')
    finished = ocihooks("configure", "docker", *HANDLER)
    assert (finished.status, finished.stderr) == (0, "")
    backup = next((engines.root / "state/backups").iterdir()).name
    options = "--config {DIR}/etc/daemon.json --state-dir {DIR}/state --prefix {DIR}/prefix"
    assert finished.stdout == dedent(f"""\
        configured docker
          handler  ocihooks
          program  {{DIR}}/prefix/bin/ocihooks-runtime (installed with it)
          base     runc ({{DIR}}/bin/runc)
          file     {{DIR}}/etc/daemon.json
          backup   {{DIR}}/state/backups/{backup}

        next
          take effect  kill -HUP $(pidof dockerd)
          try it       docker run --rm --runtime=ocihooks IMAGE
          prove it     ocihooks verify docker {options}
          undo         ocihooks unconfigure docker {options}
        """)
    assert (engines.root / "prefix/bin/ocihooks-runtime").exists()
    again = ocihooks("configure", "docker", *HANDLER)
    assert (again.status, again.stdout.splitlines()[0]) == (0, "docker is configured already, nothing to be done")
    refused = ocihooks("uninstall", "--prefix", "{DIR}/prefix", "--state-dir", "{DIR}/state")
    assert (refused.status, refused.stdout) == (1, "")
    assert refused.stderr == dedent("""\
        ocihooks: {DIR}/prefix/bin/ocihooks-runtime: is named by docker ({DIR}/etc/daemon.json)
        hint: take it out first: ocihooks unconfigure docker --name ocihooks --config {DIR}/etc/daemon.json
        """)
    undone = ocihooks("unconfigure", "docker", *HANDLER)
    assert (undone.status, undone.stderr) == (0, "")
    assert undone.stdout == dedent("""\
        took the wrapper out of docker
          handler      ocihooks
          file         {DIR}/etc/daemon.json
          uninstalled  {DIR}/prefix/bin/ocihooks-runtime
        """)
    assert file.read_text() == '{\n  "debug": true\n}\n'
    assert not (engines.root / "prefix").exists()
    nothing = ocihooks("unconfigure", "docker", *HANDLER)
    assert (nothing.status, nothing.stdout) == (0, "docker has no handler ocihooks, nothing to be done\n")


def test_podman_and_buildah(engines: EnginePlace, ocihooks: Run) -> None:
    """Both read the same files, and each has a drop-in of its own, which comes and goes without the other's."""
    for name in ("podman", "buildah"):
        engines.version(name, "4.3.1")
    words = ["--config", "{DIR}/etc/containers.conf", *HANDLER[2:], "--base", "runc"]
    drop_ins = [engines.etc / f"containers.conf.d/50-ocihooks-{name}.conf" for name in ("podman", "buildah")]
    assert ocihooks("configure", "podman", *words, "--default").status == 0
    assert ocihooks("unconfigure", "buildah", *words[:-2]).stdout.startswith("buildah has no handler ocihooks")
    second = ocihooks("configure", "buildah", *words, "--json").json()
    assert (second["base"], second["installed"]) == ("runc", False)
    written = tomllib.loads(engines.named(drop_ins[1].read_text()))
    assert written["engine"]["runtimes"] == {"ocihooks": [second["program"]]}
    assert "nothing to be done" in ocihooks("configure", "podman", *words, "--default").stdout
    for name, left in (("podman", drop_ins[1:]), ("buildah", [])):
        assert ocihooks("unconfigure", name, *words[:-2]).status == 0
        assert [path for path in drop_ins if path.exists()] == left
    assert not drop_ins[0].parent.exists()
    assert not (engines.root / "prefix").exists()


def test_one_file_of_podman_and_buildah(engines: EnginePlace, ocihooks: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the file that $CONTAINERS_CONF names one handler serves both, and the second engine is told so."""
    file = engines.write("only.conf", "[engine]\n")
    monkeypatch.setenv("CONTAINERS_CONF", str(file))
    for name in ("podman", "buildah"):
        engines.version(name, "4.3.1")
    assert ocihooks("configure", "podman", *HANDLER[2:], "--base", "runc").status == 0
    refused = ocihooks("configure", "buildah", *HANDLER[2:], "--base", "runc")
    assert refused.status == 1
    assert refused.stderr == dedent("""\
        ocihooks: {DIR}/etc/only.conf: there is a handler "ocihooks" already, which ocihooks wrote for podman
        hint: buildah reads the same file, so nothing is left to be done
        """)
    assert "nothing to be done" in ocihooks("unconfigure", "buildah", *HANDLER[2:]).stdout
    assert ocihooks("unconfigure", "podman", *HANDLER[2:]).status == 0
    assert file.read_text() == "[engine]\n"


def test_dry_run(engines: EnginePlace, ocihooks: Run) -> None:
    """--dry-run shows the change as a diff that patch understands, and writes nothing."""
    file = engines.write("daemon.json", "{}\n")
    finished = ocihooks("configure", "docker", *HANDLER, "--dry-run", "--default")
    assert finished.status == 0
    assert finished.stdout.startswith("would configure docker\n  handler  ocihooks (the default)\n")
    diff = finished.stdout[finished.stdout.index("--- ") :]
    assert diff == dedent("""\
        --- {DIR}/etc/daemon.json
        +++ {DIR}/etc/daemon.json
        @@ -1 +1,8 @@
        -{}
        +{
        +  "runtimes": {
        +    "ocihooks": {
        +      "path": "{DIR}/prefix/bin/ocihooks-runtime"
        +    }
        +  },
        +  "default-runtime": "ocihooks"
        +}
        """)
    assert (file.read_text(), (engines.root / "prefix").exists(), (engines.root / "state").exists()) == (
        "{}\n",
        False,
        False,
    )


def test_wrapper_that_is_there(engines: EnginePlace, ocihooks: Run) -> None:
    """An installed wrapper in front of the same runtime is used and stays; another runtime gets one of its own."""
    install(Request(prefix=str(engines.root / "prefix"), runtime=str(engines.root / "bin/crun"), launcher=False))
    engines.write("daemon.json", '{"runtimes": {"crun": {"path": "{DIR}/bin/crun"}}}')
    first = ocihooks("configure", "docker", *HANDLER, "--base", "crun", "--json").json()
    assert (first["program"], first["installed"]) == ("{DIR}/prefix/bin/ocihooks-runtime", False)
    second = ocihooks("configure", "docker", *HANDLER, "--name", "second", "--json").json()
    assert (second["program"], second["installed"]) == ("{DIR}/prefix/bin/ocihooks-runtime-runc", True)
    third = ocihooks("configure", "docker", *HANDLER, "--name", "third", "--base", "second", "--json").json()
    assert (third["program"], third["installed"]) == (second["program"], False)
    ocihooks("unconfigure", "docker", *HANDLER, "--name", "second")
    assert (engines.root / "prefix/bin/ocihooks-runtime-runc").exists()
    ocihooks("unconfigure", "docker", *HANDLER, "--name", "third")
    assert not (engines.root / "prefix/bin/ocihooks-runtime-runc").exists()
    ocihooks("unconfigure", "docker", *HANDLER)
    assert (engines.root / "prefix/bin/ocihooks-runtime").exists()


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        pytest.param(["docker", "--name", "runc"], 2, '--name "runc" is reserved by Docker', id="reserved"),
        pytest.param(["docker", "--base", "nvidia"], 1, 'there is no handler "nvidia"', id="no-base"),
        pytest.param(["docker", "--path", "/no/such"], 3, "/no/such: is no program", id="no-program"),
        pytest.param(["lxc"], 2, "'lxc' is not one of", id="unknown-engine"),
    ],
)
def test_refused(engines: EnginePlace, ocihooks: Run, words: list[str], status: int, message: str) -> None:
    """What can't be done ends with a sentence, a hint and the status for its kind."""
    finished = ocihooks("configure", *words, *HANDLER)
    assert (finished.status, finished.stdout) == (status, "")
    assert message in finished.stderr
    assert "\nhint: " in finished.stderr
    assert engines.files() == {}


class TestRunning:
    """While the daemon runs."""

    def test_reload(self, engines: EnginePlace, ocihooks: Run) -> None:
        """--reload tells dockerd to reload and waits until it knows the handler; the wrapper stays for it."""
        engines.program("docker", "echo '{\"ocihooks\": {}}'")
        process = daemon(engines, "dockerd", "--config-file", f"{engines.etc}/daemon.json")
        try:
            finished = ocihooks("configure", "docker", *HANDLER, "--reload")
            told = f"dockerd {process.pid} has read its configuration again\n"
            assert (finished.status, told in finished.stdout) == (0, True), finished
            undone = ocihooks("unconfigure", "docker", *HANDLER, "--reload")
            assert f"  restart  docker {process.pid}, which knows it until then\n" in undone.stdout
            assert "  then     ocihooks uninstall --prefix {DIR}/prefix --name ocihooks-runtime\n" in undone.stdout
            assert (engines.root / "prefix/bin/ocihooks-runtime").exists()
            assert engines.files() == {}
            until = time.monotonic() + 30
            while (engines.root / "signals").read_text() != "HUPHUP" and time.monotonic() < until:
                time.sleep(0.01)
        finally:
            end(process)
        assert (engines.root / "signals").read_text() == "HUPHUP"

    def test_default_that_goes(self, engines: EnginePlace, ocihooks: Run) -> None:
        """A dockerd that would keep the handler as its default finds its own one there, and then no file again."""
        file = engines.etc / "daemon.json"
        engines.program(
            "docker",
            f"""case "$*" in
              *DefaultRuntime*)
                cat {file} >> {engines.root}/seen 2> {os.devnull}
                grep -q '"default-runtime": "runc"' {engines.root}/seen && echo '"runc"' || echo '"ocihooks"' ;;
              *) echo '{{"ocihooks": {{}}}}' ;;
            esac""",
        )
        process = daemon(engines, "dockerd", "--config-file", str(file))
        try:
            assert ocihooks("configure", "docker", *HANDLER, "--default", "--reload").status == 0
            undone = ocihooks("unconfigure", "docker", *HANDLER, "--reload")
        finally:
            end(process)
        assert (undone.status, undone.stderr) == (0, "")
        assert json.loads((engines.root / "seen").read_text()) == {"default-runtime": "runc"}
        assert engines.files() == {}

    @pytest.mark.parametrize(
        ("saved", "status", "kept"),
        [
            pytest.param('{"default-runtime": "runc", "debug": true}', 0, '{"debug": true}', id="edited"),
            pytest.param('{"default-runtime": "crun"}', 0, '{"default-runtime": "crun"}', id="other-default"),
            pytest.param('{"default-runtime": "runc", ', 3, '{"default-runtime": "runc", ', id="broken"),
            pytest.param(None, 0, None, id="removed"),
        ],
    )
    def test_edited_while_the_default_goes(
        self, engines: EnginePlace, ocihooks: Run, saved: str | None, status: int, kept: str | None
    ) -> None:
        """What somebody saves while dockerd's own default stands in its file stays, and only that default goes."""
        file = engines.etc / "daemon.json"
        save = f"rm {file}" if saved is None else f"printf '%s' '{saved}' > {file}"
        engines.program(
            "docker",
            f"""case "$*" in
              *DefaultRuntime*)
                if [ -e {engines.root}/told ] || grep -qs default-runtime {file}
                then [ -e {engines.root}/told ] || {save}; : > {engines.root}/told; echo '"runc"'
                else echo '"ocihooks"'; fi ;;
              *) echo '{{"ocihooks": {{}}}}' ;;
            esac""",
        )
        assert ocihooks("configure", "docker", *HANDLER).status == 0
        process = daemon(engines, "dockerd", "--config-file", str(file))
        try:
            undone = ocihooks("unconfigure", "docker", *HANDLER, "--reload")
        finally:
            end(process)
        assert (undone.status, engines.files()) == (status, {} if kept is None else {"daemon.json": kept})
        left = (
            "{DIR}/etc/daemon.json: was changed by somebody else meanwhile and can't get its former text, so it stays"
        )
        assert (left in undone.stderr) is bool(status)

    @pytest.mark.parametrize("contained", [False, True])
    def test_daemon_of_a_container(self, engines: EnginePlace, contained: bool) -> None:
        """A daemon in another pid namespace is somebody else's, even if it names the same file."""
        file = f"{engines.etc}/daemon.json"
        process = daemon(engines, "dockerd", "--config-file", file, contained=contained)
        try:
            assert len(daemons_with("dockerd", ["--config-file"], "/none", file)) == (0 if contained else 1)
        finally:
            end(process)

    def test_rolled_back(self, engines: EnginePlace, ocihooks: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """If the engine does not take the new configuration, the former one is put back."""
        assert reloading.WAIT_S == 30
        monkeypatch.setattr(reloading, "WAIT_S", 0.1)
        engines.program("docker", "echo '{\"runc\": {}}'")
        engines.write("daemon.json", "{}\n")
        process = daemon(engines, "dockerd", f"--config-file={engines.etc}/daemon.json")
        try:
            finished = ocihooks("configure", "docker", *HANDLER, "--reload")
        finally:
            end(process)
        assert finished.status == 1
        assert finished.stderr == dedent("""\
            ocihooks: dockerd did not come up: "it does not work with the new configuration after 0.1 s"
            hint: the former configuration is back; look at the engine's own log
            """)
        assert engines.files() == {"daemon.json": "{}\n"}
        assert list((engines.root / "state").rglob("*.json")) == []

    @pytest.mark.parametrize(
        ("edit", "status", "kept"),
        [
            pytest.param('0,/{/s//{"debug": true, /', 1, '{"debug": true\n}\n', id="edited"),
            pytest.param("1s/^/oops /", 3, None, id="broken"),
        ],
    )
    def test_rolled_back_after_an_edit(
        self,
        engines: EnginePlace,
        ocihooks: Run,
        monkeypatch: pytest.MonkeyPatch,
        edit: str,
        status: int,
        kept: str | None,
    ) -> None:
        """What somebody saves until then stays; a file that can't be read is left alone, until it is mended."""
        monkeypatch.setattr(reloading, "WAIT_S", 0.1)
        file = engines.write("daemon.json", "{}\n")
        seen = engines.root / "seen"
        engines.program("docker", f"[ -e {seen} ] || {{ sed -i '{edit}' {file}; cp {file} {seen}; }}; echo '{{}}'")
        process = daemon(engines, "dockerd", f"--config-file={file}")
        try:
            finished = ocihooks("configure", "docker", *HANDLER, "--reload")
        finally:
            end(process)
        assert (finished.status, file.read_text()) == (status, kept or seen.read_text())
        left = (
            "the engine does not work with the new configuration, but the file was changed by somebody else meanwhile"
        )
        assert (left in finished.stderr) is (kept is None)
        if kept is None:
            file.write_text(file.read_text().removeprefix("oops "))
            assert ocihooks("unconfigure", "docker", *HANDLER).status == 0
            assert engines.files() == {"daemon.json": "{}\n"}
        assert list((engines.root / "state").rglob("*.json")) == []

    def test_restart(self, engines: EnginePlace, ocihooks: Run) -> None:
        """containerd is restarted by systemd."""
        engines.version("containerd", "1.7.2")
        engines.program("systemctl", f'echo "$@" >> {engines.root}/asked; [ "$1" = restart ] || echo active')
        words = ["containerd", "--config", "{DIR}/etc/config.toml", *HANDLER[2:]]
        finished = ocihooks("configure", *words, "--reload")
        assert (finished.status, "\ncontainerd was restarted\n" in finished.stdout) == (0, True), finished
        assert (engines.root / "asked").read_text() == "restart containerd\nis-active containerd\n"

    def test_restart_fails(self, engines: EnginePlace, ocihooks: Run) -> None:
        """If containerd does not come up, the former configuration is put back and it is started with that."""
        engines.version("containerd", "1.7.2")
        broken = f"grep -q ocihooks {engines.etc}/config.toml"
        engines.program("systemctl", f'{broken} && echo "no plugin" >&2 && exit 1; [ "$1" = restart ] || echo active')
        engines.write("config.toml", "version = 2\n")
        finished = ocihooks("configure", "containerd", "--config", "{DIR}/etc/config.toml", *HANDLER[2:], "--reload")
        assert finished.status == 1
        assert 'ocihooks: containerd did not come up: "no plugin"\n' in finished.stderr
        assert engines.files() == {"config.toml": "version = 2\n"}

    def test_containers(self, engines: EnginePlace, ocihooks: Run) -> None:
        """While running containers need the wrapper, it stays; --force leaves a link to the runtime in its place."""
        words = ["podman", "--config", "{DIR}/etc/containers.conf", *HANDLER[2:]]
        assert ocihooks("configure", *words, "--base", "runc").status == 0
        program = f"{engines.root}/prefix/bin/ocihooks-runtime"
        sleeper = engines.root / "sleeper.py"
        sleeper.write_text("import time; time.sleep(1000)")
        conmon = subprocess.Popen(
            ["conmon", "-I", str(sleeper), "--cid", "0123456789abcdef", "-r", program],
            executable=sys.executable,
        )
        with conmon:
            try:
                wait_for(lambda: b"conmon" in Path(f"/proc/{conmon.pid}/cmdline").read_bytes())
                refused = ocihooks("unconfigure", *words)
                assert (refused.status, refused.stdout) == (1, "")
                assert "a running container was started through it: 0123456789ab (conmon" in refused.stderr
                assert len(engines.files()) == 1
                forced = ocihooks("unconfigure", *words, "--force")
                assert (forced.status, engines.files()) == (0, {}), forced
                assert os.readlink(program) == f"{engines.root}/bin/runc"
            finally:
                conmon.kill()


def wait_for(there: object) -> None:
    """Wait until *there* says so."""
    end_of_time = time.monotonic() + 30
    while not there():  # type: ignore[operator]
        assert time.monotonic() < end_of_time
        time.sleep(0.01)


class TestEngines:
    """What is on this machine."""

    def test_table(self, engines: EnginePlace, ocihooks: Run) -> None:
        """Every engine has a line with version, configuration and whether hooks need the wrapper."""
        engines.version("podman", "4.3.1")
        finished = ocihooks("engines", "--state-dir", "{DIR}/state")
        lines = {line.split()[0]: line for line in finished.stdout.splitlines()}
        assert list(lines) == ["engine", "docker", "containerd", "crio", "podman", "buildah"]
        assert "20.10.24" in lines["docker"]
        assert "itself, no wrapper needed" in lines["podman"]
        assert "itself, no wrapper needed" in lines["crio"]
        assert lines["docker"].split()[-1] == "no"

    def test_configured(self, engines: EnginePlace, ocihooks: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """A handler of ours is told, and whether it is the default."""
        engines.write("containers.conf", "[network]\n")
        monkeypatch.setenv("CONTAINERS_CONF", f"{engines.etc}/containers.conf")
        words = ["podman", "--state-dir", "{DIR}/state", "--prefix", "{DIR}/prefix", "--default"]
        assert ocihooks("configure", *words).status == 0
        document = ocihooks("engines", "--state-dir", "{DIR}/state", "--json").json()
        podman = next(engine for engine in document["engines"] if engine["name"] == "podman")
        ours = [handler for handler in podman["handlers"] if handler["wrapper"]]
        program = "{DIR}/prefix/bin/ocihooks-runtime"
        assert ours == [{"name": "ocihooks", "program": program, "default": True, "wrapper": True}]
        assert podman["files"] == ["{DIR}/etc/containers.conf"]
        assert podman["reads_hooks_dirs"] is True

    @pytest.mark.skipif(os.geteuid() != 0, reason="Buildah reads none for other users than root")
    def test_buildah_reads_what_is_built_in(
        self, engines: EnginePlace, ocihooks: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Podman reads the hooks directories that containers.conf names, Buildah its own in any case."""
        engines.write("containers.conf", '[engine]\nhooks_dir = ["/srv/hooks.d"]\n')
        monkeypatch.setenv("CONTAINERS_CONF", f"{engines.etc}/containers.conf")
        found = {engine["name"]: engine for engine in ocihooks("engines", "--json").json()["engines"]}
        assert found["podman"]["hooks_dirs"] == ["/srv/hooks.d"]
        assert found["buildah"]["hooks_dirs"] == ["/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d"]

    def test_problem(self, engines: EnginePlace, ocihooks: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """A configuration that can't be understood is told beside the others, with status 1."""
        engines.write("containers.conf", "[network\n")
        monkeypatch.setenv("CONTAINERS_CONF", f"{engines.etc}/containers.conf")
        finished = ocihooks("engines", "--state-dir", "{DIR}/state")
        assert finished.status == 1
        assert "ocihooks: {DIR}/etc/containers.conf: line 1 column 9: not TOML" in finished.stderr
        assert len(finished.stdout.splitlines()) == 6


def test_verify_without_handler(engines: EnginePlace, ocihooks: Run) -> None:
    """What is not configured can't be proved; the hint says how to configure it."""
    finished = ocihooks("verify", "docker", *HANDLER)
    assert (finished.status, finished.stdout) == (1, "")
    assert finished.stderr == dedent("""\
        ocihooks: {DIR}/etc/daemon.json: there is no handler "ocihooks"
        hint: ocihooks configure docker
        """)
