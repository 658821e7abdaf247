"""
Running the hooks of one stage, in order.

Spec: runtime-spec 1.3.0, config.md "POSIX-platform Hooks", runtime.md "Lifecycle".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from ocihooks.execution.errors import HookCancelledError, HookRunError
from ocihooks.execution.result import HookResult
from ocihooks.execution.runner import RunOptions, run_hook
from ocihooks.spec.hook import Hooks
from ocihooks.spec.stage import Stage
from ocihooks.spec.state import State


def run_hooks(
    hooks: Hooks,
    stage: Stage,
    state: State | bytes | str,
    *,
    on_failure: Callable[[HookRunError], None] | None = None,
    **options: Unpack[RunOptions],
) -> tuple[HookResult | None, ...]:
    """
    Run the hooks of *stage* one after the other, each as `run_hook` does.

    Args:
        on_failure: Takes the error of a poststart or poststop hook, after which the list goes on, as the spec wants
            it ("log a warning, but continue"). None: these stages stop at their first failure like the others.
        options: Those of `run_hook`, for each hook; a ``deadline`` holds for all together.

    Returns:
        One result per hook of the stage; None for a hook that *on_failure* was told about and that never started.

    Raises:
        HookRunError: The first failure, of the kind that `run_hook` raises, naming the place such as
            ``createRuntime hook #0``; the hooks after it have not been started.
    """
    results: list[HookResult | None] = []
    for index, hook in enumerate(hooks.stages.get(stage, ())):
        try:
            results.append(run_hook(hook, state, **options))
        except HookRunError as error:
            error.locate(f"{stage} hook #{index}")
            if on_failure is None or stage.failure_stops or isinstance(error, HookCancelledError):
                raise
            on_failure(error)
            results.append(error.result)
    return tuple(results)
