"""`crossgrade models`: the shipped model configurations."""

from __future__ import annotations

import json

import click


@click.command("models", short_help="list the shipped model configurations")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(as_json: bool) -> None:
    """List the model configurations that `assess` knows by name."""
    from crossgrade import api

    names = list(api.models())
    if as_json:
        click.echo(json.dumps({"schema": 1, "command": "models", "verdict": None, "data": names}))
    else:
        click.echo("\n".join(names))
