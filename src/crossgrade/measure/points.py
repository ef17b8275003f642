"""Which kernels a calibration of the predictor times, and the points that follow.

Sizes are far apart in their logarithms (farthest point sampling, Gonzalez 1985), chosen without
looking at times among those of which a call fits into the time. Cheap ones are measured first, so
that a run that is cut short has some of every kind. Must not know processes, files or chips.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crossgrade.measure.brief import brief_plan, longest_call_s
from crossgrade.measure.ceilings import PRODUCTS
from crossgrade.measure.events import CasePlan
from crossgrade.measure.point_kinds import (
    FORMATS,
    VECTOR,
    PointKind,
    attention,
    kind_of,
    product,
    vector,
)
from crossgrade.values.bench import BenchResult, SessionStart
from crossgrade.values.calibration import Ceiling
from crossgrade.values.kernel_calibration import KernelPoint
from crossgrade.values.operator_case import OperatorCase

SHARES: Final[Mapping[str, float]] = {
    "mm": 0.35, "bmm": 0.08, "vector": 0.25, "prefill": 0.16, "decode": 0.16,
}  # fmt: skip
"""Share of the points per group. Products get the most: most of a model's time is theirs, and they
have the most sizes that matter."""
MAIN_SHARE: Final = 0.5
"""Share of the products that the main format gets where there are several; the others are fitted
from what the main one gave."""
FEWEST: Final = 5
"""Points of a further format without which nothing can be fitted to it, so it gets none."""
EMULATED: Final = 1.5
"""A format whose scout takes that many times as long as fp32's is emulated: nobody's model wants
it."""
NARROW: Final = ("int8", "float8_e4m3fn")
"""Eight-bit formats."""
CHAPTERS: Final = 3
"""Parts that are measured one after another. Each starts processes of its own where sessions are
fresh, so there are few."""
_SLOWER: Final = 3.0
"""A call may take that many times what the ceilings say; longer ones are rows with a reason."""
_CALL_S: Final = 2e-5
"""A call takes that much more than its work, roughly: the launch."""
_MOST_BYTES: Final = 2**30
"""Largest traffic of a point."""
_ODD: Final = 0.25
"""Share of products with sizes that are no multiple of 8, which kernels pad or do worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What is known of a device before its points are chosen."""

    flop_per_s: Mapping[str, float]
    """torch's name of a format -> rate of a large product."""
    bytes_per_s: float
    """Rate of a large copy."""
    formats: tuple[str, ...]
    """Formats that it computes in, the main one first."""


def reach_of(scouted: Sequence[BenchResult], rates: Sequence[Ceiling]) -> Reach:
    """Return what measured ceilings say.

    The main format is bfloat16, else float16, else float32: the first that is not emulated, which
    the small products tell.

    Args:
        scouted: the small product of each format.
        rates: ceilings.
    """
    times = {r.plan.variants[0].case.dtype: r.variants[0].time_s for r in scouted}
    known = {name: time.value for name, time in times.items() if time is not None}
    plain = known.get("float32", float("inf"))
    native = [f for f, s in known.items() if f in FORMATS and s <= EMULATED * plain]
    order = [f for f in ("bfloat16", "float16", "float32") if f in native]
    kept = [f for f in (*order[:1], "float32", *NARROW) if f in native]
    reached = {c.precision: c.rate.value for c in rates if c.rate is not None}
    return Reach(
        flop_per_s={
            dtype: reached[p] for p, (_, dtype) in PRODUCTS.items() if p in reached
        },
        bytes_per_s=reached.get(None, 0.0),
        formats=tuple(dict.fromkeys(kept)),
    )  # fmt: skip


