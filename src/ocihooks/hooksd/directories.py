"""
Hooks directories: which rule files count, which of them override which, and in which order they run.

A file overrides those of the same name in earlier directories; an empty file or a link to /dev/null masks them.
"""

from __future__ import annotations

import posix
import sys
from dataclasses import dataclass

from ocihooks.errors import WARNING, Diagnostic, HookError, OCIHooksError, RulesError, quoted
from ocihooks.hooksd.config import HookConfig, When
from ocihooks.hooksd.fields import Reading
from ocihooks.hooksd.readers import SUFFIX, check_program, read_bytes, read_document, read_hook, unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, MutableMapping, Sequence
    from typing import Any, Literal

    RuleStatus = Literal["active", "masked", "invalid"]

    ReadFile = Callable[[str], bytes]
    """Gives the bytes of a file; raises OSError, ValueError or an OCIHooksError."""

DEFAULT_DIR = "/usr/share/containers/oci/hooks.d"
"""Where packages put rule files."""

OVERRIDE_DIR = "/etc/containers/oci/hooks.d"
"""Where administrators put theirs, which override those of packages."""

MAX_FILES = 10_000
"""Rule files that one directory may hold."""

_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    A rule with its place.

    Attributes:
        name: File name; the same name in a later directory overrides.
        file: Path of the file that counts.
        config: What it says; None where it is masked or invalid.
        status: ``active``; ``masked`` (an empty file or /dev/null); ``invalid`` (see ``problems``).
        problems: Findings about this file.
        overrides: Paths of the files of the same name in earlier directories, the nearest first.
    """

    name: str
    file: str
    config: HookConfig | None
    status: RuleStatus
    problems: tuple[Diagnostic, ...] = ()
    overrides: tuple[str, ...] = ()

    @property
    def when(self) -> When:
        """The conditions; a rule that is not active has none, so it never matches."""
        return self.config.when if self.config else When()

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages as in the file; none where the rule is not active."""
        return self.config.stages if self.config else ()

    @property
    def hook(self) -> Any:
        """The hook, of a rule that is active."""
        return self.config.hook if self.config else None


class Rules(dict[str, HookConfig]):
    """
    Rules by file name, with what was found on the way.

    Attributes:
        problems: Findings in the order of the files; rules whose program is missing are left out and reported here.
    """

    problems: tuple[Diagnostic, ...] = ()


def _encoded(name: str) -> bytes:
    return name.encode(_ENCODING, _ERRORS)


def order(name: str) -> tuple[bytes, bytes]:
    """The sort key of a file name: letters lower-cased one by one, then the exact name."""
    # str.lower() looks at neighbours (final sigma) and may give two letters; readers of the format do neither.
    lowered = name.lower() if name.isascii() else "".join([letter.lower()[0] for letter in name])
    return _encoded(lowered), _encoded(name)


def read_hook_dir(
    directory: str | os.PathLike[str],
    extension_stages: Sequence[str] = (),
    into: MutableMapping[str, HookConfig] | None = None,
    *,
    strict: bool = False,
) -> Rules:
    """
    Read all rule files of one directory.

    Args:
        extension_stages: Names besides the stages of the runtime-spec that rules may use.
        into: Gets the rules as well; a rule replaces one of the same name there, but only if it could be read.
        strict: Count a rule whose program is missing as an error.

    Returns:
        The rules that could be read, by file name, with ``problems``.

    Raises:
        RulesError: The directory can't be listed, or a file can't be used. The others are in *into* nevertheless.
    """
    path = posix.fspath(directory)
    rules, failed = Rules(), False
    problems: list[Diagnostic] = []
    for name in _listed(path):
        file = _path(path, name)
        try:
            rules[name] = read_hook(file, extension_stages)
        except HookError as error:
            first = error.problems[0]
            problems += error.problems
            failed = failed or not _left_out(first) or strict
    if into is not None:
        into.update(rules)
    rules.problems = tuple(problems)
    if failed:
        raise RulesError(problems=problems)
    return rules


def _left_out(problem: Diagnostic) -> bool:
    """Whether readers of the format just leave the file out: its program or its link's target is missing."""
    return problem.code in ("missing_program", "missing_file")


