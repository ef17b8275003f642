"""Routed experts as one rank runs them: two grouped products, the small kernels round them.

Each active expert's weights are read once; its rows are padded to blocks; blocks times tiles of
columns fill the cores in waves. Router, sort, permutation, activation, quantisation and the
weighted sum move data of the routed rows. The all-to-all between ranks is another kernel. Must not
know chips or kernels by name: each launched kernel has its own parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.silicon.facts import BYTES, Facts
from crossgrade.predict.silicon.model import Floats, Parameter, Terms
from crossgrade.predict.silicon.routing import BLOCKS, Share, share_of
from crossgrade.values.kernel import Family, KernelRows

UNGATED = "ungated"
"""`op` of rows whose experts have no gate: two products instead of three."""
COLUMNS = 128
"""Columns of one tile of a grouped product."""
CORES = 132.0
"""Cores of a chip whose sheet does not give them: the middle of the GPU sheets here, 108 to 160."""
ALIGNED_BYTES = 32
"""A row of weights that is no multiple of this is loaded in small pieces (found from rows)."""
STEP = 64
"""Depth that one step of a tile multiplies."""
_OPERAND = {"bf16": 2.0, "fp16": 2.0, "nvfp4": 0.5, "mxfp4": 0.5,
            "mxfp4_wo": 0.5, "mxfp4_a8": 0.5, "int4_wo": 0.5, "int4_a8": 0.5}  # fmt: skip
"""Format -> bytes of one weight element without scales; 1 where it is not here."""
JOIN = 4.0
"""How softly compute and memory overlap: (a^q + b^q)^(1/q)."""

PARAMETERS = (
    Parameter(
        name="matrix_efficiency", unit="1", start=0.6, low=0.05, high=1.0, spread=0.4,
        source="share of the matrix peak in full waves; 0.5 to 0.9 of dense products",
    ),
    Parameter(
        name="memory_efficiency", unit="1", start=0.8, low=0.1, high=1.1, spread=0.2,
        source="share of the memory peak when streaming; 0.7 to 0.9 of dense products",
    ),
    Parameter(
        name="floor_s", unit="s", start=20e-6, low=2e-6, high=2e-4, spread=0.6,
        source="five to eight small kernels in one graph, 2 to 4 us each",
    ),
    Parameter(
        name="step_s", unit="s", start=30e-9, low=1e-9, high=1e-6, spread=0.7,
        source="latency of one step in depth; 14 to 50 ns of dense products",
    ),
    Parameter(
        name="fill_steps", unit="1", start=3.0, low=0.1, high=60.0, spread=0.7,
        source="steps that a tile takes to fill and to write out; kernels keep 3 to 5 in flight",
    ),
    Parameter(
        name="misaligned", unit="1", start=1.3, low=1.0, high=5.0, spread=0.4,
        source="slower loads where a row of weights is no multiple of 32 bytes",
    ),
    Parameter(
        name="tile_exponent", unit="1", start=0.4, low=0.05, high=1.0, spread=0.5,
        source="how much slower small blocks multiply; 0.2 to 0.5 of dense products",
    ),
    Parameter(
        name="occupancy_exponent", unit="1", start=0.5, low=0.05, high=1.5, spread=0.5,
        source="how much bandwidth a part of the cores gets; 0.5 of dense products",
    ),
    Parameter(
        name="cache_gain", unit="1", start=1.5, low=1.0, high=6.0, spread=0.5,
        source="how much faster weights come from a shared cache that measuring loops keep warm",
    ),
    Parameter(
        name="moved", unit="1", start=1.0, low=0.05, high=20.0, spread=0.7,
        source="bytes of the small kernels over what their operands have; 1 by construction",
    ),
    Parameter(
        name="moved_elsewhere", unit="1", start=0.05, low=1e-3, high=20.0, spread=1.5,
        source="the same for choices that fall on other ranks: kernels that skip them read ids",
    ),
)  # fmt: skip
_LENGTHS = {
    "total": 2.0, "tokens": 3.8, "per_expert": 3.3, "most": 3.9, "active": 2.6, "rows": 4.2,
    "weights": 2.5, "columns": 2.0, "hidden": 0.54, "wide": 2.0, "topk": 1.1, "experts_here": 2.6,
    "ep": 2.5, "skew": 0.53, "bound": 1.5, "vector": 0.2, "floor": 0.15, "waves_up": 2.6,
    "waves_down": 2.9, "padding": 2.5,
}  # fmt: skip
"""Coordinate -> how far apart rows are that have little to do with each other.

