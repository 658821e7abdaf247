"""Injector files in the wrapper: which are trusted, what becomes of the others, and what a container gets."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_wrapper_create import Place

from ocihooks.settings import Settings
from ocihooks.wrapper.injectors import load_injectors

FILE = {"activation_flag": "X", "env": ["FOUND=yes"]}


class Scene(Place):
    """A place with a directory of injector files."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.injectors = directory / "injectors"
        self.injectors.mkdir(mode=0o755)

    def injector(self, name: str = "a.json", content: str | dict[str, Any] = FILE) -> Path:
        file = self.injectors / name
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        file.chmod(0o644)
        return file

    def found(self) -> tuple[list[str], list[tuple[str, str]]]:
        """The names of the files that can be used, and file and code of each problem."""
        files, problems = load_injectors(Settings(injector_dir=str(self.injectors)))
        assert all(problem.hint for problem in problems)
        names = [os.path.basename(file.file) for file in files]
        return names, [(os.path.basename(str(problem.file)), problem.code) for problem in problems]

    def ask(self) -> None:
        """Let the container ask for what is there."""
        config = self.bundle.config()
        config["process"]["env"] = ["X=1"]
        self.config.write_text(json.dumps(config))

    def environment(self) -> list[str]:
        found: list[str] = self.bundle.config()["process"]["env"]
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A place without rules, settings and injector files."""
    return Scene(tmp_path)


class TestLoading:
    """Which files count."""

    def test_none(self) -> None:
        """Without a directory there are none."""
        assert load_injectors(Settings()) == ((), ())

    def test_missing_directory(self, scene: Scene) -> None:
        """A directory that is not there holds none, and is no problem."""
        scene.injectors.rmdir()
        assert scene.found() == ([], [])

    def test_good(self, scene: Scene) -> None:
        """All files of the directory count, in the order of their names."""
        for name in ("b.json", "a.json"):
            scene.injector(name)
        assert scene.found() == (["a.json", "b.json"], [])

    @pytest.mark.parametrize(
        ("spoil", "code"),
        [
            pytest.param(lambda file: file.chmod(0o666), "untrusted", id="written-by-others"),
            pytest.param(lambda file: file.write_text("{"), "json_syntax", id="no-json"),
            pytest.param(
                lambda file: (file.unlink(), file.symlink_to("b.json/x")), "read_failed", id="link-below-a-file"
            ),
        ],
    )
    def test_file(self, spoil: Callable[[Path], object], code: str, scene: Scene) -> None:
        """A file that can't be used is named with the reason, and the others count."""
        scene.injector("b.json")
        spoil(scene.injector("a.json"))
        assert scene.found() == (["b.json"], [("a.json", code)])

    @pytest.mark.parametrize(
        ("directory", "code"),
        [
            pytest.param(lambda scene: scene.injectors.chmod(0o777), "untrusted", id="written-by-others"),
            pytest.param(
                lambda scene: (scene.injectors.rmdir(), scene.injectors.symlink_to("etc/config.toml/x")),
                "read_failed",
                id="link-below-a-file",
            ),
        ],
    )
    def test_directory(self, directory: Callable[[Scene], object], code: str, scene: Scene) -> None:
        """A directory that can't be used is named itself."""
        scene.write_settings("")
        directory(scene)
        files, (problem,) = load_injectors(Settings(injector_dir=str(scene.injectors)))
        assert (files, problem.file, problem.code) == ((), str(scene.injectors), code)


class TestCreating:
    """What a container gets."""

    def test_given(self, scene: Scene) -> None:
        """A container that asks gets what the file says, and the log tells so."""
        file = scene.injector()
        scene.write_settings(f'injector-dir = "{scene.injectors}"\nlog = "{scene.log}"')
        scene.ask()
        scene.prepare()
        assert scene.environment() == ["X=1", "FOUND=yes"]
        assert scene.lines()[0]["injector_files"] == [str(file)]
        assert scene.lines()[0]["msg"] == "hooks added"
        before = scene.config.stat()
        scene.prepare()
        assert (scene.config.stat().st_ino, scene.lines()[1]["msg"]) == (before.st_ino, "nothing to add")

    def test_not_asked_for(self, scene: Scene) -> None:
        """A container that does not ask keeps its configuration, and the log says nothing of files."""
        scene.injector()
        scene.write_settings(f'injector-dir = "{scene.injectors}"\nlog = "{scene.log}"')
        before = scene.config.read_bytes()
        scene.prepare()
        assert scene.config.read_bytes() == before
        assert "injector_files" not in scene.lines()[0]

    @pytest.mark.parametrize("policy", ["fail", "warn", "ignore"])
    def test_policy(self, policy: str, scene: Scene) -> None:
        """A file that can't be used refuses all containers, unless the settings say otherwise."""
        scene.injector("a.json")
        broken = scene.injector("b.json", "{")
        scene.write_settings(f'injector-dir = "{scene.injectors}"\non-invalid = "{policy}"\nlog = "{scene.log}"')
        scene.ask()
        if policy == "fail":
            assert scene.refusal().problems[0].file == str(broken)
            return
        scene.prepare()
        assert scene.environment() == ["X=1", "FOUND=yes"]
        assert any(str(broken) in warning for warning in scene.lines()[0]["warnings"]) == (policy == "warn")
