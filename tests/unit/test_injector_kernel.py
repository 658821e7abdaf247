"""What a thread gives up before it changes a container's root: writing elsewhere, and new privileges."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.unit.test_injector_inject import has_landlock

from ocihooks.injector import kernel
from ocihooks.injector.kernel import allow_writes_beneath, forbid_new_privileges, library_call

REFUSED = "permission denied"


def in_thread(act: Callable[[], str]) -> str:
    """What *act* returns in a thread of its own, with which ends what can't be taken back."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(act).result()


def attempt(act: Callable[[], object]) -> str:
    """What becomes of a change."""
    try:
        act()
    except PermissionError:
        return REFUSED
    return "done"


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A directory in which a process may write, and another one; each has a file."""
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("old")
    return tmp_path / "inside", tmp_path / "outside"


CHANGES: dict[str, Callable[[Path], object]] = {
    "write": lambda place: (place / "file").write_text("new"),
    "create": lambda place: (place / "new").touch(),
    "unlink": lambda place: (place / "file").unlink(),
    "mkdir": lambda place: (place / "d").mkdir(),
    "symlink": lambda place: (place / "link").symlink_to("file"),
    "mkfifo": lambda place: os.mkfifo(place / "fifo"),
    "truncate": lambda place: os.truncate(place / "file", 0),
    "rename": lambda place: (place / "file").rename(place / "other"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_writes_stay_beneath(change: Callable[[Path], object], places: tuple[Path, Path]) -> None:
    """It changes files beneath its directory as before, no others, and reads all of them."""
    if not has_landlock(3):
        pytest.skip("the kernel has no Landlock that keeps from truncating")
    inside, outside = places

    def both() -> str:
        directory = os.open(inside, os.O_PATH)
        assert allow_writes_beneath(directory)
        return (
            f"{(outside / 'file').read_text()}, {attempt(lambda: change(outside))}, {attempt(lambda: change(inside))}"
        )

    assert in_thread(both) == f"old, {REFUSED}, done"
    assert ((outside / "file").read_text(), os.listdir(outside)) == ("old", ["file"])


def test_no_new_privileges() -> None:
    """Programs that it starts gain no privileges by their mode or attributes."""

    def look() -> str:
        forbid_new_privileges()
        return Path("/proc/thread-self/status").read_text()

    assert "NoNewPrivs:\t1\n" in in_thread(look)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL], ids=errno.errorcode.get)
def test_kernel_without_landlock(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel can't do it, or may not, it is told so and goes on."""

    def missing(number: int, *arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(kernel, "system_call", missing)
    assert in_thread(lambda: str(allow_writes_beneath())) == "False"


def test_other_errors() -> None:
    """What is no directory is an error, not a kernel without Landlock."""
    if not has_landlock(3):
        pytest.skip("the kernel has no Landlock that keeps from truncating")
    with pytest.raises(OSError, match="Bad file descriptor"):
        in_thread(lambda: str(allow_writes_beneath(9999)))


FAILING: dict[str, tuple[int | bytes | None, ...]] = {
    "prctl": (24, 63, 0, 0, 0),
    "ioctl": (-1, 0, 0),
    "umount2": (b"/none", 0),
    "pivot_root": (b"/none", b"/none"),
    "capset": (bytes(8), bytes(24)),
}


@pytest.mark.parametrize("name", FAILING)
def test_calls_of_the_library_that_fail(name: str) -> None:
    """A function of the C library that fails is an error, however many bits of -1 it returns."""
    with pytest.raises(OSError, match=r"\[Errno \d+\]"):
        library_call(name, *FAILING[name])
