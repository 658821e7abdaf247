"""
Run the hooks of one stage of a bundle, with those of rules, as a runtime would.

Spec: runtime-spec 1.3.0, config.md "POSIX-platform Hooks".
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ocihooks.bundle import Bundle
from ocihooks.engines.mounts import has_bind_mounts
from ocihooks.hooksd.manager import HookManager
from ocihooks.injection import FILTER_STAGE
from ocihooks.simulation.lifecycle import simulate
from ocihooks.simulation.outcome import StageRun
from ocihooks.testing.bundles import MadeBundle

Directory = str | os.PathLike[str]


def run_stage(
    stage: str,
    bundle: MadeBundle | Directory,
    *,
    hooks_dirs: Sequence[Directory] = (),
    hooks: Sequence[Mapping[str, Any]] = (),
    flavour: str = "spec",
    namespaces: bool = True,
) -> StageRun:
    """
    Run the hooks of *stage* for the container of *bundle*, as `ocihooks.simulate` does.

    Args:
        stage: One of the six stages.
        bundle: A bundle of ``make_bundle``, or any bundle's directory.
        hooks_dirs: Hooks directories. The hooks of rules that match are added to the bundle's config.json first, with
            all that the wrapper adds to them; filters (precreate) are not run.
        hooks: Further hook objects as JSON has them, run behind those of config.json.
        flavour: ``spec``, ``runc`` or ``crun``.
        namespaces: False leaves the host's to all hooks, also for root.

    Returns:
        The state that the hooks read, and what became of each; `StageRun.failed` has those that failed.

    Raises:
        RulesError: A rule can't be used.
        MatchError: A rule can't be decided for this container.
        DocumentError: The configuration can't be used.
        ValueError: There is no such stage or flavour.
    """
    directory = bundle.directory if isinstance(bundle, MadeBundle) else bundle
    made = Bundle(directory)
    if hooks_dirs:
        made.inject(_injection(made.config(), hooks_dirs))
    config = made.config()
    present = config.setdefault("hooks", {})
    present[stage] = [*(present.get(stage) or ()), *map(dict, hooks)]
    simulation = simulate(config, directory, flavour=flavour, stages=[stage], stop_after=stage, namespaces=namespaces)
    return simulation.stage(stage)


def _injection(config: dict[str, Any], hooks_dirs: Sequence[Directory]) -> Any:
    manager = HookManager([os.path.abspath(directory) for directory in hooks_dirs], extension_stages=(FILTER_STAGE,))
    mounts = has_bind_mounts(config.get("mounts") or ())
    return manager.hooks(config, config.get("annotations") or {}, has_bind_mounts=mounts)
