"""`crossgrade reproduce`: a record measured again here."""

from __future__ import annotations

from pathlib import Path

import click

from crossgrade.cli.progress import Narrator
from crossgrade.cli.screen import screen


@click.command("reproduce", short_help="measure a record again, and judge")
@click.argument("record", metavar="RECORD", type=click.Path(path_type=Path))
@click.option("--on", metavar="SPEC", help="Another target in the place of the record's.")
@click.option("--budget", "budget_s", type=float, metavar="SECONDS",
              help="Time for it; as much as the record had, if not given.")  # fmt: skip
@click.option("--margin", type=float, default=0.02, show_default=True, metavar="SHARE",
              help="Differences up to this share are taken for none.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Where the new record goes.")  # fmt: skip
@click.option("--no-record", is_flag=True, help="Write no record.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(record: Path, on: str | None, budget_s: float | None, margin: float, out: Path | None,
            no_record: bool, as_json: bool) -> int:  # fmt: skip
    """Measure RECORD again with its plan and seed, and say whether it comes out the same.

    What differs between the two environments comes first. On the same device and target times are
    compared over the anchor kernel, which takes out a slower day; on another one as they are.

    \b
    crossgrade reproduce run1/gemm-1f3a9c02d4.json

    Exit codes: 0 the same; 1 faster or slower; 3 it cannot be said; 2 wrong usage or no record.
    """
    from crossgrade import api

    with Narrator() as narrate:
        found = api.reproduce(
            record,
            on=on,
            budget_s=budget_s,
            margin=margin,
            folder=out,
            record=not no_record,
            narrate=narrate,
        )
    click.echo(api.render_reproduction(found, as_json=as_json, **screen()), nl=False)
    return found.exit_code
