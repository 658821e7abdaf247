"""
The rules and settings that the wrapper works with, whether fresh from the files or from the cache.

All of it is plain tuples, lists and texts, since that is what the cached file holds; the rules that a container may
match are read from it and unpacked into objects, the others are never looked at.
"""

from ocihooks.compiled.search import Search

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ocihooks.compiled.search import CompiledPattern
    from ocihooks.hooksd.matching import Container

    CompiledRule = tuple[Any, ...]
    Packed = tuple[bytes, memoryview, str, tuple[tuple[int, str], ...]]


FEW = 50
"""Annotations for which all keys are searched one by one: 10,000 keys take 0.12 ms each, or 5 ms for all."""


class CompiledWhen:
    """The conditions of a rule; `ocihooks.When` documents them."""

    __slots__ = ("always", "annotations", "any_of", "commands", "has_bind_mounts")

    def __init__(self, members: "tuple[Any, ...]") -> None:
        any_of, always, has_bind_mounts, annotations, commands = members
        self.any_of: bool = any_of
        self.always: bool | None = always
        self.has_bind_mounts: bool | None = has_bind_mounts
        self.annotations = None if annotations is None else [(_search(k), _search(v)) for k, v in annotations]
        self.commands = None if commands is None else [_search(pattern) for pattern in commands]


def _search(pattern: "tuple[CompiledPattern, str]") -> Search:
    return Search(*pattern)


class CompiledHook:
    """
    The hook of a rule; `ocihooks.Hook` documents the other attributes.

    Attributes:
        supervision: The supervisor's words for it; None: it is not supervised.
    """

    __slots__ = ("args", "env", "path", "supervision", "timeout")

    def __init__(self, members: "tuple[Any, ...]") -> None:
        self.path: str
        self.args: tuple[str, ...] | None
        self.env: tuple[str, ...] | None
        self.timeout: int | None
        self.supervision: tuple[str, ...] | None
        self.path, self.args, self.env, self.timeout, self.supervision = members


class CompiledRuleView:
    """
    One rule, unpacked.

    Attributes:
        name: File name.
        file: Path.
        policy: What to do if it matches and can't be used: fail, warn or ignore.
    """

    __slots__ = ("file", "hook", "name", "policy", "stages", "when")

    def __init__(self, members: "CompiledRule") -> None:
        self.name: str
        self.file: str
        self.policy: str
        self.stages: tuple[str, ...]
        self.name, self.file, self.policy, self.stages, when, hook = members
        self.when = CompiledWhen(when)
        self.hook = CompiledHook(hook)


MEMBERS = (
    "default_timeout",
    "hooks_dirs",
    "injector_dir",
    "injectors",
    "log",
    "modifiers",
    "needs",
    "prepend",
    "records",
    "refused",
    "rules",
    "sandbox",
    "static",
    "trusted_groups",
    "trusted_owners",
    "warnings",
)
"""The attributes of a `RuleSet`, in the order in which the cached file has them."""


