"""
Does a rule match a container, and why: the one function that every target uses.

It works on whatever has the attributes of a rule and imports nothing but the errors, so that it can be fed from rule
files as well as from compiled rules.
"""

import ocihooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any, Protocol

    class Searchable(Protocol):
        """A pattern: its text, and whether it is found in another text."""

        @property
        def source(self) -> str: ...
        def search(self, text: str) -> bool: ...

    class Conditions(Protocol):
        """The conditions of a rule; `ocihooks.hooksd.config.When` documents them."""

        @property
        def always(self) -> bool | None: ...
        @property
        def has_bind_mounts(self) -> bool | None: ...
        @property
        def annotations(self) -> Sequence[tuple[Searchable, Searchable]] | None: ...
        @property
        def commands(self) -> Sequence[Searchable] | None: ...
        @property
        def any_of(self) -> bool: ...

    class MatchableRule(Protocol):
        """A rule as matching needs it; `ocihooks.hooksd.directories.Rule` is one."""

        @property
        def name(self) -> str: ...
        @property
        def file(self) -> str: ...
        @property
        def when(self) -> Conditions: ...
        @property
        def stages(self) -> Sequence[str]: ...
        @property
        def hook(self) -> Any: ...


class Container:
    """
    What rules can ask about a container.

    Attributes:
        args: ``process.args``; None where the configuration has no process.
        annotations: Key to value.
        has_bind_mounts: Whether somebody other than the engine asked for a bind mount.
    """

    __slots__ = ("annotations", "args", "has_bind_mounts")

    def __init__(
        self, *, args: "Sequence[str] | None", annotations: "Mapping[str, str]", has_bind_mounts: bool = False
    ) -> None:
        self.args = args
        self.annotations = annotations
        self.has_bind_mounts = has_bind_mounts


class Condition:
    """
    One condition of a rule with the value that it saw.

    Attributes:
        name: ``always``, ``hasBindMounts``, ``annotations`` or ``commands``.
        wanted: What the rule asks for: a bool, a pair of pattern texts, or a tuple of pattern texts.
        seen: What the container has: a bool, the annotation that met it or None, the command or None.
        met: True or False; None where the condition does not apply (no process, so no command to look at).
        note: A sentence where the value alone does not explain the answer, else None.
    """

    __slots__ = ("met", "name", "note", "seen", "wanted")

    def __init__(self, name: str, wanted: object, seen: object, met: bool | None, note: str | None = None) -> None:
        self.name = name
        self.wanted = wanted
        self.seen = seen
        self.met = met
        self.note = note


class Decision:
    """
    Whether a rule matches, with the conditions that decided it.

    Attributes:
        matched: The answer.
        conditions: Those looked at, in order; all of them where ``every`` was asked for.
    """

    __slots__ = ("conditions", "matched")

    def __init__(self, matched: bool, conditions: "tuple[Condition, ...]") -> None:
        self.matched = matched
        self.conditions = conditions


def decide(when: "Conditions", container: Container, *, every: bool = False) -> Decision:
    """
    Decide whether the conditions *when* hold for *container*.

    All given conditions must be met, with ``any_of`` one is enough; none given never matches. Conditions are looked
    at in the order always, hasBindMounts, annotations, commands until the answer is certain.

    Args:
        every: Look at the others, too, for explaining; the answer is the same.

    Raises:
        MatchError: A condition that the answer hangs on can't be decided: there is a process without arguments, or a
            pattern is not valid.
    """
    looked_at: list[Condition] = []
    answer: bool | None = None
    for check, arguments in _checks(when, container):
        try:
            condition = check(*arguments)
        except ocihooks.errors.MatchError:
            if answer is None:
                raise
            continue
        looked_at.append(condition)
        if answer is None and condition.met is not None and condition.met == when.any_of:
            answer = when.any_of
        if answer is not None and not every:
            break
    if answer is None:
        answer = not when.any_of and any(condition.met for condition in looked_at)
    return Decision(answer, tuple(looked_at))


def _checks(when: "Conditions", container: Container) -> "Iterator[tuple[Callable[..., Condition], tuple[Any, ...]]]":
    if when.always is not None:
        yield _always, (when.always,)
    if when.has_bind_mounts is not None:
        yield _bind_mounts, (when.has_bind_mounts, container.has_bind_mounts)
    for key, value in when.annotations or ():
        yield _annotation, (key, value, container.annotations)
    if when.commands:
        yield _command, (when.commands, container.args)


def _always(value: bool) -> Condition:
    return Condition("always", value, value, value)


