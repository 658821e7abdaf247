"""Where the wrapper looks for compiled rules."""

from __future__ import annotations

import posix

import pytest

from ocihooks.wrapper.cache import environment


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the variables that say where things are count, as text that keeps odd bytes, and empty is not missing."""
    monkeypatch.setitem(posix.environ, b"HOME", b"/home/\xff")
    monkeypatch.setitem(posix.environ, b"XDG_CONFIG_HOME", b"")
    monkeypatch.delitem(posix.environ, b"XDG_RUNTIME_DIR", raising=False)
    assert environment() == {"HOME": "/home/\udcff", "XDG_CONFIG_HOME": ""}
    monkeypatch.setitem(posix.environ, b"XDG_RUNTIME_DIR", b"/run/user/1")
    assert environment()["XDG_RUNTIME_DIR"] == "/run/user/1"