class RuleSet:
    """
    What the wrapper knows before it has seen a container.

    Attributes:
        rules: Compiled rules in the order in which they run, see `ocihooks.compiled.compile`.
        packed: In place of rules and needs: an index of the packed rules, these, lines of keys of annotations with the
            numbers of the rules that need them, and the needs of the others; None: nothing is packed.
        needs: For each rule a text without which no container matches it, or "".
        static: Static hook files: (file, JSON text of its hooks object).
        hooks_dirs: Hooks directories and the settings file, by which we know our own entries in a config.json.
        prepend: Put added hooks in front.
        records: The file that gets a record of what is added; "": none.
        injector_dir: The directory of the injector files; "": there is none.
        injectors: Injector files as (flag, the file packed), see `ocihooks.injector.packing`.
        modifiers: Modifiers as (word of the settings, mark, how their hooks are supervised).
        sandbox: Give sandbox containers the hooks of rules.
        default_timeout: Seconds for hooks whose rule sets none; None: no limit.
        log: Log file; None: none.
        trusted_owners: User ids that may own hook programs.
        trusted_groups: Group ids that may write them.
        refused: Findings that forbid to create a container, as tuples of the members of a `Diagnostic`.
        warnings: Findings that the policy tolerates, likewise.
    """

    __slots__ = (*MEMBERS, "packed")

    default_timeout: int | None
    hooks_dirs: tuple[str, ...]
    injector_dir: str
    injectors: tuple[tuple[str, bytes], ...]
    log: str | None
    modifiers: "tuple[tuple[str, str, tuple[str, bool, str] | None], ...]"
    needs: tuple[str, ...]
    prepend: bool
    records: str
    refused: "tuple[tuple[str | None, ...], ...]"
    rules: "tuple[CompiledRule, ...]"
    sandbox: bool
    static: tuple[tuple[str, str], ...]
    trusted_groups: tuple[int, ...]
    trusted_owners: tuple[int, ...]
    warnings: "tuple[tuple[str | None, ...], ...]"

    def __init__(self, packed: "Packed | None" = None, **members: "Any") -> None:
        self.packed = packed
        for name in MEMBERS:
            setattr(self, name, members[name])

    def candidates(self, container: "Container") -> "list[CompiledRuleView]":
        """
        The rules that may match *container*, in order; no other rule matches it or fails for it.

        Raises:
            DamagedError: They are in a cached file that is damaged.
        """
        if container.args is not None and not container.args:
            return [_view(self, i) for i in range(count_of(self))]  # any rule with commands may be an error here
        texts = "\n".join((*container.annotations, *container.annotations.values(), *(container.args or ())[:1]))
        if self.packed is None:
            return [_view(self, number) for number, need in enumerate(self.needs) if need in texts]
        _, _, keys, needs = self.packed
        found = [number for number, need in needs if need in texts]
        return [_view(self, number) for number in sorted([*found, *_numbers_of(keys, container.annotations)])]

    def asked(self, process: "dict[str, Any] | None") -> tuple[bytes, ...]:
        """The injector files, packed, that a container with *process* may ask for; no other file is wanted."""
        if not self.injectors or not process:
            return ()
        names = [name for name in process if name.lower() == "env"]
        environment = process.get("env")
        if type(process) is dict and names == ["env"] and type(environment) is list:
            entries = [entry for entry in environment if isinstance(entry, str)]
            there = {*entries, *[entry.partition("=")[0] for entry in entries]}
            return tuple([packed for flag, packed in self.injectors if flag in there])
        return tuple([packed for _, packed in self.injectors]) if names else ()


def count_of(rules: RuleSet) -> int:
    """How many rules there are."""
    from ocihooks.compiled.load import ENTRY_BYTES

    return len(rules.rules) if rules.packed is None else len(rules.packed[0]) // ENTRY_BYTES


def _numbers_of(keys: str, annotations: "Mapping[str, str]") -> "set[int]":
    """The numbers that the lines of *keys* have behind the names of *annotations*; perhaps also a few others."""
    if len(annotations) > FEW:
        return _numbers_of_many(keys, annotations)
    found = set()
    for name in annotations:
        line = f"\n{name}\t"
        start = keys.find(line)
        while start >= 0:
            number, _, _ = keys[start + len(line) : start + len(line) + 10].partition("\n")
            found.add(int(number))
            start = keys.find(line, start + len(line))
    return found


def _numbers_of_many(keys: str, annotations: "Mapping[str, str]") -> "set[int]":
    """As `_numbers_of`, by one look at each line, which is dearer than a search for a few names."""
    lines = [line.partition("\t") for line in keys.split("\n")[1:-1]]
    return {int(number) for key, _, number in lines if key in annotations}


def _view(rules: RuleSet, number: int) -> CompiledRuleView:
    if rules.packed is None:
        return CompiledRuleView(rules.rules[number])
    from ocihooks.compiled.load import rule_at

    return CompiledRuleView(rule_at(number, *rules.packed[:2]))
