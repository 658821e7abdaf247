"""Installing the wrapper: what is written, what is refused, and that doing it again changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit import installing
from tests.unit.installing import NAME

import ocihooks
from ocihooks.errors import OCIHooksError, ReplaceError, SettingsError, UnavailableError, UntrustedError, UsageError
from ocihooks.install import install as module
from ocihooks.install.image import ENDINGS
from ocihooks.install.install import (
    Request,
    install,
    installed,
    is_ours,
    is_unchanged,
    prepare_install,
)
from ocihooks.install.record import Record, read_record, record_file, sha256
from ocihooks.install.runtime import find_runtime, flavour_of
from ocihooks.install.script import START
from ocihooks.install.supervisor import IMAGE, SCRIPT
from ocihooks.package import package_paths
from ocihooks.version import __version__

PYTHON = os.path.realpath(sys.executable)


runtime = installing.runtime
wanted = installing.wanted


@pytest.fixture
def request_here(wanted: Request) -> Request:
    """A request that can be granted, with a prefix that is there."""
    Path(wanted.prefix).mkdir(mode=0o755)
    return wanted


def tree(directory: Path) -> dict[str, int]:
    """All below *directory* with their permission bits."""
    return {str(path.relative_to(directory)): stat.S_IMODE(path.lstat().st_mode) for path in directory.rglob("*")}


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


class TestInstalled:
    """What is there afterwards."""

    def test_files(self, request_here: Request) -> None:
        """A program, its images and a record, readable by everybody, whatever the umask."""
        before = os.umask(0o077)
        try:
            install(request_here)
        finally:
            os.umask(before)
        assert tree(Path(request_here.prefix)) == {
            "bin": 0o755,
            f"bin/{NAME}": 0o755,
            "lib": 0o755,
            "lib/ocihooks": 0o755,
            f"lib/ocihooks/{NAME}.json": 0o644,
            f"lib/ocihooks/{NAME}{SCRIPT}": 0o755,
            **{f"lib/ocihooks/{NAME}{ending}": 0o644 for ending in (START, IMAGE, *ENDINGS)},
        }

    def test_record(self, request_here: Request, runtime: Path, tmp_path: Path) -> None:
        """The record says what was written, and what was asked for."""
        settings = tmp_path / "config.toml"
        settings.write_text("[ocihooks]\n")
        wanted = replace(request_here, settings=str(settings), hooks_dirs=("/h1", "/h2"), cache_dir="/c")
        record = install(wanted)
        assert record == read_record(request_here.prefix, NAME)
        script = Path(request_here.prefix, "bin", NAME)
        assert record == Record(
            name=NAME,
            program=NAME,
            script=str(script),
            script_sha256=sha256(script.read_bytes()),
            runtime=str(runtime),
            flavour="runc",
            settings=str(settings),
            hooks_dirs=("/h1", "/h2"),
            python=PYTHON,
            version=__version__,
            cache_dir="/c",
            launcher=False,
            files=tuple(
                f"{request_here.prefix}/lib/ocihooks/{NAME}{ending}" for ending in (SCRIPT, IMAGE, START, *ENDINGS)
            ),
            made_directories=tuple(f"{request_here.prefix}/{name}" for name in ("bin", "lib", "lib/ocihooks")),
        )
        assert is_unchanged(record)

    def test_it_runs(self, request_here: Request) -> None:
        """What engines call becomes the runtime."""
        record = install(request_here)
        run = subprocess.run([record.script, "--root", "/r", "state", "c1"], capture_output=True, text=True, check=True)
        assert (run.stdout, run.stderr) == ("runtime: --root /r state c1\n", "")

    def test_defaults(self) -> None:
        """Nobody has to say anything."""
        assert Request() == Request(
            prefix="/usr/local",
            name="ocihooks-runtime",
            runtime=None,
            hooks_dirs=(),
            settings=None,
            python=None,
            cache_dir=None,
            launcher=None,
        )

    def test_another_interpreter(self, request_here: Request, tmp_path: Path) -> None:
        """The images are made by the interpreter that is going to load them."""
        link = tmp_path / "python"
        shutil.copy(PYTHON, link)
        link.chmod(0o755)
        environment = dict(os.environ)
        probe = subprocess.run([link, "-IS", "-c", "import os"], check=False, capture_output=True, env=environment)
        if probe.returncode:
            pytest.skip("this interpreter can't be copied")
        record = install(replace(request_here, python=str(link)))
        assert record.python == str(link)
        run = subprocess.run([record.script, "state", "c1"], capture_output=True, text=True, check=True)
        assert (run.stdout, run.stderr) == ("runtime: state c1\n", "")

    def test_made_directories(self, request_here: Request, tmp_path: Path) -> None:
        """The prefix itself may be missing; all that is made is written down, the innermost last."""
        prefix = tmp_path / "a" / "b"
        record = install(replace(request_here, prefix=str(prefix)))
        made = [str(path.relative_to(tmp_path)) for path in map(Path, record.made_directories)]
        assert made == ["a", "a/b", "a/b/bin", "a/b/lib", "a/b/lib/ocihooks"]

    def test_preparing_writes_nothing(self, request_here: Request, tmp_path: Path) -> None:
        """Preparing an installation says all that it would do, and does nothing."""
        before = contents(tmp_path)
        prepared = prepare_install(request_here)
        assert contents(tmp_path) == before
        assert os.listdir(request_here.prefix) == []
        record = install(request_here)
        assert record == prepared.record
        assert Path(record.script).read_text() == prepared.script.text

    def test_several(self, request_here: Request) -> None:
        """Several wrappers can share a prefix, and are listed by name."""
        for name in ("b", "a"):
            install(replace(request_here, name=name))
        assert [record.name for record in installed(request_here.prefix)] == ["a", "b"]
        assert installed(f"{request_here.prefix}/none") == []


class TestAgain:
    """Installations where there is one already."""

    def test_same(self, request_here: Request, tmp_path: Path) -> None:
        """The same again gives the same files."""
        first = install(request_here)
        before = contents(tmp_path)
        assert install(request_here) == first
        assert contents(tmp_path) == before

    def test_upgrade(self, request_here: Request, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another version, runtime or settings replace the old ones; directories are remembered as ours."""
        first = install(request_here)
        monkeypatch.setattr(module, "__version__", "9.9.9")
        second = install(replace(request_here, hooks_dirs=("/h",)))
        assert (second.version, second.hooks_dirs) == ("9.9.9", ("/h",))
        assert second.made_directories == first.made_directories
        assert read_record(request_here.prefix, NAME) == second
        assert second.script_sha256 != first.script_sha256

    def test_interrupted(self, request_here: Request) -> None:
        """An installation that was interrupted before its record was written is finished by the next one."""
        record = install(request_here)
        os.unlink(record_file(request_here.prefix, NAME))
        assert install(request_here).script_sha256 == record.script_sha256
        record = install(replace(request_here, hooks_dirs=("/other",)))
        prepared = prepare_install(request_here)
        Path(record.script).write_text(prepared.script.text)
        assert not is_unchanged(record)
        assert is_unchanged(install(request_here))

    def test_foreign_file(self, request_here: Request) -> None:
        """A file that is not ours stays as it is, also where a record says that there was one of ours."""
        script = Path(request_here.prefix, "bin", NAME)
        script.parent.mkdir()
        script.write_text("#!/bin/sh\n")
        with pytest.raises(ReplaceError, match="is there already and was not written by ocihooks") as caught:
            install(request_here)
        assert (caught.value.file, bool(caught.value.hint)) == (str(script), True)
        script.unlink()
        install(request_here)
        script.write_text("#!/bin/sh\n")
        with pytest.raises(ReplaceError, match="is there already"):
            install(request_here)
        assert script.read_text() == "#!/bin/sh\n"

    @pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directory", "fifo"])
    def test_foreign_thing(self, make: Callable[[Path], None], request_here: Request) -> None:
        """So does whatever is no file."""
        script = Path(request_here.prefix, "bin", NAME)
        script.parent.mkdir()
        make(script)
        with pytest.raises(ReplaceError, match="is there already"):
            install(request_here)

    def test_link_to_the_runtime(self, request_here: Request, runtime: Path) -> None:
        """The link that an uninstallation left is replaced, and the runtime stays as it is."""
        script = Path(request_here.prefix, "bin", NAME)
        script.parent.mkdir()
        script.symlink_to(runtime)
        before = (runtime.read_bytes(), runtime.stat().st_ino)
        record = install(request_here)
        assert not script.is_symlink()
        assert is_unchanged(record)
        assert (runtime.read_bytes(), runtime.stat().st_ino) == before
        assert os.listdir(script.parent) == [NAME]

    def test_link_to_elsewhere(self, request_here: Request, tmp_path: Path) -> None:
        """Any other link is somebody else's."""
        script = Path(request_here.prefix, "bin", NAME)
        script.parent.mkdir()
        script.symlink_to("/bin/true")
        with pytest.raises(ReplaceError, match="is there already"):
            install(request_here)
        assert script.is_symlink()

    def test_mark(self, request_here: Request, tmp_path: Path) -> None:
        """Our programs are known by their mark, others by nothing."""
        record = install(request_here)
        assert is_ours(record.script, None)
        other = tmp_path / "other"
        other.write_text("#!/bin/sh\necho '# Written by \"ocihooks install\"'\n")
        for path in (other, tmp_path / "none", tmp_path):
            assert not is_ours(str(path), None)


