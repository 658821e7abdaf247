"""The streams of a hook by themselves: their descriptors, and what is kept of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ocihooks.execution.output import Capture, Feed, Stream, above_standard


@contextmanager
def standard_only_to(last: int) -> Iterator[int]:
    """Of the three standard descriptors those behind *last* are closed; all are put back at the end."""
    kept = {number: os.dup(number) for number in range(3)}
    for number in range(last + 1, 3):
        os.close(number)
    try:
        yield last
    finally:
        for number, fd in kept.items():
            os.dup2(fd, number)
            os.close(fd)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("number", [0, 1, 2])
def test_descriptor_of_a_standard_stream_moves(number: int) -> None:
    """A descriptor that a hook gets its own of moves out of the way, and stays with its process."""
    with standard_only_to(number):
        moved = above_standard(number)
        found = (moved > 2, os.get_inheritable(moved), is_open(number))
        os.close(moved)
    assert found == (True, False, False)


def test_other_descriptors_stay() -> None:
    """A descriptor above the standard ones stays where it is, the next one behind them as well."""
    was_open = is_open(3)
    if not was_open:
        os.dup2(2, 3)
    try:
        assert above_standard(3) == 3
        assert is_open(3)
    finally:
        if not was_open:
            os.close(3)


def test_first_descriptor_is_given_back() -> None:
    """A stream gives its descriptor back once, also if that is the first of all."""
    with standard_only_to(2):
        stream = Stream(0)
        stream.close()
        was_open = is_open(0)
        os.dup2(1, 0)
        stream.close()
        assert (was_open, is_open(0)) == (False, True)


@pytest.mark.parametrize("size_bytes", [3, 4, 5])
def test_output_of_just_the_limit(size_bytes: int) -> None:
    """What fits into the limit is whole, and told to be."""
    reader, writer = os.pipe()
    os.write(writer, b"12345"[:size_bytes])
    capture = Capture(reader, 4)
    try:
        assert capture.ready() is False
        assert (bytes(capture.kept), capture.truncated) == (b"12345"[:size_bytes][-4:], size_bytes > 4)
        os.close(writer)
        assert capture.ready() is True
    finally:
        capture.close()


def test_pipe_that_the_reader_has_filled() -> None:
    """What finds no room is written when there is some, whatever poll has promised."""
    reader, writer = os.pipe()
    feed = Feed(writer, b"state")
    room = os.write(writer, bytes(1 << 20))
    try:
        assert feed.ready() is False
        assert len(os.read(reader, room)) == room
        assert (feed.ready(), os.read(reader, 100)) == (True, b"state")
    finally:
        feed.close()
        os.close(reader)


def test_no_stream_is_waited_for() -> None:
    """Neither reading nor writing ever waits, whatever poll has promised."""
    reader, writer = os.pipe()
    capture, feed = Capture(reader, None), Feed(writer, b"")
    try:
        assert (os.get_blocking(reader), os.get_blocking(writer)) == (False, False)
    finally:
        capture.close()
        feed.close()
