"""Dense and batched products in fp32 without TF32, as PyTorch launches them: NeuSight's tables.

sitar-lab/NeuSight@6945927, MIT-style: latency in ms, rows with the same sizes become one, their
median. A V100 there is the PCIe card, 11 % below the described one in clock. Must not know models
or splits.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from pathlib import Path

import numpy as np

from crossgrade.predict.sources.vector_gpu import NEUSIGHT
from crossgrade.values.kernel import SIZES, KernelRows

CHIPS = {
    "NVIDIA A100 80GB PCIe": "a100-pcie", "NVIDIA H100 80GB HBM3": "h100", "NVIDIA L4": "l4",
    "Tesla V100-PCIE-32GB": "v100", "AMD Instinct MI210": "mi210",
}  # fmt: skip
"""Their name of a device -> ours. P100, P4, T4, MI100 and the A100 of 40 GB are not described."""
OPS = ("linear", "bmm")
"""Their operators; both are products."""
Size = tuple[float, float, float, float]


def products(data: Path) -> dict[str, list[KernelRows]]:
    """Return products in fp32 by chip.

    Args:
        data: the folder of the large data sets.
    """
    times: dict[str, dict[Size, list[float]]] = defaultdict(lambda: defaultdict(list))
    with gzip.open(data / NEUSIGHT, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            chip = CHIPS.get(row["Device"])
            if chip is not None and row["OPName"] in OPS:
                size = float(row["B"]), float(row["M"]), float(row["N"]), float(row["K"])
                times[chip][size].append(float(row["Latency"]) / 1e3)
    return {chip: [_rows(by_size)] for chip, by_size in times.items()}


def _rows(by_size: dict[Size, list[float]]) -> KernelRows:
    columns = np.array(list(by_size)).T
    return KernelRows(
        family="matmul", op="mm", format="fp32", stack="torch",
        sizes=dict(zip(SIZES["matmul"], columns, strict=True)),
        seconds=np.array([float(np.median(seconds)) for seconds in by_size.values()]),
    )  # fmt: skip
