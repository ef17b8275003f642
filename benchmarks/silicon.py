"""Does the measured time per token lie in our band? Scored on rows that nothing here was fitted to.

    CROSSGRADE_DATA=... python benchmarks/silicon.py [--rows 7]

Takes decode rows of aiconfigurator's silicon sample (Apache-2.0; H100 and B200, several serving
stacks), evenly over batch sizes, and compares the measured TPOT with the decode band at the row's
batch and prompt length, over its chips as ideal shards. The low end should never be above the
measurement. Prints every row and the shares per model; asserts nothing.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections import defaultdict
from pathlib import Path

from crossgrade.api import chip
from crossgrade.capture.run import CaptureSession
from crossgrade.predict.phase import predict, prepare
from crossgrade.values.layout import Layout
from crossgrade.values.workload import Workload
from crossgrade.workloads.resolve import find_model

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
Rows = dict[tuple[str, str], list[dict[str, str]]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=7, help="rows per model and chip")
    given = parser.parse_args()
    data = os.environ.get("CROSSGRADE_DATA")
    if not data:
        print("set CROSSGRADE_DATA to the folder of the large data sets", file=sys.stderr)
        return 2
    print("model chip chips batch prompt low_ms measured_ms high_ms where")
    score: dict[str, list[str]] = defaultdict(list)
    for (model, name), rows in sorted(read(Path(data)).items()):
        for row in spread(rows, given.rows):
            score[model].append(compare(model, name, row))
    for model, words in score.items():
        inside = words.count("inside")
        print(
            f"{model}: {inside} of {len(words)} inside, "
            f"{words.count('below')} below the low end, {words.count('above')} above the high end"
        )
    total = [word for words in score.values() for word in words]
    print(f"all: {total.count('inside')} of {len(total)} inside")
    return 0


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


def compare(model: str, name: str, row: dict[str, str]) -> str:
    """Print one row; return `inside`, `below` or `above`."""
    found = find_model(model)
    session = CaptureSession(found.build(None))
    batch = int(float(row["batch_size"]))
    chips = int(
        float(row["tp_size"]) * float(row["pp_size"] or 1) * float(row["attention_dp_size"] or 1)
    )
    workload = Workload(model=found.ref, phase="decode", batch=batch, tokens=1,
                        context=int(row["isl"]), dtype=None)  # fmt: skip
    layout = Layout(chips=chips, kind="ideal-shards" if chips > 1 else "single", tp=chips)
    band = predict(prepare(session.capture(workload)), chip(name), layout).time_s
    measured = float(row["silicon_tpot_ms"]) / 1e3
    where = "inside" if band.holds(measured) else "below" if measured < band.low else "above"
    print(
        f"{model} {name} {chips} {batch} {row['isl']} {band.low * 1e3:.2f} "
        f"{measured * 1e3:.2f} {band.high * 1e3:.2f} {where}",
        flush=True,
    )
    return where


if __name__ == "__main__":
    sys.exit(main())
