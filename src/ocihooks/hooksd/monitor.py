"""
Watches hooks directories and keeps a manager's rules as they say.

A look several times a second tells that something has changed; then everything is read again, and once more after
growing pauses, for what no look can tell.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ocihooks.errors import Diagnostic
from ocihooks.hooksd.last_good import kept, vanished, with_rules
from ocihooks.hooksd.looks import Look, differing, look_at

if TYPE_CHECKING:
    from ocihooks.hooksd.manager import HookManager, Snapshot

POLL_S = 30.0
"""Seconds after which everything is read again at the latest, whatever looks say."""

_LOOK_S, _LONGEST_LOOK_S = 0.2, 0.5
_LOOK_SHARE = 1 / 50
"""
Seconds between looks: longer where there are so many rules that looking would take more than this part of the time.

Measured, readings included: 0.5 % of a core for 100 rules, 3 % for 1,000.
"""

_HOLD_S = 0.15
"""Seconds that a rule stays although its file is gone or empty: a file that is being replaced is so for a moment."""

_READINGS = 3
"""How often directories are read at most, because something in them has changed meanwhile."""


class Monitor:
    """
    Reloads *manager* when its directories change; use it as a context manager, leaving ends it.

    ``manager.rules`` is right within a second after the last change, and is replaced as a whole. Directories may be
    missing. A rule whose file can't be used any more stays as it was, and ``problems`` says so; the same goes for the
    rules of a directory that can't be listed.

    Args:
        on_change: Called in the monitor's thread after the manager's rules or problems have changed; what it raises
            ends the monitor.
        poll_s: Seconds after which everything is read again at the latest.
    """

    def __init__(
        self, manager: HookManager, *, on_change: Callable[[], None] | None = None, poll_s: float = POLL_S
    ) -> None:
        self._manager = manager
        self._on_change = on_change
        self._poll_s = poll_s
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._error: Exception | None = None
        self._gone_since: Mapping[str, float] = {}
        self._programs: Mapping[str, bool] = {}
        self._thread = threading.Thread(target=self._run, name="ocihooks-monitor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def problems(self) -> tuple[Diagnostic, ...]:
        """What the last reading found, as the manager has it."""
        return self._manager.problems

    def wait_ready(self, timeout_s: float | None = None) -> bool:
        """
        Wait until the directories have been read for the first time; later changes are noticed.

        Returns:
            False if *timeout_s* passed before.

        Raises:
            Exception: What ended the monitor.
        """
        ready = self._ready.wait(timeout_s)
        self._raise_error()
        return ready

    def wait_closed(self, timeout_s: float | None = None) -> bool:
        """
        Wait until the monitor has ended; from then on the rules stay as they are.

        Returns:
            False if *timeout_s* passed before.

        Raises:
            Exception: What ended it, unless it was asked to end.
        """
        self._thread.join(timeout_s)
        self._raise_error()
        return not self._thread.is_alive()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End it, and wait for that unless called by *on_change*."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        try:
            self._follow()
        except Exception as error:  # noqa: BLE001 - it is raised again for those who wait
            self._error = error
            message = f"rules are no longer reloaded: {type(error).__name__}: {error}"
            self._manager.problems += (Diagnostic(message, code="monitor_ended"),)
        finally:
            self._ready.set()

    def _follow(self) -> None:
        """
        Read when a look differs from the one before, and again after a pause.

        Two changes within a tick of the file system's clock may look like one, so the first pause is short, and each
        is twice as long as the one before until it is the poll's.
        """
        last: Look = {}
        pause, next_reading = _LOOK_S, 0.0
        while not self._stop.is_set():
            started = time.monotonic()
            look = look_at(self._manager.directories)
            cost = time.monotonic() - started
            touched, last = differing(last, look), look
            changed = bool(touched) or self._programs_differ()
            if changed or started >= next_reading:
                settled = self._update(self._read(look), touched)
                pause = min(2 * pause, self._poll_s) if settled and not changed else _LOOK_S
                next_reading = time.monotonic() + pause
                self._ready.set()
            self._stop.wait(min(max(_LOOK_S, cost / _LOOK_SHARE), _LONGEST_LOOK_S))

    def _programs_differ(self) -> bool:
        return any(os.path.exists(program) != there for program, there in self._programs.items())

    def _read(self, look: Look) -> Snapshot:
        """What the directories say; all of it at the same time, unless they never stop changing."""
        for _ in range(_READINGS):
            found, before = self._manager.read(), look
            look = look_at(self._manager.directories)
            if look == before:
                break
        return found

    def _update(self, found: Snapshot, touched: set[str]) -> bool:
        """Hand the rules on; False if a rule is held that is to vanish, so that another reading has to follow."""
        now, before = time.monotonic(), self._manager.rules
        self._programs = found.programs
        found = with_rules(found, kept(before, found))
        gone = vanished(before, found)
        names = {os.path.basename(path) for path in touched}
        since = {rule.name: now if rule.name in names else self._gone_since.get(rule.name, now) for rule in gone}
        held = [rule for rule in gone if now - since[rule.name] < _HOLD_S]
        self._gone_since = since
        self._use(with_rules(found, held))
        return not held

    def _use(self, found: Snapshot) -> None:
        manager = self._manager
        if (found.rules, found.problems) != (manager.rules, manager.problems):
            manager.use(found)
            if self._on_change is not None:
                self._on_change()
