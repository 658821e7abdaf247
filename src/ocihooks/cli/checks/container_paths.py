"""Checks programs of startContainer hooks, which have to be in the container's own files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from typing import Any

from ocihooks.document import Config
from ocihooks.errors import Diagnostic, UsageError, os_reason, quoted
from ocihooks.hooksd.directories import Rule
from ocihooks.injector.rootfs import Root
from ocihooks.spec.stage import Stage


def rule_programs(rules: Iterable[Rule]) -> Iterator[tuple[str, str, str]]:
    """The startContainer programs of *rules*: path, file and place of each."""
    for rule in rules:
        if rule.config is not None and Stage.START_CONTAINER in rule.stages:
            yield rule.config.hook.path, rule.file, "/hook/path"


def config_programs(config: Config) -> Iterator[tuple[str, str, str]]:
    """The same for the hooks that a config.json has."""
    for index, hook in enumerate((config.hooks or {}).get(Stage.START_CONTAINER) or ()):
        yield hook["path"], config.file, f"/hooks/startContainer/{index}/path"


def root_of(bundle: str, config: Config) -> str:
    """
    The path of the root file system of a bundle.

    Raises:
        UsageError: Its configuration names none.
    """
    members: Any = config.members.get("root")
    path = members.get("path") if isinstance(members, dict) else None
    if not isinstance(path, str):
        hint = "name the root file system with --rootfs"
        raise UsageError(f"{config.file} names no root file system", hint=hint)
    return os.path.join(os.path.abspath(bundle), path)


def container_findings(programs: Iterable[tuple[str, str, str]], path: str) -> Iterator[Diagnostic]:
    """
    Which of *programs* can't be run in the container whose root file system is at *path*.

    Raises:
        UsageError: There is no such directory.
    """
    try:
        root = Root(path)
    except OSError as error:
        raise UsageError(
            f"{quoted(path, 200)} is no root file system: {os_reason(error)}", hint="name a directory"
        ) from None
    with root:
        for program, file, pointer in dict.fromkeys(programs):
            reason = _reason(root, program)
            if reason:
                yield Diagnostic(
                    f"startContainer program {quoted(program, 200)} in {path}: {reason}",
                    code="missing_in_container",
                    file=file,
                    pointer=pointer,
                    hint="put it into the image, or choose createContainer, whose programs are on the host",
                )


def _reason(root: Root, program: str) -> str:
    """Why *program* can't be run there; "" where it can. Links lead inside the root."""
    if not program.startswith("/"):
        return "its path is relative"
    try:
        place = root.place(program)
        status = os.stat(place.name, dir_fd=place.parent, follow_symlinks=False)
    except (OSError, ValueError) as error:
        return os_reason(error) if isinstance(error, OSError) else "its path holds a NUL character"
    if not stat.S_ISREG(status.st_mode):
        return "it is no regular file"
    return "" if status.st_mode & 0o111 else "it is not executable"
