"""Seconds of an attention kernel: tiles of scores spread over cores, joined with memory traffic.

One unit is what one core works on: a block of queries of one head (prefill), or all that one KV
head serves, over a part of the keys (decode). Units share the matrix engine, the vector engine
(exponentials) and memory, each with an efficiency; one unit more than cores costs a wave. Whether
the queries of a group share a unit, and how well a kernel does with a head size, differs between
kernels (FlashAttention 2, 3 and 4, FlashInfer, TensorRT-LLM, Triton); these are parameters, and
which kernel runs follows from head size, window and format, so no name of a kernel is needed.
Must not know chips or kernels by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.silicon.facts import BYTES, Facts
from crossgrade.predict.silicon.model import Floats, Parameter, Terms
from crossgrade.values.kernel import Family, KernelRows

Values = Mapping[str, float]
QUERY_TILE, KEY_TILE = 128.0, 128.0
"""Queries and keys of one tile: FlashAttention 2 and 3, hdim 128 (Dao, 2023; Shah et al., 2024)."""
DECODE_TILE = 16.0
"""Query rows of one tile where few are new: the least that a matrix instruction takes (PTX mma)."""
SPLIT_KEYS = 256.0
"""Fewest keys that a decode kernel gives to one split: two tiles."""
HEADS = (64.0, 128.0, 192.0, 256.0, 512.0)
"""Head sizes that have a parameter; between them it is interpolated, 128 is the reference."""
_STEEP = 6.0
"""How sharply traffic leaves the cache: a loop over more than it holds evicts what comes next."""
_ENGINES = 3.0
"""Exponent of the join of matrix and vector engine inside a unit, which overlap."""


def parameter(
    name: str, start: float, low: float, high: float, spread: float, source: str, unit: str = "1"
) -> Parameter:
    """Return a parameter, in one line."""
    return Parameter(
        name=name, unit=unit, start=start, low=low, high=high, spread=spread, source=source
    )


COMMON = (
    parameter("floor", 8e-6, 1e-6, 4e-4, 0.5, "least row of a serving engine's operator", "s"),
    parameter("unit", 1.5e-6, 1e-8, 5e-5, 0.8, "start and end of one block of threads", "s"),
    parameter("sequence", 5e-9, 1e-11, 1e-5, 2.0, "metadata of one sequence", "s"),
    parameter("join", 2.0, 1.0, 8.0, 0.5, "soft maximum, as of matmul"),
    parameter("tail", 0.5, 0.02, 1.0, 0.8, "half of a started wave is lost"),
    parameter("cache_boost", 3.0, 1.0, 12.0, 0.4, "cache over device memory bandwidth"),
    parameter("cores", 132.0, 16.0, 512.0, 0.15, "108 to 160 are described; used if not told"),
    parameter(
        "cache", 7e7, 1e6, 1e9, 0.4, "40 to 126 MiB are described; used if not told", "bytes"
    ),
    parameter("cache_share", 0.7, 0.1, 2.0, 0.4, "part of the cache that a loop keeps"),
)
_SIZES = tuple(
    parameter(f"head_{size:.0f}", start, 0.02, 5.0, 0.5, f"speed at head size {size:.0f} over 128")
    for size, start in zip(HEADS, (0.9, 1.0, 0.9, 0.8, 0.6), strict=True)
    if size != 128
)


def visible(rows: KernelRows) -> Floats:
    """Return the (query, key) pairs of one head of one sequence that are not masked.

    Query i of n (from 1) sees min(keys - n + i, window) positions: a sum of two runs.
    """
    n, keys, limit = (rows.sizes[k] for k in ("queries", "keys", "window"))
    limit = np.where(limit > 0, limit, np.inf)
    rising = np.clip(limit - (keys - n), 0.0, n)
    # The first `rising` queries see one position more each; all others see the window.
    ramp = rising * (keys - n) + rising * (rising + 1) / 2
    flat = np.where(n > rising, n - rising, 0.0) * np.where(np.isinf(limit), 0.0, limit)
    return np.asarray(ramp + flat)


def resident(bytes_: Floats, facts: Facts, values: Values) -> Floats:
    """Return the share of traffic that the shared cache serves, 0 to 1.

    Rows are measured in a loop over the same tensors, and a layer's cache entries were just
    written: what fits stays.
    """
    size = facts.cache_bytes if np.isfinite(facts.cache_bytes) else values["cache"]
    full = size * values["cache_share"]
    return np.asarray(1 / (1 + (bytes_ / full) ** _STEEP))


def memory(bytes_: Floats, busy: Floats, facts: Facts, values: Values) -> Floats:
    """Return seconds of traffic; `busy` is the share of cores that ask for it, 0 to 1."""
    boost = 1 + (values["cache_boost"] - 1) * resident(bytes_, facts, values)
    rate = facts.bandwidth_bytes_per_s * values["memory_efficiency"] * boost
    return np.asarray(bytes_ / (rate * np.sqrt(busy)))


def head_speed(rows: KernelRows, values: Values) -> Floats:
    """Return the speed at each row's head size over that at 128."""
    known = np.log([values.get(f"head_{size:.0f}", 1.0) for size in HEADS])
    size = (rows.sizes["qk_size"] + rows.sizes["v_size"]) / 2
    return np.exp(np.interp(np.log(size), np.log(HEADS), known))


