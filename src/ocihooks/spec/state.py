"""
The state of a container: what a hook reads on standard input.

Spec: runtime-spec 1.3.0, runtime.md "State".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from ocihooks.errors import DocumentError, quoted, reference_token
from ocihooks.spec.members import expect, optional, required, unknown

_STATE_MEMBERS = ("ociVersion", "id", "status", "pid", "bundle", "annotations")


class Status(StrEnum):
    """Where a container is in its life."""

    CREATING = "creating"
    CREATED = "created"
    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """
    A container as its runtime describes it.

    Attributes:
        oci_version: Version of the spec that the state follows, as in ``ociVersion``.
        id: The container's id, unique on its host.
        status: One of the four of the spec, or a runtime's own word (a plain string) that it may add.
        bundle: Absolute path of the bundle directory.
        pid: Process id of the container on the host; None where there is no process (any more).
        annotations: None: not given.
        extra: Members the spec does not define (crun adds some), kept and written back.
    """

    oci_version: str
    id: str
    status: Status | str
    bundle: str
    pid: int | None = None
    annotations: Mapping[str, str] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: object) -> Self:
        """
        Read a state object.

        Raises:
            DocumentError: A member is missing or of the wrong type; the error names it.
        """
        members = expect(document, dict, "/")
        status = required(members, "status", str, "")
        if not status:
            raise DocumentError(
                f'expected a status such as {quoted(Status.CREATED.value)}, found ""', pointer="/status"
            )
        annotations = optional(members, "annotations", dict, "")
        for name, value in (annotations or {}).items():
            expect(value, str, f"/annotations/{reference_token(name)}")
        return cls(
            oci_version=required(members, "ociVersion", str, ""),
            id=required(members, "id", str, ""),
            status=Status(status) if status in tuple(Status) else status,
            bundle=required(members, "bundle", str, ""),
            pid=optional(members, "pid", int, ""),
            annotations=annotations,
            extra=unknown(members, _STATE_MEMBERS),
        )

    def to_json(self) -> dict[str, Any]:
        """The state object in the spec's spelling and order; members that were not given are left out."""
        document: dict[str, Any] = {"ociVersion": self.oci_version, "id": self.id, "status": str(self.status)}
        if self.pid is not None:
            document["pid"] = self.pid
        document["bundle"] = self.bundle
        if self.annotations is not None:
            document["annotations"] = dict(self.annotations)
        return document | dict(self.extra)
