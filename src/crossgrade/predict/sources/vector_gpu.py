"""Vector kernels of GPUs: vidur's layer parts in bf16 and NeuSight's operators in fp32.

vidur (MIT, microsoft/vidur@7d47513): medians in whole us, so that a time of 2 us is good to a
quarter. NeuSight (MIT-style, sitar-lab/NeuSight@6945927): latency in ms. Rows with the same sizes
become one, their median. Must not know models or splits.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from crossgrade.values.kernel import SIZES, KernelRows

VIDUR = "perf/vidur_mlp_a100_a40_h100.csv.gz"
NEUSIGHT = "perf/neusight_op_test.csv.gz"
VIDUR_CHIPS = {"a100": "a100", "h100": "h100"}
"""Their folder of a chip -> ours."""
NEUSIGHT_CHIPS = {"NVIDIA A100 80GB PCIe": "a100", "NVIDIA H100 80GB HBM3": "h100"}
"""Their name of a device -> ours. The PCIe card has 5 % less bandwidth than the described one."""
NEUSIGHT_OPS: Mapping[str, tuple[str, float, float]] = {
    "add": ("add", 2, 1), "mul": ("mul", 2, 1), "div": ("div", 2, 1), "pow": ("pow", 2, 15),
    "addu": ("add_scalar", 1, 1), "mulu": ("mul_scalar", 1, 1), "divu": ("div_scalar", 1, 1),
    "powu": ("pow_scalar", 1, 15), "relu": ("relu", 1, 1), "gelu": ("gelu", 1, 10),
    "tanh": ("tanh", 1, 10), "ln": ("layer_norm", 1, 8), "softmax": ("softmax", 1, 8),
}  # fmt: skip
"""Their operator -> ours, inputs of one size, element operations. All write one output."""
REDUCES = {"layer_norm", "softmax", "rms_norm"}
"""Operations over the last dimension."""
LEAST_S = 4e-6
"""Shorter medians of vidur are left out: rounded to whole us, they say little."""
Found = Iterator[tuple[str, str, tuple[float, ...], float]]


def vidur(data: Path) -> dict[str, list[KernelRows]]:
    """Return norms, rotary embedding, activation and addition in bf16, by chip.

    Args:
        data: the folder of the large data sets.
    """
    with gzip.open(data / VIDUR, "rt", encoding="utf-8", newline="") as file:
        found = [
            (chip, op, sizes, seconds)
            for row in csv.DictReader(file)
            for chip, op, sizes, seconds in _layer_parts(row)
        ]
    return _rows(iter(found), "bf16", "vidur")


def neusight(data: Path) -> dict[str, list[KernelRows]]:
    """Return elementwise operators, softmax and layer norm in fp32, by chip."""
    with gzip.open(data / NEUSIGHT, "rt", encoding="utf-8", newline="") as file:
        found = [
            (NEUSIGHT_CHIPS[row["Device"]], *_operator(row), float(row["Latency"]) / 1e3)
            for row in csv.DictReader(file)
            if row["Device"] in NEUSIGHT_CHIPS and row["OPName"] in NEUSIGHT_OPS
        ]
    return _rows(iter(found), "fp32", "torch")


def _layer_parts(row: Mapping[str, str]) -> Found:
    """Yield chip, operation, sizes and seconds of the vector kernels of one row."""
    chip = VIDUR_CHIPS.get(row["source"].split("/")[1])
    if chip is None:
        return
    tokens, split = float(row["num_tokens"]), float(row["num_tensor_parallel_workers"])
    hidden, inner = float(row["n_embd"]), float(row["n_expanded_embd"]) / split
    head = hidden / float(row["n_head"])
    turned = (float(row["n_head"]) + float(row["n_kv_head"])) / split * head * tokens
    gates = 2.0 if row["use_gated_mlp"] == "True" else 1.0
    x = tokens * hidden
    parts = {
        "input_layernorm": ("rms_norm", x, x, 5 * x, tokens),
        "add": ("add", 2 * x, x, x, 0.0),
        "mlp_act": ("act_mul" if gates > 1 else "gelu", gates * tokens * inner, tokens * inner,
                    5 * tokens * inner, 0.0),
        "attn_rope": ("rope", turned, turned, 3 * turned, 0.0),
    }  # fmt: skip
    for name, (op, read, written, ops, lines) in parts.items():
        median = row[f"time_stats.{name}.median"]
        if median and float(median) / 1e3 >= LEAST_S:
            yield chip, op, (2 * read, 2 * written, ops, lines), float(median) / 1e3


def _operator(row: Mapping[str, str]) -> tuple[str, tuple[float, ...]]:
    op, inputs, ops = NEUSIGHT_OPS[row["OPName"]]
    lines, width = float(row["B"]), float(row["H"])
    elements = lines * width
    return op, (4 * inputs * elements, 4 * elements, ops * elements, lines * (op in REDUCES))


def _rows(found: Found, format: str, stack: str) -> dict[str, list[KernelRows]]:
    """Return rows by chip, one entry per operation and one row per distinct sizes."""
    times: dict[tuple[str, str], dict[tuple[float, ...], list[float]]] = {}
    for chip, op, sizes, seconds in found:
        times.setdefault((chip, op), defaultdict(list))[sizes].append(seconds)
    rows: dict[str, list[KernelRows]] = {}
    for (chip, op), by_size in times.items():
        columns = np.array(list(by_size)).T
        rows.setdefault(chip, []).append(
            KernelRows(
                family="vector", op=op, format=format, stack=stack,
                sizes=dict(zip(SIZES["vector"], columns, strict=True)),
                seconds=np.array([float(np.median(s)) for s in by_size.values()]),
            )
        )  # fmt: skip
    return rows
