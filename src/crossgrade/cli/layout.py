"""`crossgrade layout`: how a model is spread over chips."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from crossgrade.cli.complete import complete_chips, complete_models
from crossgrade.cli.durations import duration
from crossgrade.cli.screen import screen
from crossgrade.cli.written import narrate


@click.group("layout", short_help="which layout of N chips serves a model within the aims")
def command() -> None:
    """Find how a model is best spread over chips, and what a service on a layout makes of a load.

    \b
    crossgrade layout search deepseek-v3 --on ascend-910c --chips 32 --tpot 50ms
    crossgrade layout serve deepseek-v3 --on ascend-910c --dp 32 --ep 32 --rate 20
    """


@command.command("search", short_help="all layouts and batches, those within the aims first")
@click.argument("model", shell_complete=complete_models)
@click.option("--on", required=True, metavar="CHIP", help="The chip.",
              shell_complete=complete_chips)  # fmt: skip
@click.option("--chips", type=int, required=True, metavar="N", help="How many of them.")
@click.option("--prompt", type=int, default=4096, show_default=True, metavar="N",
              help="Tokens of a prompt.")  # fmt: skip
@click.option("--output", type=int, default=1024, show_default=True, metavar="N",
              help="Tokens of an answer.")  # fmt: skip
@click.option("--cached", type=float, default=0.0, metavar="SHARE",
              help="Share of every prompt that a prefix cache holds.")  # fmt: skip
@click.option("--drafts", type=int, default=0, metavar="N",
              help="Tokens drafted per step (MTP), by one more block each.")  # fmt: skip
@click.option("--accepted", type=float, metavar="X",
              help="Drafts per step that are right, on average.")  # fmt: skip
@click.option("--ttft", "ttft_s", callback=duration, metavar="TIME",
              help="Most time to the first token at P50, such as 2s; without a queue.")  # fmt: skip
@click.option("--tpot", "tpot_s", callback=duration, metavar="TIME",
              help="Most time per output token at P50, such as 50ms.")  # fmt: skip
@click.option("--dtype", metavar="D", help="Weight format, as of assess. Default: the "
              "checkpoint's own.")  # fmt: skip
@click.option("--quant", metavar="Q", help="Quantised weights: w8a8, w4a8, w4a16, fp8, "
              "fp8-block, mxfp8, hif8, mxfp4 or nvfp4.")  # fmt: skip
@click.option("--kv", type=click.Choice(["fp8", "int8"]),
              help="Format of cached keys and values. Default: as the model keeps "
              "them.")  # fmt: skip
@click.option("--two-batch-overlap", is_flag=True, help="A rank's sequences as two batches in "
              "turn: collectives of one beside kernels of the other.")  # fmt: skip
@click.option("--skew", type=float, metavar="X", help="Exponent of the loads of routed experts, 0 "
              "for even ones. Default: chosen without preference.")  # fmt: skip
@click.option("--redundant", type=int, default=0, metavar="N",
              help="Copies of routed experts over the ranks that share them out (0).")  # fmt: skip
@click.option("--stack", metavar="NAME", help="Stack whose kernels are timed. Default: the usual "
              "one of the chip.")  # fmt: skip
@click.option("--price", "price_per_hour", type=float, metavar="AMOUNT",
              help="Price of one chip per hour, any currency.")  # fmt: skip
@click.option("--chip-file", "chip_files", multiple=True, metavar="FILE",
              help="Chip description of your own; --on names it.")  # fmt: skip
@click.option("--calibration", "calibrations", multiple=True, metavar="RECORD",
              type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="Record of `calibrate --points` of the chip; repeatable.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--all", "everything", is_flag=True, help="List every layout.")
def search(model: str, as_json: bool, everything: bool, **asked: Any) -> int:
    """Search the layouts and batches of MODEL on N chips.

    Prices every split of the chips into equal instances, every tensor, pipeline, data and expert
    parallel degree of an instance, and batches in powers of two. Shows those that no other one
    beats in both time per token and tokens per chip, and why the rest will not do.

    \b
    crossgrade layout search deepseek-v3 --on ascend-910c --chips 32 --ttft 2s --tpot 50ms
    crossgrade layout search qwen3-235b-a22b-fp8 --on h200 --chips 8 --prompt 1024 --tpot 20ms

    Exit codes: 0 found; 1 no layout meets the aims; 2 wrong usage or input; 130 interrupted.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from crossgrade import api

    found = api.search_layouts(model, api.LayoutOptions(**asked), narrate=narrate)
    click.echo(api.render_layouts(found, as_json=as_json, everything=everything, **screen()),
               nl=False)  # fmt: skip
    return found.exit_code


@command.command("serve", short_help="latencies and throughput of a service at a rate or a trace")
@click.argument("model", shell_complete=complete_models)
@click.option("--on", required=True, metavar="CHIP", help="The chip.",
              shell_complete=complete_chips)  # fmt: skip
