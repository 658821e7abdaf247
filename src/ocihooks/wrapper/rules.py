"""
Loads the rules that may go into containers: only files that nobody but root could have written, judged by policy.

An invalid rule might have matched, so by default no container starts while there is one; see `on-invalid`.
"""

from __future__ import annotations

import posix
from dataclasses import dataclass

from ocihooks.errors import ERROR, Diagnostic, UntrustedError, os_reason
from ocihooks.hooksd.directories import survey
from ocihooks.injection import FILTER_STAGE
from ocihooks.reading import read_whole
from ocihooks.trust import MAX_FILE_BYTES, explained, open_trusted, read_trusted
from ocihooks.unfinished import Patience
from ocihooks.wrapper.usable import POLICY_HINT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocihooks.hooksd.directories import Rule
    from ocihooks.settings import Policy, Settings
    from ocihooks.trust import Trust

_READING = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """
    The rules of the hooks directories.

    Attributes:
        rules: All of them in the order in which they run, invalid and masked ones included.
        refused: Findings that forbid to go on, by policy.
        tolerated: The other findings: warnings, and errors that the policy tolerates.
    """

    rules: tuple[Rule, ...]
    refused: tuple[Diagnostic, ...]
    tolerated: tuple[Diagnostic, ...]


def load_rules(settings: Settings, *, watched: bool = False) -> Loaded:
    """
    Load the rules of the directories in *settings*; never raises, what is wrong stands in the result.

    Args:
        watched: Whether somebody loads them again as soon as they change, so that an empty file is a mask at once.
    """
    refused: list[Diagnostic] = []
    tolerated: list[Diagnostic] = []
    directories = _Directories(settings.trust(), None if watched else Patience())
    try:
        problems = {directory: directories.problem(directory) for directory in dict.fromkeys(settings.hooks_dirs)}
        usable = [directory for directory in settings.hooks_dirs if problems[directory] is None]
        rules, findings = survey(usable, (FILTER_STAGE,), read_file=directories.read)
    finally:
        directories.close()
    _judge([problem for problem in problems.values() if problem], settings.on_invalid, refused, tolerated)
    _judge(findings, settings.on_invalid, refused, tolerated)
    for rule in rules:
        if rule.problems:
            _judge(rule.problems, settings.policy(rule.name), refused, tolerated)
    return Loaded(rules=rules, refused=tuple(refused), tolerated=tuple(tolerated))


class _Directories:
    """The hooks directories that can be trusted, held open, so that the way to them is checked once for all files."""

    def __init__(self, trust: Trust, patience: Patience | None) -> None:
        self.trust = trust
        self.patience = patience
        self.open: dict[str, int] = {}

    def close(self) -> None:
        """Let them go."""
        for fd in self.open.values():
            posix.close(fd)

    def problem(self, directory: str) -> Diagnostic | None:
        """Why *directory* can't be used; a missing one can."""
        try:
            self.open[directory] = open_trusted(directory, self.trust)
        except UntrustedError as error:
            return error.problems[0]
        except FileNotFoundError:
            return None
        except OSError as error:
            return Diagnostic(f"can't be listed: {os_reason(error)}", code="read_failed", file=directory)
        return None

    def read(self, file: str) -> bytes:
        """
        The bytes of a rule file.

        Raises:
            UntrustedError: Somebody else could have written it, it can't be read, or may be just being written.
            FileNotFoundError: There is none.
        """
        try:
            return self.patience.read(file, self._read) if self.patience else self._read(file)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise explained(file, error) from None

    def _read(self, file: str) -> bytes:
        data = self._plain(file)
        return read_trusted(file, self.trust) if data is None else data

    def _plain(self, file: str) -> bytes | None:
        """The bytes of a plain file with usual owner and mode; None: it has to be looked at from the root down."""
        directory, _, name = file.rpartition("/")
        if directory not in self.open:
            return None
        try:
            fd = posix.open(name, _READING, dir_fd=self.open[directory])
        except OSError:
            return None
        try:
            status = posix.fstat(fd)
            if status.st_mode & 0o170022 != 0o100000 or status.st_uid not in self.trust.owners:
                return None
            data = read_whole(fd, status.st_size, MAX_FILE_BYTES)
        finally:
            posix.close(fd)
        return data if len(data) <= MAX_FILE_BYTES else None


def _judge(
    problems: Iterable[Diagnostic], policy: Policy, refused: list[Diagnostic], tolerated: list[Diagnostic]
) -> None:
    for problem in problems:
        if problem.severity == ERROR and policy == "fail":
            refused.append(problem.but(hint=POLICY_HINT))
        elif policy != "ignore":
            tolerated.append(problem)
