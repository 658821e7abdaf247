"""
The command line as runc understands it: one or two dashes, ``--name=value`` or two words, options also behind the id.
"""

from __future__ import annotations

from collections.abc import Mapping

from .reporting import CallError

_CREATE_VALUES = ("bundle", "b", "console-socket", "pidfd-socket", "pid-file", "preserve-fds")
_CREATE_FLAGS = ("no-pivot", "no-new-keyring")
_LIMITS = (
    *(
        "blkio-weight",
        "cpu-burst",
        "cpu-idle",
        "cpu-period",
        "cpu-quota",
        "cpu-rt-period",
        "cpu-rt-runtime",
        "cpu-share",
    ),
    *("cpuset-cpus", "cpuset-mems", "kernel-memory", "kernel-memory-tcp", "l3-cache-schema", "mem-bw-schema"),
    *("memory", "memory-reservation", "memory-swap", "pids-limit"),
)
_EXEC_VALUES = (
    *("additional-gids", "apparmor", "cap", "cgroup", "console-socket", "cwd", "env", "pid-file", "preserve-fds"),
    *("process", "process-label", "user", "c", "e", "g", "p", "u"),
)


class Grammar:
    """The options of one place of the command line: those that take a value, and those that don't."""

    __slots__ = ("flags", "values")

    def __init__(self, *, values: tuple[str, ...] = (), flags: tuple[str, ...] = ()) -> None:
        self.values = values
        self.flags = flags


GLOBAL = Grammar(
    values=("root", "log", "log-format", "criu", "rootless"),
    flags=("debug", "systemd-cgroup", "help", "h", "version", "v"),
)

OPERATIONS: Mapping[str, Grammar] = {
    "create": Grammar(values=_CREATE_VALUES, flags=_CREATE_FLAGS),
    "run": Grammar(values=_CREATE_VALUES, flags=(*_CREATE_FLAGS, "detach", "d", "keep", "no-subreaper")),
    "start": Grammar(),
    "state": Grammar(),
    "kill": Grammar(flags=("all", "a")),
    "delete": Grammar(flags=("force", "f")),
    "exec": Grammar(values=_EXEC_VALUES, flags=("detach", "d", "tty", "t", "no-new-privs", "ignore-paused")),
    "pause": Grammar(),
    "resume": Grammar(),
    "ps": Grammar(values=("format", "f")),
    "update": Grammar(values=("resources", "r", *_LIMITS)),
    "features": Grammar(),
}

_LONG_NAMES = {
    "h": "help",
    "v": "version",
    "b": "bundle",
    "d": "detach",
    "a": "all",
    "f": "force",
    "t": "tty",
    "r": "resources",
}


class Invocation:
    """
    A command line, understood.

    Attributes:
        globals: The options in front of the operation by long name; flags have the value ``true``.
        operation: The first word, or "" when there is none; it may be unknown.
        options: The options of the operation, in the same form.
        words: What is left: the container's id and what follows it.
    """

    __slots__ = ("globals", "operation", "options", "words")

    def __init__(
        self, *, global_options: Mapping[str, str], operation: str, options: Mapping[str, str], words: tuple[str, ...]
    ) -> None:
        self.globals = global_options
        self.operation = operation
        self.options = options
        self.words = words

    @property
    def bundle(self) -> str:
        """The bundle of create and run as given; the working directory when it is not."""
        return self.options.get("bundle", ".")


def parse(arguments: list[str]) -> Invocation:
    """
    Read the arguments behind the program's name.

    Raises:
        CallError: An option is unknown or lacks its value.
    """
    global_options, rest = _read(arguments, GLOBAL, words_end_options=True)
    operation, words = rest[0] if rest else "", rest[1:]
    options: dict[str, str] = {}
    if operation in OPERATIONS:
        options, words = _read(words, OPERATIONS[operation], words_end_options=operation == "exec")
    return Invocation(global_options=global_options, operation=operation, options=options, words=tuple(words))


def _read(arguments: list[str], grammar: Grammar, *, words_end_options: bool) -> tuple[dict[str, str], list[str]]:
    """Options and words; the last of several equal options counts, ``--`` ends them."""
    options: dict[str, str] = {}
    words: list[str] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        if argument == "--":
            return options, words + left
        if not argument.startswith("-") or argument == "-":
            words.append(argument)
            if words_end_options:
                return options, words + left
            continue
        given, has_value, value = argument.removeprefix("-").removeprefix("-").partition("=")
        if given in grammar.values:
            if not has_value and not left:
                raise CallError(f"flag needs an argument: -{given}")
            options[_LONG_NAMES.get(given, given)] = value if has_value else left.pop(0)
        elif given in grammar.flags:
            options[_LONG_NAMES.get(given, given)] = value if has_value else "true"
        else:
            raise CallError(f"flag provided but not defined: -{given}")
    return options, words
