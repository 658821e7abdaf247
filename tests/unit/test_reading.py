"""Reading a file whole, whatever was known about its size."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocihooks.reading import read_whole


@pytest.mark.parametrize("size", [0, 1, 99_999, 100_000, 100_001, 1 << 20], ids=lambda size: f"told-{size}")
def test_whole(size: int, tmp_path: Path) -> None:
    """All of a file is read, also where it has grown or shrunk since it was looked at."""
    content = bytes(range(256)) * 391
    content = content[:100_000]
    (tmp_path / "file").write_bytes(content)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        assert read_whole(fd, size, 1 << 20) == content
    finally:
        os.close(fd)


@pytest.mark.parametrize("told", ["right", "zero"])
@pytest.mark.parametrize(("size", "limit"), [(10, 9), (10, 10), (200_000, 9), (200_000, 199_999), (200_000, 200_000)])
def test_limit(size: int, limit: int, told: str, tmp_path: Path) -> None:
    """Of a file beyond the limit more than the limit is read, so that it can be told, but not all of a large one."""
    (tmp_path / "file").write_bytes(bytes(size))
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        data = read_whole(fd, size if told == "right" else 0, limit)
    finally:
        os.close(fd)
    assert (len(data) > limit) == (size > limit)
    assert len(data) <= limit + (1 << 16)


def test_file_without_a_size() -> None:
    """Files of the kernel say that they are empty."""
    fd = os.open("/proc/self/status", os.O_RDONLY)
    try:
        assert read_whole(fd, os.fstat(fd).st_size, 1 << 20).startswith(b"Name:")
    finally:
        os.close(fd)
