"""
What happens on create, run and restore before the runtime starts: config.json gains the hooks that match.

It is the engine's or the fully injected one at every instant; on any failure it stays the engine's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ocihooks.document import Config, parse_config, read_config, with_member
from ocihooks.errors import DocumentError, OCIHooksError
from ocihooks.replace import replace_file
from ocihooks.settings import Settings, default_file, read_settings
from ocihooks.wrapper.log import write_line
from ocihooks.wrapper.plan import Plan, make_plan
from ocihooks.wrapper.rules import FILTER_STAGE
from ocihooks.wrapper.switch import is_disabled

if TYPE_CHECKING:
    from ocihooks.wrapper.arguments import Call
    from ocihooks.wrapper.installation import Installation


def prepare(call: Call, installation: Installation) -> None:
    """
    Give the container of *call* its hooks.

    Raises:
        OCIHooksError: The container must not be created; its config.json is as it was.
    """
    try:
        settings = _settings(installation)
        if settings is not None:
            _prepare(call, settings)
    except OCIHooksError as error:
        raise _not_created(error) from error


def _settings(installation: Installation) -> Settings | None:
    """The settings that hold for this call; None while the kill switch is on."""
    file = installation.settings or default_file(os.environ)
    if is_disabled(file):
        return None
    settings = read_settings(file)
    return replace(settings, hooks_dirs=installation.hooks_dirs) if installation.hooks_dirs else settings


def _prepare(call: Call, settings: Settings) -> None:
    try:
        plan, changed = inject(call.config_path, settings)
    except OCIHooksError as error:
        _log(settings, call, "error", str(error))
        raise
    _log_plan(settings, call, plan, changed)


def inject(path: str, settings: Settings) -> tuple[Plan, bool]:
    """
    Give the config.json at *path* the hooks that match, and run the filters that match over it.

    Returns:
        What was decided, and whether the file was replaced.

    Raises:
        OCIHooksError: Nothing was changed.
    """
    config = read_config(path)
    plan = make_plan(config, settings)
    data = injected(config, plan)
    if data == config.text.encode():
        return plan, False
    replace_file(path, data, expected=config.signature, durable=False)
    return plan, True


def injected(config: Config, plan: Plan) -> bytes:
    """
    The new text of *config*: only the bytes of ``hooks`` differ, unless filters apply.

    Raises:
        OCIHooksError: A filter failed or gave something that is no configuration.
    """
    data = config.text.encode() if plan.hooks is None else with_member(config, "hooks", plan.hooks)
    return filtered(data, plan, config.file) if plan.filters else data


def filtered(data: bytes, plan: Plan, file: str) -> bytes:
    """The configuration *data* as the filters of *plan* leave it, each getting the output of the one before."""
    from ocihooks.wrapper.filters import run_filters

    bundle = os.path.dirname(os.path.abspath(file))
    output = run_filters(plan.filters, data, bundle, stage=FILTER_STAGE, default_timeout=plan.default_timeout)
    checked = parse_config(output, f"{file} as the precreate filters left it")
    if not isinstance(checked.members.get("ociVersion"), str):
        raise DocumentError(
            "expected a configuration, found no ociVersion; a filter has to print the whole configuration",
            code="filter_output",
            file=checked.file,
            pointer="/ociVersion",
        )
    return output


def _not_created(error: OCIHooksError) -> OCIHooksError:
    """*error* with its first sentence saying what became of the container."""
    first, *others = error.problems
    first = first.but()
    first.message = f"{first.message}; container not created"
    return OCIHooksError(problems=[first, *others])


def _log_plan(settings: Settings, call: Call, plan: Plan, changed: bool) -> None:
    if settings.log is None:
        return
    rules = [f"{addition.rule.name} {addition.declared}" for addition in plan.injection.additions]
    message = "hooks added" if changed else "nothing to add"
    _log(
        settings,
        call,
        "info",
        message,
        rules=rules,
        skipped=[rule.name for rule in plan.skipped],
        sandbox=plan.sandbox,
        warnings=[str(problem) for problem in plan.warnings],
    )


def _log(settings: Settings, call: Call, level: str, message: str, **members: object) -> None:
    if settings.log is not None:
        about: Mapping[str, object] = {
            "container": call.container_id,
            "operation": call.operation,
            "bundle": call.bundle,
        }
        write_line(settings.log, level, message, **about, **members)
