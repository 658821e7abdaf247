"""
Asks the modifiers about a container and puts the hooks that they add where those of rules go.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ocihooks.compiled.ruleset import CompiledHook, RuleSet
from ocihooks.document import Config
from ocihooks.errors import Diagnostic, RulesError, quoted
from ocihooks.injection import Additions, merged, supervision
from ocihooks.modifiers.call import Asked, ask, check
from ocihooks.settings import TABLE, Settings
from ocihooks.spec.hook import Hook
from ocihooks.trust import Trust
from ocihooks.wrapper.arguments import Call
from ocihooks.wrapper.plan import Plan, supervisor_of_the_package
from ocihooks.wrapper.usable import injectable_problems


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedHook:
    """
    A hook that a modifier added; it looks like a rule with one stage.

    Attributes:
        file: The modifier's mark.
        word: The modifier as the settings name it.
    """

    file: str
    word: str
    stages: tuple[str, ...]
    hook: CompiledHook


def modify(plan: Plan, config: Config, rules: RuleSet, call: Call | None) -> None:
    """
    Give *plan*, which was made for the container of *config*, what the modifiers add.

    Raises:
        RefusedError: A modifier refuses the container.
        ModifierError: A modifier can't be loaded or fails.
        RulesError: A hook that it adds can't be used.
        UntrustedError: Somebody else could have written a modifier's file.
    """
    trust = Trust(rules.trusted_owners, rules.trusted_groups)
    answers = ask(plan.modifiers, _asked(config, call), trust)
    hooks = [
        AddedHook(file=mark, word=word, stages=(stage,), hook=_compiled(hook, how, rules.default_timeout))
        for (word, mark, how), added in zip(rules.modifiers, answers, strict=True)
        for stage, hook in added
    ]
    problems = list(_problems(hooks, trust))
    if problems:
        raise RulesError(problems=problems)
    before = plan.additions
    plan.additions = Additions(
        rules=(*before.rules, *((added.stages[0], added.file, added.hook) for added in hooks)),
        static=before.static,
        directories=before.directories,
        prepend=before.prepend,
        supervisor=before.supervisor or supervisor_of_the_package([added.hook for added in hooks]),
    )
    plan.hooks = merged(config.hooks, plan.additions)


def _asked(config: Config, call: Call | None) -> Asked:
    bundle = os.path.dirname(os.path.abspath(config.file)) if call is None else os.path.abspath(call.bundle or ".")
    container = (call.container_id if call else None) or ""
    operation = (call.operation if call else None) or "create"
    return Asked(text=config.text, id=container, operation=operation, bundle=bundle)


def _compiled(hook: Hook, how: tuple[str, bool, str] | None, default_timeout: int | None) -> CompiledHook:
    timeout = default_timeout if hook.timeout is None else hook.timeout
    words = None
    if how is not None:
        on_failure, kill_leftovers, records = how
        words = supervision(timeout=timeout, on_failure=on_failure, kill_leftovers=kill_leftovers, records=records)
    return CompiledHook((hook.path, hook.args, hook.env, timeout, words))


def _problems(hooks: Iterable[AddedHook], trust: Trust) -> Iterator[Diagnostic]:
    """What forbids to put the hooks into a container, told about the modifiers that add them."""
    sound: set[str] = set()
    for added in hooks:
        for problem in injectable_problems(added, trust, sound):
            message = f"modifier {quoted(added.word, 200)} adds a hook for {added.stages[0]}: {problem.message}"
            hint = "install the program" if problem.code == "missing_program" else problem.hint
            yield Diagnostic(message, code=problem.code, hint=hint)


def modifier_findings(settings: Settings) -> Iterator[Diagnostic]:
    """What is wrong with the modifiers of *settings*, as far as loading them tells."""
    for problem in check(settings.modifiers, settings.trust()):
        yield (
            problem
            if problem.file
            else Diagnostic(
                problem.message, code=problem.code, file=settings.file, pointer=f"{TABLE}.modifiers", hint=problem.hint
            )
        )
