"""The command ``completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ocihooks.cli.command import Command, Example
from ocihooks.cli.output import write

SHELLS = ("bash", "zsh", "fish")

EXAMPLES = (
    Example(line="source <(ocihooks completion bash)", meaning="For this bash only."),
    Example(
        line="ocihooks completion bash > /usr/local/share/bash-completion/completions/ocihooks",
        meaning="For every bash of this machine that uses the package bash-completion.",
    ),
)


@click.command("completion", cls=Command, examples=EXAMPLES, statuses={0: "printed"})
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """
    Print a script that completes command lines in a shell.

    Source it, or put it where the shell looks for such scripts: commands, options, files and rule names are completed
    from then on.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click can't complete for {shell}")
    # Not source(), which starts a shell to look at its version.
    completion = kind(click.Command("ocihooks"), {}, "ocihooks", "_OCIHOOKS_COMPLETE")
    write((completion.source_template % completion.source_vars()).strip())
