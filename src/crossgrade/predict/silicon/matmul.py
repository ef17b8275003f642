"""The time of dense products on chips with many cores and tiled kernels (tile, wave, split, join).

The result is cut into tiles, tiles into waves over the cores, K perhaps among cores; the fastest
entry of the stack's menu is launched (plans.py). What the engine, the shared cache and the memory
take is joined softly. Formulas: Hong & Kim 2009 (waves), Osama et al. 2023 (stream-K: part waves),
and the p-norm in place of the roofline's corner. Must not know chips by name, or where parameters
come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from crossgrade.predict.silicon.facts import BYTES, Facts
from crossgrade.predict.silicon.model import Floats, Parameter, Terms
from crossgrade.predict.silicon.plans import Plan, Shape, plan_of
from crossgrade.predict.silicon.quantise import (
    CORES_UNKNOWN,
    PARAMETERS,
    WIDE_BYTES,
    Quantise,
    slowness,
)
from crossgrade.values.kernel import KernelRows

ACTIVATION_BYTES = {
    "int8_wo": 2.0, "int4_wo": 2.0, "mxfp4_wo": 2.0, "bf16_kv_fp8": 2.0, "mxfp4_a8": 1.0,
}  # fmt: skip
"""Format -> bytes of one activation where it is not as wide as a weight."""
STEP_BYTES = 128.0
"""Bytes of K that one step of a kernel's main loop takes: a line of shared memory."""
REFERENCE_TILE = 128.0 * 256.0
"""Elements of the tile that runs at `matrix_efficiency`; smaller ones load more per operation."""
CACHE_UNKNOWN_BYTES = 50e6
"""Shared cache where a sheet is silent: between 40 MB (A100) and 126 MB (B200)."""
LONG_S = 1e-3
"""Compute time around which power limits the clock, s: near the response time of clock control."""
_SHARP = 3.0
_HOST_JOIN = 6.0
_CELLS = 20_000
_FITS = "near fits to the calibration sites of public bf16 rows of A100, H100, B200, L40S"
_HOST = "near the least times of public fp8_block rows of vLLM, launched by the host"


def _parameter(
    name: str, unit: str, start: float, low: float, high: float, spread: float, source: str = _FITS
) -> Parameter:
    return Parameter(
        name=name, unit=unit, start=start, low=low, high=high, spread=spread, source=source
    )


PRODUCT = (
    _parameter("matrix_efficiency", "1", 0.85, 0.2, 1.0, 0.2),
    _parameter("memory_efficiency", "1", 0.85, 0.2, 1.0, 0.12),
    _parameter("launch_s", "s", 2.2e-6, 2e-7, 1e-4, 0.3),
    _parameter("step_s", "s", 2e-8, 1e-9, 1e-6, 0.6),
    _parameter("tile_s", "s", 2.5e-7, 1e-8, 1e-5, 0.6),
    _parameter("cache_ratio", "1", 6.0, 0.5, 30.0, 0.4),
    _parameter("split_s", "s", 2e-6, 1e-8, 1e-4, 0.4),
    _parameter("tile_exponent", "1", 0.1, 0.01, 1.5, 0.5),
    _parameter("quantised", "1", 0.5, 0.02, 1.0, 0.5),
    _parameter("fill_exponent", "1", 0.25, 0.02, 2.0, 0.5),
    _parameter("warm_ratio", "1", 1.1, 1.0, 8.0, 0.4),
    _parameter("resident_share", "1", 0.45, 0.05, 2.0, 0.5),
    _parameter("join", "1", 3.6, 1.0, 12.0, 0.5),
    _parameter("write_cost", "1", 1.2, 0.3, 5.0, 0.3),
    _parameter("sustained", "1", 0.95, 0.4, 1.0, 0.15),
)
"""Of the product itself.

Shares of the peaks: `matrix_efficiency` at REFERENCE_TILE, `memory_efficiency` with all cores busy.
Times: `launch_s` per kernel, `step_s` per step of the main loop, `tile_s` per wave (first loads and
last writes), `split_s` per split product. `cache_ratio`: rate of the shared cache over memory.
`tile_exponent`: how fast small tiles lose efficiency. `quantised`: 1 if a part wave costs a whole
one, 0 if it costs its part (stream-K). `fill_exponent`: how fast idle cores cost bandwidth.
`warm_ratio`: rate over memory's when operands lie in the cache from the run before, in up to
`resident_share` of it. `join`: exponent of the soft maximum. `write_cost`: a written byte over a
read one. `sustained`: share of the clock that is left in long, hot products.
"""
CYCLES = ("launch_s", "step_s", "tile_s", "split_s")
"""Latencies of the device: they stand for REFERENCE_HZ and go with one over the clock."""
HOSTED = (
    _parameter("host_s", "s", 1.2e-4, 1e-7, 1e-3, 1.0, _HOST),
    _parameter("host_small_s", "s", 6e-5, 1e-7, 1e-3, 1.0, _HOST),
    _parameter("host_odd_s", "s", 1.6e-4, 1e-7, 1e-3, 1.0, _HOST),
    _parameter("unaligned_s", "s", 1e-5, 1e-8, 1e-3, 1.5, _HOST),
    _parameter("lone_s", "s", 1e-5, 1e-8, 1e-3, 1.0, _HOST),
)
"""Of the launches around it, where the plan has such: time of the host by kernel; a further kernel
that pads rows; what one single row costs more."""


