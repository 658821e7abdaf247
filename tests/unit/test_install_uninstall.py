"""Uninstalling: nothing is left, nobody's file is touched, and no running container loses its runtime."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit import installing
from tests.unit.installing import NAME

from ocihooks.errors import UnavailableError, UntrustedError
from ocihooks.injection import SUPERVISOR
from ocihooks.install.install import Request, install
from ocihooks.install.record import Record, read_record, record_file
from ocihooks.install.supervisor import SUPERVISING
from ocihooks.install.uninstall import InUseError, User, prepare_uninstall, uninstall, users_of

Start = Callable[..., int]


runtime = installing.runtime
wanted = installing.wanted
record = installing.record


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a process that sleeps under another program's name and with its command line; ended at the end."""
    sleeper = tmp_path / "sleeper.py"
    sleeper.write_text("import os, time\nos.write(1, b'.')\ntime.sleep(100)\n")
    with ExitStack() as stack:
        stack.callback(sleeper.unlink)

        def run(name: str, *words: str, cwd: Path | None = None) -> int:
            command = [f"/usr/libexec/{name}", "-I", "-S", str(sleeper), *words]
            process = stack.enter_context(
                subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE, cwd=cwd)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.read(1) == b"."
            return process.pid

        yield run


def everything(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


class TestRemoved:
    """What is gone afterwards."""

    def test_all(self, record: Record, wanted: Request, tmp_path: Path) -> None:
        """All files, and the directories that were made, prefix included."""
        assert uninstall(wanted.prefix, NAME) == (record, ())
        assert everything(tmp_path) == ["runc"]

    def test_directories_of_others(self, tmp_path: Path, wanted: Request) -> None:
        """Directories that were there, or that others use by now, stay."""
        prefix = tmp_path / "prefix"
        (prefix / "bin").mkdir(parents=True)
        install(wanted)
        (prefix / "lib" / "other").touch()
        uninstall(str(prefix), NAME)
        assert everything(prefix) == ["bin", "lib", "lib/other"]

    def test_one_of_two(self, record: Record, wanted: Request) -> None:
        """Another wrapper in the same prefix keeps all of its files."""
        other = install(replace(wanted, name="other"))
        uninstall(wanted.prefix, NAME)
        assert read_record(wanted.prefix, "other") == other
        run = subprocess.run([other.script, "state", "c1"], capture_output=True, text=True, check=True)
        assert run.stdout == "runtime: state c1\n"
        assert not os.path.exists(record.script)

    def test_after_an_upgrade(self, record: Record, wanted: Request, tmp_path: Path) -> None:
        """Directories that the first installation made go with the last one."""
        install(replace(wanted, hooks_dirs=("/h",)))
        uninstall(wanted.prefix, NAME)
        assert everything(tmp_path) == ["runc"]

    @pytest.mark.parametrize("missing", ["script", "files", "both"])
    def test_files_are_missing(self, missing: str, record: Record, wanted: Request, tmp_path: Path) -> None:
        """Files that somebody removed, or an interrupted uninstallation did, are no failure."""
        for file in (record.script,) * (missing != "files") + record.files * (missing != "script"):
            os.unlink(file)
        uninstall(wanted.prefix, NAME)
        assert everything(tmp_path) == ["runc"]

    def test_preparing(self, record: Record, wanted: Request, tmp_path: Path) -> None:
        """Preparing says what would be done, and does nothing."""
        before = everything(tmp_path)
        assert prepare_uninstall(wanted.prefix, NAME) == (record, ())
        assert everything(tmp_path) == before


class TestRefused:
    """What stays."""

    def test_nothing_there(self, tmp_path: Path) -> None:
        """Nothing installed is told with where it was looked for."""
        with pytest.raises(UnavailableError, match=f'no wrapper "{NAME}" is installed below') as caught:
            uninstall(str(tmp_path), NAME)
        assert "--prefix" in str(caught.value.hint)

    @pytest.mark.parametrize("how", ["edited", "another", "directory"])
    def test_changed(self, how: str, record: Record, wanted: Request) -> None:
        """A program that was changed since, be it by a line, is left alone with all that belongs to it."""
        script = Path(record.script)
        if how == "edited":
            script.write_text(script.read_text() + "# my line\n")
        else:
            script.unlink()
            script.mkdir() if how == "directory" else script.write_text("#!/bin/sh\n")
        before = everything(Path(wanted.prefix))
        with pytest.raises(UnavailableError, match="was changed since it was installed") as caught:
            uninstall(wanted.prefix, NAME, force=True)
        assert (caught.value.file, bool(caught.value.hint)) == (record.script, True)
        assert everything(Path(wanted.prefix)) == before

    def test_record_of_others(self, record: Record, wanted: Request, tmp_path: Path) -> None:
        """A record that others could have written can't have anything removed."""
        victim = tmp_path / "victim"
        victim.write_text("precious")
        file = Path(record_file(wanted.prefix, NAME))
        file.write_text(json.dumps(record.to_json() | {"files": [str(victim)]}))
        file.chmod(0o666)
        with pytest.raises(UntrustedError):
            uninstall(wanted.prefix, NAME)
        assert victim.exists()

    def test_can_not_be_removed(self, record: Record, wanted: Request) -> None:
        """A file that can't be removed is named."""
        file = record.files[-1]
        os.unlink(file)
        os.mkdir(file)
        with pytest.raises(UnavailableError, match="can't be removed: is a directory") as caught:
            uninstall(wanted.prefix, NAME)
        assert caught.value.file == file


class TestInUse:
    """Containers that run."""

    WORDS = ("--api-version", "1", "-c", "0123456789abcdef", "-u", "0123", "-b", "/b")

    @pytest.mark.parametrize("option", ["-r", "--runtime"])
    def test_refused(self, option: str, start: Start, record: Record, wanted: Request) -> None:
        """While a container needs the wrapper it stays, and the container is named."""
        pid = start("conmon", *self.WORDS, option, record.script)
        with pytest.raises(InUseError) as caught:
            uninstall(wanted.prefix, NAME)
        error = caught.value
        assert (error.code, error.file) == ("in_use", record.script)
        assert f"0123456789ab (conmon {pid})" in error.message
        assert "--force" in str(error.hint)
        assert os.path.exists(record.script)
        assert read_record(wanted.prefix, NAME) == record

    def test_forced(self, start: Start, record: Record, wanted: Request, runtime: Path) -> None:
        """--force leaves a link to the runtime, so that the engine can still stop the container."""
        pid = start("conmon", *self.WORDS, "-r", record.script)
        removed, users = uninstall(wanted.prefix, NAME, force=True)
        assert (removed, users) == (record, (User(pid=pid, program="conmon", container="0123456789ab"),))
        assert os.readlink(record.script) == str(runtime)
        run = subprocess.run([record.script, "kill", "c1"], capture_output=True, text=True, check=True)
        assert run.stdout == "runtime: kill c1\n"
        kept = [f"lib/ocihooks/{NAME}{ending}" for ending in SUPERVISING]
        assert everything(Path(wanted.prefix)) == ["bin", f"bin/{NAME}", "lib", "lib/ocihooks", *kept]

    def test_forced_keeps_the_supervisor(self, start: Start, record: Record, wanted: Request) -> None:
        """After --force the supervised poststop hooks of running containers still run."""
        start("conmon", *self.WORDS, "-r", record.script)
        uninstall(wanted.prefix, NAME, force=True)
        supervisor = next(file for file in record.files if file.endswith(SUPERVISOR))
        run = subprocess.run(
            [supervisor, "--", "/bin/echo", "echo", "cleaned up"],
            input="{}",
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout == "cleaned up\n"

    def test_installed_again(self, start: Start, record: Record, wanted: Request, runtime: Path) -> None:
        """Installing over that link replaces the link, and never the runtime."""
        start("conmon", *self.WORDS, "-r", record.script)
        before = (runtime.read_bytes(), runtime.stat().st_ino, runtime.stat().st_mode)
        uninstall(wanted.prefix, NAME, force=True)
        again = install(wanted)
        assert (runtime.read_bytes(), runtime.stat().st_ino, runtime.stat().st_mode) == before
        assert not os.path.islink(again.script)
        assert [user.container for user in users_of(again.script)] == ["0123456789ab"]

    def test_force_without_need(self, record: Record, wanted: Request, tmp_path: Path) -> None:
        """--force without a container removes all."""
        uninstall(wanted.prefix, NAME, force=True)
        assert everything(tmp_path) == ["runc"]

    def test_many(self, start: Start, record: Record, wanted: Request) -> None:
        """Many containers are counted, and some of them named."""
        for number in range(7):
            start("conmon", "-c", f"{number}" * 64, "-r", record.script)
        with pytest.raises(InUseError, match=r"7 running containers .* and 2 more$"):
            uninstall(wanted.prefix, NAME)

    def test_by_another_name(self, start: Start, record: Record, wanted: Request, tmp_path: Path) -> None:
        """A link to the wrapper in an engine's configuration is the wrapper."""
        (tmp_path / "alias").symlink_to(record.script)
        start("conmon", *self.WORDS, "-r", str(tmp_path / "alias"))
        with pytest.raises(InUseError):
            uninstall(wanted.prefix, NAME)

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            pytest.param("conmon", ("-c", "c1", "-r", "/usr/bin/crun"), id="another-runtime"),
            pytest.param("conmon", ("-c", "SCRIPT", "-r", "/usr/bin/crun"), id="another-place"),
            pytest.param("editor", ("-r", "SCRIPT"), id="another-program"),
            pytest.param("conmon", ("SCRIPT", "-r"), id="no-value"),
            pytest.param("containerd-shim-runc-v2", ("-id", "c1"), id="shim-without-task"),
        ],
    )
    def test_others(self, name: str, words: tuple[str, ...], start: Start, record: Record, wanted: Request) -> None:
        """Other processes don't matter."""
        start(name, *(word.replace("SCRIPT", record.script) for word in words))
        uninstall(wanted.prefix, NAME)
        assert not os.path.lexists(record.script)


