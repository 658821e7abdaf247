"""
The fuzz targets by name: each gives bytes to a reader, answers with its verdict, and fails if the reader breaks a law.

Nothing but `AssertionError` and errors that no reader may raise leave a target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fuzz.careless import careless
from fuzz.configs import config, static, tolerant
from fuzz.engines import containerd, containers_conf, crio, docker
from fuzz.injector import injector, library, linker
from fuzz.nri import nri
from fuzz.rules import rule
from fuzz.settings import settings, toolkit
from fuzz.words import words

Target = Callable[[bytes], str]

READERS: Mapping[str, Target] = MappingProxyType(
    {
        "config": config,
        "tolerant": tolerant,
        "static": static,
        "rule": rule,
        "settings": settings,
        "toolkit": toolkit,
        "docker": docker,
        "containerd": containerd,
        "crio": crio,
        "containers-conf": containers_conf,
        "injector": injector,
        "linker": linker,
        "library": library,
        "words": words,
        "nri": nri,
        "careless": careless,
    }
)
"""The targets in Python; the last one is there to be broken."""

LAUNCHER = ("launcher-words", "launcher-data", "launcher-config")
"""The targets in launcher.c, which are compiled for each run."""

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "containers": ("config", "tolerant", "words", "nri"),
        "rules": ("rule", "static", "injector", "linker", "library"),
        "administration": ("settings", "toolkit", "docker", "containerd", "crio", "containers-conf"),
        "launcher": LAUNCHER,
    }
)
"""All targets, by who writes what they read: engines, authors of rules and images, administrators, our own wrapper."""
