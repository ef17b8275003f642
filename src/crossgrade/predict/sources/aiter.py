"""AITER's tuned products (MIT, ROCm/aiter@e4048607a5): the best kernel that a search found.

Time is in us there and in s here. Must not know models or splits.
"""

from __future__ import annotations

import csv
import gzip
import math
from pathlib import Path

import numpy as np

from crossgrade.values.kernel import KernelRows

FILE = "perf/aiter_tuned_gemm_mi300x_mi355x.csv.gz"
"""Below the folder of the large data sets."""
CHIPS = {("gfx942", 304): "mi300x", ("gfx950", 256): "mi355x"}
"""Their (architecture, compute units) -> ours. What is not here is never read: gfx942 with 80 units
is another chip. gfx950 rows are of the MI350X or the MI355X; the table does not tell which."""
FORMATS = {
    "bf16": "bf16", "fp8": "fp8", "fp8_blockscale": "fp8_block", "fp4": "mxfp4",
}  # fmt: skip
"""Their class of a format -> ours."""
Size = tuple[float, float, float]


def matmul(data: Path) -> dict[str, list[KernelRows]]:
    """Return dense products by chip, one entry per format; each size once, with its best time.

    Tables of several models hold the same product, tuned more than once; the least time stands, as
    a search over all of them would have it. Batched products are left out: the number of batches
    is not in the table.

    Args:
        data: the folder of the large data sets; nothing is returned where it has no such table.
    """
    if not (data / FILE).exists():
        return {}
    best: dict[tuple[str, str], dict[Size, tuple[float, str]]] = {}
    with gzip.open(data / FILE, "rt", newline="") as text:
        for row in csv.DictReader(text):
            chip = CHIPS.get((row["gfx"], int(row["cu_num"])))
            time_s = float(row["us"]) * 1e-6
            if chip is None or "batched" in row["source_file"] or not 0 < time_s < math.inf:
                continue
            found = best.setdefault((chip, _format(row)), {})
            size = (float(row["M"]), float(row["N"]), float(row["K"]))
            found[size] = min(found.get(size, (math.inf, "")), (time_s, row["libtype"]))
    rows: dict[str, list[KernelRows]] = {}
    for (chip, format), found in sorted(best.items()):
        rows.setdefault(chip, []).append(_rows(format, found))
    return rows


def _format(row: dict[str, str]) -> str:
    """Return our format; a8w8 in a file's name is stronger than `fp4` in the name of its model."""
    theirs = row["dtype_class"]
    if theirs == "fp4" and row["source_file"].startswith("a8w8"):
        theirs = "fp8"
    return FORMATS[theirs]


def _rows(format: str, found: dict[Size, tuple[float, str]]) -> KernelRows:
    sizes = np.array(list(found), dtype=np.float64)
    return KernelRows(
        family="matmul",
        op="mm",
        format=format,
        stack="aiter",
        sizes={
            "batch": np.ones(len(sizes)), "m": sizes[:, 0], "n": sizes[:, 1], "k": sizes[:, 2],
        },
        seconds=np.array([time_s for time_s, _ in found.values()]),
        launched=np.array([name for _, name in found.values()], dtype=np.str_),
    )  # fmt: skip
