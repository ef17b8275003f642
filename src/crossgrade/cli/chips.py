"""`crossgrade chips`: the described chips."""

from __future__ import annotations

import json

import click


@click.command("chips", short_help="list the described chips")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(as_json: bool) -> None:
    """List the chips that `--on` knows by name; `cpu` means the CPU of this machine."""
    from crossgrade import api

    names = list(api.chips())
    if as_json:
        click.echo(json.dumps({"schema": 1, "command": "chips", "verdict": None, "data": names}))
    else:
        click.echo("\n".join(names))
