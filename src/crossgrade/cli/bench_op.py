"""`crossgrade bench op`: operators, a suite, or the operators of a captured model, measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crossgrade.cli.progress import Narrator
from crossgrade.cli.screen import screen
from crossgrade.cli.written import check_file, html_option, page_written

if TYPE_CHECKING:
    from crossgrade.api import BenchOptions
    from crossgrade.values.bench import CacheState


@click.command("op", short_help="measure operators")
@click.argument("name", default="")
@click.option("--on", multiple=True, metavar="SPEC", default=("cpu",), show_default=True,
              help="Target: cpu, cuda:0, npu:0, compile:cpu, onnxruntime, openvino ... Several are "
              "interleaved and compared with the first.")  # fmt: skip
@click.option("--m", type=click.IntRange(1), help="Rows of a matrix product.")
@click.option("--n", type=click.IntRange(1), help="Columns of a matrix product.")
@click.option("--k", type=click.IntRange(1), help="Inner size of a matrix product.")
@click.option("--shapes", metavar="JSON", help="Other sizes and choices of the operator, by name.")
@click.option("--dtype", "dtypes", multiple=True, metavar="NAME",
              help="Format, such as bf16; repeatable, a case each.")  # fmt: skip
@click.option("--suite", type=click.Path(path_type=Path), metavar="FILE",
              help="Cases of a file or folder: of xpu-perf as they are, or ours.")  # fmt: skip
@click.option("--from-capture", "capture", type=click.Path(path_type=Path), metavar="FILE",
              help="The operators of a model: a file of `assess --save-captures`.")  # fmt: skip
@click.option(
    "--only", multiple=True, metavar="NAME", help="Only that operator of a list; repeatable."
)
@click.option("--most", type=int, metavar="N",
              help="At most that many cases of a list (suite, capture or glob).")  # fmt: skip
@click.option("--budget", "budget_s", type=float, default=30.0, show_default=True,
              metavar="SECONDS", help="Time for each case.")  # fmt: skip
@click.option("--half-width", type=float, default=0.01, show_default=True, metavar="SHARE",
              help="Wanted half width of the 95 % interval.")  # fmt: skip
@click.option("--sessions", "least_sessions", type=int, default=8, show_default=True,
              help="Least sessions: 5, 8, 12, 18, 27 or 40.")  # fmt: skip
@click.option("--cache", type=click.Choice(["hot", "cold"]), default="hot", show_default=True,
              help="cold: caches are cleared before every call; another metric.")  # fmt: skip
@click.option("--fresh", is_flag=True, help="Every session in a new interpreter, not forked.")
@click.option(
    "--memory", "memory_gb", type=float, metavar="GB", help="Memory that a worker may use."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of inputs and orders.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Records and the journal; an interrupted run there is taken up.")  # fmt: skip
@click.option("--no-record", is_flag=True, help="Write nothing; an interrupted run is lost.")
@html_option
@click.option("--list", "listing", is_flag=True, help="Print the operators and end.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(name: str, no_record: bool, listing: bool, as_json: bool, html: Path | None,
            **given: Any) -> int:  # fmt: skip
    """Measure the operator NAME, each operator of a suite, or those of a captured model.

    NAME may be a glob over the catalogue: '*' is every operator in the catalogue's own sizes.

    \b
    crossgrade bench op gemm --m 512 --n 512 --k 512 --dtype bf16 --on cpu
    crossgrade bench op softmax --on cpu --on compile:cpu --on onnxruntime
    crossgrade bench op 'moe_*' --on npu:0 --budget 5
    crossgrade bench op --suite workloads/basic --on npu:0 --budget 20 --out run1
    crossgrade bench op --from-capture captures/prefill.cgcap --on cuda:0

    Exit codes: 0 every interval is as narrow as asked; 3 some are not, or nothing could be
    measured; 2 wrong usage, input or installation.
    """
    from crossgrade import api

    if listing:
        click.echo(api.render_operator_list(as_json=as_json, pattern=name, **screen()), nl=False)
        return 0
    options = _options(name, **given)
    check_file(html)
    with Narrator() as narrate:
        run = api.bench(options, record=not no_record, narrate=narrate)
    click.echo(api.render_bench(run, as_json=as_json, **screen()), nl=False)
    written = page_written(
        html, lambda: api.bench_html(run, command=api.measuring_command(options))
    )
    return run.exit_code if written else 2


def _options(name: str, *, on: tuple[str, ...], m: int | None, n: int | None, k: int | None,
             shapes: str | None, dtypes: tuple[str, ...], suite: Path | None,
             capture: Path | None, only: tuple[str, ...], most: int | None, budget_s: float,
             half_width: float, least_sessions: int, cache: CacheState, fresh: bool,
             memory_gb: float | None, seed: int, out: Path | None) -> BenchOptions:  # fmt: skip
    """Return what the command line asks for."""
    from crossgrade import api

    sizes = {key: value for key, value in (("m", m), ("n", n), ("k", k)) if value is not None}
    return api.BenchOptions(
        op=name,
        arguments={**sizes, **(api.shapes_from_json(shapes) if shapes else {})},
        dtypes=dtypes,
        on=on,
        suite=suite,
        capture=capture,
        only=only,
        most=most,
        budget_s=budget_s,
        half_width=half_width,
        least_sessions=least_sessions,
        cache=cache,
        start="fresh" if fresh else "forked",
        memory_bytes=None if memory_gb is None else memory_gb * 1e9,
        seed=seed,
        folder=out,
    )
