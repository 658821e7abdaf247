"""
The rules and settings in memory, as they are now: read again by threads of their own, so that answers never wait.

What counts is what counts for the wrapper: the same settings, the same policies, only files that can be trusted.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ocihooks.compiled.ruleset import RuleSet
from ocihooks.compiled.skip import texts_of
from ocihooks.compiled.snapshot import snapshot
from ocihooks.compiled.sources import sources_unchanged
from ocihooks.errors import WARNING, Diagnostic, OCIHooksError
from ocihooks.hooksd.manager import HookManager, Snapshot
from ocihooks.hooksd.patterns import Pattern
from ocihooks.injection import FILTER_STAGE
from ocihooks.injector.files import injector_paths
from ocihooks.nri.held import HeldRules
from ocihooks.settings import Settings, read_settings
from ocihooks.wrapper.failures import as_failure
from ocihooks.wrapper.refresh import compiled
from ocihooks.wrapper.rules import Loaded, load_rules
from ocihooks.wrapper.switch import switch_file

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ocihooks.compiled.sources import Snapshot as SourcesSnapshot

_SHORTCUT_LETTERS = 1 << 15
"""Most letters of all texts for which requests are searched; for more of them RE2 would not have a quick way."""

_LOOK_S = 0.2
"""Seconds between looks at the settings and static hook files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """
    What containers are given at one time.

    Attributes:
        rules: The rules; None where there are none to go by.
        refused: Why no container may be created: the settings or a static hook file can't be used.
        possible: Found in every request for a container that is given anything; None: any may be.
    """

    rules: HeldRules | None = None
    refused: tuple[Diagnostic, ...] = ()
    possible: Pattern | None = None


SWITCHED_OFF = State()
"""While the kill switch is on, containers are given nothing."""


class TrustedRules(HookManager):
    """
    The rules of the hooks directories in *settings*, read as the wrapper reads them.

    Attributes:
        refused: Findings that forbid to create a container.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.refused: tuple[Diagnostic, ...] = ()
        super().__init__(settings.hooks_dirs, (FILTER_STAGE,), lenient=True)

    def read(self) -> Snapshot:
        """What the directories say now, without a look at programs, which are looked at when a rule matches."""
        loaded = load_rules(self.settings, watched=True)
        return Snapshot(
            directories=self.directories,
            rules=loaded.rules,
            problems=(*loaded.refused, *loaded.tolerated),
            refused=loaded.refused,
            programs={},
        )

    def use(self, found: Snapshot) -> None:
        """Take the rules of *found*, and what is wrong with them."""
        super().use(found)
        self.refused = found.refused

    def compiled(self) -> RuleSet:
        """
        The rules in the form in which they decide.

        Raises:
            DocumentError, UntrustedError: A static hook file can't be used.
        """
        tolerated = tuple(problem for problem in self.problems if problem not in self.refused)
        refused = self.refused
        if self.settings.modifiers and self.settings.on_invalid == "fail":
            refused += (_no_modifiers(self.settings),)
        settings = replace(self.settings, modifiers=())
        return compiled(Loaded(rules=self.rules, refused=refused, tolerated=tolerated), settings)


class LiveRules:
    """
    The rules that the settings in *settings_file* name; use it as a context manager, leaving it ends its threads.

    Args:
        hooks_dirs: Hooks directories in place of those of the settings; empty: none.
        tell: Called with each finding when it first shows.

    Attributes:
        state: What counts now; replaced as a whole.
        settings_file: As given.
        switch: The file that is the kill switch while it is there.
    """

    def __init__(
        self, settings_file: str, hooks_dirs: tuple[str, ...] = (), *, tell: Callable[[Diagnostic], None]
    ) -> None:
        self.settings_file = settings_file
        self.switch = switch_file(settings_file)
        self._hooks_dirs = hooks_dirs
        self._tell = tell
        self._told: frozenset[Diagnostic] = frozenset()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="ocihooks-settings", daemon=True)
        self._ready = threading.Event()
        self.state = SWITCHED_OFF  # nobody asks before the first reading, for which entering waits

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        """Go on whatever happens, since nobody else notices changes; meanwhile no container is created."""
        while not self._stop.is_set():
            try:
                self._follow_settings()
            except Exception as error:  # noqa: BLE001
                self._refuse(as_failure(error))
                self._ready.set()
                self._stop.wait(_LOOK_S)

    def _follow_settings(self) -> None:
        """Read the settings, and then the rules whenever these change, until other things change."""
        before = snapshot((self.settings_file,))
        settings = self._settings()
        seen = snapshot((self.settings_file, *(_files_besides_rules(settings) if settings else ())))
        if not set(before) <= set(seen):
            return  # changed while it was read
        if settings is None:
            self._ready.set()
            self._stop.wait(_LOOK_S)  # an empty file may be used in a moment, though it stays as it is
            return
        rules = TrustedRules(settings)
        self._use(rules)
        with rules.monitor(on_change=lambda: self._use(rules)):
            self._wait_for_change(seen)

    def _wait_for_change(self, seen: SourcesSnapshot) -> None:
        self._ready.set()
        while sources_unchanged(seen) and not self._stop.wait(_LOOK_S):
            pass

    def _settings(self) -> Settings | None:
        """The settings; None, and a state that says so, where they can't be used."""
        try:
            settings = read_settings(self.settings_file)
        except OCIHooksError as error:
            self._refuse(error)
            return None
        return replace(settings, hooks_dirs=self._hooks_dirs) if self._hooks_dirs else settings

    def _use(self, rules: TrustedRules) -> None:
        try:
            found = rules.compiled()
            self._mention((*rules.problems, *beyond(rules)))
            self.state = State(rules=HeldRules(found), possible=_possible(found) if rules.settings.shortcut else None)
        except Exception as error:  # noqa: BLE001
            self._refuse(as_failure(error))

    def _refuse(self, error: OCIHooksError) -> None:
        self._mention(error.problems)
        self.state = State(refused=error.problems)

    def _mention(self, problems: Iterable[Diagnostic]) -> None:
        """Tell those of *problems* that were not there before."""
        present = dict.fromkeys(problems)
        for problem in present:
            if problem not in self._told:
                self._tell(problem)
        self._told = frozenset(present)


