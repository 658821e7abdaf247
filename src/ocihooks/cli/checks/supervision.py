"""Checks what supervision makes of a rule: templates that don't work or harm, and stages where there is none."""

from __future__ import annotations

from collections.abc import Iterator

from ocihooks.errors import WARNING, Diagnostic, quoted
from ocihooks.hooksd.config import HookConfig
from ocihooks.hooksd.directories import Rule
from ocihooks.injection import FILTER_STAGE, SUPERVISED_STAGES
from ocihooks.settings import Settings
from ocihooks.supervisor.templates import parts


def supervision_findings(rule: Rule, settings: Settings) -> Iterator[Diagnostic]:
    """What is odd about *rule* under *settings*."""
    if rule.config is None:
        return
    how = settings.supervision(rule.name)
    if how is None:
        yield from _templates_that_stay(rule.config, rule.file)
        return
    yield from _templates_in_shells(rule.config, rule.file)
    outside = [stage for stage in rule.stages if stage not in (*SUPERVISED_STAGES, FILTER_STAGE)]
    if how.on_failure != "fail" and outside:
        yield Diagnostic(
            f"on-failure = {quoted(how.on_failure)} has no effect at {outside[0]}, where hooks are not supervised",
            code="unsupervised_stage",
            severity=WARNING,
            file=rule.file,
            pointer="/stages",
            hint=f"supervised stages: {', '.join(SUPERVISED_STAGES)}",
        )


def _templates_that_stay(config: HookConfig, file: str) -> Iterator[Diagnostic]:
    for pointer, text in _texts(config):
        for template in templates(text):
            yield Diagnostic(
                f"{template} stays as it stands, since the rule's hook is not supervised",
                code="unsupervised_template",
                severity=WARNING,
                file=file,
                pointer=pointer,
                hint='set supervise = "on" for the rule, or write $${ if the text itself is meant',
            )


def _templates_in_shells(config: HookConfig, file: str) -> Iterator[Diagnostic]:
    args = config.hook.args or ()
    for index in range(2, len(args)):
        is_script = args[index - 1].startswith("-") and args[index - 1].endswith("c")
        for template in templates(args[index]) if is_script else ():
            yield Diagnostic(
                f"{template} becomes part of a script, so its value can run commands",
                code="shell_template",
                severity=WARNING,
                file=file,
                pointer=f"/hook/args/{index}",
                hint=f'hand it over as an argument: "... \\"$1\\" ...", "sh", {quoted(template)}',
            )


def _texts(config: HookConfig) -> Iterator[tuple[str, str]]:
    for name, texts in (("args", config.hook.args), ("env", config.hook.env)):
        yield from ((f"/hook/{name}/{index}", text) for index, text in enumerate(texts or ()))


def templates(text: str) -> list[str]:
    """The templates in *text*."""
    return [part for part, is_template in parts(text) if is_template]
