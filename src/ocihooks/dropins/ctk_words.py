"""
The command line of ``container-hooks-ctk``: one table of commands and options, from which it is read and explained.

Options may have one hyphen or two, and their value behind an equals sign or as the next word; they end at the first
word that is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ocihooks.errors import UsageError, quoted

NAME = "container-hooks-ctk"
ABOUT = "Tools to configure the container hooks toolkit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """
    An option.

    Attributes:
        names: How it can be spelled, without hyphens; the first one tells its value.
        meaning: One line of help.
        default: Its value where it is not given; "" for none.
        is_switch: Whether it takes no value, unless ``=true`` or ``=false``.
    """

    names: tuple[str, ...]
    meaning: str
    default: str = ""
    is_switch: bool = False

    def spelled(self) -> str:
        """How it is written, for help."""
        spelled = ", ".join(f"{'-' if len(name) == 1 else '--'}{name}" for name in self.names)
        return spelled if self.is_switch else f"{spelled} VALUE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """
    A command.

    Attributes:
        words: By which it is called, behind the program's name.
        about: One line of help.
        options: Its options, besides help.
        takes_words: Whether words behind its options, which mean nothing, are let pass.
    """

    words: tuple[str, ...]
    about: str
    options: tuple[Option, ...] = ()
    takes_words: bool = True


HELP = Option(names=("help", "h"), meaning="show this", is_switch=True)

_NAME = Option(names=("name",), meaning="name of the handler", default="container-hooks-runtime")
_ENGINE = Option(names=("runtime",), meaning="the engine: docker, containerd or crio", default="docker")
_FILE = Option(names=("config-file",), meaning="the engine's configuration; empty: its usual file")

COMMANDS = (
    Command(
        words=(),
        about=ABOUT,
        options=(
            Option(names=("debug", "d"), meaning="show what changes in files, too", is_switch=True),
            Option(names=("quiet", "q"), meaning="say nothing but errors", is_switch=True),
            Option(names=("version", "v"), meaning="show the version", is_switch=True),
        ),
    ),
    Command(words=("runtime",), about="Tell an engine about the runtime, or take it back"),
    Command(
        words=("runtime", "configure"),
        about="Make the runtime known to an engine",
        options=(
            _ENGINE,
            _FILE,
            _NAME,
            Option(
                names=("path",),
                meaning="absolute path of the runtime wrapper",
                default="/usr/bin/container-hooks-runtime",
            ),
            Option(names=("set-as-default", "default"), meaning="make it the engine's default", is_switch=True),
        ),
        takes_words=False,
    ),
    Command(
        words=("runtime", "unconfigure"),
        about="Take the runtime out of an engine's configuration",
        options=(_ENGINE, _FILE, _NAME),
        takes_words=False,
    ),
    Command(
        words=("config",),
        about="Write the settings where there are none, or change them",
        options=(Option(names=("set",), meaning="TABLE.KEY=VALUE to set; may be given several times"),),
    ),
    Command(
        words=("install",),
        about="Copy the three programs to /usr/bin",
        options=(Option(names=("toolkit-root",), meaning="the directory that has them"),),
    ),
)
"""All commands; the first one is the program alone."""

_BY_WORDS = {command.words: command for command in COMMANDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """
    A command line.

    Attributes:
        command: What is called.
        switches: Names of the switches that are on, those of the program among them.
        values: The values of each other option, in their order.
        rest: Words that mean nothing.
    """

    command: Command
    switches: frozenset[str] = frozenset()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rest: tuple[str, ...] = ()

    def value(self, name: str) -> str:
        """The last value of an option, or its default."""
        option = next(option for option in self.command.options if option.names[0] == name)
        return (self.values.get(name) or (option.default,))[-1]


def read_words(words: Sequence[str]) -> Line:
    """
    Understand the words behind the program's name.

    Raises:
        UsageError: A command or an option is unknown, or a value is missing or not meant.
    """
    command = COMMANDS[0]
    switches: set[str] = set()
    values: dict[str, tuple[str, ...]] = {}
    while True:
        words = _read_options(words, command, switches, values)
        inner = _BY_WORDS.get((*command.words, *words[:1])) if words else None
        if words and words[0] in ("help", "h") and _has_commands(command):
            return Line(command=_topic(command, words[1:]), switches=frozenset({*switches, "help"}))
        if inner is None:
            break
        command, words = inner, words[1:]
    if words and not command.takes_words:
        hint = f"look at {NAME} {' '.join(command.words)} --help"
        raise UsageError(f"unexpected argument {quoted(words[0], 80)}", hint=hint)
    if words and _has_commands(command):
        raise _unknown(command, words[0])
    return Line(command=command, switches=frozenset(switches), values=values, rest=tuple(words))


def _read_options(
    words: Sequence[str], command: Command, switches: set[str], values: dict[str, tuple[str, ...]]
) -> Sequence[str]:
    """Take the options off the beginning of *words*; the rest is returned."""
    known = {name: option for option in (*command.options, HELP) for name in option.names}
    waiting = list(words)
    while waiting and len(waiting[0]) > 1 and waiting[0].startswith("-"):
        word = waiting.pop(0)
        if word == "--":
            break
        name, equals, value = word[2 if word.startswith("--") else 1 :].partition("=")
        option = known.get(name)
        if option is None:
            hint = f"look at {' '.join((NAME, *command.words, '--help'))}"
            raise UsageError(f"unknown option {quoted(word.partition('=')[0], 80)}", hint=hint)
        if option.is_switch:
            (switches.add if _is_true(word, value or "true") else switches.discard)(option.names[0])
            continue
        if not equals:
            if not waiting:
                raise UsageError(f"{word}: expected a value behind it", hint=f"{word}: {option.meaning}")
            value = waiting.pop(0)
        values[option.names[0]] = (*values.get(option.names[0], ()), value)
    return waiting


def _is_true(word: str, value: str) -> bool:
    if value not in _TRUTHS:
        raise UsageError(f"{quoted(word, 80)}: expected true or false behind the equals sign", hint="leave that out")
    return _TRUTHS[value]


_TRUTHS = dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "false", "FALSE", "False"), False
)


def _has_commands(command: Command) -> bool:
    return any(inner.words[:-1] == command.words and inner is not command for inner in COMMANDS)


def _topic(command: Command, words: Sequence[str]) -> Command:
    if not words:
        return command
    inner = _BY_WORDS.get((*command.words, words[0]))
    if inner is None:
        raise _unknown(command, words[0])
    return _topic(inner, words[1:])


def _unknown(command: Command, word: str) -> UsageError:
    known = ", ".join(inner.words[-1] for inner in COMMANDS if inner.words and inner.words[:-1] == command.words)
    return UsageError(f"unknown command {quoted(word, 80)}", hint=f"expected one of {known}")


def help_text(command: Command) -> str:
    """What ``--help`` prints."""
    return "\n".join(_help_lines(command)) + "\n"


def _help_lines(command: Command) -> Iterator[str]:
    inner = [one for one in COMMANDS if one.words and one.words[:-1] == command.words]
    words = " ".join((NAME, *command.words))
    yield f"usage: {words} [options]{' command ...' if inner else ''}"
    yield from ("", command.about)
    if inner:
        yield from ("", "commands:", *(f"  {one.words[-1]:13}{one.about}" for one in inner))
    yield from ("", "options:")
    for option in (*command.options, HELP):
        default = f" ({option.default})" if option.default else ""
        yield f"  {option.spelled():29}{option.meaning}{default}"