class TestShims:
    """containerd's shims, which keep the runtime's path in their task directories."""

    @pytest.fixture
    def task(self, tmp_path: Path) -> Path:
        """The task directory of a container."""
        directory = tmp_path / "tasks" / "c1"
        directory.mkdir(parents=True)
        return directory

    def shim(self, start: Start, task: Path) -> int:
        return start("containerd-shim-runc-v2", "-namespace", "moby", "-id", "c1", cwd=task)

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            pytest.param("options.json", '{"binary_name":"SCRIPT"}', id="options"),
            pytest.param("runtime", "SCRIPT\n", id="runtime"),
        ],
    )
    def test_found(self, name: str, content: str, start: Start, task: Path, record: Record, wanted: Request) -> None:
        """A shim of a container that was started through the wrapper holds it."""
        (task / name).write_text(content.replace("SCRIPT", record.script))
        pid = self.shim(start, task)
        assert list(users_of(record.script)) == [User(pid=pid, program="containerd-shim-runc-v2", container="c1")]
        with pytest.raises(InUseError):
            uninstall(wanted.prefix, NAME)

    @pytest.mark.parametrize("content", ["{", "[]", '{"binary_name":5}', '{"binary_name":"/usr/bin/runc"}', "\x00"])
    def test_not_found(self, content: str, start: Start, task: Path, record: Record) -> None:
        """Odd files, or those of other runtimes, are no reason to fail."""
        (task / "options.json").write_text(content)
        self.shim(start, task)
        assert list(users_of(record.script)) == []

    def test_task_is_gone(self, start: Start, task: Path, record: Record) -> None:
        """Neither is a task directory that vanished."""
        self.shim(start, task)
        shutil.rmtree(task)
        assert list(users_of(record.script)) == []
