"""The kill switch: a file beside the settings that only somebody trusted can put there."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from ocihooks.errors import OCIHooksError, ReplaceError, UnavailableError, UntrustedError, UsageError
from ocihooks.wrapper.switch import REASON_LIMIT, disable, enable, is_disabled, read_switch, switch_file

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")


@pytest.fixture
def settings(tmp_path: Path) -> str:
    """The path of a settings file; there need not be one."""
    directory = tmp_path / "ocihooks"
    directory.mkdir(mode=0o755)
    return str(directory / "config.toml")


def test_place() -> None:
    """The switch lies beside the settings."""
    assert switch_file("/etc/ocihooks/config.toml") == "/etc/ocihooks/disabled"


class TestLooking:
    """What the wrapper sees."""

    def test_off(self, settings: str) -> None:
        """Without the file, containers get hooks, settings or not."""
        assert is_disabled(settings) is False
        assert read_switch(settings) is None
        assert is_disabled(f"{settings}/none/config.toml") is False

    @pytest.mark.parametrize("content", [b"", b"maintenance\n", b"\xff" * 100])
    def test_on(self, content: bytes, settings: str) -> None:
        """The file is the switch, whatever it holds."""
        Path(switch_file(settings)).write_bytes(content)
        assert is_disabled(settings) is True

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            pytest.param(b"", "", id="nothing"),
            pytest.param("wartung für heute\nmore\n".encode(), "wartung für heute", id="first-line"),
            pytest.param(b"x" * 1000, "x" * REASON_LIMIT, id="cut"),
            pytest.param(b"\xff", "\ufffd", id="not-utf8"),
        ],
    )
    def test_reason(self, content: bytes, reason: str, settings: str) -> None:
        """The first line says why, and the file's time says since when."""
        Path(switch_file(settings)).write_bytes(content)
        switch = read_switch(settings)
        assert switch is not None
        assert (switch.file, switch.reason) == (switch_file(settings), reason)
        assert abs(switch.since - time.time()) < 60

    def test_link_to_nothing(self, settings: str) -> None:
        """A link to nothing is no switch."""
        os.symlink("nothing", switch_file(settings))
        assert is_disabled(settings) is False

    def test_directory(self, settings: str) -> None:
        """A directory of that name is a switch, too, but one without a reason that can be read."""
        os.mkdir(switch_file(settings), 0o755)
        assert is_disabled(settings) is True
        with pytest.raises(UntrustedError, match="expected a regular file"):
            read_switch(settings)

    @needs_root
    def test_of_another(self, settings: str) -> None:
        """A switch of somebody else is refused by name, and neither obeyed nor overlooked."""
        file = Path(switch_file(settings))
        file.touch()
        os.chown(file, 1234, 1234)
        for look in (is_disabled, read_switch):
            with pytest.raises(UntrustedError) as caught:
                look(settings)
            assert caught.value.file == str(file)
            assert caught.value.hint == f"chown root:root {file}"

    def test_directory_of_others(self, settings: str) -> None:
        """A switch in a directory that others can write to is refused."""
        Path(switch_file(settings)).touch()
        os.chmod(os.path.dirname(settings), 0o777)
        with pytest.raises(UntrustedError, match="everybody may write"):
            is_disabled(settings)


class TestSwitching:
    """What the commands do."""

    def test_round_trip(self, settings: str) -> None:
        """Off and on again, with nothing left behind."""
        assert disable(settings, "why not") is True
        switch = read_switch(settings)
        assert switch is not None
        assert switch.reason == "why not"
        assert enable(settings) is True
        assert is_disabled(settings) is False
        assert os.listdir(os.path.dirname(settings)) == []

    def test_again(self, settings: str) -> None:
        """Doing it again does nothing, and says so; another reason is written."""
        assert enable(settings) is False
        assert [disable(settings, "a"), disable(settings, "a"), disable(settings)] == [True, False, False]
        before = os.stat(switch_file(settings)).st_ino
        assert disable(settings, "b") is True
        switch = read_switch(settings)
        assert switch is not None
        assert switch.reason == "b"
        assert os.stat(switch_file(settings)).st_ino != before

    def test_directory_is_made(self, tmp_path: Path) -> None:
        """The directory is made if it is missing, for everybody to look at, whatever the umask."""
        settings = str(tmp_path / "etc" / "ocihooks" / "config.toml")
        before = os.umask(0o077)
        try:
            assert disable(settings) is True
        finally:
            os.umask(before)
        assert stat.S_IMODE(os.stat(os.path.dirname(settings)).st_mode) == 0o755
        assert stat.S_IMODE(os.stat(switch_file(settings)).st_mode) == 0o644

    @pytest.mark.parametrize("reason", ["two\nlines", "\x1b[31m", "x" * (REASON_LIMIT + 1)])
    def test_bad_reason(self, reason: str, settings: str) -> None:
        """A reason is one line of text."""
        with pytest.raises(UsageError, match="expected one line of at most 200 characters") as caught:
            disable(settings, reason)
        assert caught.value.hint
        assert is_disabled(settings) is False

    def test_directory_of_others(self, settings: str) -> None:
        """A switch that the wrapper would not look at is not made."""
        os.chmod(os.path.dirname(settings), 0o777)
        with pytest.raises(UntrustedError, match="everybody may write"):
            disable(settings)
        assert os.listdir(os.path.dirname(settings)) == []

    def test_below_a_file(self, tmp_path: Path) -> None:
        """A directory that can't be made is named."""
        (tmp_path / "file").touch()
        with pytest.raises(UnavailableError, match="can't be made: not a directory"):
            disable(str(tmp_path / "file" / "ocihooks" / "config.toml"))

    def test_directory_in_its_place(self, settings: str) -> None:
        """What is no file is neither replaced nor removed."""
        os.mkdir(switch_file(settings), 0o755)
        with pytest.raises(OCIHooksError, match="expected a regular file") as caught:
            disable(settings, "why")
        assert isinstance(caught.value, (UntrustedError, ReplaceError))
        with pytest.raises(UnavailableError, match="can't be removed: is a directory"):
            enable(settings)
