"""The command ``nri``."""

from __future__ import annotations

import os
import select
import signal
import sys

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.options import rules_options, settings_path
from ocihooks.cli.output import finding_lines
from ocihooks.cli.run import PROGRAM
from ocihooks.errors import Diagnostic, printable
from ocihooks.nri.metrics import Metrics
from ocihooks.nri.plugin import Plugin
from ocihooks.nri.rules import LiveRules
from ocihooks.nri.scrape import Listener, address_of
from ocihooks.nri.service import SOCKET, Service, place_of

EXAMPLES = (
    Example(line="ocihooks nri --dry-run", meaning="What would new containers of pods be given?"),
    Example(line="ocihooks nri", meaning="Give the containers of containerd or CRI-O their hooks."),
    Example(line="ocihooks nri --metrics 127.0.0.1:9461", meaning="The same, with metrics for Prometheus at /metrics."),
)

_LINE_BYTES = 4000
"""Longest line that is printed: what a pipe takes at once."""

_SWITCH_INTERVAL_S = 0.0005
"""How long an answer may wait for a thread that reads rules."""


@click.command(
    "nri",
    cls=Command,
    examples=EXAMPLES,
    statuses={
        0: "ended by a signal, or by the engine that started it",
        1: "the engine that started it has gone without a word",
        3: "metrics can't be served at that address",
    },
)
@click.option(
    "--socket", "path", metavar="FILE", default=SOCKET, show_default=True, help="Where the engine listens for plugins."
)
@click.option(
    "--name", metavar="NAME", default=PROGRAM, show_default=True, help="The name under which the engine knows it."
)
@click.option(
    "--index",
    metavar="NN",
    default="50",
    show_default=True,
    help="Two digits: plugins are asked in their order, and their hooks run in it.",
)
@click.option(
    "--metrics",
    "address",
    metavar="ADDRESS",
    help="Serve metrics for Prometheus at unix:/PATH, or at 127.0.0.1:PORT or [::1]:PORT.",
)
@click.option("--dry-run", is_flag=True, help="Tell what each new container would be given, and give nothing.")
@rules_options
def command(
    *,
    path: str,
    name: str,
    index: str,
    address: str | None,
    dry_run: bool,
    settings_file: str | None,
    hooks_dirs: tuple[str, ...],
) -> int:
    """
    Give the containers of containerd or CRI-O their hooks as a plugin of the engine.

    The engine asks through its Node Resource Interface (NRI) for each container of a pod; no runtime wrapper and no
    change of the engine's configuration is needed. Rules, settings and the kill switch count as for the wrapper, and
    changes count at once. When the engine ends, it is waited for. An engine may also start this command itself.
    """
    place = place_of(dict(os.environ), path=path, name=name, index=index)
    metrics = Metrics()
    listener = Listener(address_of(address)) if address is not None else None
    try:
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        directories = tuple(map(os.path.abspath, hooks_dirs))
        with LiveRules(settings_path(settings_file), directories, tell=_tell) as rules:
            plugin = Plugin(rules, metrics=metrics, tell=_tell, say=_say, dry_run=dry_run)
            service = Service(place, plugin, metrics, listener=listener, say=_say)
            _stop_on_signals(service)
            service.run()
    finally:
        if listener is not None:
            listener.close()
    return 0


def _stop_on_signals(service: Service) -> None:
    def stop(_number: int, _frame: object) -> None:
        service.stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _tell(problem: Diagnostic) -> None:
    _print(finding_lines(problem))


def _say(sentence: str) -> None:
    _print(f"{PROGRAM}: {printable(sentence)}")


def _print(text: str) -> None:
    """Print *text* on standard error, unless nobody reads there: containers do not wait for a full pipe."""
    poll = select.poll()
    try:
        poll.register(2, select.POLLOUT)
        if poll.poll(0) and text:
            os.write(2, text.encode("utf-8", "backslashreplace")[: _LINE_BYTES - 1] + b"\n")
    except OSError:
        pass