class TestWords:
    """Names and paths that can't be used."""

    @pytest.mark.parametrize("name", ["", "a/b", "/x", "..", ".", "a\nb", "\x1b"])
    def test_name(self, name: str, request_here: Request) -> None:
        """A name has to be a file name."""
        with pytest.raises(UsageError, match="expected a file name"):
            prepare_install(replace(request_here, name=name))

    @pytest.mark.parametrize("name", ["runc", "crun"])
    def test_name_of_a_runtime(self, name: str, request_here: Request) -> None:
        """A wrapper must not look like the runtime itself."""
        with pytest.raises(UsageError, match="is the name of a runtime") as caught:
            prepare_install(replace(request_here, name=name))
        assert caught.value.hint

    @pytest.mark.parametrize("option", ["prefix", "settings", "cache_dir", "hooks_dirs"])
    @pytest.mark.parametrize("path", ["relative", "./x", "/a\nb", "~/x"])
    def test_relative(self, option: str, path: str, request_here: Request) -> None:
        """Paths have to be absolute and printable, since they are looked at from anywhere."""
        value = (path,) if option == "hooks_dirs" else path
        with pytest.raises(UsageError, match="expected an absolute path") as caught:
            prepare_install(replace(request_here, **{option: value}))  # type: ignore[arg-type]
        assert caught.value.message.startswith(
            f"--{option.replace('_', '-').removesuffix('s')}" if "dirs" in option else "--"
        )

    def test_long_interpreter(self, request_here: Request, tmp_path: Path) -> None:
        """A first line has its limit; the hint names a shorter place."""
        directory = tmp_path / ("x" * 120) / ("y" * 120)
        directory.mkdir(parents=True)
        python = directory / "python"
        shutil.copy("/bin/true", python)
        with pytest.raises(UsageError, match="expected a path without blanks of at most 250 bytes") as caught:
            prepare_install(replace(request_here, python=str(python)))
        assert "/opt/ocihooks" in str(caught.value.hint)

    def test_blank_in_the_interpreter(self, request_here: Request, tmp_path: Path) -> None:
        """A first line can't hold a path with a blank."""
        python = tmp_path / "py thon"
        shutil.copy("/bin/true", python)
        with pytest.raises(UsageError, match="expected a path without blanks"):
            prepare_install(replace(request_here, python=str(python)))


