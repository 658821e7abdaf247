"""
Why a container gets the hooks that it gets: every rule with every condition, and what the wrapper would do.

The decisions are those of the wrapper; only the conditions that it need not look at are looked at in addition.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ocihooks.cli.inventory import Entry, entry, look
from ocihooks.cli.options import Sources
from ocihooks.compiled.compile import marks
from ocihooks.compiled.ruleset import CompiledRuleView
from ocihooks.document import Config, dumps, parse_config
from ocihooks.engines.sandbox import is_sandbox
from ocihooks.errors import Diagnostic, MatchError, OCIHooksError, only_errors
from ocihooks.hooksd.matching import Container, Decision, decide
from ocihooks.injection import STAGES, rule_of, supervised_hook
from ocihooks.wrapper.plan import Plan, container_of, make_plan

MADE_UP = "made-up container"
"""What messages call a container that has no config.json."""

Effect = Literal["applies", "none", "left out", "refuses"]
"""
What a rule means for the container: its hooks go in; nothing; it should go in but can't and the policy tolerates that;
it forbids to create the container.
"""

Verdict = Literal["switched off", "refused", "sandbox", "match", "no match", "no wrapper"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """
    One rule and the container.

    Attributes:
        entry: The rule and its status.
        decision: Its conditions and the answer; None where it can't be read or decided.
        undecided: Why it can't be decided, or None.
        effect: See `Effect`.
    """

    entry: Entry
    decision: Decision | None
    undecided: Diagnostic | None
    effect: Effect

    @property
    def matched(self) -> bool:
        """Whether its conditions hold."""
        return self.decision is not None and self.decision.matched

    @property
    def stages(self) -> tuple[str, ...]:
        """Where its hooks go to: createRuntime for prestart, else as declared."""
        declared = self.entry.rule.stages if self.entry.rule else ()
        return tuple("createRuntime" if stage == "prestart" else stage for stage in declared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """
    All rules and the container.

    Attributes:
        container: What rules see of it.
        config: Its configuration.
        sources: Where rules come from.
        rules: In the order in which they run.
        plan: What the wrapper would do; None where it refuses.
        refused: Why it refuses.
        problems: Findings about directories and the kill switch.
        verdict: The answer in a word.
    """

    container: Container
    config: Config
    sources: Sources
    rules: tuple[Explained, ...]
    plan: Plan | None
    refused: tuple[Diagnostic, ...]
    problems: tuple[Diagnostic, ...]
    verdict: Verdict

    @property
    def sandbox(self) -> bool:
        """Whether this is the sandbox container of a pod."""
        return is_sandbox(self.container.annotations)


def made_up(*, annotations: Mapping[str, str], command: str | None, mounts: Sequence[tuple[str, str]]) -> Config:
    """The configuration of a container that does not exist; *command* None: without a process."""
    document: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "annotations": dict(annotations),
        "mounts": [{"type": "bind", "source": source, "destination": place} for source, place in mounts],
    }
    if command is not None:
        document["process"] = {"args": [command]}
    return parse_config(json.dumps(document).encode(), MADE_UP)


def explain(config: Config, sources: Sources, *, is_reached: bool = True) -> Explanation:
    """
    Explain what the container of *config* gets; never raises for what rules or static hook files are like.

    Args:
        is_reached: Whether rules reach the container at all; not where its engine starts it without the wrapper.
    """
    rules, problems = look(sources.settings)
    container = container_of(config)
    applicable = sources.settings.sandbox or not is_sandbox(container.annotations)
    explained = tuple(
        _explained(entry(number, rule, sources.settings), container, sources, applicable=applicable and is_reached)
        for number, rule in enumerate(rules, 1)
    )
    plan, refused = _planned(config, sources, explained) if is_reached else (None, ())
    refused = (*only_errors(sources.problems), *refused) if is_reached else ()
    return Explanation(
        container=container,
        config=config,
        sources=sources,
        rules=explained,
        plan=plan,
        refused=refused,
        problems=(*sources.problems, *problems),
        verdict=_verdict(sources, explained, refused, applicable=applicable) if is_reached else "no wrapper",
    )


def _explained(entry: Entry, container: Container, sources: Sources, *, applicable: bool) -> Explained:
    decision: Decision | None = None
    undecided: Diagnostic | None = None
    if entry.rule is not None and entry.rule.config is not None:
        try:
            decision = decide(entry.rule.when, container, every=True)
        except MatchError as error:
            undecided = error.problems[0]
    effect = _effect(entry, decision, sources) if applicable else "none"
    return Explained(entry=entry, decision=decision, undecided=undecided, effect=effect)


def _effect(entry: Entry, decision: Decision | None, sources: Sources) -> Effect:
    tolerated: Effect = "refuses" if sources.settings.policy(entry.name) == "fail" else "left out"
    if entry.status == "masked":
        return "none"
    if entry.status == "invalid":
        return tolerated
    if decision is None:
        return "refuses"
    if not decision.matched or not (entry.rule and entry.rule.stages):
        return "none"
    return tolerated if entry.status != "active" else "applies"


def _planned(
    config: Config, sources: Sources, explained: Sequence[Explained]
) -> tuple[Plan | None, tuple[Diagnostic, ...]]:
    """What the wrapper would do, or why it refuses; every rule that can't be decided is named."""
    try:
        return make_plan(config, sources.settings), ()
    except MatchError:
        return None, tuple(_undecided(rule) for rule in explained if rule.undecided is not None)
    except OCIHooksError as error:
        return None, error.problems


