"""
``container-hooks-runtime``: a runtime with the hooks of the file that /etc/container-hooks/config.toml names.

The hooks go behind those that the container has, unless one of these is the marker: the program ``container-hooks``.
On the warm path.
"""

import posix

import ocihooks
from ocihooks.dropins.lookup import first_found
from ocihooks.dropins.program import Request, read_call, run
from ocihooks.dropins.toolkit_cache import Known, load_settings
from ocihooks.dropins.toolkit_log import Log, make_directories
from ocihooks.quoting import printable, quoted
from ocihooks.wrapper.arguments import changes_container, config_file
from ocihooks.wrapper.main import given_words, restart_if_outdated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from ocihooks.document import Config
    from ocihooks.wrapper.arguments import Call
    from ocihooks.wrapper.installation import Installation

NAME = "container-hooks-runtime"
MARKER = "container-hooks"
"""File name of the hook by which a container is known that has its hooks already."""

SPEC_VERSION = "1.3.0"


def main(installation: "Installation", load: "Callable[[str], None] | None" = None) -> "NoReturn":
    """Be the program; *load* as for `program.run`."""
    wrapper = _Wrapper(installation, restart_if_outdated if load else lambda: None)
    run(installation, load, wrapper.understand, wrapper.prepare, wrapper.failed)


class _Wrapper:
    """One call of the program."""

    def __init__(self, installation: "Installation", before_reading: "Callable[[], None]") -> None:
        self.installation = installation
        self.before_reading = before_reading
        self.log: Log | None = None

    def understand(self, words: "Sequence[str]", call: "Call") -> Request:
        """
        Find the settings, and the runtime that they name.

        Raises:
            OCIHooksError: The settings are broken and a container is to be made, or there is no runtime.
        """
        known = load_settings(self.installation, self.before_reading, given_words(self.installation)[2])
        runtime = first_found(known.runtimes)
        read_call(words, runtime or "", call)
        asks_version = _is_global("--version", words, call)
        if not asks_version:
            self.log = Log(known, call.log_format, debug=_is_global("--debug", words, call))
            if self.log.writes("debug"):
                shown = " ".join([quoted(word, 80) for word in words[:40]])
                self.log.write("debug", f"called with {shown}")
        _make_place_for_log(call)
        if words[-1:] == ["--log"] and not changes_container(call):
            _complain("--log: expected a file, found the end of the command line")
        if known.error is not None and changes_container(call):
            raise known.error
        if runtime is None:
            raise _no_runtime(known)
        if asks_version:
            _print_version()
        if not changes_container(call) and self.writes("info"):
            self.write("info", f"{printable(call.operation or 'nothing')[:40]} goes to {runtime}")
        hint = f"name an installed OCI runtime in {known.file}: [container-hooks-runtime], runtimes"
        return Request(call=call, words=words, runtime=runtime, hint=hint, facts=known)

    def prepare(self, request: Request) -> None:
        """Put the hooks of the file behind those of the container."""
        from ocihooks.dropins.bundles import settle_bundle
        from ocihooks.dropins.hook_file import bare_hooks, is_link_to_nowhere
        from ocihooks.dropins.inject import add_hooks, read_tolerantly

        call, file = request.call, request.facts.hooks
        outcome = "no bundle"
        if settle_bundle(call, request.words, may_be_empty=False):
            hooks = bare_hooks(file)
            if is_link_to_nowhere(file):
                self.write("error", f"{file}: is a link to a file that does not exist, so there are no hooks")
            config = read_tolerantly(config_file(call))
            _check_types(config)
            if has_marker(config):
                outcome = f"hooks not added: {MARKER} is there"
            else:
                outcome = "hooks added" if add_hooks(config, hooks, prepend=False) else "no hooks to add"
        if self.writes("info"):
            container = quoted(call.container_id or "", 80)
            bundle = quoted(call.bundle or ".", 200)
            self.write("info", f"{call.operation} {container} in {bundle}: {outcome}; goes to {request.runtime}")

    def failed(self, error: "ocihooks.errors.OCIHooksError") -> None:
        """Log why the call ends here."""
        self.write("error", "; ".join(str(problem) for problem in error.problems))

    def writes(self, level: str) -> bool:
        """Whether there is a log for lines of *level*: what nobody reads need not be put into words."""
        return self.log is not None and self.log.writes(level)

    def write(self, level: str, message: str) -> None:
        """Log one line, if there is a log."""
        if self.log is not None:
            self.log.write(level, message)


def has_marker(config: "Config") -> bool:
    """Whether a hook of *config*, in whatever stage, is the marker."""
    entries = (entry for stage in (config.hooks or {}).values() if isinstance(stage, list) for entry in stage)
    paths = (entry.get("path") for entry in entries if isinstance(entry, dict))
    return any(isinstance(path, str) and path.rpartition("/")[2] == MARKER for path in paths)


def _check_types(config: "Config") -> None:
    """Raise if a member of *config* is of a type that no runtime reads."""
    from ocihooks.execution.config_types import misfits

    for found in misfits(config.members, exponents=True):  # the first will do
        pointer, _, message = found.partition(": ")
        hint = 'mend it as config.md of the runtime-spec describes it, and try "ocihooks check" on it'
        raise ocihooks.errors.DocumentError(message, code="json_type", file=config.file, pointer=pointer, hint=hint)


def _is_global(option: str, words: "Sequence[str]", call: "Call") -> bool:
    """Whether *option* stands in front of the operation."""
    for word in words:
        if word == option:
            return True
        if word == call.operation:
            return False
    return False


def _make_place_for_log(call: "Call") -> None:
    """Make the directory of the runtime's log, which runtimes expect to be there."""
    if call.log and ":" not in call.log.partition("/")[0]:
        make_directories(call.log)


def _complain(message: str) -> None:
    """Say something, and go on: this is not ours to refuse."""
    try:
        posix.write(2, f"{NAME}: {message}\n".encode())
    except OSError:
        return


def _no_runtime(known: Known) -> "ocihooks.errors.UnavailableError":
    names = ", ".join(quoted(name, 80) for name in known.runtimes) or "none"
    hint = "install one, or name it with its path: [container-hooks-runtime], runtimes"
    message = f"container-hooks-runtime.runtimes: no candidate is an executable file: {names}"
    return ocihooks.errors.UnavailableError(message, code="runtime_unavailable", file=known.file, hint=hint)


def _print_version() -> None:
    from ocihooks.version import __version__

    text = f"container hooks runtime version {__version__}\nspec: {SPEC_VERSION}\n\n"
    try:
        posix.write(1, text.encode())
    except OSError:  # the runtime says it again
        return