def join(first: Floats, second: Floats, exponent: float) -> Floats:
    """Return a soft maximum: the sum at exponent 1, the greater one at a large exponent."""
    top = np.maximum(np.maximum(first, second), 1e-30)
    return np.asarray(
        top * ((first / top) ** exponent + (second / top) ** exponent) ** (1 / exponent)
    )


def cores_of(facts: Facts, values: Values) -> float:
    """Return the number of cores, as described or else as believed."""
    return facts.cores if np.isfinite(facts.cores) else values["cores"]


def stretched(units: Floats, cores: float, tail: float) -> Floats:
    """Return how much longer units take than if they could be spread evenly over all cores.

    Fewer units than cores leave cores idle; above, a started wave costs a part of a full one.
    """
    waves = units / cores
    started = np.ceil(waves - 1e-9) / waves
    return np.asarray(np.where(waves < 1, started, started**tail))


def engines(pairs: Floats, rows: KernelRows, facts: Facts, values: Values) -> tuple[Floats, Floats]:
    """Return seconds of all cores for products, and for exponentials (0 for an unknown rate)."""
    flop = 2 * pairs * (rows.sizes["qk_size"] + rows.sizes["v_size"])
    matrix = flop / (facts.matrix_flop_per_s * values["matrix_efficiency"])
    if not np.isfinite(facts.vector_flop_per_s):
        return matrix, np.zeros_like(matrix)
    return matrix, pairs * values["score_ops"] / facts.vector_flop_per_s


def spread(engine: Floats, units: Floats, last: Floats, cores: float, values: Values) -> Floats:
    """Return seconds of units on cores: the even share, its waves, and the longest unit.

    Args:
        engine: time of all units, if all cores share it evenly, s.
        units: how many there are.
        last: length of the longest unit over that of the mean one.
        cores: how many share them.
        values: parameter name -> value.
    """
    even = engine + units * values["unit"] / cores
    longest = engine * cores / units * last + values["unit"]
    return np.maximum(even * stretched(units, cores, values["tail"]), longest)


def units_of(blocks: Floats, packed: Floats, share: Floats | float) -> Floats:
    """Return units when a `share` of the way (by logarithm) goes from `blocks` to `packed`."""
    return np.asarray(blocks ** (1 - share) * packed**share)


def traffic(rows: KernelRows, seen: Floats) -> Floats:
    """Return bytes of queries, result and each KV head's `seen` keys and values, once."""
    s = rows.sizes
    both = s["qk_size"] + s["v_size"]
    return np.asarray(
        s["batch"] * (s["heads"] * s["queries"] * 2.0 + s["kv_heads"] * seen * BYTES[rows.format])
        * both
    )  # fmt: skip


def stored(rows: KernelRows, values: Values) -> Floats:
    """Return bytes that kernels before attention move: new positions into the cache, queries cast.

    A serving engine's operator writes new keys and values to the cache first; where the cache is
    narrower than 16 bits, queries may be converted too.
    """
    s, wide = rows.sizes, BYTES[rows.format]
    new = s["batch"] * s["queries"]
    cast = values["converted"] * (2.0 + wide) if wide < 2 else 0.0
    kept = values["stored"] * (2.0 + wide) * (s["qk_size"] + s["v_size"])
    return np.asarray(new * (s["kv_heads"] * kept + s["heads"] * s["qk_size"] * cast))


