"""
Loads the injector files that containers may ask for: only files that nobody but root could have written.
"""

from __future__ import annotations

from ocihooks.errors import Diagnostic, OCIHooksError
from ocihooks.injector.files import InjectorFile, injector_paths, parse_injector_file
from ocihooks.settings import Settings
from ocihooks.trust import Trust, check_trusted, explained, read_trusted

_HINT = 'mend it, take it away, or set on-invalid = "warn"'


def load_injectors(settings: Settings) -> tuple[tuple[InjectorFile, ...], tuple[Diagnostic, ...]]:
    """
    The injector files of *settings*, only those that nobody but root could have written; never raises.

    Returns:
        The files that can be used, and what is wrong with the others.
    """
    if settings.injector_dir is None:
        return (), ()
    trust = settings.trust()
    files: list[InjectorFile] = []
    problems: list[Diagnostic] = []
    try:
        _check_directory(settings.injector_dir, trust)
        paths = injector_paths(settings.injector_dir)
    except OCIHooksError as error:
        return (), error.problems
    for path in paths:
        try:
            files.append(read_injector_file(path, trust))
        except OCIHooksError as error:
            problems += error.problems
    return tuple(files), tuple(problem.but(hint=_HINT) for problem in problems)


def _check_directory(directory: str, trust: Trust) -> None:
    try:
        check_trusted(directory, trust)
    except FileNotFoundError:
        return
    except OSError as error:
        raise explained(directory, error) from None


def read_injector_file(path: str, trust: Trust) -> InjectorFile:
    """
    The injector file *path*.

    Raises:
        UntrustedError: Somebody else could have written it.
        DocumentError: It can't be used.
    """
    try:
        data = read_trusted(path, trust)
    except OSError as error:
        raise explained(path, error) from None
    return parse_injector_file(data, path)
