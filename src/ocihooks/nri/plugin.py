"""
What the engine is answered: the methods of NRI's Plugin service.

Each request is answered for itself: one that can't be understood or decided gets an error that names its container, and
nothing that comes from an engine ends the plugin.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ocihooks.errors import Diagnostic, OCIHooksError, RulesError, quoted
from ocihooks.faults import nul_in
from ocihooks.injection import rule_of
from ocihooks.nri import ttrpc
from ocihooks.nri.answer import NOTHING, Given, decide, named, refusal
from ocihooks.nri.errors import RequestError
from ocihooks.nri.held import HeldRules
from ocihooks.nri.messages import (
    CREATE_CONTAINER,
    PLUGIN_SERVICE,
    NewContainer,
    adjustment,
    configuration_of,
    inventory_answer,
    inventory_of,
    label_of,
    new_container_of,
    subscription,
    tells_args,
)
from ocihooks.nri.metrics import Metrics
from ocihooks.nri.rules import SWITCHED_OFF, LiveRules, State
from ocihooks.nri.wire import WireError
from ocihooks.records.append import append
from ocihooks.wrapper.failures import as_failure
from ocihooks.wrapper.log import write_line
from ocihooks.wrapper.switch import is_disabled

_CREATE = ttrpc.beginning_of(PLUGIN_SERVICE, "CreateContainer")
_NOTHING = ttrpc.response(adjustment({}))

OPERATION = "CreateContainer"
"""What log lines and records name as the operation."""


class Plugin:
    """
    Answers requests, on one connection after another.

    Args:
        rules: The rules.
        metrics: Where requests are counted.
        tell: Called with each finding about rules when it first shows with a container.
        say: Called with sentences about what happens.
        dry_run: Say what containers would be given, and give nothing.

    Attributes:
        configured: Whether the engine of the present connection has accepted the plugin.
        shut_down: Whether it has announced that it ends.
    """

    def __init__(
        self,
        rules: LiveRules,
        *,
        metrics: Metrics,
        tell: Callable[[Diagnostic], None],
        say: Callable[[str], None],
        dry_run: bool = False,
    ) -> None:
        self._rules = rules
        self._metrics = metrics
        self._tell = tell
        self._say = say
        self._dry_run = dry_run
        self._told: set[Diagnostic] = set()
        self._seen = 0
        self.configured = False
        self.shut_down = False

    def begin(self) -> None:
        """Forget the engine of the former connection."""
        self.configured = self.shut_down = False
        self._seen = 0

    def answered_at_once(
        self, messages: Iterable[ttrpc.Message], others: list[ttrpc.Message]
    ) -> Iterator[tuple[int, bytes]]:
        """
        Answer those of *messages* that ask about containers that surely get nothing; the rest is put into *others*.

        Returns:
            The stream of each, and what the response holds.
        """
        state = self._state_for_all()
        for message in messages:
            started = time.perf_counter()
            if state is None or not _gets_nothing(message, state):
                others.append(message)
            else:
                yield message.stream, _NOTHING
                self._metrics.answered(time.perf_counter() - started)

    def _state_for_all(self) -> State | None:
        """What counts now; None where every request has to be read."""
        try:
            state = self._state()
        except OCIHooksError:  # from the kill switch; the answers say so
            return None
        return None if self._dry_run or (state.possible is None and state is not SWITCHED_OFF) else state

    def answer(self, message: ttrpc.Message) -> bytes:
        """What the response to the request *message* holds."""
        if message.too_large:
            return self._too_large(message)
        try:
            call = ttrpc.call_of(message.data)
        except WireError as error:
            return self._unreadable(error)
        if call.service == PLUGIN_SERVICE and call.method == OPERATION:
            started = time.perf_counter()
            answer = self._created(call.payload)
            self._metrics.answered(time.perf_counter() - started)
            return answer
        return self._other(call)

    def _too_large(self, message: ttrpc.Message) -> bytes:
        found = ttrpc.payload_so_far(message.data)
        what = f"a request of {message.size} bytes, more than the {ttrpc.MAX_BYTES} that are allowed"
        about = f"; {label_of(found)} not created" if found else ""
        return self._fails(ttrpc.RESOURCE_EXHAUSTED, f"{what}{about}")

    def _unreadable(self, error: WireError) -> bytes:
        return self._fails(ttrpc.INVALID_ARGUMENT, f"a request that can't be read: {error}")

    def _fails(self, code: int, sentence: str) -> bytes:
        self._metrics.errors["nri_request"] += 1
        self._say(sentence)
        return ttrpc.failure(code, f"ocihooks: {sentence}")

    def _other(self, call: ttrpc.Call) -> bytes:
        methods = {"Configure": self._configure, "Synchronize": self._synchronize, "Shutdown": self._shutdown}
        if call.service != PLUGIN_SERVICE or call.method not in methods:
            named = quoted(f"{call.service}/{call.method}", 200)
            return ttrpc.failure(ttrpc.UNIMPLEMENTED, f"ocihooks: there is no method {named}")
        try:
            return ttrpc.response(methods[call.method](call.payload))
        except WireError as error:
            return self._unreadable(error)

    def _configure(self, payload: bytes) -> bytes:
        asked = configuration_of(payload)
        engine = f"{asked.engine} {asked.version}".strip() or "an engine that does not name itself"
        self._say(f"accepted by {quoted(engine, 200)}")
        if asked.config.strip():
            self._say("the engine's configuration for the plugin has no effect, since ocihooks has its own settings")
        self.configured = True
        self._metrics.connections += 1
        self._metrics.connected = True
        return subscription((CREATE_CONTAINER,))

    def _synchronize(self, payload: bytes) -> bytes:
        count, more = inventory_of(payload)
        self._seen += count
        if not more and self._seen:
            self._say(f"{self._seen} containers were there before and stay as they are")
        return inventory_answer(more=more)

    def _shutdown(self, payload: bytes) -> bytes:  # noqa: ARG002  (an empty message)
        self._say("the engine ends")
        self.shut_down = True
        return b""

    def _created(self, payload: bytes) -> bytes:
        """The answer about a new container; an error where it must not be created."""
        container: NewContainer | None = None
        try:
            state = self._state()
            container = new_container_of(payload)
            given = self._given(container, state)
            answer = _NOTHING if self._dry_run else _packed(given)
            if len(answer) > ttrpc.MAX_BYTES:
                raise RequestError(
                    f"its hooks take {len(answer)} bytes, more than fit into an answer", code="nri_request"
                )
        except WireError as error:
            return self._refused(
                payload, container, RequestError(f"the request is broken: {error}", code="nri_request")
            )
        except Exception as error:  # noqa: BLE001  (whatever it is, the container is refused and the plugin goes on)
            return self._refused(payload, container, as_failure(error))
        self._account(container, given, state)
        return answer

    def _state(self) -> State:
        """What counts now; an empty one while the kill switch is on."""
        rules = self._rules
        # Asked for each container, and nearly never there: a look at the file alone costs a tenth of all checks.
        if os.access(rules.switch, os.F_OK, follow_symlinks=False) and is_disabled(rules.settings_file):
            return SWITCHED_OFF
        return rules.state

    def _given(self, container: NewContainer, state: State) -> Given:
        if state.refused:
            raise RulesError(problems=state.refused)
        if state.rules is None:
            return NOTHING
        args, annotations = container.args or (), container.annotations
        if "\0" in "".join((*args, *annotations, *annotations.values())):
            raise next(nul_in(args, annotations, "the request"))
        return decide(container, state.rules)

    def _refused(self, payload: bytes, container: NewContainer | None, error: OCIHooksError) -> bytes:
        label = container.label if container else label_of(payload)
        sentence = refusal(label, error.problems)
        self._metrics.errors[error.code] += 1
        self._say(f"would be refused: {sentence}" if self._dry_run else sentence)
        if self._dry_run:
            return _NOTHING
        rules = self._rules.state.rules
        if rules is not None and rules.log is not None:
            write_line(rules.log, "error", str(error), container=label, operation=OPERATION)
        code = ttrpc.INVALID_ARGUMENT if isinstance(error, RequestError) else ttrpc.FAILED_PRECONDITION
        return ttrpc.failure(code, f"ocihooks: {sentence}")

    def _account(self, container: NewContainer, given: Given, state: State) -> None:
        """Count and tell what *container* was given."""
        self._metrics.matched += bool(given.rules)
        for rule in {name for name, _ in given.rules}:
            self._metrics.rules[rule] += 1
        for warning in given.warnings:
            if warning not in self._told:
                self._told.add(warning)
                self._tell(warning)
        if self._dry_run:
            self._say(f"{container.label} would get {', '.join(named(given)) or 'nothing'}")
        elif state.rules is not None:
            _write_down(container, given, state.rules)


def _gets_nothing(message: ttrpc.Message, state: State) -> bool:
    """Whether *message* asks about a container that surely gets nothing, without a look at the parts of the request."""
    if message.too_large or not message.data.startswith(_CREATE):
        return False
    if state.rules is not None and state.rules.asks_for_args and not tells_args(message.data, len(_CREATE)):
        return False
    return state.possible is None or not state.possible.found_in(message.data)


def _packed(given: Given) -> bytes:
    things = given.things
    return ttrpc.response(adjustment(given.hooks, mounts=things.mounts, devices=things.devices, env=things.env))


def _write_down(container: NewContainer, given: Given, rules: HeldRules) -> None:
    """The line in the log and the record, as the wrapper writes them, where the settings ask for them."""
    if rules.log is not None:
        write_line(
            rules.log,
            "info",
            "hooks added" if given.hooks else "nothing to add",
            container=container.id,
            operation=OPERATION,
            pod=container.pod,
            rules=[f"{name} {stage}" for name, stage in given.rules],
            things=given.things.named(),
            warnings=[str(problem) for problem in given.warnings],
        )
    if rules.records and (given.hooks or given.things.named()):
        append(rules.records, "injection", _record(container, given))


def _record(container: NewContainer, given: Given) -> dict[str, Any]:
    hooks = [{"rule": rule_of(entry), "stage": stage} for stage, added in given.hooks.items() for entry in added]
    told = {"container": container.id, "operation": OPERATION, "hooks": hooks}
    return {**told, "injector_files": list(given.things.files)} if given.things.files else told
