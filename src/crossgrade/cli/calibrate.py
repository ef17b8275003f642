"""`crossgrade calibrate`: the ceilings of a device measured, and kernels for the predictor."""

from __future__ import annotations

from pathlib import Path

import click

from crossgrade.cli.progress import Narrator
from crossgrade.cli.screen import screen
from crossgrade.errors import BadOption


@click.command("calibrate", short_help="measure what a device can reach")
@click.option("--on", default="cpu", metavar="SPEC", show_default=True,
              help="Target: cpu, cuda:0, npu:0 ...")  # fmt: skip
@click.option("--points", type=int, default=0, show_default=True, metavar="N",
              help="Kernels to time for the predictor, 30 to 300; 0: ceilings alone.")  # fmt: skip
@click.option("--chip", default="", metavar="NAME",
              help="Described chip that the device is, where its name does not tell.")  # fmt: skip
@click.option("--budget", "budget_s", type=float, metavar="SECONDS",
              help="Time for all of it; 40 on a CPU, else 300, and 6 per point.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of inputs and orders.")
@click.option("--fit", "stored", metavar="RECORD",
              type=click.Path(path_type=Path),
              help="Fit the points of a record anew; nothing is measured.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="The record and the journal; an interrupted run there is taken up.")  # fmt: skip
@click.option("--no-record", is_flag=True, help="Write nothing; `bench` will not find it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    on: str, points: int, chip: str, budget_s: float | None, seed: int, stored: Path | None,
    out: Path | None, no_record: bool, as_json: bool,
) -> int:  # fmt: skip
    """Measure the copy bandwidth of a device and its matmul rate in each format.

    From then on `bench` says of every time which share of these ceilings it is. With --points it
    times kernels of many sizes too, fits the predictor to them, and says how far off that is.

    \b
    crossgrade calibrate
    crossgrade calibrate --on cuda:0
    crossgrade calibrate --on npu:0 --points 60

    Exit codes: 0 every rate is as narrow as asked, and the points are fitted; 3 one is not, or is
    missing; 2 wrong usage or installation.
    """
    from crossgrade import api

    if stored and (points or out or budget_s is not None):
        raise BadOption("--fit measures nothing", hint="--fit RECORD, with --chip NAME if needed")
    options = api.CalibrateOptions(
        on=on, budget_s=budget_s, seed=seed, folder=out, points=points, chip=chip
    )
    with Narrator() as narrate:
        if stored:
            found = api.fit_stored(stored, chip, record=not no_record, narrate=narrate)
        else:
            found = api.calibrate(options, record=not no_record, narrate=narrate)
    click.echo(api.render_calibration(found, as_json=as_json, **screen()), nl=False)
    return found.exit_code
