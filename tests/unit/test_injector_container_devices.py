"""What the kernel tells of cgroups and mounts, whatever is in their names."""

from __future__ import annotations

from pathlib import Path

from ocihooks.injector.container_devices import _read


def test_lines_of_the_kernel(tmp_path: Path) -> None:
    """Only a newline ends a line, since mount points may have in their names what else looks like an end."""
    names = ["1 /a\x0bb", "2 /a\rb", "3 /a\x1cb", "4 /a\u2028b", "5 /a\udcffb"]
    (tmp_path / "mountinfo").write_bytes("".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape"))
    assert _read(f"{tmp_path}/mountinfo") == names
