"""Runs a command and turns whatever it raises into sentences on standard error and an exit status."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from ocihooks.cli.output import complain
from ocihooks.errors import Diagnostic, OCIHooksError, ReplaceError, UnavailableError, UntrustedError, os_reason

PROGRAM = "ocihooks"

USAGE = 2
ENVIRONMENT = 3
INTERRUPTED = 130

TRACEBACK = "OCIHOOKS_TRACEBACK"
"""Environment variable that shows where an internal error comes from."""

_COMPLETE = "_OCIHOOKS_COMPLETE"


def run(arguments: Sequence[str]) -> int:
    """Run the command line *arguments* and return the exit status; never raises."""
    try:
        return _run(arguments)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.ClickException as error:
        complain(_usage(error))
        return error.exit_code
    except OCIHooksError as error:
        complain(error)
        return error.exit_status
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        complain(_unexpected(error))
        return ENVIRONMENT


def _run(arguments: Sequence[str]) -> int:
    from ocihooks.cli.group import cli

    if not arguments and _COMPLETE not in os.environ:
        with click.Context(cli, info_name=PROGRAM, **cli.context_settings) as context:
            click.echo(cli.get_help(context), err=True)
        return USAGE
    status = cli.main(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)
    return status if isinstance(status, int) else 0


def _usage(error: click.ClickException) -> OCIHooksError:
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    command = context.command_path if context else PROGRAM
    return OCIHooksError(f"{message[:1].lower()}{message[1:]}", hint=f'run "{command} --help"')


def _unexpected(error: Exception) -> OCIHooksError:
    """What the system refuses, or a fault of our own, as one sentence."""
    if isinstance(error, OSError) and error.filename is not None:
        hint = "run it as root" if isinstance(error, PermissionError) and os.geteuid() != 0 else None
        return UnavailableError(f"can't be used: {os_reason(error)}", file=os.fsdecode(error.filename), hint=hint)
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if isinstance(error, OSError) and place and place.tb_frame.f_globals.get("__name__") == click.echo.__module__:
        return UnavailableError(f"output can't be written: {os_reason(error)}")
    where = f"{os.path.basename(place.tb_frame.f_code.co_filename)}:{place.tb_lineno}" if place else "unknown place"
    return OCIHooksError(
        f"internal error at {where}: {type(error).__name__}: {error}",
        code="internal",
        hint=f"run it again with {TRACEBACK}=1 and report what it prints",
    )


@contextmanager
def environment(*kinds: type[OCIHooksError]) -> Iterator[None]:
    """
    What is raised in here is the environment's fault: exit status 3.

    Args:
        kinds: Which errors; none given: what can't be trusted, and what can't be written.
    """
    foreign: tuple[type[OCIHooksError], ...] = (UnavailableError, *(kinds or (UntrustedError, ReplaceError)))
    try:
        yield
    except foreign as error:
        raise UnavailableError(problems=map(_for_root, error.problems)) from error


def _for_root(problem: Diagnostic) -> Diagnostic:
    return problem.but(hint=None if os.geteuid() == 0 else "run it as root")
