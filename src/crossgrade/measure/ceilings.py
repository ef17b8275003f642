"""Ceilings of a device: which copies and products are measured, and the rates that follow.

Measured as any case is, by `harness.run`. A small product of each format scouts first; how long it
takes tells which large ones fit into the time. The ceiling is the best size, not the mean: it is
what the device was seen to reach, and a size that does not fill it says nothing of that. Must not
know processes, files or chips.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from crossgrade.measure.brief import brief_plan, longest_call_s
from crossgrade.measure.events import CasePlan
from crossgrade.values.bench import (
    EXCUSED,
    BenchResult,
    Interval,
    SessionStart,
    VariantResult,
)
from crossgrade.values.calibration import Ceiling, CeilingVerdict
from crossgrade.values.operator_case import OperatorCase
from crossgrade.values.precision import Precision

PRODUCTS: Final[Mapping[Precision, tuple[str, str]]] = {
    "fp64": ("gemm", "float64"),
    "fp32": ("gemm", "float32"),
    "tf32": ("gemm", "tfloat32"),
    "bf16": ("gemm", "bfloat16"),
    "fp16": ("gemm", "float16"),
    "fp8": ("gemm_8bit", "float8_e4m3fn"),
    "int8": ("gemm_8bit", "int8"),
}
"""Format -> operator of the catalogue and dtype, in the order of the answer."""
SCOUT: Final = 512
"""Side of the product that is tried first, elements."""
SMALLER: Final = (128, 256)
"""Sides where the scout takes too long: formats that are emulated."""
LARGER: Final = (768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384)
"""Sides of which the largest that fit are measured."""
MOST_SIZES: Final = 2
"""How many of them, beside the scout."""
OVER_CACHE: Final = (3, 5)
"""Bytes of the source of a copy over the last-level cache: read and written are twice that."""
UNKNOWN_CACHE_BYTES: Final = 256 * 2**20
"""Stand-in for a cache whose size nobody tells; the largest of the described chips."""
LEAST_COPY_BYTES: Final = 64 * 2**20
"""Least source of a copy, bytes."""
_SHARES: Final = {"scout": 0.15, "copy": 0.25, "product": 0.6}
"""Share of the budget by part."""


def scouts(target: str, budget_s: float, seed: int, start: SessionStart) -> tuple[CasePlan, ...]:
    """Return a small product of each format."""
    each = _SHARES["scout"] * budget_s / len(PRODUCTS)
    return tuple(brief_plan(_product(p, SCOUT, seed), target, each, start) for p in PRODUCTS)


def copies(
    target: str, cache_bytes: float, budget_s: float, seed: int, start: SessionStart
) -> tuple[CasePlan, ...]:
    """Return copies that no cache can hold.

    Args:
        target: what they run on.
        cache_bytes: its last-level cache; 0: unknown.
        budget_s: time for the whole calibration, s.
        seed: of the inputs.
        start: how sessions are wanted.
    """
    each = _SHARES["copy"] * budget_s / len(OVER_CACHE)
    known = cache_bytes or UNKNOWN_CACHE_BYTES
    sizes = dict.fromkeys(max(LEAST_COPY_BYTES, int(times * known)) for times in OVER_CACHE)
    return tuple(brief_plan(_copy(size, seed), target, each, start) for size in sizes)


def products(
    scouted: Iterable[BenchResult], budget_s: float, seed: int, start: SessionStart
) -> tuple[CasePlan, ...]:
    """Return the sizes of each format that fit into the budget, by what its scout took.

    A format that cannot run is not tried again.
    """
    wanted = [(result, p) for result in scouted if (p := _formats_of(result)) is not None]
    most = max(1, MOST_SIZES * sum(_goes_on(result.variants[0]) for result, _ in wanted))
    each = _SHARES["product"] * budget_s / most
    return tuple(
        brief_plan(_product(precision, side, seed), result.plan.variants[0].target, each, start)
        for result, precision in wanted
        for side in _sides(result.variants[0], each)
    )


def _goes_on(row: VariantResult) -> bool:
    return row.time_s is not None or row.reason == "over-budget"


def _sides(row: VariantResult, budget_s: float) -> tuple[int, ...]:
    if row.time_s is None:
        return SMALLER if row.reason == "over-budget" else ()
    longest = longest_call_s(budget_s)
    flop_per_s = SCOUT**3 / row.time_s.value
    return tuple(side for side in LARGER if side**3 / flop_per_s <= longest)[-MOST_SIZES:]


def _product(precision: Precision, side: int, seed: int) -> OperatorCase:
    op, dtype = PRODUCTS[precision]
    sizes = {"M": side, "K": side, "N": side}
    return OperatorCase(op=op, dtype=dtype, arguments=sizes, seed=seed)


def _copy(source_bytes: int, seed: int) -> OperatorCase:
    columns = 1024
    sizes = {"batch_size": source_bytes // (4 * columns), "dim_size": columns}
    return OperatorCase(op="device2device", dtype="float32", arguments=sizes, seed=seed)


# what follows ----------------------------------------------------------------------------------
def rates_of(measurements: Sequence[BenchResult]) -> tuple[Ceiling, ...]:
    """Return the ceilings that follow from measurements: copies, then a product per format."""
    by_format: dict[Precision | None, list[BenchResult]] = {None: []}
    for result in measurements:
        by_format.setdefault(_formats_of(result), []).append(result)
    order: tuple[Precision | None, ...] = (None, *PRODUCTS)
    return tuple(_ceiling(p, by_format[p]) for p in order if by_format.get(p))


def verdict_of(rates: Sequence[Ceiling]) -> CeilingVerdict:
    """Return the worst that can be said of the rates."""
    known = [one for one in rates if one.rate is not None]
    if not known:
        return "unmeasured"
    if any(one.rate is None and one.reason not in EXCUSED for one in rates):
        return "incomplete"
    return "measured" if all(one.narrow for one in known) else "noisy"


def _formats_of(result: BenchResult) -> Precision | None:
    """Return the format of a product; None for a copy."""
    case = result.plan.variants[0].case
    kinds = {kind: precision for precision, kind in PRODUCTS.items()}
    return kinds.get((case.op, case.dtype))


def _ceiling(precision: Precision | None, results: Sequence[BenchResult]) -> Ceiling:
    """Return the best size of one kind of work."""
    rated = [(rate, r) for r in results if (rate := _rate(r.variants[0], precision)) is not None]
    work: Literal["copy", "matmul"] = "copy" if precision is None else "matmul"
    empty = Ceiling(work=work, precision=precision, unit="byte/s" if precision is None else
                    "FLOP/s", rate=None, case=None, sessions=0, sizes=len(rated),
                    narrow=False)  # fmt: skip
    if not rated:
        first = results[0].variants[0]
        return dataclasses.replace(empty, reason=first.reason, detail=first.detail)
    # A size on few sessions may be one lucky one; it counts where no other is there.
    firm = [pair for pair in rated if len(pair[1].sessions) >= pair[1].plan.least_sessions]
    rate, best = max(firm or rated, key=lambda pair: pair[0].value)
    case = best.plan.variants[0].case
    assert isinstance(case, OperatorCase)
    return dataclasses.replace(empty, rate=rate, case=case, sessions=len(best.sessions),
                               narrow=best.verdict == "measured")  # fmt: skip


def _rate(row: VariantResult, precision: Precision | None) -> Interval | None:
    amount = row.bytes if precision is None else row.flop
    time = row.time_s
    if time is None or not amount or time.value <= 0:
        return None
    # One session tells nothing of its error: its time has no ends, and then neither has the rate.
    low = amount / time.high if time.high > 0 else 0.0
    high = amount / time.low if time.low > 0 else float("inf")
    return Interval(value=amount / time.value, low=low, high=high)
