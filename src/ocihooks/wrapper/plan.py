"""
Decides what a container's config.json is to gain: the step between reading and writing, shared with the commands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ocihooks.document import Config
from ocihooks.engines.mounts import has_bind_mounts
from ocihooks.engines.sandbox import is_sandbox
from ocihooks.errors import WARNING, Diagnostic, RulesError
from ocihooks.hooksd.directories import Rule
from ocihooks.hooksd.matching import Addition, Container, Injection, match
from ocihooks.injection import Additions, merged
from ocihooks.settings import Settings
from ocihooks.spec.hook import Hook
from ocihooks.wrapper.rules import FILTER_STAGE, POLICY_HINT, Loaded, injectable_problems, load_rules
from ocihooks.wrapper.static import read_static_hooks


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    What a container gets, and why.

    Attributes:
        injection: What matching gave, with the reason for each rule.
        additions: The hooks that its config.json is to have besides its own.
        hooks: The whole new ``hooks`` object; None where it has all of that already.
        filters: Rules whose hooks rewrite the configuration, in order.
        skipped: Rules that matched and were left out since the policy tolerates what is wrong with them.
        warnings: Findings that the log tells.
        default_timeout: Seconds for hooks and filters whose rule sets none; None: no limit.
        sandbox: Whether this is the sandbox container of a pod, which gets no rule hooks unless settings say so.
    """

    injection: Injection
    additions: Additions
    hooks: dict[str, Any] | None
    filters: tuple[Rule, ...]
    skipped: tuple[Rule, ...]
    warnings: tuple[Diagnostic, ...]
    default_timeout: int | None
    sandbox: bool


def container_of(config: Config) -> Container:
    """What rules can ask about the container of *config*."""
    return Container(args=config.args, annotations=config.annotations, has_bind_mounts=has_bind_mounts(config.mounts))


def make_plan(config: Config, settings: Settings) -> Plan:
    """
    Decide what the container of *config* gets.

    Raises:
        RulesError: A rule is invalid, or matches and can't be used, and the policy is to fail.
        MatchError: A rule can't be decided for this container.
        DocumentError: A static hook file can't be used.
        UntrustedError: Somebody else could have written a static hook file.
    """
    trust = settings.trust()
    static = [read_static_hooks(file, trust) for file in settings.static_hooks]
    sandbox = is_sandbox(config.annotations)
    loaded = load_rules(settings) if settings.sandbox or not sandbox else Loaded(rules=(), refused=(), tolerated=())
    if loaded.refused:
        raise RulesError(problems=loaded.refused)
    injection = match(loaded.rules, container_of(config), extension_stages=(FILTER_STAGE,))
    skipped, warnings = _unusable(injection, settings)
    kept = [addition for addition in injection.additions if addition.rule not in skipped]
    additions = Additions(
        rules=[(a.stage, a.rule.file, _hook(a, settings)) for a in kept if not a.extension],
        static=static,
        directories=settings.hooks_dirs,
        prepend=settings.position == "prepend",
    )
    return Plan(
        injection=injection,
        additions=additions,
        hooks=merged(config.hooks, additions),
        filters=tuple(a.rule for a in kept if a.extension),
        skipped=tuple(skipped),
        warnings=(*loaded.tolerated, *warnings),
        default_timeout=settings.default_timeout,
        sandbox=sandbox,
    )


def _hook(addition: Addition, settings: Settings) -> Hook:
    hook: Hook = addition.rule.hook
    return replace(hook, timeout=settings.default_timeout) if hook.timeout is None else hook


def _unusable(injection: Injection, settings: Settings) -> tuple[list[Rule], list[Diagnostic]]:
    """The matching rules that can't be used, and what is wrong with them; raises where the policy is to fail."""
    skipped: list[Rule] = []
    warnings: list[Diagnostic] = []
    refused: list[Diagnostic] = []
    trust = settings.trust()
    for rule in {addition.rule.file: addition.rule for addition in injection.additions}.values():
        problems = injectable_problems(rule, trust)
        if not problems:
            continue
        policy = settings.policy(rule.name)
        if policy == "fail":
            refused += [problem.but(hint=POLICY_HINT) for problem in problems]
        else:
            skipped.append(rule)
            warnings += [problem.but(severity=WARNING) for problem in problems if policy == "warn"]
    if refused:
        raise RulesError(problems=refused)
    return skipped, warnings