@click.option("--tp", type=int, default=1, metavar="N", help="Tensor parallel ranks (1).")
@click.option("--dp", type=int, default=1, metavar="N", help="Replicas of attention (1).")
@click.option("--pp", type=int, default=1, metavar="N", help="Pipeline stages (1).")
@click.option("--ep", type=int, default=1, metavar="N", help="Ranks that share out experts (1).")
@click.option("--instances", type=int, default=1, metavar="N",
              help="Equal instances, asked in turn (1).")  # fmt: skip
@click.option("--prefill-instances", type=int, default=0, metavar="N",
              help="Instances that read prompts alone; the others then decode alone.")  # fmt: skip
@click.option("--prefill-tp", type=int, metavar="N", help="Their ranks. Default: --tp.")
@click.option("--prefill-dp", type=int, metavar="N", help="Their replicas. Default: --dp.")
@click.option("--prefill-ep", type=int, metavar="N", help="Their --ep. Default: --ep.")
@click.option("--rate", type=float, metavar="R", help="Requests per second, at random times.")
@click.option("--users", type=int, metavar="N",
              help="Users that wait for an answer before they ask again.")  # fmt: skip
@click.option("--trace", metavar="NAME|FILE", help="A shipped trace (azure-code, azure-conv, "
              "mooncake-conversation, mooncake-synthetic), or a file of either form.")  # fmt: skip
@click.option("--requests", type=int, metavar="N",
              help="How many requests. Default: 1000, or all of a trace.")  # fmt: skip
@click.option("--prompt", type=int, metavar="N", help="Tokens of a prompt (4096).")
@click.option("--output", type=int, metavar="N", help="Tokens of an answer (1024).")
@click.option("--cached", type=float, default=0.0, metavar="SHARE",
              help="Share of every prompt that a prefix cache holds.")  # fmt: skip
@click.option("--max-tokens", type=int, metavar="N",
              help="Tokens of one step of a replica. Default: the stack's.")  # fmt: skip
@click.option("--max-running", type=int, metavar="N",
              help="Sequences in work at once on a replica. Default: the stack's.")  # fmt: skip
@click.option("--memory", type=float, metavar="SHARE",
              help="Share of a chip's memory for weights, activations and cache. Default: the "
              "stack's.")  # fmt: skip
@click.option("--scheduler-delay", "scheduler_delay_s", callback=duration, metavar="TIME",
              help="Time between two steps in which nothing is computed. Default: "
              "none.")  # fmt: skip
@click.option("--ttft", "ttft_s", callback=duration, metavar="TIME",
              help="Aim for the time to the first token of 99 of 100 requests.")  # fmt: skip
@click.option("--tpot", "tpot_s", callback=duration, metavar="TIME",
              help="Aim for the time per further token of 99 of 100 requests.")  # fmt: skip
@click.option("--seed", type=int, default=0, metavar="N", help="Of random arrivals (0).")
@click.option("--dtype", metavar="D", help="Weight format, as of assess. Default: the "
              "checkpoint's own.")  # fmt: skip
@click.option("--quant", metavar="Q", help="Quantised weights, as of assess.")
@click.option("--kv", type=click.Choice(["fp8", "int8"]),
              help="Format of cached keys and values. Default: as the model keeps "
              "them.")  # fmt: skip
@click.option("--skew", type=float, metavar="X", help="Exponent of the loads of routed experts, 0 "
              "for even ones. Default: chosen without preference.")  # fmt: skip
@click.option("--redundant", type=int, default=0, metavar="N",
              help="Copies of routed experts over the ranks of --ep (0).")  # fmt: skip
@click.option("--stack", metavar="NAME", help="Stack whose kernels and scheduler are taken. "
              "Default: the usual one of the chip.")  # fmt: skip
@click.option("--chip-file", "chip_files", multiple=True, metavar="FILE",
              help="Chip description of your own; --on names it.")  # fmt: skip
@click.option("--calibration", "calibrations", multiple=True, metavar="RECORD",
              type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="Record of `calibrate --points` of the chip; repeatable.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def serve(model: str, as_json: bool, **asked: Any) -> int:
    """Simulate a service of MODEL on a layout of chips under a load.

    The stack's own scheduler: continuous batching, prompts in parts where it does so, a queue, a
    cache that fills up. With --prefill-instances prompts are read on instances of their own, and
    their cache moves to those that decode.

    \b
    crossgrade layout serve qwen3-32b --on h200 --tp 2 --instances 4 --rate 4 --prompt 2048
    crossgrade layout serve qwen3-8b --on ascend-910b2 --trace azure-conv --requests 2000
    crossgrade layout serve qwen3-32b --on h200 --tp 2 --instances 2 --prefill-instances 2 --rate 4

    Exit codes: 0 within the aims, or none given; 1 misses them; 2 wrong usage or input; 130
    interrupted.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from crossgrade import api

    found = api.simulate_service(model, api.ServiceOptions(**asked), narrate=narrate)
    click.echo(api.render_service(found, as_json=as_json, **screen()), nl=False)
    return found.exit_code
