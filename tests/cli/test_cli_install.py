"""`ocihooks install` and `ocihooks uninstall`: the wrapper in a prefix of the test, in front of a fake runtime."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from tests.cli.place import Place, Run

from ocihooks.install.launcher import is_built
from ocihooks.testing.fake import write_fake_runtime

PYTHON = os.path.realpath(sys.executable)


@pytest.fixture
def runtime(place: Place) -> Path:
    """A fake runtime in the place's bin directory."""
    (place.root / "bin").mkdir()
    return write_fake_runtime(place.root / "bin/fake-runc", record=place.root / "record").path


@pytest.fixture
def options(place: Place, runtime: Path) -> list[str]:
    """The options of an installation into the place."""
    words = ["--prefix", "{DIR}/prefix", "--runtime", str(runtime), "--cache-dir", "{DIR}/cache", "SETTINGS"]
    return [*words, "--no-launcher"]


def script_of(place: Place, name: str = "ocihooks-runtime") -> Path:
    """The installed script."""
    return place.root / "prefix/bin" / name


def images_of(place: Place) -> list[str]:
    """What an installation has besides program and record."""
    directory = place.root / "prefix/lib/ocihooks"
    return sorted(place.named(str(path)) for path in directory.iterdir() if path.suffix != ".json")


def without_images(text: str, images: list[str]) -> str:
    """*text* without the lines that name *images*, all of which have to be there."""
    lines = text.splitlines(keepends=True)
    assert sorted(line.split()[1] for line in lines if line.startswith("  file ")) == images
    return "".join(line for line in lines if not line.startswith("  file "))


