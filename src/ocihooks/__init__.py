"""
OCI hooks for every container engine.

The public names are imported when they are first used, so that importing the package costs nothing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocihooks import errors as errors
    from ocihooks.bundle import Bundle
    from ocihooks.engines.images import Image
    from ocihooks.errors import (
        Diagnostic,
        DocumentError,
        HookError,
        MatchError,
        NotJSONNameError,
        OCIHooksError,
        RefusedError,
        RulesError,
        SettingsError,
        UnavailableError,
        UntrustedError,
        UsageError,
    )
    from ocihooks.execution.cancel import Cancellation
    from ocihooks.execution.errors import (
        FilterOutputError,
        HookCancelledError,
        HookFailedError,
        HookFunctionError,
        HookNotRunnableError,
        HookRunError,
        HookTimeoutError,
    )
    from ocihooks.execution.filters import FilterReport, apply_filters, filter_config
    from ocihooks.execution.hook_lists import CommandHook, FunctionHook, HookLists
    from ocihooks.execution.ordered import run_hooks
    from ocihooks.execution.result import HookResult
    from ocihooks.execution.runner import run_hook
    from ocihooks.hook_program import HookCall, HookProgram, hook
    from ocihooks.hooksd.config import VERSION, HookConfig, When, command
    from ocihooks.hooksd.directories import DEFAULT_DIR, OVERRIDE_DIR, Rule, Rules, read_hook_dir
    from ocihooks.hooksd.manager import HookManager, apply
    from ocihooks.hooksd.matching import Condition, Container, Decision, Injection, decide, match
    from ocihooks.hooksd.patterns import Pattern, PatternError
    from ocihooks.hooksd.readers import READERS, read_hook
    from ocihooks.modifiers.creation import Creation
    from ocihooks.simulation.lifecycle import simulate
    from ocihooks.simulation.outcome import HookRun, Simulation, StageRun
    from ocihooks.spec.hook import Hook, Hooks
    from ocihooks.spec.stage import STAGES, Stage
    from ocihooks.spec.state import State, Status
    from ocihooks.version import __version__

__all__ = [
    "DEFAULT_DIR",
    "OVERRIDE_DIR",
    "READERS",
    "STAGES",
    "VERSION",
    "Bundle",
    "Cancellation",
    "CommandHook",
    "Condition",
    "Container",
    "Creation",
    "Decision",
    "Diagnostic",
    "DocumentError",
    "FilterOutputError",
    "FilterReport",
    "FunctionHook",
    "Hook",
    "HookCall",
    "HookCancelledError",
    "HookConfig",
    "HookError",
    "HookFailedError",
    "HookFunctionError",
    "HookLists",
    "HookManager",
    "HookNotRunnableError",
    "HookProgram",
    "HookResult",
    "HookRun",
    "HookRunError",
    "HookTimeoutError",
    "Hooks",
    "Image",
    "Injection",
    "MatchError",
    "NotJSONNameError",
    "OCIHooksError",
    "Pattern",
    "PatternError",
    "RefusedError",
    "Rule",
    "Rules",
    "RulesError",
    "SettingsError",
    "Simulation",
    "Stage",
    "StageRun",
    "State",
    "Status",
    "UnavailableError",
    "UntrustedError",
    "UsageError",
    "When",
    "__version__",
    "apply",
    "apply_filters",
    "command",
    "decide",
    "filter_config",
    "hook",
    "match",
    "read_hook",
    "read_hook_dir",
    "run_hook",
    "run_hooks",
    "simulate",
]


def __getattr__(name: str) -> object:
    if name == "errors":  # modules of the wrapper's warm path ask for it only when something is wrong
        return __import__("ocihooks.errors", fromlist=[name])
    from ocihooks.homes import HOMES

    for home, names in HOMES.items():
        if name in names:
            module = __import__(home, fromlist=[name])
            value: object = getattr(module, name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
