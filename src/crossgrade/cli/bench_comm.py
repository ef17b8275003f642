"""`crossgrade bench comm`: collectives of a group of ranks, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crossgrade.cli.progress import Narrator
from crossgrade.cli.screen import screen


@click.command("comm", short_help="measure collectives")
@click.argument("ops", nargs=-1, metavar="[COLLECTIVE]...")
@click.option("--on", default="cpu", metavar="SPEC", show_default=True,
              help="Type of device that the ranks have: cpu, cuda, npu, xpu ...")  # fmt: skip
@click.option("--ranks", type=int, default=2, metavar="N", show_default=True,
              help="Ranks, a process and a device each; on cpu they share its cores.")  # fmt: skip
@click.option("--sizes", default="1KiB..64MiB", metavar="SIZES", show_default=True,
              help="A range A..B with factor 4, A..B:F with factor F, or a list A,B.")  # fmt: skip
@click.option("--dtype", default="fp32", metavar="NAME", show_default=True,
              help="Format of the elements, such as bf16.")  # fmt: skip
@click.option(
    "--budget", "budget_s", type=float, default=60.0, show_default=True, metavar="SECONDS",
    help="Time for all of it.",
)  # fmt: skip
@click.option("--half-width", type=float, default=0.05, show_default=True, metavar="SHARE",
              help="Wanted half width of the 95 % interval.")  # fmt: skip
@click.option("--sessions", "least_sessions", type=int, default=5, show_default=True,
              help="Least sessions, a process group each: 5, 8, 12, 18, 27 or 40.")  # fmt: skip
@click.option("--timeout", "timeout_s", type=float, default=60.0, show_default=True,
              metavar="SECONDS", help="Longest time that a rank waits for the others.")  # fmt: skip
@click.option("--fresh", is_flag=True, help="Every rank in a new interpreter, not forked.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of contents and orders.")
@click.option("--out", "folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Record and journal; an interrupted run there is taken up.")  # fmt: skip
@click.option("--no-record", is_flag=True, help="Write nothing; an interrupted run is lost.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(ops: tuple[str, ...], fresh: bool, no_record: bool, as_json: bool, **given: Any) -> int:
    """Measure collectives over ranks on this machine: all of them, or each COLLECTIVE named.

    all-reduce, all-gather, reduce-scatter, all-to-all, broadcast, send-recv. Results are checked
    on every rank before anything is timed, and ranks that hold up the others are named.

    \b
    crossgrade bench comm --on cpu --ranks 2
    crossgrade bench comm all-reduce --on npu --ranks 8 --sizes 1MiB..1GiB --dtype bf16
    crossgrade bench comm all-gather reduce-scatter --on cuda --ranks 4 --out run1

    Exit codes: 0 every interval is as narrow as asked; 3 some are not, a result was wrong, or
    nothing could be measured; 2 wrong usage or installation.
    """
    from crossgrade import api

    options = api.CommOptions(ops=ops, start="fresh" if fresh else "forked", **given)
    with Narrator() as narrate:
        run = api.bench_comm(options, record=not no_record, narrate=narrate)
    click.echo(api.render_comm(run, as_json=as_json, **screen()), nl=False)
    return run.exit_code