def _listed(directory: str) -> list[str]:
    try:
        return sorted([name for name in posix.listdir(directory) if name.endswith(SUFFIX)], key=_encoded)
    except (OSError, ValueError) as error:
        raise RulesError(problems=[unreadable(directory, error, missing="missing_directory")]) from error


def survey(
    directories: Iterable[str | os.PathLike[str]],
    extension_stages: Sequence[str] = (),
    *,
    read_file: ReadFile | None = None,
) -> tuple[tuple[Rule, ...], tuple[Diagnostic, ...]]:
    """
    Look at all directories; a file is read only if no later directory overrides it.

    The programs that rules name are not looked at.

    Args:
        read_file: Reads a file's bytes, for callers that trust only some files; None: any file.

    Returns:
        All rules in the order in which they run, invalid and masked ones included, and findings about directories.
    """
    winners: dict[str, list[str]] = {}
    findings: list[Diagnostic] = []
    for directory in [posix.fspath(directory) for directory in directories]:
        try:
            names = _listed(directory)
        except RulesError as error:
            findings += _about_directory(directory, error)
            continue
        if len(names) > MAX_FILES:
            message = f"holds {len(names)} rule files, more than {MAX_FILES}"
            findings.append(Diagnostic(message, code="too_many_files", file=directory))
            continue
        for name in names:
            files = winners.setdefault(name, [])
            file = _path(directory, name)
            if file not in files:
                files.insert(0, file)
    read = read_file or read_bytes
    rules = (_rule(name, winners[name], extension_stages, read) for name in sorted(winners, key=order))
    return tuple(rules), tuple(findings)


def _path(directory: str, name: str) -> str:
    return f"{directory}{name}" if directory.endswith("/") else f"{directory}/{name}"


def _about_directory(directory: str, error: RulesError) -> list[Diagnostic]:
    if not directory:
        return []
    if error.code != "missing_directory":
        return list(error.problems)
    return [Diagnostic("there is no such directory", code=error.code, severity=WARNING, file=directory)]


def _rule(name: str, files: list[str], extension_stages: Sequence[str], read_file: ReadFile) -> Rule:
    file, reading = files[0], Reading(files[0])
    config: HookConfig | None = None
    status: RuleStatus = "invalid"
    try:
        data = read_file(file)
    except OCIHooksError as error:
        reading.problems += error.problems
    except (OSError, ValueError) as error:
        if files[1:] and not _is_there(file):  # It has gone since its directory was listed.
            return _rule(name, files[1:], extension_stages, read_file)
        reading.problems.append(_unreadable_rule(file, error, files[1:]))
    else:
        config = read_document(data, reading, extension_stages) if data else None
        status = "active" if config else "invalid" if data else "masked"
    if reading.problems and reading.problems[0].code == "missing_file":
        status = "masked"
    return Rule(
        name=name, file=file, config=config, status=status, problems=tuple(reading.problems), overrides=tuple(files[1:])
    )


def _is_there(file: str) -> bool:
    try:
        posix.lstat(file)
    except (OSError, ValueError):
        return False
    return True


def _unreadable_rule(file: str, error: OSError | ValueError, overridden: list[str]) -> Diagnostic:
    finding = unreadable(file, error)
    if finding.code != "missing_file":
        return finding
    effect = f"so it masks {overridden[0]}" if overridden else "so there is no such rule"
    hint: str | None = "install the target, remove the link, or link to /dev/null to mask on purpose"
    try:
        message = f"links to {quoted(posix.readlink(file), 200)}, which is missing, {effect}"
    except OSError:
        message, hint = "has gone since its directory was listed, so there is no such rule", None
    return Diagnostic(message, code="missing_file", severity=WARNING, file=file, hint=hint)


def overridden_problems(rules: Iterable[Rule], extension_stages: Sequence[str] = ()) -> tuple[Diagnostic, ...]:
    """What is wrong with the files that other files of the same name override; empty ones are masks and fine."""
    problems: list[Diagnostic] = []
    for rule in rules:
        for file in reversed(rule.overrides):
            problems += _rule(rule.name, [file], extension_stages, read_bytes).problems
    return tuple(problems)


def program_problems(rule: Rule) -> tuple[Diagnostic, ...]:
    """What is wrong with the program of an active rule: missing or out of reach; empty when nothing is."""
    reading = Reading(rule.file)
    if rule.config is not None:
        check_program(rule.config, reading)
    return tuple(reading.problems)
