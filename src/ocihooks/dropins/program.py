"""
What the wrappers of this room have in common: read a call, prepare the container, become the runtime.

On the warm path: it imports next to nothing until something is wrong.
"""

import posix

import ocihooks
from ocihooks.wrapper.arguments import MEMBERS, Call, changes_container, parse
from ocihooks.wrapper.become import become, check_runtime
from ocihooks.wrapper.main import fail, given_words, load_more

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from ocihooks.wrapper.installation import Installation
else:
    import _signal


class Request:
    """
    One call of a wrapper.

    Attributes:
        call: What it asks of the runtime.
        words: The runtime's words.
        runtime: Its path, as it is to be started.
        hint: How another runtime is named.
        facts: What the wrapper needs to know besides when it prepares a container.
    """

    __slots__ = ("call", "facts", "hint", "runtime", "words")

    def __init__(self, *, call: Call, words: "Sequence[str]", runtime: str, hint: str, facts: "Any") -> None:
        self.call = call
        self.words = words
        self.runtime = runtime
        self.hint = hint
        self.facts = facts


def run(
    installation: "Installation",
    load: "Callable[[str], None] | None",
    understand: "Callable[[Sequence[str], Call], Request]",
    prepare: "Callable[[Request], None]",
    failed: "Callable[[ocihooks.errors.OCIHooksError], None] | None" = None,
) -> "NoReturn":
    """
    Be one of the wrappers.

    Args:
        load: Loads an image of compiled modules by its ending; None: the package itself is imported.
        understand: Takes the words of the engine, and fills in the call as far as it gets.
        prepare: Gives the container of a create, run or restore its hooks.
        failed: Told why nothing comes of it, besides the engine.
    """
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # Ctrl-C ends us as it would end the runtime: without a word
    words, ignored, _ = given_words(installation)
    call = Call()
    try:
        request = understand(words, call)
        if changes_container(call):
            _check(request, installation)
            if load is not None:
                load_more(load)
            prepare(request)
        _become(request, installation, ignored)
    except Exception as error:  # noqa: BLE001  (whatever it is: one sentence, no traceback, and no container)
        fail(error, call, installation.name)
        if failed is not None:
            from ocihooks.wrapper.failures import as_failure

            failed(as_failure(error))
    posix._exit(1)  # noqa: SLF001  (os._exit is this function)


def read_call(words: "Sequence[str]", runtime: str, call: Call) -> None:
    """Read *words* into *call*, as crun reads them if *runtime* is crun by its name, else as runc does."""
    found = parse(words, "crun" if is_crun(runtime) else "runc")
    for name in MEMBERS:
        setattr(call, name, getattr(found, name))


def is_crun(runtime: str) -> bool:
    """Whether *runtime*, or what it links to, is called so."""
    for _ in range(40):
        if "crun" in runtime.rpartition("/")[2]:
            return True
        try:
            target = posix.readlink(runtime)
        except OSError:
            return False
        runtime = target if target.startswith("/") else f"{runtime.rpartition('/')[0]}/{target}"
    return False


def _check(request: Request, installation: "Installation") -> None:
    """Raise if the runtime can't be started, before a container's config.json is touched."""
    try:
        check_runtime(request.runtime, installation.script, relative=True)
    except ocihooks.errors.UnavailableError as error:
        raise _with_hint(error, request.hint) from None
    from ocihooks.dropins.lookup import check_format

    check_format(request.runtime, request.hint)


def _become(request: Request, installation: "Installation", ignored: int) -> "NoReturn":
    try:
        become(request.runtime, request.words, own=installation.script, ignored=ignored, relative=True)
    except ocihooks.errors.UnavailableError as error:
        raise _with_hint(error, request.hint) from None


def _with_hint(error: "ocihooks.errors.UnavailableError", hint: str) -> "ocihooks.errors.UnavailableError":
    return ocihooks.errors.UnavailableError(error.message, code=error.code, file=error.file, hint=hint)
