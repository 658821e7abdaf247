"""ocihooks(1) against the program: its commands, their options and arguments, exit statuses and environment."""

from __future__ import annotations

import re
import shlex

import click
import pytest
from tests.docs.manpages import DIRECTORY, PAGES, displays, items, plain, section, subsections

from ocihooks.cli.command import STATUSES
from ocihooks.cli.group import SUMMARIES, cli
from ocihooks.cli.reference import ENVIRONMENT
from ocihooks.cli.run import INTERRUPTED
from ocihooks.wrapper.arguments import changes_container, parse

PAGE = DIRECTORY / "ocihooks.1"

COMMANDS = {heading.split()[0]: (heading, content) for heading, content in subsections(PAGE, "COMMANDS").items()}

each_command = pytest.mark.parametrize("name", COMMANDS)


def parameters(name: str) -> list[click.Parameter]:
    """What the command *name* takes."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command.params


def test_commands() -> None:
    """The page has the commands of the program, in its order."""
    assert list(COMMANDS) == list(SUMMARIES) == cli.list_commands(click.Context(cli))


@each_command
def test_options(name: str) -> None:
    """A command's options on the page are those of the program, in its order, with the names of their values."""
    _, content = COMMANDS[name]
    documented = []
    for words in items(content):
        spellings = re.findall(r"Fl (?:Fl )?(?:\S+)", words)
        flags = {word.replace("Fl Fl ", "--").replace("Fl ", "-") for word in spellings}
        value = re.search(r"Ar (\S+)$", words)
        documented.append((flags, value[1] if value else None))
    options = [option for option in parameters(name) if isinstance(option, click.Option)]
    assert documented == [({*option.opts, *option.secondary_opts}, option.metavar) for option in options]


@each_command
def test_defaults_and_requirements(name: str) -> None:
    """Where an option has a fixed default, the page says it; it says which options are required."""
    _, content = COMMANDS[name]
    documented = list(items(content).values())
    options = [option for option in parameters(name) if isinstance(option, click.Option)]
    for option, lines in zip(options, documented, strict=True):
        text = plain(lines)
        if option.show_default is True:
            assert text.endswith(f"Default: {option.default} ."), option.name
        assert text.endswith("Required.") == option.required, option.name


@each_command
def test_arguments(name: str) -> None:
    """What a command takes besides options stands in its heading."""
    heading, _ = COMMANDS[name]
    words = re.sub(r"\b(?:Op|Ar|Cm)\b|\.\.\.|\|", "", heading).split()[1:]
    arguments = [argument for argument in parameters(name) if isinstance(argument, click.Argument)]
    taken: list[str] = []
    for argument in arguments:
        if isinstance(argument.type, click.Choice):
            taken += argument.type.choices
        else:
            taken += re.findall(r"[A-Z]+", argument.metavar or str(argument.name).upper())
    assert words == taken


def test_exit_statuses() -> None:
    """The exit statuses are those of the program, in its words."""
    documented = {int(status): plain(meaning) for status, meaning in items(section(PAGE, "EXIT STATUS")).items()}
    assert documented == {**STATUSES, INTERRUPTED: "interrupted"}


def test_environment() -> None:
    """The environment variables are those that the reference of the program has."""
    assert [name.removeprefix("Ev ") for name in items(section(PAGE, "ENVIRONMENT"))] == list(ENVIRONMENT)


LINES = [
    (page.name, line[2:])
    for page in PAGES
    for text in displays(page)
    for line in text.splitlines()
    if line.startswith(("# ocihooks", "$ ocihooks"))
]


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{page}: {line}" for page, line in LINES])
def test_example_can_be_parsed(page: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each example on a manual page is a command line that the program, or the runtime, understands."""
    program, name, *words = shlex.split(line)
    if program == "ocihooks-runtime":
        call = parse([name, *words], "runc")
        assert changes_container(call)
        assert not call.refused
        return
    assert program == "ocihooks"
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            monkeypatch.setattr(parameter.type, "exists", False)
    assert command.make_context(name, words).command is command
