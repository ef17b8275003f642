"""Time of dense products on cores with a cube unit behind explicit buffers (L1, L0A, L0B, L0C).

The kernel cuts the output into base tiles that the buffers can hold, deals them to the cores in
rounds, and each core runs four pipes side by side: the cube, the loads into L1 (MTE2), the loads
into L0 (MTE1) and the store of the result (FIXP). Applies to a chip whose description has the
buffers L0A and L0C. Must not know chips by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.silicon.facts import ARITHMETIC, BYTES, Facts
from crossgrade.predict.silicon.model import Floats, Parameter, Terms
from crossgrade.values.kernel import Family, KernelRows

FRACTAL = 16.0
"""Rows and columns of one cube instruction. Source: platform files of hicann/runtime@681ef761,
16 x 16 x 16 in fp16."""
DEPTHS = (1.0, 2.0, 4.0, 8.0)
"""Ways to split k over cores that are tried."""
SIDES = (16, 32, 64, 96, 128, 256)
"""Sides of base tiles that are tried, before the buffers say which fit."""
ACCUMULATOR = 4.0
"""Bytes of one accumulator in L0C (fp32 or int32)."""
PANEL = 512.0
"""Bytes of k that one load into L1 brings per row: one burst of the memory engine."""
DEQUANT = 8.0
"""Vector operations per output of an integer product: scale, offset, two casts, and their moves."""
ACTIVATION: Mapping[str, float] = {"int4_a8": 1.0}
"""Format -> bytes of an activation element, where it is wider than the weights are."""
DOUBLE = 2.0
"""Ping and pong: half of L0A and L0B is filled while the other is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A base tile of the output."""

    rows: int
    """Rows of the output."""
    columns: int
    """Columns of the output; 0 for an even share of all columns over the cores."""


def has_cube(facts: Facts) -> bool:
    """Return whether the chip has the buffers that this model is about."""
    return "L0A" in facts.buffers and "L0C" in facts.buffers


def tiles(facts: Facts, width: float) -> Iterator[Tile]:
    """Yield the base tiles that L0A, L0B, L0C and L1 can hold.

    Args:
        facts: the chip.
        width: bytes of one operand element.
    """
    most = facts.buffers["L0C"] / ACCUMULATOR
    left = facts.buffers["L0A"] / DOUBLE
    right = facts.buffers.get("L0B", facts.buffers["L0A"]) / DOUBLE
    panel = facts.buffers.get("L1", math.inf) / DOUBLE
    for rows in SIDES:
        for columns in SIDES:
            fits = rows * columns <= most
            fits &= rows * FRACTAL * width <= left and columns * FRACTAL * width <= right
            if fits and (rows + columns) * FRACTAL * width <= panel:
                yield Tile(rows=rows, columns=columns)
        yield Tile(rows=rows, columns=0)


_CANN = "hicann/runtime@681ef761, platform of 910B2, bytes per cycle and core"
_DIE = "kernel times of a 910C die, Horacehxw/msModeling@39df672"
PARAMETERS = (
    Parameter(
        name="cube", unit="1", start=0.9, low=0.3, high=1.0, spread=0.1,
        source=f"316.8 of 354 TFLOP/s in the largest bf16 product; {_DIE}",
    ),
    Parameter(
        name="memory", unit="1", start=0.9, low=0.3, high=1.05, spread=0.15,
        source="1.468 of 1.6 TB/s in six products by large int8 weights, hicann/oam-tools@8804d04d",
    ),
    Parameter(
        name="cache", unit="1", start=3.4, low=1.0, high=8.0, spread=0.3,
        source=f"110 of L2 over 32 of memory; {_CANN}",
    ),
    Parameter(
        name="store", unit="1", start=2.7, low=0.5, high=8.0, spread=0.3,
        source=f"86 of L2 writes over 32 of memory; {_CANN}",
    ),
    Parameter(
        name="feed", unit="byte/cycle", start=256.0, low=128.0, high=512.0, spread=0.05,
        source=f"L1 to L0B, half of L1 to L0A; {_CANN}",
    ),
    Parameter(
        name="floor", unit="s", start=5e-6, low=1e-6, high=3e-5, spread=0.3,
        source=f"least time of MatMulV2, 8.4 us, less its transfer; {_DIE}",
    ),
    Parameter(
        name="floor_narrow", unit="1", start=2.4, low=0.8, high=5.0, spread=0.25,
        source=f"least time of QuantBatchMatmulV3, 15.8 us, less its transfer, over bf16's; {_DIE}",
    ),
    Parameter(
        name="floor.bmm", unit="1", start=1.0, low=0.3, high=4.0, spread=0.3,
        source="as a single product, before any measurement",
    ),
    Parameter(
        name="floor.transposed_bmm", unit="1", start=1.0, low=0.3, high=4.0, spread=0.3,
        source="as a single product, before any measurement",
    ),
    Parameter(
        name="panel", unit="s", start=6e-8, low=1e-9, high=1e-6, spread=0.7,
        source="part of a load's latency that double buffering leaves, per PANEL bytes of k",
    ),
    Parameter(
        name="split", unit="s", start=2e-6, low=1e-7, high=2e-5, spread=0.7,
        source="a barrier of all cores before partial results are summed, as GPUs need (own fits)",
    ),
    Parameter(
        name="nd", unit="1", start=1.15, low=1.0, high=2.0, spread=0.15,
        source="ND operands are put into fractals by the load: strided bursts",
    ),
    Parameter(
        name="join", unit="1", start=4.0, low=1.5, high=12.0, spread=0.5,
        source="pipes overlap but for filling and draining",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Cube:
    """Rounds of base tiles over cube cores, each bound by its slowest pipe."""

    @property
    def name(self) -> str:
        """Return `cube-rounds`."""
        return "cube-rounds"

    @property
    def family(self) -> Family:
        """Return `matmul`."""
        return "matmul"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return its parameters."""
        return PARAMETERS

    def terms(self, rows: KernelRows, facts: Facts, values: Mapping[str, float]) -> Terms:
        """Return the time of each product: the best base tile and split of k.

        Operations whose name ends in `_nz` have their weight in blocks already; the others pay
        `nd` on loads.

        Args:
            rows: products.
            facts: a chip for which `has_cube` holds.
            values: parameter name -> value.
        """
        work = _Work.of(rows, facts)
        cut = _cuts(work, facts)
        pipes = _pipes(work, cut, facts, values)
        joined = np.sum([pipe ** values["join"] for pipe in pipes], axis=0) ** (1 / values["join"])
        panels = np.ceil(cut.deep * work.width / PANEL)
        total = cut.rounds * joined + panels * values["panel"]
        total += (cut.depth > 1) * _reduction(work, cut.depth, facts, values)
        floor = values["floor"] * values.get(f"floor.{rows.op}", 1.0)
        floor *= values["floor_narrow"] if work.narrow else 1.0
        rate = facts.bandwidth_bytes_per_s * values["memory"]
        return Terms(
            total=floor + np.where(cut.legal, total, np.inf).min(axis=0),
            compute=work.flops / (facts.matrix_flop_per_s * values["cube"]),
            vector=work.vector_ops / facts.vector_flop_per_s,
            memory=work.bytes / rate,
            floor=np.full(len(rows), floor),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """Products as numbers, each array [kernels]."""

    batch: Floats
    m: Floats
    n: Floats
    k: Floats
    width: float
    """Bytes of a weight element."""
    left: float
    """Bytes of an activation element."""
    narrow: bool
    """Whether both operands have fewer than 16 bits, so that the result is scaled."""
    nd: bool
    """Whether the weight comes row by row."""

    @classmethod
    def of(cls, rows: KernelRows, facts: Facts) -> _Work:
        batch, m, n, k = (rows.sizes[name] for name in ("batch", "m", "n", "k"))
        # One cube instruction is as deep as its rate says: 16 in bf16, 32 in int8 and fp8.
        step = facts.matrix_flop_per_s / (2 * facts.clock_hz * facts.cores * FRACTAL**2)
        deep = FRACTAL if not math.isfinite(step) else max(round(step), 1)
        width, weights = BYTES[rows.format], ARITHMETIC[rows.format][1]
        narrow = width < 2 and bool(weights)
        return cls(
            batch=batch,
            m=m,
            n=n,
            k=np.ceil(k / deep) * deep,
            width=width,
            left=max(width, ACTIVATION.get(rows.format, width)) if narrow else max(width, 2.0),
            narrow=narrow,
            nd=not rows.op.endswith("_nz"),
        )

    @property
    def flops(self) -> Floats:
        return 2 * self.batch * self.m * self.n * self.k

    @property
    def bytes(self) -> Floats:
        read = (self.m * self.left + self.n * self.width) * self.k
        return self.batch * (read + self.m * self.n * max(self.width, 2.0))

    @property
    def vector_ops(self) -> Floats:
        return self.batch * self.m * self.n * (DEQUANT if self.narrow else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cuts:
    """Ways to cut the products, each array [ways, kernels]."""

    rows: Floats
    columns: Floats
    depth: Floats
    deep: Floats
    down: Floats
    rounds: Floats
    busy: Floats
    legal: NDArray[np.bool_]


def _cuts(work: _Work, facts: Facts) -> _Cuts:
    """Return every way: base tile by split of k."""
    tried = [(t, depth) for t in tiles(facts, work.width) for depth in DEPTHS]
    side, own, depth = (
        np.array(column, dtype=np.float64)[:, None]
        for column in zip(*((t.rows, t.columns, depth) for t, depth in tried), strict=True)
    )
    wide = np.ceil(work.n / FRACTAL) * FRACTAL
    down = np.ceil(work.m / side)
    across = np.maximum(np.floor(facts.cores / (down * depth * work.batch)), 1.0)
    even = np.ceil(work.n / across / FRACTAL) * FRACTAL
    columns = np.minimum(np.where(own > 0, own, even), wide)
    rows = np.minimum(side, np.ceil(work.m / FRACTAL) * FRACTAL)
    units = work.batch * down * np.ceil(work.n / columns) * depth
    fits = rows * columns * ACCUMULATOR <= facts.buffers["L0C"]
    return _Cuts(
        rows=rows,
        columns=columns,
        depth=depth,
        deep=np.ceil(work.k / depth / FRACTAL) * FRACTAL,
        down=down,
        rounds=np.ceil(units / facts.cores),
        busy=np.minimum(units, facts.cores),
        legal=fits & (work.k / depth >= FRACTAL),
    )


def _pipes(
    work: _Work, cut: _Cuts, facts: Facts, values: Mapping[str, float]
) -> tuple[Floats, ...]:
    """Return the time that a tile occupies each pipe of its core, s, each [ways, kernels].

    Memory gives each core an even share of its rate, used or not. Weights that several tiles of a
    round need come out of memory once and out of the cache for the others, as the activations do.
    """
    flop = facts.matrix_flop_per_s / facts.cores * values["cube"]
    memory = facts.bandwidth_bytes_per_s / facts.cores * values["memory"]
    strided = values["nd"] if work.nd else 1.0
    load = (cut.rows * work.left + cut.columns * work.width) * cut.deep * strided
    across = np.ceil(work.n / cut.columns)
    once = cut.columns * work.width / np.minimum(cut.down, cut.busy)
    once = once + cut.rows * work.left / np.minimum(across, cut.busy)
    fresh = once * cut.deep * strided
    feed = values["feed"] * facts.clock_hz
    cells = cut.rows * cut.columns
    return (
        2 * cells * cut.deep / flop,
        fresh / memory + (load - fresh) / (memory * values["cache"]),
        cut.deep * (cut.rows * work.left / 2 + cut.columns * work.width) / feed,
        cells * max(work.width, 2.0) / (memory * values["store"]),
        cells * DEQUANT * facts.cores / facts.vector_flop_per_s if work.narrow else 0.0 * cells,
    )


def _reduction(work: _Work, depth: Floats, facts: Facts, values: Mapping[str, float]) -> Floats:
    """Return the time to write and sum the partial results of a split k, [ways, kernels]."""
    moved = (depth + 1) * work.batch * work.m * work.n * ACCUMULATOR
    rate = facts.bandwidth_bytes_per_s * values["memory"] * values["store"]
    return moved / rate + values["split"]
