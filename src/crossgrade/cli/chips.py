"""`crossgrade chips`: the described chips, and `chips ops`: what their software runs."""

from __future__ import annotations

import importlib
import json

import click


class _Group(click.Group):
    """A group that imports a subcommand when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the subcommands."""
        return ["ops"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the subcommand, imported now."""
        if cmd_name != "ops":
            return None
        command: click.Command = importlib.import_module("crossgrade.cli.chips_ops").command
        return command


@click.group("chips", cls=_Group, invoke_without_command=True,
             short_help="list the described chips")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the chips that `--on` knows by name; `cpu` means the CPU of this machine."""
    if ctx.invoked_subcommand is not None:
        return
    from crossgrade import api

    names = list(api.chips())
    if as_json:
        click.echo(json.dumps({"schema": 1, "command": "chips", "verdict": None, "data": names}))
    else:
        click.echo("\n".join(names))
