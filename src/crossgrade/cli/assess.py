"""`crossgrade assess`: any model on any described chip."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from crossgrade.cli.complete import complete_chips, complete_models
from crossgrade.cli.screen import screen
from crossgrade.cli.sizes import sizes
from crossgrade.cli.written import narrate, written
from crossgrade.errors import BadOption


def _chips(ctx: click.Context, param: click.Parameter, value: str) -> int | None:
    """Return the number of chips, None for `auto`."""
    if value == "auto":
        return None
    try:
        return int(value)
    except ValueError:
        raise BadOption(f"--chips {value}", hint="a whole number, or auto") from None


def _prices(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, float]:
    """Return chip -> amount per hour."""
    prices: dict[str, float] = {}
    for text in value:
        name, _, amount = text.partition("=")
        try:
            prices[name] = float(amount.removesuffix("/h"))
        except ValueError:
            raise BadOption(f"--price {text}", hint="CHIP=AMOUNT/h, such as h200=3.5/h") from None
    return prices


def _tables(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[tuple[str, Path], ...]:
    """Return (chip, file) of each table."""
    pairs = []
    for text in value:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise BadOption(f"--table {text}", hint="CHIP=FILE, such as h100=kernels.csv")
        pairs.append((name, Path(path)))
    return tuple(pairs)


def _names(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    """Return names that commas part."""
    return tuple(name.strip() for name in value.split(",") if name.strip())


@click.command("assess", short_help="what a model needs, and how it would run, on chips")
@click.argument("model", shell_complete=complete_models)
@click.option("--on", multiple=True, metavar="SPEC", help="Chip, or cpu; repeat to compare.",
              shell_complete=complete_chips)  # fmt: skip
@click.option("--chip-file", "chip_files", multiple=True, metavar="FILE",
              help="Chip description of your own; repeatable. Assessed too, and --on knows its "
              "name.")  # fmt: skip
@click.option("--phase", "phases", multiple=True,
              type=click.Choice(["prefill", "decode", "train"]),
              help="Repeatable. Default: prefill, and decode where there is a cache.")  # fmt: skip
@click.option("--batch", type=int, help="Sequences (1).")
@click.option(
    "--tokens", type=int, help="Prompt or sequence length (4096); decode: new tokens (1)."
)
@click.option("--context", type=int, help="Tokens already cached (decode 8192, prefill 0).")
@click.option("--size", "sizes", multiple=True, callback=sizes, metavar="NAME=VALUE",
              help="A size that only some models have, such as image=384; repeatable.")  # fmt: skip
@click.option("--dtype", metavar="D", help="fp64, fp32, bf16, fp16, fp8, int8, fp4, int4. "
              "Default: the checkpoint's own.")  # fmt: skip
@click.option("--quant", metavar="Q", help="Quantised weights: w8a8, w4a8, w4a16, fp8, "
              "fp8-block, mxfp8, hif8, mxfp4 or nvfp4, in place of --dtype.")  # fmt: skip
@click.option("--kv", type=click.Choice(["fp8", "int8"]),
              help="Format of cached keys and values. Default: as the model keeps "
              "them.")  # fmt: skip
@click.option("--two-batch-overlap", is_flag=True, help="A rank's sequences as two batches in "
              "turn: collectives of one beside kernels of the other.")  # fmt: skip
@click.option("--skew", type=float, metavar="X", help="Exponent of the loads of routed experts, 0 "
              "for even ones. Default: chosen without preference.")  # fmt: skip
@click.option("--redundant", type=int, default=0, metavar="N",
              help="Copies of routed experts over the ranks of --ep (0).")  # fmt: skip
@click.option("--optimizer", type=click.Choice(["adamw", "adamw-fp32", "sgd"]), default="adamw",
              show_default=True, help="Training: how parameters are updated.")  # fmt: skip
@click.option("--lora-rank", type=int, metavar="R",
              help="Training: freeze the weights, train adapters of this rank.")  # fmt: skip
@click.option("--lora-targets", default="", callback=_names, metavar="NAME,...",
              help="Layers that get adapters. Default: linear layers of the blocks.")  # fmt: skip
@click.option("--shard", type=click.Choice(["none", "optimizer", "gradients", "full"]),
              default="none", show_default=True,
              help="Training: what data-parallel chips share out (ZeRO 1, 2, 3).")  # fmt: skip
@click.option("--chips", default="auto", callback=_chips, metavar="N|auto", show_default=True,
              help="Number of chips; auto: as many as the memory needs.")  # fmt: skip
@click.option("--tp", type=int, metavar="N", help="Layout: tensor parallel ranks.")
@click.option("--ep", type=int, metavar="N",
              help="Layout: ranks that share out routed experts.")  # fmt: skip
@click.option("--dp", type=int, metavar="N",
              help="Layout: replicas of attention. Default: what --chips allows.")  # fmt: skip
@click.option("--pp", type=int, metavar="N", help="Layout: pipeline stages.")
@click.option("--cp", type=int, metavar="N",
              help="Layout: ranks that share out the tokens of a sequence.")  # fmt: skip
@click.option("--micro-batch", type=int, metavar="N",
              help="Training on a layout: sequences at a time (1); --batch is of all "
              "chips.")  # fmt: skip
@click.option("--recompute", type=click.Choice(["none", "selective", "full"]), default="none",
              show_default=True, help="Training: what the backward pass works out again: "
              "attention, or whole blocks.")  # fmt: skip
@click.option("--interleave", type=int, metavar="N",
              help="Training: chunks of blocks per pipeline stage (1).")  # fmt: skip
@click.option("--sequence-parallel", is_flag=True,
              help="Training: --tp ranks share out tokens where they do the same.")  # fmt: skip
@click.option("--no-overlap", "overlap", is_flag=True, flag_value=False, default=True,
              help="Training: collectives of replicas are waited for.")  # fmt: skip
@click.option("--offload", type=click.Choice(["none", "optimizer"]), default="none",
              show_default=True, help="Training: what lies in the host's memory.")  # fmt: skip
@click.option("--products", default="as-computed", show_default=True,
              type=click.Choice(["as-computed", "fp8", "fp8_block", "mxfp8", "int8"]),
              help="Training: format of products by weights and of their gradients.")  # fmt: skip
@click.option("--stack", metavar="NAME", help="Stack whose kernels are timed, such as vllm, "
              "trtllm, compile or eager. Default: the usual one of the chip.")  # fmt: skip
@click.option("--calibration", "calibrations", multiple=True, metavar="RECORD",
              type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="Record of `calibrate --points`, used for its chip; repeatable.")  # fmt: skip
@click.option("--table", "tables", multiple=True, callback=_tables, metavar="CHIP=FILE",
              help="Measured kernels of a chip, CSV or Parquet: interpolated where they know a "
              "kind; repeatable.")  # fmt: skip
@click.option("--price", "prices", multiple=True, callback=_prices, metavar="CHIP=AMOUNT/h",
              help="Price of one chip per hour, any currency.")  # fmt: skip
@click.option("--measured", "measured_in", multiple=True, metavar="DIR",
              help="Folder with records of `bench model`, beside those of your own; "
              "repeatable.")  # fmt: skip
@click.option("--no-measured", "measured", is_flag=True, flag_value=False, default=True,
              help="Predictions alone; do not look for measured times.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--all", "everything", is_flag=True, help="List every finding.")
@click.option(
    "--explain",
    metavar="[PHASE.NUMBER]",
    is_flag=False,
    flag_value="kernels",
    help="Print where the time goes and what would help instead, or the arithmetic of one number, "
    "such as decode.time. Put it behind MODEL.",
)
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write when each kernel runs, as a Chrome trace for Perfetto; packed if it ends in .gz.",
)
@click.option(
    "--compare",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="RECORD",
    help="Also say what changed since an earlier record.",
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a report as one offline page.",
)
@click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a report that fits a pull request.",
)
@click.option("--sarif", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write the findings as SARIF 2.1.0.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Folder for the record. Default: $CROSSGRADE_HOME/records, else "
              "~/.local/share/crossgrade/records.")  # fmt: skip
@click.option("--no-record", is_flag=True, help="Write no record.")
@click.option("--save-captures", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Also write each capture there.")  # fmt: skip
def command(model: str, as_json: bool, everything: bool, out: Path | None, no_record: bool,
            save_captures: Path | None, explain: str | None, compare: Path | None,
            html: Path | None, markdown: Path | None, sarif: Path | None, trace: Path | None,
            **asked: Any) -> int:  # fmt: skip
    """Assess MODEL on chips that need not be here.

    MODEL is a preset (`crossgrade models`), a Hugging Face config.json or the folder it lies in, a
    .pt2 archive of torch.export, or package.module:factory. The last two run their code.

    \b
    crossgrade assess deepseek-v4-pro --on ascend-950dt --on h200
    crossgrade assess ./my-model --on ascend-910b2 --phase train --tokens 2048
    crossgrade assess qwen3-8b --on ascend-910b2 --phase train --tp 8 --dp 4 --batch 128
    crossgrade assess my_package.model:make --on mi300x --json
    crossgrade assess qwen3-8b --on ascend-910b2 --on h200 --html report.html
    crossgrade assess deepseek-v3 --on ascend-910c --chips 32 --tp 4 --ep 32 --quant w8a8
    crossgrade assess qwen3-8b --on ascend-910b2 --explain
    crossgrade assess qwen3-8b --on ascend-910b2 --trace qwen3-8b.json.gz

    Exit codes: 0 it runs; 1 blocked; 2 wrong usage or input; 3 unknown; 130 interrupted.
    """
    # A composite kernel that looks at a fake tensor's address makes torch warn on stderr.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from crossgrade import api

    number = explain if explain != "kernels" else None
    if number is not None:
        api.number_named(number)
    files = _files(html=html, markdown=markdown, sarif=sarif, trace=trace)
    if trace is not None:
        api.check_writable(trace)
    earlier = api.earlier_record(compare) if compare else None
    options = api.AssessOptions(**asked)
    kernels = explain == "kernels"
    examination = api.examine(model, options, explain=kernels, trace=trace is not None,
                              narrate=narrate, save_captures=save_captures)  # fmt: skip
    assessment = examination.assessment
    changes = api.compare(assessment, earlier) if earlier else None
    derivations = api.derivations(assessment, number) if number is not None else ()
    text = api.render(
        assessment,
        as_json=as_json,
        everything=everything,
        changes=changes,
        derivations=derivations,
        explanations=examination.explanations if kernels else None,
        **screen(),
    )
    click.echo(text, nl=False)
    line = api.command_line(model, options)
    tasks: dict[str, Callable[[], Path]] = {
        kind: partial(_report, kind, path, assessment, line, changes)
        for kind, path in files.items()
        if kind != "trace"
    }
    if trace is not None:
        tasks["trace"] = lambda: api.write_trace(trace, api.chrome_trace(examination, line))
    if not no_record:
        tasks = {"record": partial(api.write_record, model, options, assessment, out), **tasks}
    # After the answer: a file that cannot be written must not cost it, nor the other files.
    done = [written(*task) for task in tasks.items()]
    return assessment.exit_code if all(done) else 2


def _files(**given: Path | None) -> dict[str, Path]:
    """Return kind -> path of the reports that are wanted, each to a file of its own."""
    files = {kind: path for kind, path in given.items() if path is not None}
    if len({path.resolve() for path in files.values()}) < len(files):
        raise BadOption(
            f"--{', --'.join(files)} name one file twice", hint="each report needs its own"
        )
    return files


def _report(kind: str, path: Path, assessment: Any, line: str, changes: Any) -> Path:
    """Write one report and return its path."""
    from crossgrade import api

    api.write_text(path, api.report(kind, assessment, line, changes))
    return path