def _undecided(rule: Explained) -> Diagnostic:
    why = rule.undecided
    return Diagnostic(why.message if why else "", code=why.code if why else "other", file=rule.entry.file)


def _verdict(
    sources: Sources, rules: Sequence[Explained], refused: Sequence[Diagnostic], *, applicable: bool
) -> Verdict:
    if sources.switch is not None:
        return "switched off"
    if refused:
        return "refused"
    if not applicable:
        return "sandbox"
    return "match" if any(rule.matched for rule in rules) else "no match"


def added(explanation: Explanation) -> Iterator[tuple[str, dict[str, Any]]]:
    """The hooks that config.json would gain, each with its stage."""
    if explanation.plan is not None and explanation.plan.hooks is not None:
        yield from _without(explanation.plan.hooks, explanation.config.hooks or {})


def removed(explanation: Explanation) -> Iterator[tuple[str, dict[str, Any]]]:
    """The hooks that config.json would lose: ours, of rules that changed or no longer match; not those of modifiers."""
    if explanation.plan is not None and explanation.plan.hooks is not None:
        there = marks(explanation.sources.settings)
        for stage, hook in _without(explanation.config.hooks or {}, explanation.plan.hooks):
            if rule_of(hook) not in there:
                yield stage, hook


def _without(hooks: Mapping[str, Any], others: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for stage in STAGES:
        there = [_comparable(_plain(item)) for item in others.get(stage) or ()]
        for item in map(_plain, hooks.get(stage) or ()):
            if _comparable(item) not in there:
                yield stage, item


def _plain(entry: Any) -> dict[str, Any]:
    """*entry* with numbers as numbers."""
    plain: dict[str, Any] = json.loads(dumps(entry))
    return plain


def _comparable(entry: dict[str, Any]) -> dict[str, Any]:
    """*entry*; a supervised hook without the program that supervises it, which each installation has its own of."""
    if supervised_hook(entry) is None:
        return entry
    args = entry["args"]
    options = [word for word in args[: args.index("--")] if word.startswith("--")]
    return {**entry, "path": "", "args": [*options, *args[args.index("--") :]]}


def origin(hook: Mapping[str, Any]) -> str:
    """Where a hook of `added` comes from: a rule file, or a static hook file."""
    return rule_of(hook) or "static hook file"


def modifiers(explanation: Explanation) -> tuple[str, ...]:
    """The modifiers that would be asked, as the settings name them; nobody asks them here."""
    return explanation.plan.modifiers if explanation.plan is not None else ()


def filters(explanation: Explanation) -> tuple[CompiledRuleView, ...]:
    """The rules whose hooks would rewrite the configuration, in order."""
    return explanation.plan.filters if explanation.plan is not None else ()


def select(explanation: Explanation, name: str) -> Explained | None:
    """The rule of this file name; None where there is none."""
    return next((rule for rule in explanation.rules if rule.entry.name == name), None)
