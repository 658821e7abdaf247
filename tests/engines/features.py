"""What is tested on which engine, and why not on the others: the table behind docs/reference/engines.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ocihooks.testing.engines.buildah import Buildah
from ocihooks.testing.engines.containerd import Ctr
from ocihooks.testing.engines.direct import Crun, Runc
from ocihooks.testing.engines.docker import Docker
from ocihooks.testing.engines.podman import Podman, PodmanByName

DOCKER, CTR, CRI = Docker.name, Ctr.name, "containerd with CRI"
BY_PATH, BY_NAME, BUILDAH = Podman.name, PodmanByName.name, Buildah.name
RUNC, CRUN = Runc.name, Crun.name

ENGINES = (DOCKER, CTR, CRI, BY_PATH, BY_NAME, BUILDAH, RUNC, CRUN)
"""The columns of the table."""

BENEATH = dict.fromkeys(ENGINES, "runc") | {BY_NAME: "crun", CRUN: "crun"}
"""The runtime below the wrapper."""

PRODUCTS = {CTR: "containerd", CRI: "containerd", BY_PATH: "podman", BY_NAME: "podman"}
"""What has the version, where it has another name."""

_DIRECT = dict.fromkeys((RUNC, CRUN), "a runtime has no such thing")
_ONE_COMMAND = {BUILDAH: "its containers live for one command"}

FEATURES: Mapping[str, Mapping[str, str]] = {
    "rule matched by annotation": {
        DOCKER: "`docker run --annotation` came with Docker 24.0",
        BUILDAH: "`buildah run` gives its containers no annotations",
    },
    "rule matched by command": {},
    "rule not matched": {},
    "hooks of all stages": {},
    "precreate filter": {},
    "two directories, one overrides": {},
    "failing hook tells the user": {},
    "unreadable rule tells the user": {},
    "wrapper in front of a wrapper": {},
    "exec": _ONE_COMMAND,
    "pause": _ONE_COMMAND | {CRI: "pods can't be paused"},
    "kill": _ONE_COMMAND,
    "restart": _ONE_COMMAND | _DIRECT | {CRI: "a kubelet makes a new container"},
    "default runtime": _DIRECT | {CTR: "ctr has its own default"},
    "many containers at once": {BUILDAH: "it runs one command after the other"},
    "configured by ocihooks, and undone": {
        CTR: "ctr reads no configuration",
        BY_PATH: "a path in a command needs no configuration",
        **_DIRECT,
    },
    "engine killed meanwhile": _DIRECT | dict.fromkeys((BY_PATH, BY_NAME, BUILDAH), "it has no daemon"),
    "sandbox left alone": {name: "it has no pods of Kubernetes" for name in ENGINES if name != CRI},
}
"""The rows of the table: for each feature the engines where it can't be tested, with the reason."""

Test = Callable[..., Any]


def engines_of(feature: str) -> tuple[str, ...]:
    """The engines on which *feature* is tested."""
    return tuple(name for name in ENGINES if name not in FEATURES[feature])


def shows(feature: str) -> Callable[[Test], Test]:
    """Run a test on each engine that has *feature*; the page says so when it passed."""

    def mark(test: Test) -> Test:
        for mark in (
            pytest.mark.parametrize("engine", engines_of(feature), indirect=True),
            pytest.mark.feature(feature),
            pytest.mark.runtime,
        ):
            test = mark(test)
        return test

    return mark
