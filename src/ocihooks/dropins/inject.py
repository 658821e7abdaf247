"""
Gives a config.json the hooks of one file: whole or untouched, and nothing else in it changes. On the warm path.
"""

import posix

from ocihooks.document import parse_config, read_file, with_member
from ocihooks.dropins.once import parse_tolerantly
from ocihooks.injection import STAGES, Additions, merged
from ocihooks.replace import replace_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocihooks.document import Config


def read_tolerantly(path: str) -> "Config":
    """
    The config.json at *path*; of members that are there more than once, the last one.

    Raises:
        DocumentError: It can't be read, or can't be understood.
    """
    data, version = read_file(path)
    config = parse_tolerantly(parse_config, data, path, any_case=True)
    config.signature = version
    return config


def add_hooks(config: "Config", hooks: "dict[str, Any]", *, prepend: bool) -> bool:
    """
    Write *hooks* into the file of *config*, behind those that are there or in front of them.

    A list that is there already as one run is not added again.

    Returns:
        Whether anything was to be added.

    Raises:
        ReplaceError: The file is as it was.
    """
    wanted = merged(config.hooks, Additions(static=[hooks], prepend=prepend))
    if wanted is None:
        return False
    _write(config, wanted)
    return True


def double_hooks(config: "Config") -> None:
    """Write the hooks of *config* a second time: what comes of naming a config.json as the hook file for itself."""
    hooks = config.hooks or {}
    wanted = {stage: [*(entries or ()), *(entries or ())] for stage, entries in hooks.items() if stage in STAGES}
    if any(wanted.values()):
        _write(config, {**hooks, **wanted})


def _write(config: "Config", hooks: "dict[str, Any]") -> None:
    replace_file(config.file, with_member(config, "hooks", hooks), expected=config.signature, durable=False)


def is_same_file(one: str, other: str) -> bool:
    """Whether both paths lead to one file."""
    try:
        a, b = posix.stat(one), posix.stat(other)
    except OSError:
        return False
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
