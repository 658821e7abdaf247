"""
Finds a modifier by its word in the settings, and loads it: only files that nobody but root could have written.

A module is looked for where the package and what it depends on are, and nowhere else: not in the working directory,
not where PYTHONPATH leads, not in the container. A file is named by its absolute path.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from types import ModuleType

from ocihooks.errors import OCIHooksError, quoted
from ocihooks.modifiers.creation import Creation
from ocihooks.package import package_paths
from ocihooks.trust import Trust, check_trusted, explained, read_trusted

Modifier = Callable[[Creation], None]


class ModifierError(OCIHooksError):
    """A modifier can't be loaded, or failed."""


def places() -> Sequence[str]:
    """Where modules are looked for: an installed wrapper starts without site, and its script has said where."""
    return sys.path if sys.flags.no_site else package_paths()


def files_of(modifiers: Iterable[str]) -> Iterator[str]:
    """The files that are executed to have *modifiers*, as far as they can be found; nothing is executed here."""
    for word in modifiers:
        module, _, _ = word.rpartition(":")
        if module.startswith("/"):
            yield module
            continue
        for spec in _specs(module):
            yield from _files(spec)


def load(word: str, trust: Trust) -> Modifier:
    """
    Import the module that *word* names, and give its function.

    Raises:
        UntrustedError: Somebody else could have written one of its files.
        ModifierError: There is no such module, file or function.
        BaseException: Whatever the module raises while it is imported.
    """
    name, _, attribute = word.rpartition(":")
    module = _from_file(name, trust) if name.startswith("/") else _from_places(name, trust)
    found = getattr(module, attribute, None)
    if callable(found):
        return found  # type: ignore[no-any-return]
    where = "file" if name.startswith("/") else "module"
    if found is None:
        close = difflib.get_close_matches(attribute, [key for key in vars(module) if not key.startswith("_")], n=1)
        hint = f"did you mean {quoted(close[0])}?" if close else f"name a function that the {where} has"
        raise _missing(f"the {where} of modifier {quoted(word, 200)} has no {quoted(attribute, 80)}", name, hint)
    message = f"expected a function as modifier {quoted(word, 200)}, found {type(found).__name__}"
    raise _missing(message, name, "name a function, or an object that can be called")


def _missing(message: str, name: str, hint: str) -> ModifierError:
    file = name if name.startswith("/") else None
    return ModifierError(message, code="modifier_missing", file=file, hint=hint)


def _from_file(path: str, trust: Trust) -> ModuleType:
    known = sys.modules.get(path)
    if known is not None:
        return known
    try:
        data = read_trusted(path, trust)
    except FileNotFoundError:
        hint = "make the file, or take the modifier out of the settings"
        raise _missing("there is no such file with a modifier", path, hint) from None
    except OSError as error:
        raise explained(path, error) from None
    code = compile(data, path, "exec", dont_inherit=True)
    module = sys.modules[path] = ModuleType(path)
    module.__file__ = path
    exec(code, module.__dict__)  # noqa: S102  (a file that only root could have written)
    return module


def _from_places(name: str, trust: Trust) -> ModuleType:
    specs = tuple(_specs(name))
    for spec in specs:
        _check(spec, trust)
    if not specs or specs[-1].name != name:
        hint = f"install it into the environment of ocihooks, where {os.path.basename(sys.executable)} finds it, "
        hint += 'or name a file as "/etc/ocihooks/modifiers/NAME.py:FUNCTION"'
        raise _missing(f"there is no module {quoted(name, 200)}", name, hint)
    module = _loaded(specs[0])
    for spec in specs[1:]:
        inner = _loaded(spec)
        setattr(module, spec.name.rpartition(".")[2], inner)
        module = inner
    return module


def _specs(name: str) -> Iterator[ModuleSpec]:
    """How to import each package above the module *name*, and itself, up to the first that is not there."""
    path: Sequence[str] | None = places()
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:count]), path) if path is not None else None
        if spec is None:
            return
        yield spec
        path = spec.submodule_search_locations


def _files(spec: ModuleSpec) -> tuple[str, ...]:
    """What is executed for it: a file, or nothing of a package without one, which is its directories."""
    return (spec.origin,) if spec.origin and spec.has_location else tuple(spec.submodule_search_locations or ())


def _compiled(spec: ModuleSpec) -> tuple[str, ...]:
    """Where the interpreter looks for the compiled form of a module, which it executes instead if the times agree."""
    places = (os.path.dirname(spec.cached), spec.cached) if spec.cached else ()
    return tuple(place for place in places if os.path.lexists(place))


def _check(spec: ModuleSpec, trust: Trust) -> None:
    for file in (*_files(spec), *_compiled(spec)):
        try:
            check_trusted(file, trust)
        except OSError as error:
            raise explained(file, error) from None


def _loaded(spec: ModuleSpec) -> ModuleType:
    """The module of *spec*, executed unless it was before."""
    known = sys.modules.get(spec.name)
    if known is not None:
        return known
    module = sys.modules[spec.name] = module_from_spec(spec)
    if spec.loader is not None:
        spec.loader.exec_module(module)
    return module
