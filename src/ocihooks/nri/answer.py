"""
What a container is given: the wrapper's own decision, for what NRI tells of the container.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocihooks.document import Config
from ocihooks.engines.sandbox import MARKS
from ocihooks.errors import Diagnostic, RulesError, quoted
from ocihooks.nri.errors import RequestError
from ocihooks.nri.held import HeldRules
from ocihooks.nri.rules import no_filters
from ocihooks.nri.things import NO_THINGS, Things, things_for
from ocihooks.wrapper.plan import plan_for
from ocihooks.wrapper.usable import POLICY_HINT

if TYPE_CHECKING:
    from ocihooks.nri.messages import NewContainer


_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """
    What a container is given.

    Attributes:
        hooks: By stage the entries for the end of its lists.
        things: What injector files give.
        rules: The rules that matched and count, each by file name and stage as its file names it.
        warnings: What is wrong with rules that were left out.
    """

    hooks: Mapping[str, list[dict[str, Any]]]
    things: Things
    rules: tuple[tuple[str, str], ...]
    warnings: tuple[Diagnostic, ...]


NOTHING = Given(hooks={}, things=NO_THINGS, rules=(), warnings=())


def decide(container: NewContainer, rules: HeldRules) -> Given:
    """
    Decide what *container* is given by *rules*.

    Raises:
        RulesError: A rule is invalid, or matches and can't be used, and the policy is to fail.
        MatchError: A rule can't be decided for this container.
        NotInjectedError: It asks for something that it can't be given.
        WireError: A mount that a rule depends on is broken.
        RequestError: A static hook file has a timeout that NRI can't hold.
    """
    if container.is_sandbox:
        return NOTHING
    plan = plan_for(_as_config(container, rules), rules, sound=rules.sound())
    refused = [no_filters(rule.file).but(hint=POLICY_HINT) for rule in plan.filters if rule.policy == "fail"]
    if refused:
        raise RulesError(problems=refused)
    hooks = _appended(container.hooks or {}, plan.hooks or {})
    check_timeouts(hooks)
    things = NO_THINGS
    if plan.injectors:
        things = things_for(container, plan.injectors, plan.injector_dir, plan.hooks or container.hooks)
    left_out = {rule.file for rule in plan.skipped}
    return Given(
        hooks=hooks,
        things=things,
        rules=tuple(
            (a.rule.name, a.declared)
            for a in plan.injection.additions
            if not a.extension and a.rule.file not in left_out
        ),
        warnings=plan.warnings[len(rules.warnings) :],  # those of the rules themselves were told when they were read
    )


def _as_config(container: NewContainer, rules: HeldRules) -> Config:
    """
    What the decision looks at, as if it came from config.json.

    Engines ask about no sandbox container, so an annotation that says so is a pod's own, written to get around rules.
    """
    config = Config("")
    config.args = container.args
    forged = [name for name, value in MARKS.items() if container.annotations.get(name) == value]
    config.annotations = {name: value for name, value in container.annotations.items() if name not in forged}
    config.mounts = container.mounts() if rules.asks_for_mounts else []
    config.hooks = container.hooks
    config.members = {"process": {"env": container.env()}} if rules.injectors else {}
    return config


def _appended(present: Mapping[str, list[Any]], wanted: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The entries of *wanted* that are not in *present*: all that an engine lets plugins do is to append some."""
    added = {stage: _without(entries or (), present.get(stage, [])) for stage, entries in wanted.items()}
    return {stage: entries for stage, entries in added.items() if entries}


def _without(entries: Any, present: list[Any]) -> list[dict[str, Any]]:
    left = list(present)
    added = []
    for entry in entries:
        if entry in left:
            left.remove(entry)
        else:
            added.append(entry)
    return added


def refusal(label: str, problems: tuple[Diagnostic, ...]) -> str:
    """The sentence by which an engine learns that a container can't be created, and why."""
    first, *others = problems
    more = f"; and {len(others)} more problems" if others else ""
    hint = f"; hint: {first.hint}" if first.hint else ""
    return f"{first}; {label} not created{more}{hint}"


def check_timeouts(hooks: Mapping[str, list[dict[str, Any]]]) -> None:
    """
    Refuse timeouts that a message can't hold; only static hook files can have such.

    Raises:
        RequestError: There is one.
    """
    for stage, entries in hooks.items():
        for entry in entries:
            timeout = str(entry.get("timeout", 0))
            if not timeout.lstrip("-").isdecimal() or len(timeout) > _MAX_DIGITS:
                what = f"hook {quoted(entry['path'], 200)} of {stage}"
                message = f"{what}: expected a timeout in whole seconds, found {quoted(timeout, 80)}"
                raise RequestError(message, code="odd_timeout", hint="change it in the static hook file")


def named(given: Given) -> list[str]:
    """What *given* is called in messages."""
    return [*(f"{stage} {name}" for name, stage in given.rules), *given.things.named()]
