"""
Runs one hook of a rule in place of the runtime, records what became of it, and passes output and status on.

The runtime starts this program with the words that `ocihooks.supervisor.task` made. This module and what it imports at
the top are the supervisor's warm path.
"""

import posix
import sys
import time

from ocihooks.execution.exec import Exec, effective_env
from ocihooks.execution.run import Run
from ocihooks.execution.spawned import process_for
from ocihooks.injection import DEFAULT_PATH, RULE_MARK, STAGE_MARK
from ocihooks.records.append import Excerpt, append
from ocihooks.supervisor.state import State
from ocihooks.supervisor.task import read_task
from ocihooks.supervisor.templates import TemplateError, expand

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import NoReturn

    from ocihooks.supervisor.task import Task
else:
    import _signal  # what signal is made of, without enum

OUTPUT_LIMIT = 64 * 1024
DRAIN_S = 1.0
"""How long output is waited for when the hook has ended and a process that it left holds the output open."""

STATE_BYTES = 16 << 20
RECORDED_OUTPUT = 4096
RECORDED_STATE = 4096

NOT_STARTED, TIMED_OUT = 127, 124
"""Exit statuses where the hook has none of its own, as shells and timeout(1) have them."""


class Program:
    """The arguments of one execve, encoded."""

    __slots__ = ("argv", "env", "path")

    def __init__(self, task: "Task", state: State) -> None:
        env = [expand(entry, state) for entry in task.env]
        if not any(entry.startswith("PATH=") for entry in env):
            env.insert(0, DEFAULT_PATH)
        env += [RULE_MARK + task.rule, STAGE_MARK + task.stage]
        self.path = _encoded(task.path)
        self.argv = tuple(_encoded(expand(arg, state)) for arg in task.args)
        self.env = tuple(map(_encoded, effective_env(env)))


def _encoded(text: str) -> bytes:
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise TemplateError("a value holds half of a surrogate pair, which is no character") from None
    if b"\0" in data:
        raise TemplateError("a value holds a NUL character, which no program can be given")
    return data


class Outcome:
    """
    What became of the hook.

    Attributes:
        sentence: What went wrong, "" if nothing did.
        argv: As it was started.
        status: As `Run` has it; None: never started, or unknown.
        exit_status: For the runtime; negative: by that signal.
    """

    __slots__ = ("argv", "exit_status", "run", "sentence", "status", "stderr", "stdout")

    def __init__(self, argv: "tuple[bytes, ...]", run: "Run | None") -> None:
        self.argv = argv
        self.run = run
        self.sentence = ""
        self.status: int | None = None
        self.exit_status = 0
        outputs = run.outputs if run else []
        self.stdout, self.stderr = [bytes(output.kept) for output in outputs] or [b"", b""]


def main() -> "NoReturn":
    """Do what the command line says, and end as the hook did."""
    environ = {_text(name): _text(value) for name, value in posix.environ.items()}
    try:
        task = read_task(sys.argv[1:], environ)
    except ValueError as error:
        _say(
            f"ocihooks: the supervisor is started by runtimes, with words from config.json; can't use these: {error}\n"
        )
        posix._exit(2)  # noqa: SLF001  (os._exit is this function)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())  # crun starts hooks with all signals blocked
    started, moment = time.time(), time.monotonic()
    state = State(_standard_input(), task.stage)
    outcome = supervise(task, state)
    failed = outcome.sentence != ""
    if task.records:
        _record(task, state, outcome, started, time.monotonic() - moment)
    if failed:
        from ocihooks.supervisor.failure import tell

        tell(task, outcome)
    else:
        _pass_on(1, outcome.stdout)
        _pass_on(2, outcome.stderr)
    _end(outcome.exit_status if task.on_failure == "fail" else 0)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _standard_input() -> bytes:
    """The state; all of it is read, since crun can't stand a hook that does not."""
    data = b""
    try:
        while len(data) < STATE_BYTES and (chunk := posix.read(0, 1 << 16)):
            data += chunk
    except OSError:  # closed: there is no state
        pass
    return data


