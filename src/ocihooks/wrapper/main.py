"""
The runtime wrapper: engines call it in place of runc or crun.

Only create, run and restore read a config.json, so all other operations become the runtime at once, before any of our
files is read. This module and what it imports at the top are the wrapper's warm path.
"""

import posix
import sys

import ocihooks
from ocihooks.wrapper.arguments import Call, changes_container, parse
from ocihooks.wrapper.become import become, check_runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import NoReturn

    from ocihooks.wrapper.installation import Installation
else:
    import _signal  # what signal is made of, without enum


TOLD = "--ignored-signals="
"""
The launcher's word: the signals that were ignored when it was started, a colon, and the checksum of its data if it
found the sources of the compiled rules unchanged, else 0; both as hexadecimal numbers.
"""

WITHOUT_IMAGE = "--without-image"
"""Our own word: import the package itself."""


def main(installation: "Installation", load: "Callable[[str], None] | None" = None) -> "NoReturn":
    """
    Read the command line, prepare the container if this is to be one, and become the runtime.

    Args:
        load: Loads an image of compiled modules by its ending; None: the package itself is imported.
    """
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # Ctrl-C ends us as it would end the runtime: without a word
    words, ignored, unchanged = given_words(installation)
    call = parse(words, installation.flavour)
    try:
        if changes_container(call) and not call.refused:
            check_runtime(installation.runtime, installation.script)
            _prepare(call, installation, load, unchanged)
        become(installation.runtime, words, own=installation.script, ignored=ignored)
    except Exception as error:  # noqa: BLE001  (whatever it is: one sentence, no traceback, and no container)
        fail(error, call, installation.name)
    posix._exit(1)  # noqa: SLF001  (os._exit is this function)


def fail(error: Exception, call: Call, name: str) -> None:
    """Say where the engine looks for it that the program *name* can't go on."""
    try:
        from ocihooks.wrapper.failures import tell

        tell(error, call, name)
    except Exception:  # noqa: BLE001  (a package that is not whole: the sentence alone)
        outcome = "; container not created" if changes_container(call) else ""
        text = f"{name}: {error}; the package ocihooks is not whole{outcome}\nhint: install ocihooks again\n"
        posix.write(2, text.encode("utf-8", "backslashreplace"))


def given_words(installation: "Installation") -> tuple[list[str], int, int]:
    """The engine's words, and what the launcher told: the ignored signals and a checksum, each 0 where unknown."""
    words = sys.argv[1:]
    if words[:1] == [WITHOUT_IMAGE]:
        del words[0]
    if installation.launched and words and words[0].startswith(TOLD):
        signals, _, checksum = words[0][len(TOLD) :].partition(":")
        return words[1:], int(signals, 16), int(checksum or "0", 16)
    return words, 0, 0


def _prepare(call: Call, installation: "Installation", load: "Callable[[str], None] | None", unchanged: int) -> None:
    if call.doubt:
        raise ocihooks.errors.UnavailableError(
            call.doubt,
            code="doubt",
            hint="name the bundle with --bundle DIR before the id; for an option of a newer runtime, update ocihooks",
        )
    if load is not None:
        load_more(load)
    from ocihooks.wrapper.create import prepare

    prepare(call, installation, (lambda: load_refreshing(load)) if load else go_on, unchanged)


def load_more(load: "Callable[[str], None]", part: str = ".create") -> None:
    """Load the modules that a create needs, or another *part*; if the image can't be used, the package is imported."""
    before = set(sys.modules)
    try:
        load(part)
    except Exception:  # noqa: BLE001  (whatever is wrong with it, the package is there)
        for name in set(sys.modules) - before:
            del sys.modules[name]


def go_on() -> "Callable[[], None]":
    """There is no image that could be outdated, and nothing to forget."""
    return lambda: None


def load_refreshing(load: "Callable[[str], None]") -> "Callable[[], None]":
    """
    Load what reads rules anew, if all before it came from images, too; the package must be of their version.

    Returns:
        What forgets it again, with all of the package that was imported beside it: modifiers and filters ask for real
        dataclasses, which those of an image are not.
    """
    restart_if_outdated()
    if not hasattr(sys.modules["ocihooks.wrapper.create"], "_modules_"):
        return go_on()
    before = set(sys.modules)
    load_more(load, ".refresh")

    def forget() -> None:
        for name in set(sys.modules) - before:
            module = sys.modules[name]
            if name.startswith("ocihooks.") and (hasattr(module, "_modules_") or hasattr(module, "__cached__")):
                del sys.modules[name]

    return forget


def restart_if_outdated() -> None:
    """
    Start again without images if the package is of another version than they are, so that the two are never mixed.

    The process stays the same; engines notice nothing.
    """
    from ocihooks.version import __version__

    try:
        with open(f"{ocihooks.__path__[0]}/version.py", encoding="utf-8") as stream:
            there = stream.read()
    except OSError:  # the next import says what is missing
        return
    if f'"{__version__}"' in there:
        return
    posix.execv(sys.executable, (sys.executable, "-IS", sys.argv[0], WITHOUT_IMAGE, *sys.argv[1:]))