The spread of each over the rows of one chip, so that all count alike; times, sizes and counts are
in doublings.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """The kernel model of family `experts`."""

    name: str = "grouped-tiles"
    """Its name."""
    family: Family = "experts"
    """The family that it prices."""
    parameters: tuple[Parameter, ...] = PARAMETERS
    """Its parameters."""

    def terms(self, rows: KernelRows, facts: Facts, values: Mapping[str, float]) -> Terms:
        """Return the time of each row; see KernelModel."""
        share = share_of(rows.sizes)
        compute, memory, total = np.zeros(len(rows)), np.zeros(len(rows)), np.zeros(len(rows))
        resident = _resident(rows, share, facts)
        loads = np.where(_aligned(rows), 1.0, values["misaligned"])
        for columns, depth in _products(rows):
            multiply, stream = self._product(
                columns, depth, share, resident, rows.format, facts, values
            )
            multiply, stream = multiply * loads, stream * loads
            compute, memory = compute + multiply, memory + stream
            total = total + (multiply**JOIN + stream**JOIN) ** (1 / JOIN)
        vector = moved_bytes(rows, share, values) / facts.bandwidth_bytes_per_s
        floor = np.full(len(rows), values["floor_s"])
        return Terms(
            total=total + vector + floor, compute=compute, vector=vector, memory=memory, floor=floor
        )

    def _product(
        self,
        columns: Floats,
        depth: Floats,
        share: Share,
        resident: Floats,
        format: str,
        facts: Facts,
        values: Mapping[str, float],
    ) -> tuple[Floats, Floats]:
        """Return seconds of the matrix engine and of memory for one grouped product."""
        per_core = facts.matrix_flop_per_s / cores_of(facts) * values["matrix_efficiency"]
        across = np.ceil(columns / COLUMNS)
        best = np.full(len(columns), np.inf)
        for block in BLOCKS:
            waves = np.maximum(np.ceil(share.blocks[block] * across / cores_of(facts)), 1.0)
            rate = per_core * (block / 128) ** values["tile_exponent"]
            step = 2 * block * COLUMNS * STEP / rate + values["step_s"]
            steps = np.ceil(depth / STEP) + values["fill_steps"]
            best = np.minimum(best, waves * steps * step)
        held = share.active * columns * depth * BYTES[format]
        filled = np.minimum(1.0, np.maximum(share.active, 1.0) * across / cores_of(facts))
        cached = 1 + (values["cache_gain"] - 1) * resident
        bandwidth = facts.bandwidth_bytes_per_s * values["memory_efficiency"] * cached
        return best, held / (bandwidth * filled ** values["occupancy_exponent"])

    def features(self, rows: KernelRows, facts: Facts, values: Mapping[str, float]) -> Floats:
        """Return where rows lie for a table that interpolates measured / model.

        Returns:
            Coordinates in units of correlation lengths, shape [kernels, axes].
        """
        sizes, share = rows.sizes, share_of(rows.sizes)
        terms = self.terms(rows, facts, values)
        (up, _), (down, wide) = _products(rows)
        doublings = {
            "total": terms.total, "tokens": sizes["tokens"], "most": share.most,
            "rows": share.rows, "per_expert": share.rows / np.maximum(share.active, 1e-9),
            "active": share.active, "weights": weight_bytes(rows, share), "columns": up,
            "hidden": down, "wide": wide, "topk": sizes["topk"],
            "experts_here": sizes["experts"] / sizes["ep"], "ep": sizes["ep"],
            "bound": terms.compute / terms.memory,
            "padding": share.blocks[128] * 128 / share.rows,
            "waves_up": share.blocks[64] * np.ceil(up / COLUMNS) / cores_of(facts),
            "waves_down": share.blocks[64] * np.ceil(down / COLUMNS) / cores_of(facts),
        }  # fmt: skip
        at = {name: np.log2(np.maximum(column, 1e-12)) for name, column in doublings.items()}
        at["skew"] = sizes["skew"]
        at["vector"], at["floor"] = terms.vector / terms.total, terms.floor / terms.total
        axes = [at[name] / length for name, length in _LENGTHS.items()]
        points: Floats = np.stack(axes, axis=1) / np.sqrt(len(axes))
        return points


def cores_of(facts: Facts) -> float:
    """Return the cores of a chip, CORES where its sheet is silent."""
    return facts.cores if facts.cores > 0 else CORES


def _products(rows: KernelRows) -> tuple[tuple[Floats, Floats], ...]:
    """Return (columns, depth) of gate and up together (of up where ungated), and of down."""
    wide, hidden = rows.sizes["inter"] / rows.sizes["tp"], rows.sizes["hidden"]
    return ((1 if rows.op == UNGATED else 2) * wide, hidden), (hidden, wide)


def weight_bytes(rows: KernelRows, share: Share) -> Floats:
    """Return bytes of the weights that the busiest rank reads, shape [kernels]."""
    read = sum(columns * depth for columns, depth in _products(rows))
    held: Floats = share.active * read * BYTES[rows.format]
    return held


def _resident(rows: KernelRows, share: Share, facts: Facts) -> Floats:
    """Return how much of the weights a shared cache still has from the call before, 0 to 1."""
    if not facts.cache_bytes > 0:
        return np.zeros(len(rows))
    resident: Floats = 1 / (1 + (weight_bytes(rows, share) / facts.cache_bytes) ** 4)
    return resident


def _aligned(rows: KernelRows) -> NDArray[np.bool_]:
    """Return whether a row of the down product's weights is read in whole pieces."""
    wide = rows.sizes["inter"] / rows.sizes["tp"]
    aligned: NDArray[np.bool_] = wide * _OPERAND.get(rows.format, 1.0) % ALIGNED_BYTES == 0
    return aligned


def moved_bytes(rows: KernelRows, share: Share, values: Mapping[str, float]) -> Floats:
    """Return bytes that the kernels round the products move, shape [kernels].

    Per routed row: permuted in and out (hidden, 2 bytes, read and written), result of gate and up
    written, read and narrowed, result of down written and read. Per token and expert: its score.
    """
    sizes = rows.sizes
    wide = sizes["inter"] / sizes["tp"]
    per_row = 2 * (4 * sizes["hidden"] + 6 * wide)
    elsewhere = np.maximum(sizes["tokens"] * sizes["topk"] - share.rows, 0.0)
    scores = 4 * sizes["tokens"] * sizes["experts"]
    routed = share.rows * values["moved"] + elsewhere * values["moved_elsewhere"]
    moved: Floats = routed * per_row + scores * values["moved"]
    return moved