class TestInstall:
    """Putting the wrapper in front of a runtime."""

    def test_installed(self, place: Place, options: list[str], ocihooks: Run) -> None:
        """Everything that was written is reported, with what to do next; what engines then call adds hooks."""
        finished = ocihooks("install", *options)
        assert (finished.status, finished.stderr) == (0, "")
        assert dedent(f"""\
            installed ocihooks-runtime
              program   {{DIR}}/prefix/bin/ocihooks-runtime (script)
              record    {{DIR}}/prefix/lib/ocihooks/ocihooks-runtime.json
              runtime   {{DIR}}/bin/fake-runc (runc)
              settings  {{DIR}}/etc/config.toml
              rules     the hooks directories of the settings
              python    {PYTHON}
            """) in without_images(finished.stdout, images_of(place))
        assert finished.stdout.endswith(
            dedent("""\

            next
              try it      {DIR}/prefix/bin/ocihooks-runtime run --bundle DIR ID
              ask before  ocihooks explain DIR
              use it      name {DIR}/prefix/bin/ocihooks-runtime as the runtime in the engine's configuration
              undo        ocihooks uninstall --prefix {DIR}/prefix
            """)
        )
        place.rule("a/1.json")
        bundle = place.bundle()
        command = [str(script_of(place)), "create", "--bundle", str(bundle.directory), "c1"]
        called = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
        assert (called.stdout, called.stderr) == (b"", b"")
        assert list(bundle.config()["hooks"]) == ["createRuntime"]

    def test_launcher(self, place: Place, options: list[str], ocihooks: Run) -> None:
        """With the launcher, engines call a compiled program that starts the script; uninstalling finds it again."""
        if not is_built():
            pytest.skip("this package was built without the launcher")
        finished = ocihooks("install", *options, "--launcher")
        assert finished.status == 0
        assert "  program   {DIR}/prefix/bin/ocihooks-runtime (launcher)\n" in finished.stdout
        assert "  file      {DIR}/prefix/lib/ocihooks/ocihooks-runtime.py\n" in finished.stdout
        assert script_of(place).read_bytes().startswith(b"\x7fELF")
        assert ocihooks("uninstall", "--prefix", "{DIR}/prefix").status == 0
        assert not (place.root / "prefix").exists()

    def test_again(self, place: Place, options: list[str], ocihooks: Run) -> None:
        """A second time is an update, with the same result."""
        ocihooks("install", *options)
        before = script_of(place).read_bytes()
        finished = ocihooks("install", *options)
        assert (finished.status, finished.stdout.splitlines()[0]) == (0, "updated ocihooks-runtime")
        assert script_of(place).read_bytes() == before

    def test_dry_run(self, place: Place, options: list[str], ocihooks: Run) -> None:
        """--dry-run shows the script's text and writes nothing."""
        finished = ocihooks("install", *options, "--dry-run")
        assert finished.status == 0
        assert finished.stdout.startswith("would install ocihooks-runtime\n")
        assert f"\nthe script would be:\n\n#!{PYTHON}" in finished.stdout
        assert not (place.root / "prefix").exists()
        text = finished.stdout.partition("the script would be:\n\n")[2]
        ocihooks("install", *options)
        assert place.named(script_of(place).read_text()) == text

    def test_hooks_dirs(self, place: Place, options: list[str], ocihooks: Run) -> None:
        """Hooks directories can be fixed for one wrapper; its name and prefix come back in the way to undo it."""
        finished = ocihooks("install", *options, "--hooks-dir", "{DIR}/x", "--hooks-dir", "{DIR}/y", "--name", "audit")
        assert "  rules     {DIR}/x, {DIR}/y\n" in finished.stdout
        assert "  undo        ocihooks uninstall --prefix {DIR}/prefix --name audit\n" in finished.stdout
        assert script_of(place, "audit").exists()

    def test_missing_settings(self, place: Place, options: list[str], ocihooks: Run) -> None:
        """Settings need not exist; that defaults hold then is said."""
        place.settings.unlink()
        assert "{DIR}/etc/config.toml (not there, so defaults hold)\n" in ocihooks("install", *options).stdout

    def test_json(self, place: Place, options: list[str], ocihooks: Run) -> None:
        """The JSON document has the record of the installation."""
        dry = ocihooks("install", *options, "--json", "--dry-run").json()
        assert (dry["dry_run"], dry["updated"], dry["text"].startswith("#!")) == (True, False, True)
        document = ocihooks("install", *options, "--json").json()
        assert (document["dry_run"], document["updated"], "text" in document) == (False, False, False)
        record = json.loads(place.named((place.root / "prefix/lib/ocihooks/ocihooks-runtime.json").read_text()))
        assert {name: document[name] for name in record} == record
        assert document["script"] == "{DIR}/prefix/bin/ocihooks-runtime"
        assert document["record"] == "{DIR}/prefix/lib/ocihooks/ocihooks-runtime.json"

    @pytest.mark.parametrize(
        ("words", "status", "message"),
        [
            pytest.param(["--name", "a/b"], 2, '--name "a/b": expected a file name', id="name-with-slash"),
            pytest.param(["--name", "runc"], 2, '--name "runc" is the name of a runtime', id="name-of-a-runtime"),
            pytest.param(["--prefix", "rel"], 2, '--prefix "rel": expected an absolute path', id="relative-prefix"),
            pytest.param(["--hooks-dir", "rel"], 2, '--hooks-dir "rel": expected an absolute', id="relative-hooks-dir"),
            pytest.param(["--runtime", "/no/such"], 3, 'runtime "/no/such"', id="no-such-runtime"),
            pytest.param(["--runtime", "no-such"], 3, 'runtime "no-such" is not on PATH', id="not-on-path"),
            pytest.param(
                ["--python", "/no/such"], 3, "/no/such: can't be read: it does not exist", id="no-such-python"
            ),
            pytest.param(["extra"], 2, "unexpected extra argument", id="extra-word"),
        ],
    )
    def test_bad_usage(
        self, words: list[str], status: int, message: str, place: Place, options: list[str], ocihooks: Run
    ) -> None:
        """What can't be meant is status 2, what the machine lacks 3; nothing is written."""
        finished = ocihooks("install", *options, *words)
        assert (finished.status, finished.stdout) == (status, "")
        assert message in finished.stderr
        assert not (place.root / "prefix").exists()

    def test_broken_settings(self, place: Place, options: list[str], ocihooks: Run) -> None:
        """With broken settings no container would start, so nothing is installed."""
        place.settings.write_text("[ocihooks]\nposition = 1\n")
        finished = ocihooks("install", *options)
        assert (finished.status, finished.stdout) == (1, "")
        assert "ocihooks.position" in finished.stderr

    def test_untrusted_place(self, place: Place, options: list[str], ocihooks: Run) -> None:
        """A directory that everybody may write is refused with status 3 and the command that mends it."""
        (place.root / "prefix").mkdir()
        (place.root / "prefix").chmod(0o777)
        finished = ocihooks("install", *options)
        assert finished.status == 3
        assert finished.stderr.endswith("hint: chmod o-w {DIR}/prefix\n")

    def test_foreign_file(self, place: Place, options: list[str], ocihooks: Run) -> None:
        """A file that somebody else put there is not overwritten."""
        place.write("prefix/bin/ocihooks-runtime", "mine")
        finished = ocihooks("install", *options)
        assert finished.status == 3
        assert "is there already and was not written by ocihooks" in finished.stderr
        assert script_of(place).read_text() == "mine"