class TestRuntimes:
    """The program behind the wrapper."""

    @pytest.fixture
    def path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A directory that is all of PATH."""
        directory = tmp_path / "path"
        directory.mkdir()
        monkeypatch.setenv("PATH", str(directory))
        return directory

    @staticmethod
    def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
        path.write_text(text)
        path.chmod(0o755)
        return path

    def test_on_path(self, path: Path) -> None:
        """runc comes first, then crun; a name is looked up."""
        crun = self.program(path / "crun")
        assert find_runtime(None) == str(crun)
        runc = self.program(path / "runc")
        assert find_runtime(None) == str(runc)
        assert find_runtime("crun") == str(crun)

    def test_relative(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A relative path is made absolute once and for all."""
        runc = self.program(path / "runc")
        monkeypatch.chdir(path)
        assert find_runtime("./runc") == str(runc)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            pytest.param(None, "none of runc, crun is not on PATH", id="none"),
            pytest.param("youki", 'runtime "youki" is not on PATH', id="name"),
            pytest.param("/none/runc", 'runtime "/none/runc" is no program that can be executed', id="path"),
        ],
    )
    def test_missing(self, name: str | None, message: str, path: Path) -> None:
        """A missing runtime is named, with two remedies."""
        with pytest.raises(UnavailableError) as caught:
            find_runtime(name)
        assert caught.value.message == message
        assert "--runtime" in str(caught.value.hint)

    def test_not_executable(self, path: Path) -> None:
        """A file that can't be executed is none."""
        (path / "runc").write_text("")
        with pytest.raises(UnavailableError):
            find_runtime(str(path / "runc"))

    @pytest.mark.parametrize(
        ("name", "script", "flavour"),
        [
            pytest.param("runc", "exit 1", "runc", id="runc"),
            pytest.param("crun-1.8", "exit 1", "crun", id="crun"),
            pytest.param("oci", "echo 'crun version 1'", "crun", id="says-crun"),
            pytest.param("oci", "echo 'runc version 1'", "runc", id="says-runc"),
            pytest.param("oci", "echo 'youki version 1'", "", id="other"),
            pytest.param("oci", "exit 1", "", id="says-nothing"),
        ],
    )
    def test_flavour(self, name: str, script: str, flavour: str, tmp_path: Path) -> None:
        """Whose command line a runtime has is told by its name, or by its version."""
        assert flavour_of(str(self.program(tmp_path / name, f"#!/bin/sh\n{script}\n"))) == flavour

    def test_flavour_of_a_link(self, tmp_path: Path) -> None:
        """A link called runc that leads to crun is crun."""
        self.program(tmp_path / "crun")
        (tmp_path / "runc").symlink_to("crun")
        assert flavour_of(str(tmp_path / "runc")) == "crun"

    def test_itself(self, request_here: Request) -> None:
        """The wrapper can't be its own runtime, by whatever name."""
        record = install(request_here)
        link = Path(request_here.prefix, "link")
        link.symlink_to(record.script)
        for runtime in (record.script, str(link)):
            with pytest.raises(UsageError, match="is the wrapper itself") as caught:
                install(replace(request_here, runtime=runtime))
            assert "--runtime" in str(caught.value.hint)
        assert is_unchanged(record)


