"""
What happens on create, run and restore before the runtime starts: config.json gains the hooks that match.

It is the engine's or the fully injected one at every instant; on any failure it stays the engine's.
While the compiled rules are fresh, no settings, no rule file and no library is read: this is the wrapper's warm path.
"""

import ocihooks
from ocihooks.document import read_config, with_member
from ocihooks.injection import FILTER_STAGE
from ocihooks.replace import replace_file
from ocihooks.wrapper.arguments import config_file
from ocihooks.wrapper.cache import Cache, environment, load_cached
from ocihooks.wrapper.plan import plan_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ocihooks.compiled.ruleset import RuleSet
    from ocihooks.document import Config
    from ocihooks.settings import Settings
    from ocihooks.wrapper.arguments import Call
    from ocihooks.wrapper.installation import Installation
    from ocihooks.wrapper.plan import Plan


def prepare(
    call: "Call",
    installation: "Installation",
    before_refresh: "Callable[[], Callable[[], None]]",
    unchanged: int = 0,
) -> None:
    """
    Give the container of *call* its hooks.

    Args:
        before_refresh: Called before rules are read from their files, and the library for that imported; what it
            returns is called when they are read.
        unchanged: Checksum of the launcher's data whose sources it found unchanged; 0: it didn't look.

    Raises:
        OCIHooksError: The container must not be created; its config.json is as it was.
    """
    cache = Cache(installation, environment())
    rules, _ = load_cached(cache, unchanged)
    if rules is None or not _given(call, installation, rules):
        when_read = before_refresh()
        from ocihooks.wrapper.refresh import refresh

        rules = refresh(cache)
        when_read()
        if rules is not None:  # None: the kill switch is on
            _give(call, installation, rules)


def _given(call: "Call", installation: "Installation", rules: "RuleSet") -> bool:
    """As `_give`, with *rules* from the cached file; False if that is damaged, and nothing was done."""
    try:
        _give(call, installation, rules)
    except ocihooks.errors.DamagedError:
        return False
    return True


def _give(call: "Call", installation: "Installation", rules: "RuleSet") -> None:
    """Give the container of *call* what it gets from *rules*, and write that down."""
    try:
        plan, changed = inject_rules(config_file(call), rules, installation.supervisor, call)
    except ocihooks.errors.OCIHooksError as error:
        if rules.log is not None:
            _log(rules.log, call, "error", str(error))
        raise
    if rules.log is not None:
        _log_plan(rules.log, call, plan, changed)
    if rules.records and changed:
        _record(rules.records, call, plan)


def inject(path: str, settings: "Settings") -> "tuple[Plan, bool]":
    """
    Give the config.json at *path* the hooks that match under *settings*, and run the filters that match over it.

    Returns:
        What was decided, and whether the file was replaced.

    Raises:
        OCIHooksError: Nothing was changed.
    """
    from ocihooks.wrapper.refresh import read_rules

    return inject_rules(path, read_rules(settings))


def inject_rules(path: str, rules: "RuleSet", supervisor: str = "", call: "Call | None" = None) -> "tuple[Plan, bool]":
    """
    As `inject`, for rules that were read before.

    Args:
        supervisor: The installed program of that name; "": it is started from the package.
        call: What the engine asks for; None: nobody asks.
    """
    config = read_config(path)
    plan = planned(config, rules, supervisor, call)
    if plan.hooks is None and not plan.filters and not plan.injectors:
        return plan, False
    data = injected(config, plan)
    if (plan.filters or plan.injectors) and data == config.text.encode():
        return plan, False
    replace_file(path, data, expected=config.signature, durable=False)
    return plan, True


def planned(config: "Config", rules: "RuleSet", supervisor: str = "", call: "Call | None" = None) -> "Plan":
    """What the container of *config* gets from *rules*, and what the modifiers add; arguments as `inject_rules`."""
    plan = plan_for(config, rules, (supervisor,) if supervisor else ())
    if plan.modifiers:
        from ocihooks.wrapper.modifiers import modify

        modify(plan, config, rules, call)
    return plan


def injected(config: "Config", plan: "Plan") -> bytes:
    """
    The new text of *config*: only the bytes of ``hooks`` differ, unless injector files or filters apply.

    Raises:
        OCIHooksError: An injector file can't be given, or a filter failed or gave something that is no configuration.
    """
    data = config.text.encode() if plan.hooks is None else with_member(config, "hooks", plan.hooks)
    if plan.injectors:
        from ocihooks.injector.give import given
        from ocihooks.injector.packing import unpacked

        data, files = given(data, config.file, [unpacked(file) for file in plan.injectors], plan.injector_dir)
        plan.given = tuple([file.file for file in files])
    return filtered(data, plan, config.file) if plan.filters else data


def filtered(data: bytes, plan: "Plan", file: str) -> bytes:
    """The configuration *data* as the filters of *plan* leave it, each getting the output of the one before."""
    import os

    from ocihooks.wrapper.filters import run_filters

    bundle = os.path.dirname(os.path.abspath(file))
    return run_filters(plan.filters, data, bundle, stage=FILTER_STAGE, default_timeout=plan.default_timeout)


def _record(records: str, call: "Call", plan: "Plan") -> None:
    from ocihooks.records.append import append

    hooks = [{"rule": rule.file, "stage": FILTER_STAGE} for rule in plan.filters]
    hooks += [{"rule": file, "stage": stage} for stage, file, _ in plan.additions.rules]
    told = {"container": call.container_id, "bundle": call.bundle, "operation": call.operation, "hooks": hooks}
    append(records, "injection", {**told, **({"injector_files": plan.given} if plan.given else {})})


def _log_plan(log: str, call: "Call", plan: "Plan", changed: bool) -> None:
    _log(
        log,
        call,
        "info",
        "hooks added" if changed else "nothing to add",
        rules=[f"{addition.rule.name} {addition.declared}" for addition in plan.injection.additions],
        skipped=[rule.name for rule in plan.skipped],
        sandbox=plan.sandbox,
        warnings=[str(problem) for problem in plan.warnings],
        **({"injector_files": plan.given} if plan.given else {}),
        **({"modifiers": plan.modifiers} if plan.modifiers else {}),
    )


def _log(log: str, call: "Call", level: str, message: str, **members: object) -> None:
    from ocihooks.wrapper.log import write_line

    write_line(
        log, level, message, container=call.container_id, operation=call.operation, bundle=call.bundle, **members
    )