def _files_besides_rules(settings: Settings) -> Iterator[str]:
    """What the rules depend on and the monitor does not look at."""
    yield from settings.static_hooks
    if settings.injector_dir is not None:
        yield settings.injector_dir
        try:
            yield from injector_paths(settings.injector_dir)
        except OCIHooksError:  # its state says why, when it is read
            pass


def _possible(rules: RuleSet) -> Pattern | None:
    """The pattern of `State`."""
    texts = texts_of(rules)
    if texts is None or sum(map(len, texts)) > _SHORTCUT_LETTERS:
        return None
    pattern = Pattern("|".join(map(_literally, texts)))
    pattern.compile()
    return pattern


def _literally(text: str) -> str:
    """The pattern that finds just *text*, which holds printable ASCII only."""
    return "".join(letter if letter.isalnum() else f"\\x{ord(letter):02x}" for letter in text)


def beyond(rules: TrustedRules) -> Iterator[Diagnostic]:
    """What the settings and rules ask for that can't be had through NRI."""
    settings = rules.settings
    if settings.position == "prepend":
        message = "engines append the hooks of NRI plugins to those that are there, so position has no effect"
        yield Diagnostic(message, code="beyond_nri", severity=WARNING, file=settings.file)
    if settings.sandbox:
        message = "engines ask NRI plugins about no sandbox container, so sandbox has no effect"
        yield Diagnostic(message, code="beyond_nri", severity=WARNING, file=settings.file)
    if settings.modifiers:
        yield _no_modifiers(settings).but(severity=WARNING)
    for rule in rules.rules:
        if FILTER_STAGE in rule.stages:
            yield no_filters(rule.file).but(severity=WARNING)


def no_filters(file: str) -> Diagnostic:
    """The finding about the rule *file*, whose hook has to rewrite a configuration that NRI does not show."""
    message = f"NRI has no stage {FILTER_STAGE}, since plugins don't see config.json"
    hint = f'use the wrapper for such containers, or set on-invalid = "warn" for {os.path.basename(file)}'
    return Diagnostic(message, code="beyond_nri", file=file, pointer="/stages", hint=hint)


def _no_modifiers(settings: Settings) -> Diagnostic:
    """The finding about modifiers, which have to be shown a configuration as well."""
    message = "NRI has no modifiers, since plugins don't see config.json"
    hint = 'use the wrapper, or name other settings with --settings, or set on-invalid = "warn"'
    return Diagnostic(message, code="beyond_nri", file=settings.file, pointer="ocihooks.modifiers", hint=hint)
