"""A plugin that serves an engine of the tests, in this process, with rules in a directory of its own."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocihooks.errors import Diagnostic
from ocihooks.nri.errors import LinkError
from ocihooks.nri.metrics import Metrics
from ocihooks.nri.plugin import Plugin
from ocihooks.nri.rules import LiveRules
from ocihooks.nri.service import Place, Service
from ocihooks.testing.nri.engine import EngineLink

GPU: Mapping[str, Any] = {"annotations": {"^com\\.example\\.gpu$": "^yes$"}}


@dataclass
class Rules:
    """
    A directory with settings and hooks.

    Attributes:
        told: Findings that the plugin told.
        said: Sentences that it said.
    """

    root: Path
    told: list[Diagnostic] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.root / "etc/config.toml"

    @property
    def hooks(self) -> Path:
        """The hooks directory."""
        return self.root / "hooks.d"

    def configure(self, text: str = "") -> None:
        """Write settings that name the hooks directory."""
        self.hooks.mkdir(exist_ok=True)
        self.settings.parent.mkdir(exist_ok=True)
        self.settings.write_text(f'[ocihooks]\nhooks-dirs = ["{self.hooks}"]\n{text}')

    def rule(self, name: str, when: Mapping[str, Any] = GPU, *, path: str = "/bin/true", **members: Any) -> Path:
        """Write a rule; *members* are those of the hook, and stages."""
        stages = members.pop("stages", ["createRuntime"])
        rule = {"version": "1.0.0", "hook": {"path": path, **members}, "when": when, "stages": stages}
        (self.hooks / name).write_text(json.dumps(rule))
        return self.hooks / name

    def live(self) -> LiveRules:
        """The rules, not entered yet."""
        return LiveRules(str(self.settings), tell=self.told.append)

    @contextmanager
    def serving(self, *, dry_run: bool = False) -> Iterator[EngineLink]:
        """A plugin that an engine has started, not registered yet; its thread ends with the link."""
        ours, theirs = socket.socketpair()
        with self.live() as live, ours:
            plugin = Plugin(live, metrics=self.metrics, tell=self.told.append, say=self.said.append, dry_run=dry_run)
            place = Place(path="", descriptor=theirs.detach(), name="ocihooks", index="50")
            service = Service(place, plugin, self.metrics, listener=None, say=self.said.append)
            thread = threading.Thread(target=self._run, args=(service,))
            thread.start()
            link = EngineLink(ours)
            try:
                yield link
            finally:
                link.close()
                thread.join(5)
                service.stopping = True
                thread.join()

    def _run(self, service: Service) -> None:
        try:
            service.run()
        except LinkError as error:
            self.said.append(str(error))

    @contextmanager
    def asked(self, *, dry_run: bool = False) -> Iterator[EngineLink]:
        """As `serving`, registered, configured and synchronized."""
        with self.serving(dry_run=dry_run) as link:
            link.register()
            link.configure()
            link.synchronize()
            yield link
