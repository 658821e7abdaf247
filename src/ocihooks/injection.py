"""
Puts the hooks of rules and of static hook files into a ``hooks`` object, so that doing it twice equals doing it once.

Pure functions on plain lists and dicts, on the wrapper's warm path.

Spec: runtime-spec 1.3.0, config.md "POSIX-platform Hooks".
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    Entry = dict[str, Any]
    HooksObject = dict[str, Any]

STAGES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

FILTER_STAGE = "precreate"
"""The extension stage whose hooks rewrite config.json before the container is created."""

RULE_MARK = "OCIHOOKS_RULE="
STAGE_MARK = "OCIHOOKS_STAGE="

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What a rule's hook finds programs by when its rule sets no environment."""


def rule_entry(hook: "Any", file: str, stage: str) -> "Entry":
    """
    The hook object that a rule adds to a configuration.

    ``args`` is never left out, and ``env`` never empty: a runtime may give a hook without one the container's own
    environment, which would let an image run code on the host. The marks tell later runs whose entry it is.

    Args:
        hook: Has ``path``, ``args``, ``env`` and ``timeout`` as `ocihooks.Hook`.
        file: The rule's file.
        stage: The stage that the entry goes to.
    """
    entry: Entry = {
        "path": hook.path,
        "args": list(hook.args or (hook.path,)),
        "env": [*(hook.env or (DEFAULT_PATH,)), RULE_MARK + file, STAGE_MARK + stage],
    }
    if hook.timeout is not None:
        entry["timeout"] = hook.timeout
    return entry


def rule_of(entry: "Any") -> str | None:
    """The rule file that *entry* was made from by us, or None where it is somebody else's."""
    env = entry.get("env") if isinstance(entry, dict) else None
    for item in reversed(env or ()):
        if isinstance(item, str) and item.startswith(RULE_MARK):
            return item[len(RULE_MARK) :]
    return None


class Additions:
    """
    The hooks that a configuration is to have besides its own.

    Attributes:
        rules: (stage, rule file, hook) in order; *hook* as for `rule_entry`.
        static: Hooks objects of static hook files, in order.
        directories: The hooks directories of the rules; entries of rules that lie there are ours.
        prepend: Put them in front of those that are there instead of behind.
    """

    __slots__ = ("directories", "prepend", "rules", "static")

    def __init__(
        self,
        *,
        rules: "Iterable[tuple[str, str, Any]]" = (),
        static: "Iterable[HooksObject]" = (),
        directories: "Iterable[str]" = (),
        prepend: bool = False,
    ) -> None:
        self.rules = tuple(rules)
        self.static = tuple(static)
        self.directories = tuple(directories)
        self.prepend = prepend


def merged(hooks: "HooksObject | None", additions: Additions) -> "HooksObject | None":
    """
    The ``hooks`` object with *additions*, or None where it already has exactly these.

    Existing entries keep their order. Our own entries of the same directories are replaced by the present ones; a
    foreign entry that equals a rule's hook counts as present (Podman and CRI-O may read the same directories); a
    static list that is there already as one run is not added again.
    """
    result = dict(hooks or {})
    changed = False
    for stage in STAGES:
        present = list(result.get(stage) or ())
        wanted = _merged_stage(stage, present, additions)
        if wanted != present:
            result[stage] = wanted
            changed = True
    return result if changed else None


def _merged_stage(stage: str, present: "list[Entry]", additions: Additions) -> "list[Entry]":
    runs = [list(hooks.get(stage) or ()) for hooks in additions.static]
    copied = [entry for run in runs for entry in run]  # stay as they stand, also those that bear our marks
    marked = [_is_ours(entry, additions.directories) and entry not in copied for entry in present]
    ours = [entry for entry, is_ours in zip(present, marked, strict=True) if is_ours]
    foreign = [entry for entry, is_ours in zip(present, marked, strict=True) if not is_ours]
    static = [entry for run in runs if not _contains_run(present, run) for entry in run]
    there = _comparable(foreign + static)
    candidates = [(rule_entry(hook, file, place), hook) for place, file, hook in additions.rules if place == stage]
    rules = [
        entry
        for entry, hook in candidates
        if _comparable([entry])[0] not in there and not any(equals(other, hook) for other in there)
    ]
    if _comparable(ours) == _comparable(rules):
        return static + present if additions.prepend else present + static
    return static + rules + foreign if additions.prepend else foreign + static + rules


def _comparable(entries: "list[Entry]") -> "list[Entry]":
    """*entries* with timeouts as text, since numbers of documents are their text and those of rules are integers."""
    return [entry if entry.get("timeout") is None else {**entry, "timeout": str(entry["timeout"])} for entry in entries]


def _is_ours(entry: "Any", directories: "Sequence[str]") -> bool:
    file = rule_of(entry)
    return file is not None and file.rpartition("/")[0].rstrip("/") in [path.rstrip("/") for path in directories]


def _contains_run(present: "list[Entry]", run: "list[Entry]") -> bool:
    size = len(run)
    return any(present[start : start + size] == run for start in range(len(present) - size + 1))


def equals(entry: "Entry", hook: "Any") -> bool:
    """Whether *entry* asks for the same as *hook*: path, arguments, environment and timeout, defaults filled in."""
    timeout = entry.get("timeout")
    return (
        entry.get("path") == hook.path
        and list(entry.get("args") or (entry.get("path"),)) == list(hook.args or (hook.path,))
        and list(entry.get("env") or ()) == list(hook.env or ())
        and (None if timeout is None else str(timeout)) == (None if hook.timeout is None else str(hook.timeout))
    )
