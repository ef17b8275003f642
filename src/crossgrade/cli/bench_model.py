"""`crossgrade bench model`: phases of a model on several targets, measured side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crossgrade.cli.progress import Narrator
from crossgrade.cli.screen import screen
from crossgrade.cli.sizes import sizes
from crossgrade.cli.written import check_file, html_option, page_written
from crossgrade.values.precision import RUN_DTYPES
from crossgrade.values.workload import OPTIMIZERS, PHASES


@click.command("model", short_help="measure phases of a model")
@click.argument("model")
@click.option("--on", multiple=True, metavar="SPEC", default=("cpu",), show_default=True,
              help="Target: cpu, cuda:0, npu:0, compile:cpu, onnxruntime, openvino ... Several are "
              "interleaved and compared with the first.")  # fmt: skip
@click.option("--phase", "phases", multiple=True, type=click.Choice(PHASES),
              help="Repeatable. Default: prefill, and decode where there is a cache.")  # fmt: skip
@click.option("--batch", type=click.IntRange(1), help="Sequences.  [default: 1]")
@click.option("--tokens", type=click.IntRange(1),
              help="prefill: prompt; decode: new tokens per step; train: sequence length.  "
              "[default: 512, 1, 128]")  # fmt: skip
@click.option("--context", type=click.IntRange(1),
              help="Tokens in the cache of a decode step.  [default: 512]")  # fmt: skip
@click.option("--size", "sizes", multiple=True, metavar="NAME=VALUE", callback=sizes,
              help="A size that only this model has, such as image=224.")  # fmt: skip
@click.option("--dtype", type=click.Choice(RUN_DTYPES),
              help="Format of weights and arithmetic.  [default: the checkpoint's]")  # fmt: skip
@click.option("--weights", type=click.Path(path_type=Path, exists=True, file_okay=False),
              metavar="DIR", help="Checkpoint (safetensors) whose values are used; without it "
              "random ones by the seed.")  # fmt: skip
@click.option("--layers", type=click.IntRange(1), metavar="N",
              help="Only the first N layers: a slice that fits.")  # fmt: skip
@click.option("--optimizer", type=click.Choice(OPTIMIZERS), default="adamw", show_default=True,
              help="Of a training step.")  # fmt: skip
@click.option("--budget", "budget_s", type=float, default=120.0, show_default=True,
              metavar="SECONDS", help="Time for the sessions of each phase.")  # fmt: skip
@click.option("--half-width", type=float, default=0.02, show_default=True, metavar="SHARE",
              help="Wanted half width of the 95 % interval.")  # fmt: skip
@click.option("--sessions", "least_sessions", type=int, default=5, show_default=True,
              help="Least sessions: 5, 8, 12, 18, 27 or 40.")  # fmt: skip
@click.option("--fresh", is_flag=True, help="Every session in a new interpreter, not forked.")
@click.option(
    "--memory", "memory_gb", type=float, metavar="GB", help="Memory that a worker may use."
)
@click.option("--seed", type=int, default=0, show_default=True,
              help="Of weights, inputs and orders.")  # fmt: skip
@click.option("--out", "folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Records and the journal; an interrupted run there is taken up.")  # fmt: skip
@click.option("--no-record", is_flag=True, help="Write nothing; an interrupted run is lost.")
@html_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(fresh: bool, memory_gb: float | None, no_record: bool, as_json: bool,
            html: Path | None, **given: Any) -> int:  # fmt: skip
    """Measure phases of MODEL: a preset, a config.json, or the folder of a checkpoint.

    Weights are random unless --weights names a checkpoint. Before it is timed every target runs the
    model once alone: its output is compared with a trusted run in float64, and its memory and
    energy are told. One that computes something else has no time.

    \b
    crossgrade bench model qwen3-0.6b --phase decode --dtype fp32 \\
      --on cpu --on compile:cpu --on onnxruntime --on openvino
    crossgrade bench model deepseek-v4-flash --layers 2 --on npu:0
    crossgrade bench model qwen3-0.6b --phase train --tokens 128 --on cpu

    Exit codes: 0 every interval is as narrow as asked; 3 some are not, or something has no number;
    2 wrong usage, input or installation.
    """
    from crossgrade import api

    memory_bytes = None if memory_gb is None else memory_gb * 1e9
    options = api.ModelOptions(start="fresh" if fresh else "forked", memory_bytes=memory_bytes,
                               **given)  # fmt: skip
    check_file(html)
    with Narrator() as narrate:
        run = api.bench_model(options, record=not no_record, narrate=narrate)
    click.echo(api.render_bench(run, as_json=as_json, command="bench model", **screen()), nl=False)
    written = page_written(
        html, lambda: api.bench_html(run, command=api.measuring_command(options))
    )
    return run.exit_code if written else 2
