"""Finds a container of whichever engine has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ocihooks.engines import live_containerd, live_docker, live_podman
from ocihooks.engines.live import LiveContainer, NoClientError, ambiguous
from ocihooks.errors import UnavailableError, UsageError, quoted

FINDERS: Mapping[str, Callable[[str, str | None], tuple[LiveContainer, ...]]] = {
    "docker": live_docker.find,
    "podman": live_podman.find,
    "containerd": live_containerd.find,
}
"""By the name of the engine."""


def find(name: str, engine: str | None = None, address: str | None = None) -> LiveContainer:
    """
    The container of this name, id or beginning of an id.

    Args:
        engine: Whose it is; None: that of any engine of this machine that answers.
        address: The socket of *engine*; None: where its client looks for it.

    Raises:
        UsageError: There is none, or there are several.
        UnavailableError: The engine that was named, or each one that is here, can't be asked.
    """
    found: list[LiveContainer] = []
    silent: list[UnavailableError] = []
    asked: list[str] = []
    for one in (engine,) if engine else FINDERS:
        try:
            found += FINDERS[one](name, address)
            asked.append(one)
        except NoClientError:
            if engine:
                raise
        except UnavailableError as error:
            silent.append(error)
    if len(found) > 1:
        raise ambiguous(name, found)
    if found:
        return found[0]
    if not asked:
        raise _nobody(silent)
    raise _missing(name, asked, silent)


def _nobody(silent: list[UnavailableError]) -> UnavailableError:
    problems = [problem for error in silent for problem in error.problems]
    if problems:
        return UnavailableError(problems=problems)
    return UnavailableError(
        f"no client of {', '.join(FINDERS)} is on this machine", hint="name the container's bundle instead"
    )


def _missing(name: str, asked: list[str], silent: list[UnavailableError]) -> UsageError:
    others = "".join(f"; {error.message}" for error in silent)
    message = f"{' and '.join(asked)} {'has' if len(asked) == 1 else 'have'} no container {quoted(name, 80)}{others}"
    hint = 'name one with --engine, or a bundle by a path with "/"; "ocihooks logs --container" knows removed ones'
    return UsageError(message, code="no_container", hint=hint)
