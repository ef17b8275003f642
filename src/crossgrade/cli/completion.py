"""`crossgrade completion`: the script that makes a shell complete."""

from __future__ import annotations

import click

VARIABLE = "_CROSSGRADE_COMPLETE"
"""Set by the script; `crossgrade` answers the shell instead of running a command then."""


@click.command("completion", short_help="print the completion script of a shell")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of SHELL: commands, options, chips, models, codes.

    \b
    bash: crossgrade completion bash > ~/.local/share/bash-completion/completions/crossgrade
    zsh:  crossgrade completion zsh > ~/.zfunc/_crossgrade; ~/.zfunc must be in fpath
    fish: crossgrade completion fish > ~/.config/fish/completions/crossgrade.fish

    Exit codes: 0; 2 no such shell.
    """
    from click.shell_completion import get_completion_class

    from crossgrade.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None  # the choice above lists what click has
    click.echo(kind(cli, {}, "crossgrade", VARIABLE).source())
