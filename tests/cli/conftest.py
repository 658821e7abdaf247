"""Fixtures of the tests of the command line program."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.place import Finished, Place, Run

from ocihooks.cli.run import run


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty place whose settings name the hooks directories a and b."""
    made = Place(root=tmp_path.resolve())
    made.configure()
    return made


@pytest.fixture
def ocihooks(place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """
    Run a command line in this process, in the place's directory.

    {DIR} in an argument stands for that directory, and SETTINGS for ``--settings FILE``.
    """
    monkeypatch.chdir(place.root)
    monkeypatch.delenv("OCIHOOKS_TRACEBACK", raising=False)

    def call(*words: str) -> Finished:
        arguments: list[str] = []
        for word in words:
            arguments += ["--settings", str(place.settings)] if word == "SETTINGS" else [word]
        capsys.readouterr()
        status = run([word.replace("{DIR}", str(place.root)) for word in arguments])
        captured = capsys.readouterr()
        return Finished(status=status, stdout=place.named(captured.out), stderr=place.named(captured.err))

    return call
