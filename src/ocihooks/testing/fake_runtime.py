"""
A program that takes runc's command line and simulates containers: no namespaces, no root, hooks for real.

Start it as ``python -I -S fake_runtime.py ARGUMENTS…``, or through a script that ``ocihooks.testing.fake`` writes,
which also holds the settings below. As a program it needs only the standard library and finds its other modules beside
itself, whatever the working directory holds.
"""

from __future__ import annotations

import json
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if TYPE_CHECKING or __name__ != "__main__":
    from ocihooks.testing.simulator.commandline import Invocation, parse
    from ocihooks.testing.simulator.lifecycle import Simulator
    from ocihooks.testing.simulator.record import Received, as_received, write_record
    from ocihooks.testing.simulator.reporting import CallError, Reporter, write_out
else:
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    from simulator.commandline import Invocation, parse
    from simulator.lifecycle import Simulator
    from simulator.record import Received, as_received, write_record
    from simulator.reporting import CallError, Reporter, write_out

FROM_SCRIPT = "--from-script"
"""First argument of the script's call: settings, ignored signals, the environment with its length, and argv follow."""

DEFAULT_ROOT = "/run/ocihooks-fake-runtime"


class Settings:
    """
    What a script tells this program, as JSON.

    Attributes:
        state_directory: Containers are kept here when the call has no ``--root``.
        record: File that gets one line for each call; None: calls are not recorded.
        read_stdin: Whether a record holds standard input; it is then read to its end.
        copy_config: Whether a record of create and run holds the text of config.json.
        answers: What to print and how to end instead of simulating, by operation; ``*`` stands for all others.
    """

    def __init__(
        self,
        *,
        state_directory: str = DEFAULT_ROOT,
        record: str | None = None,
        read_stdin: bool = False,
        copy_config: bool = False,
        answers: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self.state_directory = state_directory
        self.record = record
        self.read_stdin = read_stdin
        self.copy_config = copy_config
        self.answers = answers or {}


def main(argv: list[str]) -> int:
    """Handle one call; *argv* is that of the Python process. Returns the exit status."""
    settings, received = _settings_and_call(argv)
    try:
        invocation = parse(list(received.argv[1:]))
    except CallError as error:
        _record(settings, received, None)
        Reporter().error(str(error))
        return 1
    _record(settings, received, invocation)
    answer = settings.answers.get(invocation.operation, settings.answers.get("*"))
    return _simulate(settings, invocation) if answer is None else _give(answer)


def _settings_and_call(argv: list[str]) -> tuple[Settings, Received]:
    if argv[1:2] != [FROM_SCRIPT]:
        return Settings(), as_received(argv)
    settings, ignored, count, *rest = argv[2:]
    environment, call = rest[: int(count)], rest[int(count) :]
    received = Received(argv=call, environment=environment, ignored_before=int(ignored, 16))
    return Settings(**json.loads(settings)), received


def _record(settings: Settings, received: Received, invocation: Invocation | None) -> None:
    if settings.record is None:
        return
    try:
        write_record(
            settings.record,
            received,
            invocation,
            read_stdin=settings.read_stdin,
            copy_config=settings.copy_config,
        )
    except OSError as error:
        Reporter().error(f"fake runtime: this call is not recorded: {error}")


def _simulate(settings: Settings, invocation: Invocation) -> int:
    options = invocation.globals
    reporter = Reporter(options.get("log"), options.get("log-format", "text"))
    try:
        Simulator(options.get("root", settings.state_directory), reporter).perform(invocation)
    except (CallError, OSError) as error:
        reporter.error(f"fake runtime {invocation.operation or 'call'} failed: {error}")
        return 1
    return 0


def _give(answer: dict[str, Any]) -> int:
    """Print and end as told: with an exit status, or by a signal."""
    write_out(1, answer["stdout"])
    write_out(2, answer["stderr"])
    if answer["signal"] is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if answer["signal"] != signal.SIGKILL:
            signal.signal(answer["signal"], signal.SIG_DFL)
        os.kill(os.getpid(), answer["signal"])
    return int(answer["exit_status"])


if __name__ == "__main__":
    sys.exit(main(sys.argv))