@pytest.fixture
def conmon(place: Place) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like the conmon of a running container that was started through the wrapper."""
    program = place.write("conmon.py", "import time\ntime.sleep(60)\n")
    words = ["conmon", str(program), "--cid", "4f1d2b" * 10, "--runtime", str(script_of(place))]
    with subprocess.Popen(words, executable=sys.executable, stdin=subprocess.DEVNULL) as process:
        yield process
        process.kill()


class TestUninstall:
    """Taking the wrapper away."""

    def test_removed(self, place: Place, options: list[str], ocihooks: Run) -> None:
        """Script, record and the directories that were made go, and nothing else."""
        (place.root / "prefix").mkdir()
        ocihooks("install", *options)
        images = images_of(place)
        finished = ocihooks("uninstall", "--prefix", "{DIR}/prefix")
        assert (finished.status, finished.stderr) == (0, "")
        assert without_images(finished.stdout, images) == dedent("""\
            removed ocihooks-runtime
              program  {DIR}/prefix/bin/ocihooks-runtime
              record   {DIR}/prefix/lib/ocihooks/ocihooks-runtime.json
            """)
        assert list((place.root / "prefix").iterdir()) == []

    def test_dry_run(self, place: Place, options: list[str], ocihooks: Run) -> None:
        """--dry-run names what would go and removes nothing."""
        ocihooks("install", *options)
        finished = ocihooks("uninstall", "--prefix", "{DIR}/prefix", "--dry-run")
        assert finished.status == 0
        assert finished.stdout.startswith(
            "would remove ocihooks-runtime\n  program    {DIR}/prefix/bin/ocihooks-runtime\n"
        )
        assert "  directory  {DIR}/prefix if it is empty\n" in finished.stdout
        assert script_of(place).exists()

    def test_in_use(self, place: Place, options: list[str], ocihooks: Run, conmon: subprocess.Popen[bytes]) -> None:
        """While running containers were started through it, it is refused and they are named."""
        ocihooks("install", *options)
        for arguments in ([], ["--dry-run"]):
            finished = ocihooks("uninstall", "--prefix", "{DIR}/prefix", *arguments)
            assert (finished.status, finished.stdout) == (1, "")
            assert f"4f1d2b4f1d2b (conmon {conmon.pid})" in finished.stderr
            assert "hint: stop them first, or use --force" in finished.stderr
        assert script_of(place).exists()

    def test_force(
        self, place: Place, runtime: Path, options: list[str], ocihooks: Run, conmon: subprocess.Popen[bytes]
    ) -> None:
        """--force leaves a link to the runtime for them, and says so."""
        ocihooks("install", *options)
        images = images_of(place)
        finished = ocihooks("uninstall", "--prefix", "{DIR}/prefix", "--force")
        assert finished.status == 0
        assert without_images(finished.stdout, images) == dedent(f"""\
            removed ocihooks-runtime
              record  {{DIR}}/prefix/lib/ocihooks/ocihooks-runtime.json
            left a link to {{DIR}}/bin/fake-runc at {{DIR}}/prefix/bin/ocihooks-runtime, for containers that still run:
              4f1d2b4f1d2b  conmon {conmon.pid}
            remove it when they have ended: rm {{DIR}}/prefix/bin/ocihooks-runtime
            """)
        assert script_of(place).resolve() == runtime

    def test_json(self, place: Place, options: list[str], ocihooks: Run, conmon: subprocess.Popen[bytes]) -> None:
        """The JSON document has the record, and who still needs the wrapper."""
        ocihooks("install", *options)
        words = ["uninstall", "--prefix", "{DIR}/prefix", "--force", "--json"]
        dry = ocihooks(*words, "--dry-run").json()
        document = ocihooks(*words).json()
        assert document == dry | {"dry_run": False}
        assert document["users"] == [{"pid": conmon.pid, "program": "conmon", "container": "4f1d2b4f1d2b"}]
        assert (document["pass_through"], document["script"]) == (True, "{DIR}/prefix/bin/ocihooks-runtime")

    @pytest.mark.parametrize(
        ("arguments", "status", "message"),
        [
            pytest.param(["--prefix", "{DIR}/none"], 3, "no wrapper", id="not-installed"),
            pytest.param(
                ["--prefix", "{DIR}/prefix", "--name", "x"], 3, 'no wrapper "x" is installed', id="other-name"
            ),
            pytest.param(["--prefix"], 2, "requires an argument", id="option-without-value"),
        ],
    )
    def test_bad_usage(
        self, arguments: list[str], status: int, message: str, place: Place, options: list[str], ocihooks: Run
    ) -> None:
        """What is not there can't be removed, and other installations stay."""
        ocihooks("install", *options)
        finished = ocihooks("uninstall", *arguments)
        assert (finished.status, finished.stdout) == (status, "")
        assert message in finished.stderr
        assert script_of(place).exists()

    def test_changed_script(self, place: Place, options: list[str], ocihooks: Run) -> None:
        """A script that somebody replaced is left to them."""
        ocihooks("install", *options)
        script_of(place).write_text("#!/bin/sh\n")
        finished = ocihooks("uninstall", "--prefix", "{DIR}/prefix")
        assert finished.status == 3
        assert "was changed since it was installed" in finished.stderr
