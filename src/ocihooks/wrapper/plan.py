"""
Decides what a container's config.json is to gain: the step between reading and writing, shared with the commands.

On the wrapper's warm path: it works on compiled rules, wherever they come from.
"""

import ocihooks
from ocihooks.document import parse_document
from ocihooks.engines.mounts import has_bind_mounts
from ocihooks.engines.sandbox import is_sandbox
from ocihooks.hooksd.matching import Container, Injection, match
from ocihooks.injection import FILTER_STAGE, Additions, merged
from ocihooks.trust import Trust
from ocihooks.wrapper.usable import POLICY_HINT, injectable_problems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ocihooks.compiled.ruleset import CompiledRuleView, RuleSet
    from ocihooks.document import Config
    from ocihooks.settings import Settings


class Plan:
    """
    What a container gets, and why.

    Attributes:
        injection: What matching gave.
        additions: The hooks that its config.json is to have besides its own.
        hooks: The whole new ``hooks`` object; None where it has all of that already.
        injectors: Injector files, packed, that the container may ask for.
        injector_dir: The directory that they are from.
        given: The paths of those of which the new configuration has something, once there is one.
        modifiers: Words of the settings for the modifiers that are to be asked.
        filters: Rules whose hooks rewrite the configuration, in order.
        skipped: Rules that matched and were left out since the policy tolerates what is wrong with them.
        warnings: Findings that the log tells.
        default_timeout: Seconds for hooks and filters whose rule sets none; None: no limit.
        sandbox: Whether this is the sandbox container of a pod, which gets no rule hooks unless settings say so.
    """

    __slots__ = (
        "additions",
        "default_timeout",
        "filters",
        "given",
        "hooks",
        "injection",
        "injector_dir",
        "injectors",
        "modifiers",
        "sandbox",
        "skipped",
        "warnings",
    )

    def __init__(
        self,
        *,
        injection: Injection,
        additions: Additions,
        hooks: "dict[str, Any] | None",
        injectors: tuple[bytes, ...],
        injector_dir: str,
        modifiers: tuple[str, ...],
        filters: "tuple[CompiledRuleView, ...]",
        skipped: "tuple[CompiledRuleView, ...]",
        warnings: "tuple[ocihooks.errors.Diagnostic, ...]",
        default_timeout: int | None,
        sandbox: bool,
    ) -> None:
        self.injection = injection
        self.additions = additions
        self.hooks = hooks
        self.injectors = injectors
        self.injector_dir = injector_dir
        self.given: tuple[str, ...] = ()
        self.modifiers = modifiers
        self.filters = filters
        self.skipped = skipped
        self.warnings = warnings
        self.default_timeout = default_timeout
        self.sandbox = sandbox


def container_of(config: "Config") -> Container:
    """
    What rules can ask about the container of *config*; half surrogate pairs count as U+FFFD, as for patterns.

    Raises:
        DocumentError: A text that rules can ask about has a NUL character: for crun it ends there, for runc not.
    """
    args, annotations = config.args, config.annotations
    if "\\u" in config.text:
        _refuse_nul(config)
        args = None if args is None else tuple(map(_encodable, args))
        annotations = {_encodable(name): _encodable(value) for name, value in annotations.items()}
    return Container(args=args, annotations=annotations, has_bind_mounts=has_bind_mounts(config.mounts))


def _refuse_nul(config: "Config") -> None:
    from ocihooks.faults import nul_in

    for error in nul_in(config.args or (), config.annotations, config.file):
        raise error


def _encodable(text: str) -> str:
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        return text
    return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)


def make_plan(config: "Config", settings: "Settings") -> Plan:
    """
    Decide what the container of *config* gets under *settings*, with rules read from their files now.

    Raises:
        RulesError: A rule is invalid, or matches and can't be used, and the policy is to fail.
        MatchError: A rule can't be decided for this container.
        DocumentError: A static hook file can't be used.
        UntrustedError: Somebody else could have written a static hook file.
    """
    from ocihooks.wrapper.refresh import read_rules

    return plan_for(config, read_rules(settings))


def plan_for(
    config: "Config", rules: "RuleSet", supervisor: "Sequence[str]" = (), sound: "set[str] | None" = None
) -> Plan:
    """
    Decide what the container of *config* gets from *rules*.

    Args:
        supervisor: The words that start the supervisor; empty: those that start it from the package.
        sound: Programs that were found sound for other containers a moment ago; those of this one are added.

    Raises:
        RulesError: A rule is invalid, or matches and can't be used, and the policy is to fail.
        MatchError: A rule can't be decided for this container.
    """
    container = container_of(config)
    sandbox = is_sandbox(config.annotations)
    applies = rules.sandbox or not sandbox
    if applies and rules.refused:
        raise ocihooks.errors.RulesError(
            problems=[ocihooks.errors.Diagnostic.from_members(members) for members in rules.refused]
        )
    candidates = rules.candidates(container) if applies else []
    injection = match(candidates, container, extension_stages=(FILTER_STAGE,))
    skipped, warnings = _unusable(injection, rules, sound)
    kept = [addition for addition in injection.additions if addition.rule not in skipped]
    additions = Additions(
        rules=[(a.stage, a.rule.file, a.rule.hook) for a in kept if not a.extension],
        static=[parse_document(text.encode(), file).members for file, text in rules.static],
        directories=rules.hooks_dirs,
        prepend=rules.prepend,
        supervisor=supervisor or supervisor_of_the_package([addition.rule.hook for addition in kept]),
    )
    return Plan(
        injection=injection,
        additions=additions,
        hooks=merged(config.hooks, additions),
        injectors=rules.asked(config.members.get("process")) if applies else (),
        injector_dir=rules.injector_dir,
        modifiers=tuple([word for word, _, _ in rules.modifiers]) if applies else (),
        filters=tuple(a.rule for a in kept if a.extension),
        skipped=tuple(skipped),
        warnings=(*(ocihooks.errors.Diagnostic.from_members(members) for members in rules.warnings), *warnings),
        default_timeout=rules.default_timeout,
        sandbox=sandbox,
    )


def supervisor_of_the_package(hooks: "Sequence[Any]") -> tuple[str, ...]:
    """What starts the supervisor where no wrapper is installed, if *hooks* need it."""
    if all(hook.supervision is None for hook in hooks):
        return ()
    import os
    import sys

    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.path.realpath(sys.executable), "-IS", os.path.join(package, "supervisor", "start.py")


def _unusable(
    injection: Injection, rules: "RuleSet", sound: "set[str] | None"
) -> "tuple[list[CompiledRuleView], list[ocihooks.errors.Diagnostic]]":
    """The matching rules that can't be used, and what is wrong with them; raises where the policy is to fail."""
    skipped: list[CompiledRuleView] = []
    warnings: list[ocihooks.errors.Diagnostic] = []
    refused: list[ocihooks.errors.Diagnostic] = []
    trust = Trust(rules.trusted_owners, rules.trusted_groups)
    sound = set() if sound is None else sound
    for rule in {addition.rule.file: addition.rule for addition in injection.additions}.values():
        problems = injectable_problems(rule, trust, sound)
        if not problems:
            continue
        if rule.policy == "fail":
            refused += [problem.but(hint=POLICY_HINT) for problem in problems]
        else:
            skipped.append(rule)
            warnings += [problem.but(severity=ocihooks.errors.WARNING) for problem in problems if rule.policy == "warn"]
    if refused:
        raise ocihooks.errors.RulesError(problems=refused)
    return skipped, warnings
