"""`crossgrade explain`: what a finding, an error or a word means."""

from __future__ import annotations

import click

from crossgrade.cli.complete import complete_codes
from crossgrade.cli.screen import screen


@click.command("explain", short_help="what a finding, an error or a word means")
@click.argument("code", required=False, shell_complete=complete_codes)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(code: str | None, as_json: bool) -> None:
    """Explain CODE: what it means, why, an example, what to do.

    CODE is the id of a finding, the code of an error, or a word of an answer: a support level, a
    verdict, a severity, a class of numbers. Without CODE, all of them are listed.

    \b
    crossgrade explain CG-F101
    crossgrade explain composite

    Exit codes: 0; 2 nothing is explained under that name.
    """
    from crossgrade import api

    found = api.explain(code)
    text = api.render_pages(found, listed=code is None, as_json=as_json, **screen())
    click.echo(text, nl=False)
