"""
``oci-add-hooks --hook-config-path FILE --runtime-path RUNTIME ARGUMENT...``: a runtime with the hooks of a file.

The hooks go in front of those that the container has. On the warm path.
"""

import posix
import sys

import ocihooks
from ocihooks.dropins.lookup import find
from ocihooks.dropins.program import Request, read_call, run
from ocihooks.wrapper.arguments import config_file
from ocihooks.wrapper.main import given_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from ocihooks.wrapper.arguments import Call
    from ocihooks.wrapper.installation import Installation

NAME = "oci-add-hooks"
HOOKS, RUNTIME = "--hook-config-path", "--runtime-path"
USAGE = f"{NAME} {HOOKS} FILE {RUNTIME} RUNTIME ARGUMENT..."
_HINT = f"usage: {USAGE}"


def main(installation: "Installation", load: "Callable[[str], None] | None" = None) -> "NoReturn":
    """Be the program; *load* as for `program.run`."""
    words, *_ = given_words(installation)
    if words in (["--version"], ["--help"], ["-h"]):
        _print(_help() if words[0] != "--version" else _version())
    run(installation, load, understand, prepare)


def understand(words: "Sequence[str]", call: "Call") -> Request:
    """
    Take the two options off the front of *words*; all behind them is the runtime's.

    Raises:
        UsageError: An option is missing, unknown or there twice.
        UnavailableError: There is no such runtime.
    """
    options, rest = _own_options(words)
    runtime = find(options[RUNTIME]) if "/" not in options[RUNTIME] else options[RUNTIME]
    read_call(rest, runtime or "", call)
    hint = f"name an installed OCI runtime with {RUNTIME}"
    if runtime is None:
        message = f"runtime {ocihooks.errors.quoted(options[RUNTIME], 200)} is not on PATH"
        raise ocihooks.errors.UnavailableError(message, code="runtime_unavailable", hint=hint)
    return Request(call=call, words=rest, runtime=runtime, hint=hint, facts=options[HOOKS])


def prepare(request: Request) -> None:
    """Put the hooks of the file in front of those of the container."""
    from ocihooks.dropins.bundles import settle_bundle
    from ocihooks.dropins.hook_file import nested_hooks
    from ocihooks.dropins.inject import add_hooks, double_hooks, is_same_file, read_tolerantly

    if not settle_bundle(request.call, request.words, may_be_empty=True):
        return
    hooks = nested_hooks(request.facts)
    config = read_tolerantly(config_file(request.call))
    if is_same_file(request.facts, config.file):
        double_hooks(config)
    else:
        add_hooks(config, hooks, prepend=True)


def _own_options(words: "Sequence[str]") -> "tuple[dict[str, str], Sequence[str]]":
    """The values of the two options, and the words behind them."""
    options: dict[str, str] = {}
    at = 0
    while len(options) < 2:
        name, equals, value = words[at].partition("=") if at < len(words) else ("", "", "")
        if name not in (HOOKS, RUNTIME) or name in options:
            raise ocihooks.errors.UsageError(_fault(words[at:], options), hint=_HINT)
        if not equals:
            at += 1
            value = words[at] if at < len(words) else ""
        if not value:
            raise ocihooks.errors.UsageError(f"{name}: expected a path, found none", hint=_HINT)
        options[name] = value
        at += 1
    if at == len(words):
        raise ocihooks.errors.UsageError("expected the runtime's arguments behind the two options", hint=_HINT)
    return options, words[at:]


def _fault(rest: "Sequence[str]", options: "dict[str, str]") -> str:
    """What is wrong where an option of ours should stand."""
    missing = " and ".join(name for name in (HOOKS, RUNTIME) if name not in options)
    if not rest:
        return f"{missing}: missing"
    name = rest[0].partition("=")[0]
    if name in options:
        return f"{name}: expected it once, found it twice"
    return f"expected {missing}, found {ocihooks.errors.quoted(rest[0], 80)}"


def _version() -> str:
    from ocihooks.version import __version__

    return f"{NAME} {__version__}\n"


def _help() -> str:
    return f"""usage: {USAGE}
       {NAME} --version

Add the hooks of FILE to the container of a create, run or restore, in front of its own, and become RUNTIME.

  {HOOKS} FILE     a JSON file: {{"hooks": {{STAGE: [HOOK, ...]}}}}
  {RUNTIME} RUNTIME      a path, or a name on PATH
  ARGUMENT...                 the runtime's own arguments
"""


def _print(text: str) -> "NoReturn":
    sys.stdout.write(text)
    sys.stdout.flush()
    posix._exit(0)  # noqa: SLF001  (os._exit is this function)
