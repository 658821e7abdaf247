"""Where the package and what it depends on are, for an interpreter that looks nowhere else."""

from __future__ import annotations

import os
import sysconfig


def package_paths() -> tuple[str, ...]:
    """The directories that hold this package and what it depends on, links followed."""
    places = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    places += [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    return tuple(dict.fromkeys(os.path.realpath(place) for place in places))