@dataclass(frozen=True, slots=True)
class Prefill:
    """Attention of many new positions, causal, with a window or cached positions before them."""

    @property
    def name(self) -> str:
        """Return `causal-tiles`."""
        return "causal-tiles"

    @property
    def family(self) -> Family:
        """Return `attention`."""
        return "attention"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return what differs between chips and kernels."""
        return (
            parameter("matrix_efficiency", 0.6, 0.05, 2.5, 0.3, "0.5-0.75: FlashAttention 2, 3"),
            parameter("score_ops", 16.0, 0.5, 80.0, 0.6, "one exponential takes 16 FLOP of issue"),
            parameter("memory_efficiency", 0.6, 0.1, 1.2, 0.3, "queries and cache also copied"),
            parameter("packing", 0.2, 0.01, 1.0, 1.0, "FlashAttention 3 packs a group, 2 not"),
            parameter("packing_one", 0.9, 0.01, 1.0, 1.0, "one query: a decode kernel runs"),
            parameter("stored", 1.0, 0.5, 2.0, 0.2, "new keys and values are read and written"),
            parameter(
                "converted", 0.5, 0.05, 2.0, 0.7, "some kernels take queries as the cache is"
            ),
            parameter(
                "token", 1e-7, 1e-9, 2e-5, 1.0, "1 us for a block, ten at once on a core", "s"
            ),
            parameter(
                "token_head", 1e-8, 1e-10, 2e-6, 1.5, "a narrower cache: each head scaled", "s"
            ),
            parameter("block", 3e-7, 1e-9, 5e-6, 0.8, "one step over keys that hides nothing", "s"),
            *COMMON,
            *_SIZES,
        )

    def terms(self, rows: KernelRows, facts: Facts, values: Values) -> Terms:
        """Return the time of each row; without a vector rate, exponentials take no time.

        Args:
            rows: attention, `queries` new positions each.
            facts: the chip.
            values: parameter name -> value.
        """
        s = rows.sizes
        group = s["heads"] / s["kv_heads"]
        per_head = s["batch"] * s["heads"] * np.ceil(s["queries"] / QUERY_TILE)
        per_group = s["batch"] * s["kv_heads"] * np.ceil(s["queries"] * group / QUERY_TILE)
        packing = np.where(s["queries"] > 1, values["packing"], values["packing_one"])
        units = units_of(per_head, per_group, packing)
        limit = np.where(s["window"] > 0, s["window"], np.inf)
        depth = visible(rows) / s["queries"] + (QUERY_TILE + KEY_TILE) / 4
        matrix, vector = engines(units * QUERY_TILE * depth, rows, facts, values)
        # A block of the last queries sees the most keys, and no core can share it.
        last = np.maximum(np.minimum(s["keys"], limit + QUERY_TILE) / depth, 1.0)
        cores = cores_of(facts, values)
        # Steps over keys are work like that of the engines; the longest unit has more of them.
        steps = values["block"] * units * depth / KEY_TILE / cores
        engine = join(matrix, vector, _ENGINES) + steps
        even = spread(engine, units, last, cores, values)
        busy = even / head_speed(rows, values)
        bytes_ = traffic(rows, np.minimum(s["keys"], limit + s["queries"]))
        every = np.ones_like(units)
        moved = memory(bytes_, every, facts, values)
        kept = memory(stored(rows, values), every, facts, values)
        scaled = s["kv_heads"] * values["token_head"] if BYTES[rows.format] < 2 else 0.0
        kept = kept + s["batch"] * s["queries"] * (values["token"] + scaled) / cores
        floor = values["floor"] + values["sequence"] * s["batch"]
        total = join(busy, moved, values["join"]) + kept + floor
        return Terms(total=total, compute=matrix, vector=vector, memory=moved + kept, floor=floor)

    def features(self, rows: KernelRows, facts: Facts, values: Values) -> Floats:
        """Return the coordinates in which the formula's error is smooth; see `features`."""
        del facts, values
        return features(rows)