def supervise(task: "Task", state: State) -> Outcome:
    """Run the hook of *task* to its end."""
    try:
        program = Program(task, state)
    except TemplateError as error:
        return _not_run(tuple(arg.encode("utf-8", "replace") for arg in task.args), str(error))
    limit = None if task.timeout_s is None else time.monotonic() + task.timeout_s
    execute = Exec(program)
    process = process_for(execute, has_directory=False)
    with Run(
        drain_s=DRAIN_S,
        kill_grace_s=0.0,
        kill_leftovers=task.kill_leftovers,
        process=process,
        limit_ends_drain=True,
    ) as run:
        try:
            run.start(execute, state.sent(), cwd=None, capture=True, output_limit=OUTPUT_LIMIT)
        except OSError as error:
            from ocihooks.execution.words import start_failure

            return _not_run(program.argv, start_failure("fork", error.errno or 0)[0])
        run.follow(limit)
    return _judged(task, Outcome(program.argv, run), run)


def _not_run(argv: "tuple[bytes, ...]", reason: str) -> Outcome:
    outcome = Outcome(argv, None)
    outcome.sentence, outcome.exit_status = f"was not started: {reason}", NOT_STARTED
    return outcome


def _judged(task: "Task", outcome: Outcome, run: Run) -> Outcome:
    """*outcome* with what went wrong, as the second half of a sentence."""
    outcome.status = outcome.exit_status = status = run.process.status or 0
    if not (status or run.timed_out or run.process.failure or run.process.status is None):
        return outcome
    from ocihooks.execution.words import ending, lateness, start_failure, survivors

    if run.process.failure is not None:
        return _not_run(outcome.argv, start_failure(*run.process.failure)[0])
    outcome.status = run.process.status
    if run.timed_out:
        outcome.sentence, outcome.exit_status = lateness(outcome.status, task.timeout_s or 0), TIMED_OUT
    else:
        outcome.sentence, outcome.exit_status = ending(outcome.status), status or 1
    outcome.sentence += survivors(run.process.alive)
    return outcome


def _record(task: "Task", state: State, outcome: Outcome, started: float, wall_s: float) -> None:
    run, word = outcome.run, {"fail": "failed", "warn": "warned", "ignore": "ignored"}[task.on_failure]
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(started))
    members = {
        "container": state.text("id"),
        "rule": task.rule,
        "stage": task.stage,
        "outcome": word if outcome.sentence else "succeeded",
        "message": outcome.sentence,
        "argv": [arg.decode("utf-8", "replace") for arg in outcome.argv],
        "started": f"{moment}.{int(started % 1 * 1000):03}Z",
        "wall_s": round(wall_s, 4),
        "status": outcome.status if (outcome.status or 0) >= 0 else None,
        "signal": -outcome.status if (outcome.status or 0) < 0 else None,  # type: ignore[operator]
        "timed_out": run is not None and run.timed_out,
        "killed": run.process.killed if run else 0,
        "left_running": list(run.process.alive) if run else [],
        "stdout": _tail(outcome.stdout, RECORDED_OUTPUT),
        "stderr": _tail(outcome.stderr, RECORDED_OUTPUT),
        "state": Excerpt(state.received[:RECORDED_STATE].decode("utf-8", "replace")),
    }
    append(task.records, "run", members)


def _tail(data: bytes, size: int) -> Excerpt:
    return Excerpt(data[-size:].decode("utf-8", "replace"))


def _pass_on(descriptor: int, data: bytes) -> None:
    """Write what the hook wrote, as long as somebody takes it."""
    if data:
        from ocihooks.supervisor.failure import write

        write(descriptor, data)


def _say(text: str) -> None:
    try:
        posix.write(2, text.encode("utf-8", "backslashreplace"))
    except OSError:
        pass


def _end(status: int) -> "NoReturn":
    """End with the hook's status, or by its signal."""
    if status < 0:
        from ocihooks.supervisor.failure import die

        die(-status)
    posix._exit(status)  # noqa: SLF001