class TestTrust:
    """What root would run must not be writable by others."""

    def refusal(self, request: Request) -> OCIHooksError:
        with pytest.raises(UntrustedError) as caught:
            install(request)
        assert caught.value.hint
        assert not os.path.lexists(os.path.join(request.prefix, "bin", request.name))
        return caught.value

    def test_runtime(self, request_here: Request, runtime: Path) -> None:
        """A runtime that everybody can write is refused."""
        runtime.chmod(0o757)
        assert self.refusal(request_here).file == str(runtime)

    def test_directory_of_the_runtime(self, request_here: Request, tmp_path: Path) -> None:
        """So is one in a directory that everybody can write."""
        directory = tmp_path / "open"
        directory.mkdir()
        shutil.copy("/bin/true", directory / "runc")
        directory.chmod(0o777)
        assert self.refusal(replace(request_here, runtime=str(directory / "runc"))).file == str(directory / "runc")

    def test_interpreter(self, request_here: Request, tmp_path: Path) -> None:
        """So is an interpreter."""
        python = tmp_path / "python"
        shutil.copy(PYTHON, python)
        python.chmod(0o777)
        assert self.refusal(replace(request_here, python=str(python))).file == str(python)

    def test_missing_interpreter(self, request_here: Request, tmp_path: Path) -> None:
        """A missing interpreter says so."""
        error = self.refusal(replace(request_here, python=str(tmp_path / "none")))
        assert error.message == "can't be read: it does not exist"

    @pytest.mark.parametrize("place", ["", "bin", "lib", "lib/ocihooks"])
    def test_prefix(self, place: str, request_here: Request) -> None:
        """So is a place to install into, for the program as well as for the record."""
        directory = Path(request_here.prefix, place)
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o777)
        error = self.refusal(request_here)
        assert "everybody may write" in error.message

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
    def test_prefix_of_another(self, request_here: Request) -> None:
        """A prefix in somebody's home is refused."""
        os.chown(request_here.prefix, 1234, 1234)
        assert "belongs to user 1234" in self.refusal(request_here).message

    def test_package(self, request_here: Request, tmp_path: Path) -> None:
        """The whole package and all that lies beside it is looked at."""
        place = tmp_path / "site"
        shutil.copytree(
            Path(ocihooks.__file__).parent, place / "ocihooks", ignore=shutil.ignore_patterns("__pycache__", "cli")
        )
        (place / "ocihooks" / "spec" / "hook.py").chmod(0o666)
        script = (
            "import sys; sys.path[:0] = sys.argv[1:2]\n"
            "from ocihooks.install.install import Request, prepare_install\n"
            "from ocihooks.errors import UntrustedError\n"
            "try: prepare_install(Request(prefix=sys.argv[2], runtime=sys.argv[3], launcher=False))\n"
            "except UntrustedError as error: print(error)\n"
        )
        command = [sys.executable, "-B", "-c", script, place, request_here.prefix, str(request_here.runtime)]
        run = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True, cwd="/")
        file = place / "ocihooks" / "spec" / "hook.py"
        assert run.stdout == f"{file}: not used, since everybody may write it\n"
        file.chmod(0o644)
        beside = place / "evil.py"
        beside.touch()
        beside.chmod(0o666)
        run = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True, cwd="/")
        assert run.stdout == f"{beside}: not used, since everybody may write it\n"

    def test_package_paths(self) -> None:
        """The package and what it depends on are found without the interpreter's own search."""
        paths = package_paths()
        assert str(Path(ocihooks.__file__).parent.parent) in paths
        assert all(os.path.isabs(path) for path in paths)

    def test_settings(self, request_here: Request, tmp_path: Path) -> None:
        """Settings are read before anything is installed: untrusted, broken or missing."""
        settings = tmp_path / "config.toml"
        assert prepare_install(replace(request_here, settings=str(settings))).record.settings == str(settings)
        settings.write_text("[ocihooks]\nposition = 1\n")
        with pytest.raises(SettingsError, match="expected"):
            install(replace(request_here, settings=str(settings)))
        settings.chmod(0o666)
        assert self.refusal(replace(request_here, settings=str(settings))).file == str(settings)


