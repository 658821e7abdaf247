"""
Runs the hooks of the ``precreate`` stage: each gets the configuration on standard input and prints a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ocihooks.compiled.ruleset import CompiledRuleView
from ocihooks.document import MAX_BYTES
from ocihooks.errors import DocumentError, OCIHooksError
from ocihooks.execution.filters import FilterReport, apply_filters
from ocihooks.injection import rule_entry
from ocihooks.spec.hook import Hook

DRAIN_S = 1.0
"""How long a filter's output is waited for when it has ended and a process that it left holds the output open."""


def run_filters(
    rules: Sequence[CompiledRuleView], data: bytes, bundle: str, *, stage: str, default_timeout: int | None = None
) -> bytes:
    """
    What the filters of *rules* make of the configuration *data*, in order.

    Args:
        bundle: Their working directory.
        stage: The extension stage's name, which they find in OCIHOOKS_STAGE.
        default_timeout: Seconds for filters whose rule sets no timeout; None: no limit.

    Raises:
        OCIHooksError: A filter failed or printed something else; the error names its rule.
    """
    for rule in rules:
        entry = rule_entry(rule.hook, rule.file, stage)
        hook = Hook.from_json(entry)
        if hook.timeout is None:
            hook = replace(hook, timeout=default_timeout)
        try:
            report = apply_filters([hook], data, cwd=bundle, output_limit=MAX_BYTES, drain_s=DRAIN_S)
            _check_version(report)
        except OCIHooksError as error:
            raise OCIHooksError(
                f"{stage} filter {hook.path}: {error.message}",
                code=error.code,
                file=rule.file,
                hint=error.hint or "run the filter by hand with the configuration on its standard input",
            ) from error
        data = report.data
    return data


def _check_version(report: FilterReport) -> None:
    """Every configuration has a version; without one, a filter has printed a part of it only."""
    if not isinstance(report.config.get("ociVersion"), str):
        raise DocumentError(
            "its output is no configuration: /ociVersion: expected a string, found none",
            code="filter_output",
            hint="a filter has to write the whole configuration to standard output, and nothing else",
        )
