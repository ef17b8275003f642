"""Collectives inside one node: aiconfigurator's tables (Apache-2.0) and vidur's (MIT).

aiconfigurator's `message_size` counts elements: a table of int8 and one of half agree within 2 %
where int8 has twice the size, and differ by two where it has the same. Its latency is in ms, as is
vidur's, whose `size` counts bytes. `bytes` here is the larger of a rank's two buffers: the tensor
of an all-reduce, what an all-gather ends with, what a reduce-scatter begins with. Must not know
models or splits.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.sources.aiconfigurator import Columns, columns, seconds, tables
from crossgrade.values.kernel import KernelRows

OPS = {
    "all_gather": "all_gather", "all_reduce": "all_reduce", "alltoall": "all_to_all",
    "reduce_scatter": "reduce_scatter",
}  # fmt: skip
"""Their name of an operation -> ours."""
WIDTHS = {"half": 2.0, "int8": 1.0, "bfloat16": 2.0}
"""Their name of a format -> bytes of an element."""
VIDUR = "perf/vidur_network_a100_h100.csv.gz"
"""microsoft/vidur@7d47513, below the folder of the large data sets."""
VIDUR_CHIPS = {"network/a100_dgx": "a100", "network/h100_dgx": "h100"}
"""Their folders of machines whose chips are all joined by one switch -> our chip."""


def nccl(data: Path) -> dict[str, list[KernelRows]]:
    """Return NCCL's collectives by chip, one entry per operation.

    Both formats of the tables move bytes and nothing else, so they are one entry.

    Args:
        data: the folder of the large data sets.
    """
    found: dict[str, list[KernelRows]] = {}
    for chip, _, path in tables(data, "nccl_perf"):
        found.setdefault(chip, []).extend(exchanged(columns(path)))
    return found


def exchanged(table: Columns) -> Iterator[KernelRows]:
    """Yield NCCL's collectives of one table, one entry per operation."""
    ops = table["op_name"].astype(str)
    for theirs in np.unique(ops):
        yield _exchange(table, ops == theirs, OPS[theirs], "nccl", "nccl_dtype")


def all_reduces(data: Path) -> dict[str, list[KernelRows]]:
    """Return the serving stacks' own all-reduces by chip, one entry per stack and way to launch.

    `vllm`, `sglang` and `trtllm` inside a graph; `vllm-eager` and `sglang-eager` launched by the
    host, whose time counts there.
    """
    found: dict[str, list[KernelRows]] = {}
    for chip, _, path in tables(data, "custom_allreduce_perf"):
        found.setdefault(chip, []).extend(reduced(columns(path)))
    return found


def reduced(table: Columns) -> Iterator[KernelRows]:
    """Yield a stack's own all-reduces of one table, one entry per way to launch."""
    framework = str(table["framework"][0]).lower()
    eager = np.char.endswith(table["kernel_source"].astype(str), "_eager")
    for stack, at in ((framework, ~eager), (f"{framework}-eager", eager)):
        if at.any():
            yield _exchange(table, at, "all_reduce", stack, "allreduce_dtype")


def _exchange(table: Columns, at: NDArray[np.bool_], op: str, stack: str, dtype: str) -> KernelRows:
    width = np.array([WIDTHS[str(name)] for name in table[dtype]])
    return KernelRows(
        family="collective",
        op=op,
        format="bf16",
        stack=stack,
        sizes={
            "ranks": table["num_gpus"][at].astype(np.float64),
            "bytes": table["message_size"][at].astype(np.float64) * width[at],
        },
        seconds=seconds(table)[at],
        launched=table["kernel_source"][at].astype(str),
    )


def vidur(data: Path) -> dict[str, list[KernelRows]]:
    """Return vidur's all-reduces inside one node, by chip: medians over its repetitions."""
    samples: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    with gzip.open(data / VIDUR, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            chip = VIDUR_CHIPS.get(row["source"].rpartition("/")[0])
            median = row["time_stats.all_reduce.median"]
            inside = row["num_workers"] == row["devices_per_node"]
            if chip and median and inside and row["collective"] == "all_reduce":
                sizes = float(row["num_workers"]), float(row["size"])
                samples[chip].append((*sizes, float(median) / 1e3))
    return {chip: [_one(of_chip)] for chip, of_chip in samples.items()}


def _one(samples: list[tuple[float, float, float]]) -> KernelRows:
    ranks, size, time = np.array(samples).T
    return KernelRows(
        family="collective", op="all_reduce", format="bf16", stack="vidur",
        sizes={"ranks": ranks, "bytes": size}, seconds=time,
    )  # fmt: skip
