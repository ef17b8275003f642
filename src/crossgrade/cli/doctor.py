"""`crossgrade doctor`: what is installed here, what is broken, and what works."""

from __future__ import annotations

import click

from crossgrade.cli.screen import screen


@click.command("doctor", short_help="what is installed here, what is broken, and what works")
@click.option("--timeout", type=float, default=60.0, show_default=True, metavar="S",
              help="Limit of one import, in seconds.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(timeout: float, as_json: bool) -> int:
    """Say what is installed here, what is broken, and which parts of crossgrade work.

    Each package is imported in a process of its own, so one that crashes or hangs is a line of the
    answer. Nothing is changed.

    \b
    crossgrade doctor
    crossgrade doctor --json

    Exit codes: 0 the core works, and no package that a part needs is broken (absent and too old
    ones are no fault); 2 otherwise.
    """
    from crossgrade import api

    diagnosis = api.doctor(timeout_s=timeout, narrate=lambda text: click.echo(text, err=True))
    click.echo(api.render_doctor(diagnosis, as_json=as_json, **screen()), nl=False)
    return diagnosis.exit_code
