"""aiconfigurator's tables of routed experts, one rank's fused operation, read as they are.

Its `num_tokens` is before routing and over all ranks of the group; the measured rank is the busiest
one and holds `num_experts / moe_ep_size` experts of width `inter_size / moe_tp_size`. No all-to-all
is in the time. Must not know models or splits.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.sources.aiconfigurator import (
    FORMATS,
    Columns,
    columns,
    seconds,
    tables,
)
from crossgrade.values.kernel import SIZES, KernelRows

Column = NDArray[np.float64]

SKEW = {"balanced": 0.0, "power_law_1.01": 1.01, "power_law_1.2": 1.2}
"""Their name of a routing -> ours. Theirs that is balanced is perfectly even, not random."""
UNGATED = {(2688.0, 1856.0), (2048.0, 5120.0), (1024.0, 2688.0)}
"""(hidden, inter) of models whose experts have two products instead of three (Nemotron 3).

Their activation is relu2 (nvidia/NVIDIA-Nemotron-3 config.json, mlp_hidden_act); the rows agree:
on H100 they take 0.8 of the time to read three products.
"""
GROUPED = {(7168.0, 2048.0, 8.0, 256.0)}
"""(hidden, inter, topk, experts) of models that route within 4 of 8 groups (DeepSeek V3).

In their rows the made-up scores meet that rule: `balanced` then hits 128 of 256 experts on one rank
and, split over ranks, sends every choice to the measured one (at ep 64 the time of all tokens on
each of 4 experts). The routing is not the one the row names, so they are apart.
"""


def experts(data: Path, *, grouped: bool = False) -> dict[str, list[KernelRows]]:
    """Return routed experts by chip, one entry per format, gated or not, and stack.

    Args:
        data: the folder of the large data sets.
        grouped: the rows of models in GROUPED alone, instead of all others.
    """
    rows: dict[str, list[KernelRows]] = {}
    for chip, stack, path in tables(data, "moe_perf"):
        chosen = list(routed(columns(path), stack, grouped=grouped))
        if chosen:
            rows.setdefault(chip, []).extend(chosen)
    return rows


def routed(found: Columns, stack: str, *, grouped: bool = False) -> Iterator[KernelRows]:
    """Yield the routed experts of one table, one entry per format, gated or not."""
    sizes = _sizes(found)
    apart = _named(sizes, GROUPED, ("hidden", "inter", "topk", "experts"))
    plain = _named(sizes, UNGATED, ("hidden", "inter"))
    formats = found["moe_dtype"].astype(str)
    for theirs, ungated in itertools.product(np.unique(formats), (False, True)):
        everything = KernelRows(
            family="experts",
            op="ungated" if ungated else "gated",
            format=FORMATS[theirs],
            stack=stack,
            sizes=sizes,
            seconds=seconds(found),
            launched=np.array([_kernel(name) for name in found["kernel_source"].astype(str)]),
        )
        chosen = everything.take((formats == theirs) & (apart == grouped) & (plain == ungated))
        if len(chosen):
            yield chosen


def _sizes(found: Columns) -> dict[str, Column]:
    theirs = {
        "tokens": "num_tokens", "hidden": "hidden_size", "inter": "inter_size", "topk": "topk",
        "experts": "num_experts", "tp": "moe_tp_size", "ep": "moe_ep_size",
    }  # fmt: skip
    sizes = {name: found[column].astype(np.float64) for name, column in theirs.items()}
    sizes["skew"] = np.array([SKEW[name] for name in found["distribution"].astype(str)])
    assert tuple(sizes) == SIZES["experts"]
    return sizes


def _named(
    sizes: dict[str, Column], those: Collection[tuple[float, ...]], names: tuple[str, ...]
) -> NDArray[np.bool_]:
    points = zip(*(sizes[name].tolist() for name in names), strict=True)
    return np.array([point in those for point in points], dtype=bool)


def _kernel(name: str) -> str:
    """Return the launched kernel: their name without the quantisation class before it."""
    return name.split("moe_", 1)[-1].removesuffix("_situ_as_silu")
