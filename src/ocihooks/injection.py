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


SUPERVISED_STAGES = ("prestart", "createRuntime", "poststart", "poststop")
"""The stages whose hooks run on the host, where the supervisor is."""

HOOK_VARIABLE = "OCIHOOKS_HOOK_ENV_"
"""Beginning of the names under which the supervisor gets the entries of a hook's environment, numbered from 0."""

SUPERVISOR = ".supervise"
"""Ending of the installed supervisor's name."""

EXTRA_S = 5
"""How much longer than a supervised hook's timeout that of the runtime is: the supervisor has the last word."""


def rule_entry(hook: "Any", file: str, stage: str, supervisor: "Sequence[str]" = ()) -> "Entry":
    """
    The hook object that a rule adds to a configuration.

    ``args`` is never left out, and ``env`` never empty: a runtime may give a hook without one the container's own
    environment, which would let an image run code on the host. The marks tell later runs whose entry it is.

    Args:
        hook: Has ``path``, ``args``, ``env`` and ``timeout`` as `ocihooks.Hook`.
            ``supervision``, where there is one, holds the supervisor's words for it (see `supervision`), or None.
        file: The rule's file.
        stage: The stage that the entry goes to.
        supervisor: The words that start the supervisor; empty: nothing is supervised.
    """
    words = getattr(hook, "supervision", None)
    if supervisor and words is not None and stage in SUPERVISED_STAGES:
        return _supervised_entry(hook, file, stage, (*supervisor, *words))
    entry: Entry = {
        "path": hook.path,
        "args": list(hook.args or (hook.path,)),
        "env": [*(hook.env or (DEFAULT_PATH,)), RULE_MARK + file, STAGE_MARK + stage],
    }
    if hook.timeout is not None:
        entry["timeout"] = hook.timeout
    return entry


def supervision(*, timeout: int | None, on_failure: str, kill_leftovers: bool, records: str) -> "tuple[str, ...]":
    """
    The words that tell the supervisor how to run a hook; defaults are left out.

    Args:
        records: The file for records; "": none.
    """
    words = (
        f"--timeout={timeout}" if timeout is not None else "",
        f"--on-failure={on_failure}" if on_failure != "fail" else "",
        "--leftovers=kill" if kill_leftovers else "",
        f"--records={records}" if records else "",
    )
    return tuple(word for word in words if word)


def _supervised_entry(hook: "Any", file: str, stage: str, words: "Sequence[str]") -> "Entry":
    """
    The call of the supervisor that runs *hook*.

    All that it needs is in the entry, which has to do for the container's whole life, whatever becomes of rule and
    settings. The hook's environment goes in disguise: LD_PRELOAD and its kind are for the hook, not for the
    supervisor, and a command line, unlike an environment, can be read by everybody.
    """
    disguised = [f"{HOOK_VARIABLE}{number}={item}" for number, item in enumerate(hook.env or ())]
    entry: Entry = {
        "path": words[0],
        "args": [*words, "--", hook.path, *(hook.args or (hook.path,))],
        "env": [RULE_MARK + file, STAGE_MARK + stage, *disguised],
    }
    if hook.timeout is not None:
        entry["timeout"] = hook.timeout + EXTRA_S
    return entry


def supervised_hook(entry: "Any") -> "Entry | None":
    """What the supervisor runs in the end, as path and args, if *entry* is a call of it; else None."""
    args = entry.get("args") or () if rule_of(entry) is not None else ()
    words = list(args[: args.index("--")]) if "--" in args else []
    rest = list(args[len(words) + 1 :])
    if not rest or not any(word.endswith((SUPERVISOR, "/supervisor/start.py")) for word in words[:3]):
        return None
    return {"path": rest[0], "args": rest[1:]}


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
        supervisor: As for `rule_entry`.
    """

    __slots__ = ("directories", "prepend", "rules", "static", "supervisor")

    def __init__(
        self,
        *,
        rules: "Iterable[tuple[str, str, Any]]" = (),
        static: "Iterable[HooksObject]" = (),
        directories: "Iterable[str]" = (),
        prepend: bool = False,
        supervisor: "Sequence[str]" = (),
    ) -> None:
        self.rules = tuple(rules)
        self.static = tuple(static)
        self.directories = tuple(directories)
        self.prepend = prepend
        self.supervisor = tuple(supervisor)


def merged(hooks: "HooksObject | None", additions: Additions) -> "HooksObject | None":
    """
    The ``hooks`` object with *additions*, or None where it already has exactly these.

    Existing entries keep their order. Our own entries of the same directories are replaced by the present ones; a
    foreign entry that equals a rule's hook counts as present (Podman and CRI-O may read the same directories); a
    static list that is there already as one run is not added again.
    """
    result = dict(hooks or {})
    changed = False
    gaining = {stage for stage, _, _ in additions.rules}.union(*additions.static)
    for stage in STAGES:
        present = list(result.get(stage) or ())
        if not present and stage not in gaining:
            continue
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
    candidates = [
        (rule_entry(hook, file, place, additions.supervisor), hook)
        for place, file, hook in additions.rules
        if place == stage
    ]
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
