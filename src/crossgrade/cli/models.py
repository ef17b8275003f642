"""`crossgrade models`: the shipped model configurations."""

from __future__ import annotations

import click

from crossgrade.cli.complete import complete_presets
from crossgrade.cli.screen import screen


@click.command("models", short_help="list the shipped model configurations")
@click.argument("pattern", required=False, shell_complete=complete_presets)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(pattern: str | None, as_json: bool) -> None:
    """List the model configurations that `assess` knows by name.

    PATTERN keeps those whose name, family, architecture or kind contains it; with * or ? it must
    match the whole text. In a pipe the list is TSV with every column; nothing is cut.

    \b
    crossgrade models qwen3
    crossgrade models 'deepseek-*' --json

    Exit codes: 0; 2 nothing matches.
    """
    from crossgrade import api

    click.echo(api.render_models(api.models(pattern), as_json=as_json, **screen()), nl=False)