def in_graph(values: Mapping[str, float]) -> dict[str, float]:
    """Return parameters of the same kernels replayed from a graph: the host takes no time."""
    return {**values, **{p.name: p.low for p in HOSTED if p.name != "lone_s"}}


@dataclass(frozen=True, slots=True)
class _Product:
    """What a menu is priced with; columns [rows, 1] against shapes [shapes]."""

    b: Floats
    m: Floats
    n: Floats
    k: Floats
    activation_bytes: float
    weight_bytes: float
    step: float
    cores: float
    cache_bytes: float
    rate: float
    bandwidth: float

    def flops(self) -> Floats:
        return 2 * self.b * self.m * self.n * self.k

    def traffic(self, write_cost: float) -> Floats:
        read = self.m * self.k * self.activation_bytes + self.n * self.k * self.weight_bytes
        return self.b * (read + write_cost * WIDE_BYTES * self.m * self.n)


class TileWave:
    """Seconds of dense products, with the conversion of activations where the rows contain it.

    Unknown cores: CORES_UNKNOWN; cache: CACHE_UNKNOWN_BYTES; clock: REFERENCE_HZ; matrix rate:
    memory binds. Bandwidth unknown: times are NaN, for nothing can stand in for it.
    """

    name = "tile-wave"
    family: Literal["matmul"] = "matmul"
    parameters = (*PRODUCT, *PARAMETERS, *HOSTED)

    def terms(self, rows: KernelRows, facts: Facts, values: Mapping[str, float]) -> Terms:
        """Return the time of each product, the conversion among `vector`."""
        plan = plan_of(rows.stack, rows.format, facts.architecture)
        device_values = {n: v * slowness(facts) if n in CYCLES else v for n, v in values.items()}
        device, compute, memory = np.empty((3, len(rows)))
        below = -np.inf
        for step in plan.ladder:
            at = np.flatnonzero((rows.sizes["m"] > below) & (rows.sizes["m"] <= step.rows_to))
            below = step.rows_to
            size = max(1, _CELLS // len(step.shapes))  # Rows at a time: they stay in a cache.
            for part in (at[i : i + size] for i in range(0, len(at), size)):
                product = _product(rows, part, facts, device_values)
                device[part], compute[part], memory[part] = _priced(
                    product, step.shapes, device_values
                )
        vector = np.zeros(len(rows))
        if plan.quantises:
            vector = Quantise().terms(_converted(rows), facts, values).total
        floor = np.full(len(rows), device_values["launch_s"])
        total = _launched(rows, plan, values, device + floor + vector)
        return Terms(total=total, compute=compute, vector=vector, memory=memory, floor=floor)

    def features(self, rows: KernelRows, facts: Facts, values: Mapping[str, float]) -> Floats:
        """Return what a table is smooth in, in units of a likely length, [rows, features].

        Beside the sizes: whether rows are odd (unaligned copies), and how much of the last wave is
        empty with two usual tiles, 0 where one wave holds all.
        """
        del values
        m, n, k = (rows.sizes[name] for name in ("m", "n", "k"))
        cores = facts.cores if np.isfinite(facts.cores) else CORES_UNKNOWN
        waves = [
            rows.sizes["batch"] * np.ceil(m / 128) * np.ceil(n / tn) / cores for tn in (128, 256)
        ]
        empty = [np.where(w > 1, np.log2(np.ceil(w) / w), 0.0) for w in waves]
        odd = ((m % 2 == 1) & (m > 16)).astype(np.float64)
        return np.stack(
            [np.log2(m) / 0.5, np.log2(n) / 2, np.log2(k) / 3, odd / 0.3, *(e / 0.4 for e in empty),
             np.log2(rows.sizes["batch"])], axis=1,
        )  # fmt: skip


def _converted(rows: KernelRows) -> KernelRows:
    sizes = {"m": rows.sizes["batch"] * rows.sizes["m"], "k": rows.sizes["k"]}
    return KernelRows(
        family="quantise", op="per_token", format=rows.format, stack=rows.stack, sizes=sizes
    )


def _product(
    rows: KernelRows, part: np.ndarray, facts: Facts, values: Mapping[str, float]
) -> _Product:
    b, m, n, k = (rows.sizes[name][part][:, None] for name in ("batch", "m", "n", "k"))
    weight = BYTES[rows.format]
    activation = ACTIVATION_BYTES.get(rows.format, weight)
    matrix = facts.matrix_flop_per_s if np.isfinite(facts.matrix_flop_per_s) else np.inf
    return _Product(
        b=b, m=m, n=n, k=k,
        activation_bytes=activation,
        weight_bytes=weight,
        # Scales do not count: a step is a power of two of elements.
        step=float(2 ** np.round(np.log2(STEP_BYTES / activation))),
        cores=facts.cores if np.isfinite(facts.cores) else CORES_UNKNOWN,
        cache_bytes=facts.cache_bytes if np.isfinite(facts.cache_bytes) else CACHE_UNKNOWN_BYTES,
        rate=matrix * values["matrix_efficiency"],
        bandwidth=facts.bandwidth_bytes_per_s * values["memory_efficiency"],
    )  # fmt: skip


def _priced(
    product: _Product, shapes: tuple[Shape, ...], values: Mapping[str, float]
) -> tuple[Floats, Floats, Floats]:
    """Return (device time without its launch, compute, memory), each s, shape [rows]."""
    if any(s.split > 1 for s in shapes) and len(product.m) > 1:
        whole = (product.b * np.ceil(product.m / 128) * np.ceil(product.n / 256)) >= product.cores
        if whole.any():  # Enough tiles for all cores: K is not worth a split.
            return _apart(product, shapes, values, whole[:, 0])
    tm, tn, split, depth = (np.array([getattr(s, a) for s in shapes], dtype=np.float64)
                     for a in ("m", "n", "split", "depth"))  # fmt: skip
    steps = np.ceil(product.k / (split * depth * product.step))
    units = product.b * np.ceil(product.m / tm) * np.ceil(product.n / tn) * split
    waves = units / product.cores
    compute = _compute(product, tm * tn, depth, steps, waves, values)
    fill = np.minimum(waves, 1.0) ** values["fill_exponent"]
    memory = _memory(product, values) / fill
    tiles = (tm * product.activation_bytes + tn * product.weight_bytes) * product.step * depth
    cached = product.bandwidth * values["cache_ratio"]
    cache = units * steps * tiles / (cached * fill)
    partial = product.b * product.m * product.n * 8 * split / cached  # fp32, written and read
    extra = np.where(split > 1, values["split_s"] + partial, 0.0)
    best = (np.maximum(np.maximum(compute, memory), cache) + extra).argmin(axis=1)[:, None]
    compute, memory, cache, extra = (
        np.take_along_axis(x, best, axis=1)[:, 0] for x in (compute, memory, cache, extra)
    )
    q = values["join"]
    most = np.maximum(np.maximum(compute, memory), cache)
    soft = most * sum((x / most) ** q for x in (compute, memory, cache)) ** (1 / q)
    return soft + extra, compute, np.maximum(memory, cache)


def _apart(
    product: _Product, shapes: tuple[Shape, ...], values: Mapping[str, float], whole: np.ndarray
) -> tuple[Floats, Floats, Floats]:
    result = np.empty((3, len(whole)))
    unsplit = tuple(s for s in shapes if s.split == 1)
    for chosen, menu in ((whole, unsplit), (~whole, shapes)):
        if chosen.any():
            columns = {name: getattr(product, name)[chosen] for name in ("b", "m", "n", "k")}
            result[:, chosen] = _priced(replace(product, **columns), menu, values)
    return result[0], result[1], result[2]


def _compute(
    product: _Product,
    area: Floats,
    depth: Floats,
    steps: Floats,
    waves: Floats,
    values: Mapping[str, float],
) -> Floats:
    """Return what the engine takes with each shape, s, [rows, shapes]."""
    small = np.minimum(area / REFERENCE_TILE, 1.0) ** values["tile_exponent"]
    step = (
        2 * area * depth * product.step / (product.rate / product.cores * small) + values["step_s"]
    )
    part = values["quantised"]
    rounds = part * np.ceil(waves) + (1 - part) * np.maximum(waves, 1.0)
    alone = product.flops() / product.rate
    hot = 1 + (1 / values["sustained"] - 1) * alone / (alone + LONG_S)
    return rounds * (values["tile_s"] + steps * step) * hot


def _memory(product: _Product, values: Mapping[str, float]) -> Floats:
    """Return what memory takes with all cores busy, s, [rows, 1]."""
    held = product.traffic(1.0) / (values["resident_share"] * product.cache_bytes)
    warm = 1 + (values["warm_ratio"] - 1) / (1 + held**_SHARP)
    return product.traffic(values["write_cost"]) / (product.bandwidth * warm)


def _launched(rows: KernelRows, plan: Plan, values: Mapping[str, float], device: Floats) -> Floats:
    """Return the time with what the host and further kernels add, s."""
    m, n, k = (rows.sizes[name] for name in ("m", "n", "k"))
    extra = np.zeros(len(rows))
    if plan.row_multiple > 1:
        extra += np.where(m % plan.row_multiple != 0, values["unaligned_s"], 0.0)
    if plan.lone_row:
        extra += np.where(m == 1, values["lone_s"], 0.0)
    if not plan.launches:
        return device + extra
    host = np.full(len(rows), np.nan)
    for launch in plan.launches:
        fits = (m < launch.rows_below) & (n % launch.n_multiple == 0) & (k % launch.k_multiple == 0)
        host = np.where(np.isnan(host) & fits, values[launch.parameter], host)
    host += extra
    return (device**_HOST_JOIN + host**_HOST_JOIN) ** (1 / _HOST_JOIN)
