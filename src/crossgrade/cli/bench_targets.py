"""`crossgrade bench targets`: what can be measured on here, and what is missing."""

from __future__ import annotations

import click

from crossgrade.cli.screen import screen


@click.command("targets", short_help="what can be measured on here")
@click.option(
    "--look", is_flag=True, help="Import the runtimes and ask for devices; takes seconds."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(look: bool, as_json: bool) -> None:
    """List the names that `--on` of `bench` takes, whether their runtime is installed, and how to
    get it.

    \b
    crossgrade bench targets
    crossgrade bench targets --look
    """
    from crossgrade import api

    click.echo(api.render_targets(api.targets(look=look), as_json=as_json, **screen()), nl=False)