class TestFailures:
    """An installation that can't be finished."""

    def test_directory_is_a_file(self, request_here: Request) -> None:
        """A file where a directory has to be is named."""
        Path(request_here.prefix, "lib").touch()
        with pytest.raises(OCIHooksError) as caught:
            install(request_here)
        assert str(caught.value.file).startswith(f"{request_here.prefix}/lib")

    def test_interpreter_without_the_package(self, request_here: Request, tmp_path: Path) -> None:
        """An interpreter that can't run the package is refused by what it says."""
        python = tmp_path / "python"
        python.write_text("#!/bin/sh\necho 'Traceback' >&2\necho 'SyntaxError: too old' >&2\nexit 1\n")
        python.chmod(0o755)
        with pytest.raises(UnavailableError, match="can't run ocihooks: SyntaxError: too old") as caught:
            install(replace(request_here, python=str(python)))
        assert "--python" in str(caught.value.hint)
        assert not os.path.exists(f"{request_here.prefix}/bin/{NAME}")

    def test_record_of_an_unknown_kind(self, request_here: Request) -> None:
        """A record that is none stops an installation, with the remedy."""
        install(request_here)
        Path(record_file(request_here.prefix, NAME)).write_text(json.dumps([1]))
        with pytest.raises(UnavailableError, match="is no record of an installation") as caught:
            install(request_here)
        assert caught.value.hint
