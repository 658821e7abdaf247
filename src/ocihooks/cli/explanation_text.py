"""Shows an explanation to people: one screen, every rule with its conditions, and the result last."""

from __future__ import annotations

from collections.abc import Iterator

from ocihooks.cli.explanation import Explained, Explanation, added, filters, modifiers, origin, removed
from ocihooks.cli.live import Live
from ocihooks.cli.live_text import SHOWN, about_live, history, hook_line, named
from ocihooks.cli.output import coloured, columns, finding_lines
from ocihooks.errors import only_errors, printable, quoted
from ocihooks.hooksd.matching import Condition

MARGIN = 11
"""Where names and conditions of rules begin."""


def as_text(
    explanation: Explanation, shown: tuple[Explained, ...], bundle: str | None, live: Live | None
) -> Iterator[str]:
    """The output for people, line by line or block by block."""
    for problem in explanation.problems:
        yield coloured(finding_lines(problem), "red", bold=True)
    yield columns(_about(explanation, bundle, live))
    yield ""
    for rule in shown:
        yield from rule_lines(rule, explanation)
    if not shown:
        yield f"no rules in {', '.join(explanation.sources.settings.hooks_dirs)}"
    yield ""
    if live:
        yield from history(live, explanation.sources.settings)
    yield from _result(explanation, live)


def _about(explanation: Explanation, bundle: str | None, live: Live | None) -> list[tuple[str, str]]:
    container, settings = explanation.container, explanation.sources.settings
    command = "no process" if container.args is None else "no arguments"
    if container.args:
        command = quoted(container.args[0], SHOWN)
    annotations = [f"{quoted(key, SHOWN)} = {quoted(value, SHOWN)}" for key, value in container.annotations.items()]
    kind = ", the sandbox of a pod" if explanation.sandbox else ""
    return [
        ("container", f"{named(live) if live else bundle or 'made up'}{kind}"),
        *(about_live(live) if live else ()),
        ("command", command),
        ("annotations", ", ".join(annotations) or "none"),
        ("bind mounts", "yes" if container.has_bind_mounts else "none but the engine's own"),
        ("rules", ", ".join(settings.hooks_dirs) or "no directories"),
    ]


_MARKS = {True: ("match", "green"), False: ("no match", None), None: ("undecided", "red")}


def rule_lines(rule: Explained, explanation: Explanation) -> Iterator[str]:
    """One rule: the answer, then its conditions or what is wrong with it."""
    entry = rule.entry
    if entry.rule is None or entry.rule.config is None:
        mark: str = entry.status
        colour = "red" if entry.status == "invalid" else None
    else:
        mark, colour = _MARKS[None if rule.decision is None else rule.decision.matched]
    stages = f" -> {', '.join(rule.stages) or 'no stage'}" if rule.matched else ""
    yield f"{coloured(f'{mark:<{MARGIN - 2}}', colour, bold=rule.matched)}  {printable(entry.name)}{stages}"
    rows = [_condition_cells(condition) for condition in (rule.decision.conditions if rule.decision else ())]
    if rows:
        yield columns(rows, indent=" " * MARGIN)
    elif rule.decision is not None:
        yield f"{'':{MARGIN}}no condition is given, so it never matches"
    yield from (f"{'':{MARGIN}}{printable(line)}" for line in _remarks(rule, explanation))


def _condition_cells(condition: Condition) -> tuple[str, str, str]:
    met = {True: "met", False: "not met", None: "not asked"}[condition.met]
    return met, f"{condition.name} {_wanted(condition)}", _seen(condition)


def _wanted(condition: Condition) -> str:
    wanted = condition.wanted
    if isinstance(wanted, bool):
        return str(wanted).lower()
    texts = [quoted(text, SHOWN) for text in wanted] if isinstance(wanted, tuple) else []
    return (" = " if condition.name == "annotations" else " or ").join(texts)


def _seen(condition: Condition) -> str:
    seen = condition.seen
    if isinstance(seen, tuple):
        text = f"saw {' = '.join(quoted(part, SHOWN) for part in seen)}"
    elif isinstance(seen, str):
        text = f"saw {quoted(seen, SHOWN)}"
    else:
        text = "" if condition.name == "always" or seen is None else f"saw {'one' if seen else 'none'}"
    return "; ".join(part for part in (text, condition.note) if part)


def _remarks(rule: Explained, explanation: Explanation) -> Iterator[str]:
    """What else is to be said about a rule: overridden files, faults, and what they mean for this container."""
    entry = rule.entry
    overrides = entry.rule.overrides if entry.rule else ()
    for file in overrides:
        yield f"{entry.file} {'masks' if entry.status == 'masked' else 'overrides'} {file}"
    if rule.undecided is not None:
        yield rule.undecided.message
    if rule.decision is None or rule.matched:
        yield from map(str, only_errors(entry.problems))
    policy = explanation.sources.settings.policy(entry.name)
    if rule.effect == "refuses":
        because = "" if rule.undecided else f" (on-invalid = {quoted(policy)})"
        yield f"the container is not created{because}"
    elif rule.effect == "left out":
        yield f"left out, the container is created without it (on-invalid = {quoted(policy)})"


_BAD = ("refused", "switched off", "no wrapper")
_VERDICTS = {
    "match": "what config.json gains (+), loses (-), and what rewrites it (|):",
    "no match": "no rule matches",
    "refused": "the container is not created:",
    "switched off": "hooks are switched off: the container is created without them",
    "no wrapper": "rules do not reach the container: its engine starts it without the wrapper, and reads none itself",
    "sandbox": "rules do not apply to the sandbox containers of pods (sandbox = false in the settings)",
}


_MADE_NOW = _VERDICTS | {
    "match": "made now, its config.json would gain (+), lose (-), and be rewritten by (|):",
}


def _result(explanation: Explanation, live: Live | None) -> Iterator[str]:
    verdict = explanation.verdict
    said = _MADE_NOW if live and live.written_s is not None else _VERDICTS
    yield coloured(said[verdict], "red" if verdict in _BAD else None, bold=True)
    if verdict == "refused":
        yield from map(finding_lines, explanation.refused)
    elif live and verdict == "no wrapper":
        yield f"hint: ocihooks configure {live.container.engine} makes the wrapper one of its runtimes"
    elif verdict != "switched off":
        yield _changes(explanation)
        for word in modifiers(explanation):
            yield f"modifier {quoted(word, SHOWN)} is asked, too: it may add hooks, or refuse"


def _changes(explanation: Explanation) -> str:
    lost = [("-", stage, hook_line(hook), origin(hook)) for stage, hook in removed(explanation)]
    gained = [("+", stage, hook_line(hook), origin(hook)) for stage, hook in added(explanation)]
    rewriting = [
        ("|", "precreate", hook_line({"path": rule.hook.path, "args": rule.hook.args}), rule.file)
        for rule in filters(explanation)
    ]
    rows = [*lost, *gained, *rewriting]
    return columns(rows, indent="  ") if rows else "config.json stays as it is"