def _bind_mounts(wanted: bool, seen: bool) -> Condition:
    if wanted:
        return Condition("hasBindMounts", True, seen, seen)
    return Condition("hasBindMounts", False, seen, False, "false is never met, whatever the container has")


def _annotation(key: "Searchable", value: "Searchable", annotations: "Mapping[str, str]") -> Condition:
    wanted = (key.source, value.source)
    near = None
    for name, text in annotations.items():
        if _search(key, name, "annotation key"):
            near = (name, text)
            if _search(value, text, "annotation value"):
                return Condition("annotations", wanted, near, True)
    note = "the key is there, its value differs" if near else "no annotation has such a key"
    return Condition("annotations", wanted, near, False, note)


def _command(wanted: "Sequence[Searchable]", args: "Sequence[str] | None") -> Condition:
    sources = tuple(pattern.source for pattern in wanted)
    if args is None:
        return Condition("commands", sources, None, None, "the configuration has no process")
    if not args:
        raise ocihooks.errors.MatchError(
            "process.args is empty, so no command can be compared; expected at least one entry",
            code="no_process_args",
            pointer="/process/args",
        )
    met = any(_search(pattern, args[0], "command") for pattern in wanted)
    return Condition("commands", sources, args[0], met)


def _search(pattern: "Searchable", text: str, what: str) -> bool:
    try:
        return pattern.search(text)
    except ValueError as error:
        code = getattr(error, "code", "bad_pattern")
        raise ocihooks.errors.MatchError(
            f"{what} pattern {ocihooks.errors.quoted(pattern.source, 200)}: {error}", code=code
        ) from None


class Addition:
    """
    One hook that a rule adds to a container.

    Attributes:
        rule: The rule that matched, the very object that was handed in.
        declared: The stage as the rule's file names it.
        stage: The stage that it goes to: createRuntime for prestart, else as declared.
        extension: Whether the stage is an extension stage, which runtimes do not run.
    """

    __slots__ = ("declared", "extension", "rule", "stage")

    def __init__(self, rule: "Any", declared: str, stage: str, extension: bool) -> None:
        self.rule = rule
        self.declared = declared
        self.stage = stage
        self.extension = extension


class Injection:
    """
    What matching gives: the hooks to add to a container, and why.

    Attributes:
        additions: In the order of the rules, and of the stages in each rule.
        reasons: For every rule its decision, in the order of the rules.
    """

    __slots__ = ("additions", "reasons")

    def __init__(
        self, additions: "tuple[Addition, ...]", reasons: "tuple[tuple[MatchableRule, Decision], ...]"
    ) -> None:
        self.additions = additions
        self.reasons = reasons

    @property
    def matched(self) -> bool:
        """Whether any rule matched, even one without stages."""
        return any(decision.matched for _, decision in self.reasons)

    @property
    def hooks(self) -> "dict[str, list[Any]]":
        """The hooks to append to the configuration, by stage of the runtime-spec."""
        return self._by_stage(extension=False)

    @property
    def extension_stage_hooks(self) -> "dict[str, list[Any]]":
        """The hooks of extension stages, by stage; they are the caller's to run."""
        return self._by_stage(extension=True)

    def _by_stage(self, *, extension: bool) -> "dict[str, list[Any]]":
        found: dict[str, list[Any]] = {}
        for addition in self.additions:
            if addition.extension == extension:
                found.setdefault(addition.stage, []).append(addition.rule.hook)
        return found


def match(
    rules: "Iterable[MatchableRule]",
    container: Container,
    *,
    extension_stages: "Sequence[str]" = (),
    every: bool = False,
) -> Injection:
    """
    Match all *rules* against *container*, all or nothing.

    Args:
        extension_stages: Names that are handed back apart; they take precedence over stages of the runtime-spec.
        every: Look at all conditions, for explaining.

    Raises:
        MatchError: A rule can't be decided; the error names its file and has what the rules before it gave.
    """
    additions: list[Addition] = []
    reasons: list[tuple[Any, Decision]] = []
    for rule in rules:
        try:
            decision = decide(rule.when, container, every=every)
        except ocihooks.errors.MatchError as error:
            named = ocihooks.errors.MatchError(
                f"rule {rule.file}: {error.message}", code=error.code, pointer=error.pointer
            )
            named.injection = Injection(tuple(additions), tuple(reasons))
            raise named from None
        reasons.append((rule, decision))
        if decision.matched:
            for declared in rule.stages:
                extension = declared in extension_stages
                stage = "createRuntime" if declared == "prestart" and not extension else declared
                additions.append(Addition(rule, declared, stage, extension))
    return Injection(tuple(additions), tuple(reasons))
