"""
What a modifier is given, and what it can do: add hooks to a container that is about to be created, or refuse it.

Spec: runtime-spec 1.3.0, config.md "POSIX-platform Hooks".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ocihooks.engines.images import Image
from ocihooks.errors import HookError, quoted
from ocihooks.spec.hook import Hook
from ocihooks.spec.stage import STAGES, stage_hint

TIMEOUT_MAX = 3600


class Creation:
    """
    A container that is about to be created, and the hooks that a modifier gives it.

    Attributes:
        config: Its config.json as the engine wrote it, parsed. It is a copy: changing it changes nothing.
        id: Its id; "" with ``ocihooks inject``, which is told none.
        operation: ``create``, ``run`` or ``restore``.
        bundle: Absolute path of its bundle.
        image: What it is made from; None where neither the engine nor an annotation tells.
    """

    def __init__(
        self,
        config: dict[str, Any],
        *,
        id: str = "",  # noqa: A002  (the runtime-spec's word)
        operation: str = "create",
        bundle: str = "/",
        image: Image | None = None,
    ) -> None:
        self.config = config
        self.id = id
        self.operation = operation
        self.bundle = bundle
        self.image = image
        self._hooks: list[tuple[str, Hook]] = []

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations of config.json; with some engines users choose them freely."""
        return dict(self.config.get("annotations") or {})

    @property
    def rootfs(self) -> str | None:
        """
        Absolute path of the root file system on the host, or None where config.json names none.

        Dots in it stay, since behind a link they lead elsewhere than they seem to.

        The tree there is whatever the image's author made of it: links, FIFOs, odd names.
        """
        root = self.config.get("root")
        path = root.get("path") if isinstance(root, dict) else None
        return os.path.join(self.bundle, path).rstrip("/") or "/" if isinstance(path, str) else None

    @property
    def hooks(self) -> tuple[tuple[str, Hook], ...]:
        """The hooks that were added, each with its stage."""
        return tuple(self._hooks)

    def add_hook(self, stage: str, hook: Hook) -> None:
        """
        Give the container a hook, behind those of rules and of modifiers that were asked before.

        Arguments, environment and timeout are filled in as for the hook of a rule. Its program is looked at later: it
        has to be there, and nobody but root may be able to write it, unless the stage is startContainer.

        Args:
            stage: A stage of the runtime-spec, or `ocihooks.Stage`.

        Raises:
            HookError: There is no such stage, the path is not absolute, or something in the hook can't be.
        """
        problem = _problem(stage, hook)
        if problem is not None:
            message, hint = problem
            raise HookError(message, code="modifier_hook", hint=hint)
        self._hooks.append((str(stage), hook))


def _problem(stage: str, hook: Any) -> tuple[str, str | None] | None:
    """What forbids to add *hook*, and what mends it."""
    if stage not in STAGES:
        return f"unknown stage {quoted(str(stage), 80)}", stage_hint(str(stage))
    if not isinstance(hook, Hook):
        return f"expected an ocihooks.Hook, found {type(hook).__name__}", "ocihooks.Hook(path=..., args=...)"
    if not isinstance(hook.path, str) or not hook.path.startswith("/"):
        return f"expected an absolute path, found {quoted(hook.path, 200)}", "write the program's path from / down"
    reason = _odd_texts(hook) or _odd_timeout(hook.timeout)
    return (reason, None) if reason else None


def _odd_texts(hook: Hook) -> str | None:
    texts = (hook.path, *(hook.args or ()), *(hook.env or ()))
    if not all(isinstance(text, str) and "\0" not in text for text in texts):
        return "expected texts without NUL as arguments and environment"
    if not all("=" in entry for entry in hook.env or ()):
        return "expected environment entries of the form NAME=value"
    return None


def _odd_timeout(timeout: object) -> str | None:
    if timeout is None or (type(timeout) is int and 1 <= timeout <= TIMEOUT_MAX):
        return None
    return f"expected a timeout of 1 to {TIMEOUT_MAX} whole seconds, found {timeout!r}"
