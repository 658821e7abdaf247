"""A reader with a slip that no random input meets, by which it shows that runs find something."""

from __future__ import annotations

SECRET = b"hooks"


def careless(data: bytes) -> str:
    """Fails behind five comparisons; one at a time can be learned from which code was reached, all of them not."""
    for at, letter in enumerate(SECRET):
        if data[at : at + 1] != bytes([letter]):
            return f"{at} letters"
    raise IndexError("the slip")
