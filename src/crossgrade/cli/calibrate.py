"""`crossgrade calibrate`: the ceilings of a device, measured."""

from __future__ import annotations

from pathlib import Path

import click

from crossgrade.cli.progress import Narrator
from crossgrade.cli.screen import screen


@click.command("calibrate", short_help="measure what a device can reach")
@click.option("--on", default="cpu", metavar="SPEC", show_default=True,
              help="Target: cpu, cuda:0, npu:0 ...")  # fmt: skip
@click.option("--budget", "budget_s", type=float, metavar="SECONDS",
              help="Time for all of it; 40 on a CPU, else 300.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of inputs and orders.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="The record and the journal; an interrupted run there is taken up.")  # fmt: skip
@click.option("--no-record", is_flag=True, help="Write nothing; `bench` will not find it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    on: str, budget_s: float | None, seed: int, out: Path | None, no_record: bool, as_json: bool
) -> int:
    """Measure the copy bandwidth of a device and its matmul rate in each format.

    From then on `bench` says of every time which share of these ceilings it is.

    \b
    crossgrade calibrate
    crossgrade calibrate --on cuda:0

    Exit codes: 0 every rate is as narrow as asked; 3 one is not, or is missing; 2 wrong usage or
    installation.
    """
    from crossgrade import api

    options = api.CalibrateOptions(on=on, budget_s=budget_s, seed=seed, folder=out)
    with Narrator() as narrate:
        found = api.calibrate(options, record=not no_record, narrate=narrate)
    click.echo(api.render_calibration(found, as_json=as_json, **screen()), nl=False)
    return found.ceilings.exit_code
