"""
Documents in which a member is there more than once, or in an unusual letter case.

runc takes the last one in any letter case, crun the first. Here the last one counts and the others go, so that both
runtimes agree. On the warm path, but for documents that are so: they are written anew, numbers as they stand.
"""

import ocihooks
from ocihooks.document import UNIQUE_MEMBERS, JSONNumber, dumps
from ocihooks.injection import STAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Parsed = TypeVar("Parsed")

_HOOK = ("path", "args", "env", "timeout")
_MOUNT = ("destination", "type", "source", "options")


def parse_tolerantly(
    parse: "Callable[[bytes, str], Parsed]", data: bytes, file: str, *, any_case: bool = False
) -> "Parsed":
    """
    What *parse* makes of *data*, or of *data* with each member once where it refuses repeated ones.

    Args:
        any_case: Whether members that differ in letter case are the same, as for runc in a config.json.

    Raises:
        DocumentError: As *parse*.
    """
    try:
        return parse(data, file)
    except ocihooks.errors.DocumentError as error:
        if error.code != "repeated_member" and not (any_case and error.code == "member_case"):
            raise
    return parse(each_once(data, file, any_case=any_case), file)


def each_once(data: bytes, file: str, *, any_case: bool) -> bytes:
    """
    The document in *data* with each member of each object once.

    Raises:
        DocumentError: It is no JSON.
    """
    import json

    text = data.decode()
    try:
        document = json.loads(text, parse_int=JSONNumber, parse_float=JSONNumber, parse_constant=JSONNumber)
    except (ValueError, RecursionError):
        from ocihooks.notjson import not_json

        raise not_json(text, file) from None
    return dumps(_folded_config(document) if any_case else document).encode()


def _folded_config(config: "dict[str, Any]") -> "dict[str, Any]":
    """A config.json whose members that hooks depend on have their usual spelling."""
    config = _folded(config, UNIQUE_MEMBERS)
    if "process" in config:
        config["process"] = _folded(config["process"], ("args",))
    if isinstance(config.get("mounts"), list):
        config["mounts"] = [_folded(mount, _MOUNT) for mount in config["mounts"]]
    if isinstance(config.get("hooks"), dict):
        config["hooks"] = _folded(config["hooks"], STAGES)
        for stage in STAGES:
            if isinstance(config["hooks"].get(stage), list):
                config["hooks"][stage] = [_folded(entry, _HOOK) for entry in config["hooks"][stage]]
    return config


def _folded(members: "Any", names: "tuple[str, ...]") -> "Any":
    """*members* with *names* in their usual spelling, the last one where there are several."""
    if not isinstance(members, dict):
        return members
    usual = {_fold(name): name for name in names}
    return {usual.get(_fold(name), name): value for name, value in members.items()}


def _fold(name: str) -> str:
    """*name* without letter case, as runc's reader compares names: the long s and the Kelvin sign are letters, too."""
    return name.replace("\u017f", "s").replace("\u212a", "k").lower()
