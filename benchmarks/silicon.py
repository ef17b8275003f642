"""Does the measured time per token lie in our band? Scored on rows that nothing here was fitted to.

    CROSSGRADE_DATA=... python benchmarks/silicon.py [--rows 7] [--unseen]

Takes decode rows of aiconfigurator's silicon sample (Apache-2.0; H100 and B200, several serving
stacks), evenly over batch sizes, and compares the measured TPOT with the decode band at the row's
batch and prompt length, over its chips as ideal shards. The low end should never be above the
measurement. Beside it stands the time of the row's stack from models of its kernels, P10, P50, P90;
no end-to-end time was fitted, and a service does more than the decode step that is timed. Prints
every row and the shares per model; asserts nothing.

The default rows were looked at while the lowering was written, and faults were found on them.
`--unseen` scores conditions that are not among them, every one once: the honest figure.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import sys
from collections import defaultdict
from pathlib import Path

from crossgrade.api import chip
from crossgrade.predict.phase import predict
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.predict.stack_time import stack_time
from crossgrade.values.layout import Layout
from steps import step_of

MODELS = {
    ("Qwen/Qwen3-32B", "fp8"): "qwen3-32b-fp8",
    ("Qwen/Qwen3-32B", ""): "qwen3-32b",
    ("meta-llama/Llama-3.1-8B-Instruct", ""): "meta-llama-3.1-8b",
    ("Qwen/Qwen3-235B-A22B-FP8", "fp8"): "qwen3-235b-a22b-fp8",
    ("openai/gpt-oss-120b", "fp4"): "gpt-oss-120b",
    ("MiniMaxAI/MiniMax-M2.5", "fp8"): "minimax-m2.5",
    ("deepseek-ai/DeepSeek-V3", "fp8"): "deepseek-v3",
}
CHIPS = {"h100_sxm": "h100", "b200_sxm": "b200"}
SEEN = 7
"""Rows per model and chip that were looked at while the lowering was written."""
Rows = dict[tuple[str, str], list[dict[str, str]]]
STACKS: dict[str, list[tuple[float, float, float, float]]] = {}
"""Model -> P10, P50, P90 and measured time per row, s."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=SEEN, help="rows per model and chip")
    parser.add_argument("--unseen", action="store_true", help="only what the default leaves out")
    given = parser.parse_args()
    data = os.environ.get("CROSSGRADE_DATA")
    if not data:
        print("set CROSSGRADE_DATA to the folder of the large data sets", file=sys.stderr)
        return 2
    print("model chip chips batch prompt low_ms measured_ms high_ms where")
    score: dict[str, list[str]] = defaultdict(list)
    for (model, name), rows in sorted(read(Path(data)).items()):
        for row in unseen(rows) if given.unseen else spread(rows, given.rows):
            score[model].append(compare(model, name, row))
    for model, words in score.items():
        inside = words.count("inside")
        print(
            f"{model}: {inside} of {len(words)} inside, "
            f"{words.count('below')} below the low end, {words.count('above')} above the high end"
        )
        told(STACKS[model], model)
    total = [word for words in score.values() for word in words]
    print(f"all: {total.count('inside')} of {len(total)} inside")
    told([row for rows in STACKS.values() for row in rows], "all")
    return 0


def told(rows: list[tuple[float, float, float, float]], what: str) -> None:
    """Print how far off P50 of the stack is, and how often P10 to P90 holds the measured time."""
    off = sorted(abs(mid / measured - 1) for _, mid, _, measured in rows)
    held = sum(low <= measured <= high for low, _, high, measured in rows)
    bias = statistics.median(mid / measured - 1 for _, mid, _, measured in rows)
    print(f"{what}, stack: P50 off by {statistics.mean(off):.1%} mean, "
          f"{statistics.median(off):.1%} median, bias {bias:+.1%}; {held} of {len(rows)} in "
          "P10 to P90")  # fmt: skip


def read(data: Path) -> Rows:
    """Return the usable rows by model and chip."""
    groups: Rows = defaultdict(list)
    path = data / "perf" / "aiconfigurator" / "silicon_sample.csv"
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            model = MODELS.get((row["model_path"], row["precision"]))
            known = model and row["system"] in CHIPS and row["silicon_tpot_ms"]
            if model and known and row["mode"] == "agg":
                groups[model, CHIPS[row["system"]]].append(row)
    return groups


def spread(rows: list[dict[str, str]], count: int) -> list[dict[str, str]]:
    """Return up to `count` rows, evenly over batch sizes."""
    ordered = sorted(rows, key=lambda row: (float(row["batch_size"]), row["isl"]))
    if len(ordered) <= count:
        return ordered
    return [ordered[i * (len(ordered) - 1) // (count - 1)] for i in range(count)]


def unseen(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the first row of every condition that the default rows do not have."""
    known = {condition(row) for row in spread(rows, SEEN)}
    first: dict[tuple[int, int, str], dict[str, str]] = {}
    for row in sorted(rows, key=lambda row: (float(row["batch_size"]), row["isl"])):
        if condition(row) not in known:
            first.setdefault(condition(row), row)
    return list(first.values())


def condition(row: dict[str, str]) -> tuple[int, int, str]:
    """Return batch, chips and prompt length."""
    return int(float(row["batch_size"])), chips_of(row), row["isl"]


def chips_of(row: dict[str, str]) -> int:
    """Return the chips of a row."""
    return int(
        float(row["tp_size"]) * float(row["pp_size"] or 1) * float(row["attention_dp_size"] or 1)
    )


def compare(model: str, name: str, row: dict[str, str]) -> str:
    """Print one row; return `inside`, `below` or `above`."""
    batch, chips, _ = condition(row)
    layout = Layout(chips=chips, kind="ideal-shards" if chips > 1 else "single", tp=chips)
    band = predict(step_of(model, "decode", batch, 1, int(row["isl"])), chip(name), layout).time_s
    measured = float(row["silicon_tpot_ms"]) / 1e3
    found = stack_time(step_of(model, "decode", batch, 1, int(row["isl"])), chip(name), layout,
                       row["backend"], shipped())  # fmt: skip
    STACKS.setdefault(model, []).append((found.low_s, found.mid_s, found.high_s, measured))
    where = "inside" if band.holds(measured) else "below" if measured < band.low else "above"
    print(
        f"{model} {name} {chips} {batch} {row['isl']} {band.low * 1e3:.2f} "
        f"{measured * 1e3:.2f} {band.high * 1e3:.2f} {where}; {row['backend']} "
        f"{found.low_s * 1e3:.2f} {found.mid_s * 1e3:.2f} {found.high_s * 1e3:.2f}",
        flush=True,
    )
    return where


if __name__ == "__main__":
    sys.exit(main())
