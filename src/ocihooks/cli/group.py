"""The program itself: its commands by name, each imported only when it runs."""

from __future__ import annotations

from importlib import import_module

import click
from click.shell_completion import CompletionItem

from ocihooks.cli.command import SETTINGS, STATUSES, Command, Example, write_examples, write_statuses
from ocihooks.version import __version__

SUMMARIES = {
    "install": "Put the runtime wrapper in front of a runtime.",
    "uninstall": "Take an installed wrapper away.",
    "engines": "Show the container engines of this machine.",
    "configure": "Make an engine start containers through the wrapper.",
    "unconfigure": "Take the wrapper out of an engine's configuration.",
    "verify": "Prove that an engine's containers get hooks.",
    "nri": "Give the containers of containerd or CRI-O their hooks as a plugin of the engine.",
    "enable": "Let containers get hooks again.",
    "disable": "Let all containers start without hooks.",
    "list": "Show every rule, where it comes from and what became of it.",
    "check": "Report all problems of rules, settings, static hook files and bundles.",
    "doctor": "Report what is wrong with rules, wrappers and engines of this machine, and what mends it.",
    "schema": "Print the JSON schema of rule files.",
    "explain": "Tell which rules match a container, and why.",
    "simulate": "Run a container's hooks as a runtime would, without the container.",
    "new": "Begin a hook in Python: a program, its rule file and its test.",
    "inject": "Add the hooks of matching rules to a bundle.",
    "manifest": "Make, sign and check manifests of root file systems, for containers that must be what was signed.",
    "injector": "Tell what a container gets of the injector files, or give it that.",
    "logs": "Show what containers got, and what became of supervised hooks.",
    "stats": "Show how often supervised hooks ran and failed, and how long they took.",
    "cache": "Explain or remove the compiled rules of an installed wrapper.",
    "completion": "Print a script that completes command lines in a shell.",
}
"""Every command with the first sentence of its help; a command's module has its name and an attribute ``command``."""

EXAMPLES = (
    Example(line="ocihooks check", meaning="Is everything on this machine as it should be?"),
    Example(
        line="ocihooks explain --annotation com.example.gpu=yes --command /usr/bin/python3",
        meaning="What would such a container get?",
    ),
)


class Group(click.Group):
    """A group whose commands come from modules; its help and its completion need none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All names, in the order of the table."""
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command's module."""
        if cmd_name not in SUMMARIES:
            return None
        command: Command = import_module(f"ocihooks.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names; for an unknown one say which is meant."""
        if args[0] not in SUMMARIES and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(f'no such command "{args[0]}"{_guess(args[0])}', ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write examples and exit statuses behind the commands."""
        write_examples(formatter, EXAMPLES)
        write_statuses(formatter, STATUSES)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names from the table, and options as every command does."""
        names = [CompletionItem(name, help=text) for name, text in SUMMARIES.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


def _guess(word: str) -> str:
    import difflib

    close = difflib.get_close_matches(word, SUMMARIES, n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


@click.group(cls=Group, context_settings=SETTINGS)
@click.version_option(__version__, "-V", "--version", prog_name="ocihooks", message="%(prog)s %(version)s")
def cli() -> None:
    """
    OCI hooks for every container engine.

    A rule is a file in a hooks directory that says which program runs at which stages of which containers.
    "ocihooks install" puts a wrapper in front of runc or crun that adds the hooks of matching rules to every container;
    the other commands show, check and explain what it does.
    """
