"""The text of an installed script: any path can stand in it, and it is known again."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ocihooks.errors import UsageError
from ocihooks.install.launcher import SETTINGS_BYTES, launcher_for
from ocihooks.install.script import MARK, SHEBANG_LIMIT, Script, make_script
from ocihooks.version import __version__
from ocihooks.wrapper.installation import Installation

PYTHON = os.path.realpath(sys.executable)

ODD = [
    pytest.param("plain", id="plain"),
    pytest.param("with blanks", id="blanks"),
    pytest.param("quotes ' and \"", id="quotes"),
    pytest.param('two "" quotes', id="two-quotes"),
    pytest.param("braces {name} {{}}", id="braces"),
    pytest.param("back\\slash\\n\\", id="backslash"),
    pytest.param("dollar $HOME `id` %s", id="shell"),
    pytest.param("ünïcödé \U0001f600", id="unicode"),
    pytest.param("hash # and ; colon", id="hash"),
]


PLACES = ("name", "script", "runtime", "settings", "hooks_dirs", "cache_dir", "paths", "image")


def script(python: str = PYTHON, paths: tuple[str, ...] = ("/p",), image: str = "/i/x", **members: Any) -> Script:
    facts = {"name": "w", "script": "/s", "runtime": "/r", "flavour": "runc"}
    return make_script(Installation(**(facts | members)), python, paths, image)


def constants(program: str) -> set[str]:
    """The texts that stand in a program."""
    nodes = ast.walk(ast.parse(program))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


class TestText:
    """What stands in it."""

    def test_first_lines(self) -> None:
        """The first line is the interpreter without surroundings, the second our mark, the third the version."""
        first, second, third, *_ = script().text.splitlines()
        assert (first, second, third) == (f"#!{PYTHON} -IS", MARK, f"# ocihooks {__version__}")

    @pytest.mark.parametrize("text", ODD)
    @pytest.mark.parametrize("place", PLACES)
    def test_odd_paths(self, place: str, text: str) -> None:
        """Any path comes out as it went in, wherever it stands."""
        path = f"/odd/{text}"
        value: Any = (path,) if place in ("hooks_dirs", "paths") else path
        made = script(**{place: value})
        assert made.text.isascii()
        assert path in constants(made.body)
        outer = constants(made.text)
        (plain,) = (text for text in outer if text.startswith("\nimport sys\n"))
        assert f"{path}.start" in outer if place == "image" else path in constants(plain)

    def test_three_quotes(self) -> None:
        """The one text that can't stand in a script is refused."""
        with pytest.raises(UsageError, match="three quotes"):
            script(runtime="/x'''/y")

    def test_key(self) -> None:
        """Scripts that differ have different keys, for their compiled bodies."""
        keys = {script().key, script(runtime="/other").key, script(hooks_dirs=("/h",)).key}
        assert len(keys) == 3
        assert script().key == script().key
        assert {len(key) for key in keys} == {12}

    @pytest.mark.parametrize("length", [SHEBANG_LIMIT, SHEBANG_LIMIT + 1])
    def test_long_interpreter(self, length: int) -> None:
        """A first line has its limit."""
        python = "/" + "x" * (length - 1)
        if length <= SHEBANG_LIMIT:
            assert script(python).text.startswith(f"#!{python} -IS\n")
        else:
            with pytest.raises(UsageError, match="at most 250 bytes"):
                script(python)

    @pytest.mark.parametrize("python", ["/a b", "/a\tb", "/a\u00a0b"])
    def test_blanks_in_the_interpreter(self, python: str) -> None:
        """A first line can't hold blanks."""
        with pytest.raises(UsageError, match="expected a path without blanks"):
            script(python)


class TestRunning:
    """Scripts with odd paths."""

    @pytest.mark.parametrize("text", ODD)
    def test_runtime(self, text: str, tmp_path: Path) -> None:
        """A runtime at an odd path is reached, also without the package, and in any locale."""
        directory = tmp_path / text
        directory.mkdir()
        runtime = directory / "runc"
        runtime.write_text('#!/bin/sh\necho "$*"\n')
        runtime.chmod(0o755)
        made = script(runtime=str(runtime), paths=(str(tmp_path),), image=str(directory / "image"))
        (tmp_path / "script").write_text(made.text)
        (tmp_path / "script").chmod(0o755)
        for environment in ({}, {"LC_ALL": "C.UTF-8"}, {"LC_ALL": "POSIX"}):
            run = subprocess.run([tmp_path / "script", "state", "c1"], capture_output=True, check=True, env=environment)
            assert (run.stdout, run.stderr) == (b"state c1\n", b"")

    def test_interpreter_with_quotes(self, tmp_path: Path) -> None:
        """A message may hold any interpreter's path."""
        python = tmp_path / "py\"th'on\\"
        python.symlink_to(PYTHON)
        made = script(str(python), paths=(str(tmp_path),), image=str(tmp_path / "i"))
        (tmp_path / "script").write_text(made.text)
        (tmp_path / "script").chmod(0o755)
        command = [str(tmp_path / "script"), "create", "c1"]
        run = subprocess.run(command, capture_output=True, check=False, text=True, env={})
        assert run.returncode == 1
        assert run.stderr.startswith(f"w: the package ocihooks can't be imported by {python}; container not created\n")


class TestLauncher:
    """The settings that go into the launcher."""

    GOOD = {"runtime": "/r", "python": "/p", "script": "/s", "data": "/d", "name": "w"}  # noqa: RUF012

    @pytest.fixture
    def program(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A program with a place for settings."""
        path = tmp_path / "launcher"
        path.write_bytes(b"\x7fELF" + b"@ocihooks-launcher-settings@\0" + bytes(SETTINGS_BYTES) + b"end")
        monkeypatch.setattr("ocihooks.install.launcher.PROGRAM", str(path))
        return path

    def test_written(self, program: Path) -> None:
        """The settings stand behind the mark, and the size stays."""
        data = launcher_for(**self.GOOD)
        assert len(data) == program.stat().st_size
        assert b"@ocihooks-launcher-settings@\0/r\0/p\0/s\0/d\0w\0" in data
        assert data.endswith(b"end")

    @pytest.mark.parametrize("member", ["runtime", "python", "script", "data"])
    def test_relative(self, member: str, program: Path) -> None:
        """Paths have to be absolute."""
        with pytest.raises(UsageError, match="expected an absolute path"):
            launcher_for(**(self.GOOD | {member: "x"}))

    @pytest.mark.parametrize("member", ["runtime", "python", "script", "data", "name"])
    @pytest.mark.parametrize("text", ['/a"b', "/a\\b", "/a\nb"])
    def test_what_it_can_not_show(self, text: str, member: str, program: Path) -> None:
        """Its messages are JSON that it writes itself, so quotes and the like are refused."""
        with pytest.raises(UsageError, match="takes no path with quotes"):
            launcher_for(**(self.GOOD | {member: text}))

    def test_too_long(self, program: Path) -> None:
        """All paths together have a limit."""
        with pytest.raises(UsageError, match="more than 8192"):
            launcher_for(**(self.GOOD | {"data": "/" + "x" * SETTINGS_BYTES}))