def chosen(
    target: str, reach: Reach, count: int, budget_s: float, seed: int, start: SessionStart
) -> tuple[tuple[CasePlan, ...], ...]:
    """Return the points in chapters, the cheap ones first; empty where no format has a rate.

    Args:
        target: what they run on.
        reach: what its ceilings say.
        count: points in all.
        budget_s: time for all of them, s.
        seed: of the inputs and of the odd sizes.
        start: how sessions are wanted.
    """
    if not reach.formats or not reach.bytes_per_s:
        return ()
    each = budget_s / count
    longest = longest_call_s(each)
    found: list[tuple[float, OperatorCase]] = []
    for group, share in _quotas(reach, count):
        cases = {case.key: case for case in group(seed)}
        timed = [(_seconds(kind_of(case), case, reach), case) for case in cases.values()]
        fitting = [(s, case) for s, case in timed if s <= longest]
        found += [fitting[i] for i in _far_apart([c for _, c in fitting], share)]
    found.sort(key=lambda pair: pair[0])
    plans = [brief_plan(case, target, each, start) for _, case in found]
    size = max(1, -(-len(plans) // CHAPTERS))
    return tuple(tuple(plans[i : i + size]) for i in range(0, len(plans), size))


def points_of(measurements: Sequence[BenchResult]) -> tuple[KernelPoint, ...]:
    """Return the points that follow from measurements."""
    return tuple(_point(result) for result in measurements)


def _point(result: BenchResult) -> KernelPoint:
    case, row = result.plan.variants[0].case, result.variants[0]
    assert isinstance(case, OperatorCase)
    kind = kind_of(case)
    return KernelPoint(
        family=kind.family, op=kind.op, format=kind.format, sizes=kind.sizes, case=case,
        seconds=row.time_s, sessions=len(result.sessions), reason=row.reason, detail=row.detail,
    )  # fmt: skip


# what there is to choose from ------------------------------------------------------------------
Candidates = Callable[[int], Iterator[OperatorCase]]
"""Makes cases from a seed."""


def _quotas(reach: Reach, count: int) -> Iterator[tuple[Candidates, int]]:
    """Yield groups of candidates, and how many points each gets."""
    main = reach.formats[0]
    rest = {name: round(share * count) for name, share in SHARES.items() if name != "mm"}
    products = count - sum(rest.values())
    others = reach.formats[1:][: int(products * (1 - MAIN_SHARE)) // FEWEST]
    apart = int(products * (1 - MAIN_SHARE) / len(others)) if others else 0
    yield _products(main), products - apart * len(others)
    for dtype in others:
        yield _products(dtype), apart
    yield _batched(main), rest["bmm"]
    yield _vectors(main), rest["vector"]
    yield _prefills(main), rest["prefill"]
    yield _decodes(main), rest["decode"]


_WIDTHS = (256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


def _products(dtype: str) -> Candidates:
    def cases(seed: int) -> Iterator[OperatorCase]:
        rng = np.random.default_rng(seed)
        for m, n, k in itertools.product(_ROWS, _WIDTHS, _WIDTHS):
            if rng.random() < _ODD:
                m, n, k = (int(size * rng.uniform(1.0, 1.4)) | 1 for size in (m, n, k))
            yield product(dtype, m, n, k, seed=seed)

    return cases


def _batched(dtype: str) -> Candidates:
    def cases(seed: int) -> Iterator[OperatorCase]:
        for batch, m in itertools.product((2, 8, 32, 128), (1, 16, 128, 1024)):
            for n, k in itertools.product((64, 128, 512, 2048), (64, 128, 512, 2048)):
                yield product(dtype, m, n, k, batch=batch, seed=seed)

    return cases


def _vectors(dtype: str) -> Candidates:
    def cases(seed: int) -> Iterator[OperatorCase]:
        for op in VECTOR:
            for rows, columns in itertools.product(_ROWS, (64, *_WIDTHS)):
                yield vector(op, dtype, rows, columns, seed=seed)

    return cases


_HEADS = ((8, 8), (32, 32), (8, 1), (16, 8), (32, 8), (64, 8), (28, 4))
"""Heads of queries and of keys, from none shared to eight."""


def _prefills(dtype: str) -> Candidates:
    def cases(seed: int) -> Iterator[OperatorCase]:
        for batch, (heads, kv), size in itertools.product((1, 4, 16), _HEADS, (64, 128)):
            for length in (16, 64, 128, 256, 512, 1024, 2048, 4096, 8192):
                yield attention(dtype, batch, heads, kv, length, length, size, seed=seed)

    return cases


def _decodes(dtype: str) -> Candidates:
    def cases(seed: int) -> Iterator[OperatorCase]:
        for batch, (heads, kv), size in itertools.product((1, 4, 16, 64), _HEADS, (64, 128)):
            for length in (128, 512, 1024, 2048, 4096, 8192, 16384, 32768):
                yield attention(dtype, batch, heads, kv, 1, length, size, seed=seed)

    return cases


# the choice ------------------------------------------------------------------------------------
def _seconds(kind: PointKind, case: OperatorCase, reach: Reach) -> float:
    """Return what a call may take, s; infinite where it moves too much."""
    if kind.bytes > _MOST_BYTES:
        return float("inf")
    rate = reach.flop_per_s.get(case.dtype) or min(reach.flop_per_s.values())
    work = max(kind.flop / rate, kind.bytes / reach.bytes_per_s)
    return _CALL_S + _SLOWER * work


def _far_apart(cases: Sequence[OperatorCase], count: int) -> list[int]:
    """Return positions of at most `count` cases that lie far from each other, no operation twice
    before every one has its turn."""
    if len(cases) <= count:
        return list(range(len(cases)))
    if count < 1:
        return []
    sizes = np.array([[*kind_of(c).sizes.values()] for c in cases])
    odd = np.array([_odd(c) for c in cases], dtype=np.float64)
    points = np.log2(np.maximum(sizes, 1.0))
    points = np.concatenate([points, odd[:, None]], axis=1)
    points = points[:, points.std(axis=0) > 1e-9]
    points = (points - points.mean(axis=0)) / points.std(axis=0)
    ops = np.unique([c.op for c in cases], return_inverse=True)[1].reshape(-1)
    taken = np.zeros(ops.max() + 1)
    picked = [int((points**2).sum(axis=1).argmin())]
    distance = ((points - points[picked[0]]) ** 2).sum(axis=1)
    taken[ops[picked[0]]] += 1
    while len(picked) < count:
        place = _farthest(distance, ops, taken)
        picked.append(place)
        taken[ops[place]] += 1
        distance = np.minimum(distance, ((points - points[place]) ** 2).sum(axis=1))
    return picked


def _farthest(
    distance: NDArray[np.float64], ops: NDArray[np.int64], taken: NDArray[np.float64]
) -> int:
    """Return the farthest case of the operations that have the fewest points."""
    open_ = [op for op in range(len(taken)) if (distance[ops == op] > 0).any()]
    if not open_:
        return int(distance.argmax())
    fewest = min(taken[op] for op in open_)
    turn = np.isin(ops, [op for op in open_ if taken[op] == fewest])
    return int(np.where(turn, distance, -1.0).argmax())


def _odd(case: OperatorCase) -> bool:
    return any(isinstance(v, int) and v > 8 and v % 8 for v in case.arguments.values())
