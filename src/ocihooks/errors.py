"""
What can go wrong, as exceptions grouped by what the caller does next, and the diagnostics they carry.

A diagnostic is one finding in one place: ``file: pointer: message`` and a hint that mends it.
Modules on the wrapper's warm path write ``ocihooks.errors.DocumentError``, so that none of this is loaded until
something is wrong.
"""

from ocihooks.quoting import CONTAINER_TEXT_LIMIT as CONTAINER_TEXT_LIMIT
from ocihooks.quoting import printable as printable
from ocihooks.quoting import quoted as quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


ERROR = "error"
WARNING = "warning"


def reference_token(member: str) -> str:
    """*member* as a part of a JSON pointer (RFC 6901)."""
    return member.replace("~", "~0").replace("/", "~1")


def os_reason(error: OSError) -> str:
    """
    Why the system refused, in words that engines do not take for something else.

    Docker and Podman choose their exit status by "permission denied" and "no such file or directory" in messages.
    """
    import errno
    import os

    words = {errno.ENOENT: "it does not exist", errno.EACCES: "access is not allowed", errno.EPERM: "it is not allowed"}
    return words.get(error.errno or 0) or os.strerror(error.errno or 0).lower()


class Diagnostic:
    """
    One finding: what is wrong, where, and what mends it.

    Attributes:
        severity: ``"error"`` (the document can't be used as it stands) or ``"warning"``.
        code: Stable word for programs, such as ``json_syntax`` or ``unknown_stage``; see docs/reference/diagnostics.md.
        message: One sentence: what was found and what was expected.
        file: Path of the document, or None when there is none.
        pointer: JSON pointer, ``line 3 column 7``, or None for the whole document.
        hint: A command or setting that mends it, or None.
    """

    __slots__ = ("code", "file", "hint", "message", "pointer", "severity")

    def __init__(
        self,
        message: str,
        *,
        code: str = "other",
        severity: str = ERROR,
        file: str | None = None,
        pointer: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.message = message
        self.code = code
        self.severity = severity
        self.file = file
        self.pointer = pointer
        self.hint = hint

    def __str__(self) -> str:
        return ": ".join(printable(part) for part in (self.file, self.pointer, self.message) if part)

    def __repr__(self) -> str:
        return f"Diagnostic({self.severity}: {self.code}: {self})"

    def _key(self) -> tuple[str, ...]:
        return tuple(getattr(self, name) or "" for name in ("file", "pointer", "code", "severity", "message", "hint"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Diagnostic) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def but(self, *, severity: str | None = None, hint: str | None = None) -> "Diagnostic":
        """A copy with another severity, or with a hint where there is none."""
        return Diagnostic(
            self.message,
            code=self.code,
            severity=severity or self.severity,
            file=self.file,
            pointer=self.pointer,
            hint=self.hint or hint,
        )

    @classmethod
    def from_members(cls, members: "tuple[str | None, ...]") -> "Diagnostic":
        """The diagnostic whose `to_json` had these values."""
        severity, code, file, pointer, message, hint = members
        return cls(message or "", code=code or "", severity=severity or ERROR, file=file, pointer=pointer, hint=hint)

    def to_json(self) -> dict[str, str | None]:
        """The members that ``--json`` output shows, None where unknown."""
        return {name: getattr(self, name) for name in ("severity", "code", "file", "pointer", "message", "hint")}


def only_errors(problems: "Iterable[Diagnostic]") -> "tuple[Diagnostic, ...]":
    """Those of *problems* that are errors."""
    return tuple(problem for problem in problems if problem.severity == ERROR)


class OCIHooksError(Exception):
    """
    Base of all errors of this package; carries one or more diagnostics.

    Args:
        message: What is wrong, when there is one problem only.
        problems: All problems, when there are several; *message* and the rest then come from the first.
    """

    exit_status = 1

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "other",
        file: str | None = None,
        pointer: str | None = None,
        hint: str | None = None,
        problems: "Iterable[Diagnostic]" = (),
    ) -> None:
        self.problems: tuple[Diagnostic, ...] = tuple(problems) or (
            Diagnostic(message, code=code, file=file, pointer=pointer, hint=hint),
        )
        super().__init__(self.problems[0].message)

    @property
    def message(self) -> str:
        """The first problem's sentence."""
        return self.problems[0].message

    @property
    def code(self) -> str:
        """The first problem's code."""
        return self.problems[0].code

    @property
    def file(self) -> str | None:
        """The first problem's file."""
        return self.problems[0].file

    @property
    def pointer(self) -> str | None:
        """The first problem's place in the file."""
        return self.problems[0].pointer

    @property
    def hint(self) -> str | None:
        """What mends the first problem."""
        return self.problems[0].hint

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)

    def render(self, program: str) -> str:
        """All problems as lines ``program: file: pointer: message``, a ``hint:`` line behind those that have one."""
        lines = []
        for problem in self.problems:
            lines.append(f"{program}: {problem}")
            if problem.hint:
                lines.append(f"hint: {printable(problem.hint)}")
        return "\n".join(lines)


class UsageError(OCIHooksError):
    """The command line can't be understood: exit status 2."""

    exit_status = 2


class UnavailableError(OCIHooksError):
    """Something outside is missing: a runtime, a permission, a directory. Exit status 3."""

    exit_status = 3


class HookError(OCIHooksError):
    """A rule file can't be used; ``problems`` has all of its faults."""


class NotJSONNameError(HookError):
    """The file's name does not end in ``.json``, so it is not a rule file."""


class RulesError(OCIHooksError):
    """Rule files in hooks directories can't be used; ``problems`` has all faults of all files."""


class MatchError(OCIHooksError):
    """
    A rule's conditions can't be decided for this container.

    Attributes:
        injection: What the rules before it gave (an `ocihooks.Injection`), for explaining; None where there were none.
    """

    injection: "Any" = None


class DocumentError(OCIHooksError):
    """A config.json, static hook file or other JSON document can't be used."""


class SettingsError(OCIHooksError):
    """The settings file can't be used."""


class UntrustedError(OCIHooksError):
    """A file that decides what root runs could have been written by somebody else."""


class DamagedError(Exception):
    """Compiled rules are not what was written; they are read from their files again, and nobody hears of it."""


class RefusedError(OCIHooksError):
    """A modifier refuses to have a container created; raise it with the sentence that users are to see."""


class ReplaceError(OCIHooksError):
    """A file could not be replaced; the old one is unchanged."""