@dataclass(frozen=True, slots=True)
class Decode:
    """Attention of one or few new positions per sequence over its cache."""

    @property
    def name(self) -> str:
        """Return `split-keys`."""
        return "split-keys"

    @property
    def family(self) -> Family:
        """Return `attention`."""
        return "attention"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return what differs between chips and kernels."""
        return (
            parameter("matrix_efficiency", 0.3, 0.02, 2.0, 0.5, "few queries fill few tiles"),
            parameter("score_ops", 16.0, 0.5, 80.0, 0.6, "one exponential takes 16 FLOP of issue"),
            parameter("memory_efficiency", 0.8, 0.1, 1.2, 0.2, "0.7-0.9: own fits, streaming"),
            parameter("unpacked", 0.02, 0.01, 1.0, 1.0, "decode kernels pack a group"),
            parameter("unpacked_window", 0.1, 0.01, 1.0, 2.0, "FlashAttention 2 does not there"),
            parameter("block", 5e-7, 1e-9, 5e-6, 0.8, "latency of one step over 128 keys", "s"),
            parameter(
                "swap", 3e-7, 1e-8, 2e-5, 1.5, "FlashAttention 2 copies packed queries back", "s"
            ),
            parameter("split", 2e-6, 1e-8, 5e-5, 0.8, "second kernel that joins the parts", "s"),
            *COMMON,
            *_SIZES,
        )

    def terms(self, rows: KernelRows, facts: Facts, values: Values) -> Terms:
        """Return the time of each row; without a vector rate, exponentials take no time.

        Args:
            rows: attention, `queries` new positions each.
            facts: the chip.
            values: parameter name -> value.
        """
        s = rows.sizes
        seen = np.where(s["window"] > 0, np.minimum(s["keys"], s["window"]), s["keys"])
        group = s["queries"] * s["heads"] / s["kv_heads"]
        share = np.where(s["window"] > 0, values["unpacked_window"], values["unpacked"])
        per_group = s["batch"] * s["kv_heads"] * np.ceil(group / DECODE_TILE)
        units = units_of(per_group, s["batch"] * s["heads"] * s["queries"], share)
        cores = cores_of(facts, values)
        most = np.maximum(1.0, seen / SPLIT_KEYS)
        splits = np.clip(cores / units, 1.0, most)
        matrix, vector = engines(units * DECODE_TILE * seen, rows, facts, values)
        steps = values["block"] * units * np.maximum(1.0, seen / KEY_TILE) / cores
        engine, asked = join(matrix, vector, _ENGINES) + steps, units * splits
        even = spread(engine, asked, np.ones_like(seen), cores, values)
        busy = even / head_speed(rows, values)
        moved = memory(traffic(rows, seen), np.minimum(1.0, asked / cores), facts, values)
        floor = values["floor"] + values["sequence"] * s["batch"]
        # Of one sequence, packed queries are a view; of several they are copied, as is the result.
        swapped = values["swap"] * ((s["batch"] > 1) & (s["heads"] > s["kv_heads"])) * (1 - share)
        # Whether a cache may be split is decided by its length, so the join is paid for anyway.
        around = floor + swapped + values["split"] * (1 - 1 / most)
        total = join(busy, moved, values["join"]) + around
        return Terms(total=total, compute=matrix, vector=vector, memory=moved, floor=floor)

    def features(self, rows: KernelRows, facts: Facts, values: Values) -> Floats:
        """Return the coordinates in which the formula's error is smooth; see `features`."""
        del facts, values
        return features(rows)


SCALES: Mapping[str, Mapping[str, float]] = {
    "prefill": {"batch": 0.15, "kv_units": 0.5, "units": 0.4, "group": 0.25, "length": 2.0,
                "head": 1.0, "window": 0.15, "single": 0.25},
    "decode": {"batch": 0.3, "kv_units": 0.5, "units": 0.2, "group": 0.125, "length": 0.5,
               "head": 1.0, "window": 0.3, "single": 0.5},
}  # fmt: skip
"""Correlation lengths of what the formula leaves over, as steps per doubling, by operation.

Chosen by coordinate search on the rows of one chip (RTX PRO 6000), and used on all; `single` of
decode was halved after errors of all chips were seen.
"""


def features(rows: KernelRows) -> Floats:
    """Return the coordinates in which the formula's error is smooth, shape [kernels, 8].

    Batch and heads are interchangeable where units are alike, so their products stand beside them.
    """
    s, scale = rows.sizes, SCALES[rows.op]
    group = s["heads"] / s["kv_heads"]
    length = s["queries"] if rows.op == "prefill" else s["keys"]
    columns = {
        "batch": s["batch"],
        "kv_units": s["batch"] * s["kv_heads"],
        "units": s["batch"] * s["heads"],
        "group": group,
        "length": length,
        "head": (s["qk_size"] + s["v_size"]) / 2,
        "window": np.where(s["window"] > 0, s["window"], 2.0**20),
        "single": np.where(group == 1, 2.0, 1.0),
    }
    return np.stack([scale[name] * np.log2(column) for name, column in columns.items()], axis=1)
