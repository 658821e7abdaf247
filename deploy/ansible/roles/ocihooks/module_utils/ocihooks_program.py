"""Calls ocihooks on the machine for the modules of this role."""

from __future__ import annotations

import os
from typing import Any


def is_missing(module: Any) -> bool:
    """Whether the package is not installed; that is an error only where it is about to be used."""
    return not os.path.exists(module.params["program"])


def said(module: Any, *words: str) -> str:
    """What ocihooks prints; the module fails with its words where it fails."""
    status, output, errors = module.run_command([module.params["program"], *words])
    if status:
        module.fail_json(msg=errors.strip() or output.strip() or f"ended with status {status}", rc=status)
    return str(output)
