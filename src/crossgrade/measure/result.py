"""What follows from the raw samples of a measurement: numbers per variant and the verdict.

The same sessions give the same result, so a record can be checked. Must not know how samples are
taken, nor how a result is shown.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossgrade.measure.samples import Floats, SessionSamples, samples_of
from crossgrade.measure.statistics import (
    Series,
    alpha_of,
    autocorrelation,
    bootstrap,
    interval,
    series_of,
    spread,
)
from crossgrade.units import percent, seconds, things
from crossgrade.values.audit import AuditReport
from crossgrade.values.bench import (
    ANCHOR,
    BenchPlan,
    BenchResult,
    BenchVerdict,
    Interval,
    Session,
    VariantResult,
)
from crossgrade.values.operator_case import AbsentReason

Absent = Mapping[str, tuple[AbsentReason, str]]
Work = Mapping[str, tuple[float | None, float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """A number on whose interval the verdict depends."""

    what: str
    """What it is, for a person."""
    variant: int
    """Place of the variant in the plan."""
    series: Series
    """Its session values."""
    interval: Interval | None
    """Its interval; None where no session has a value."""

    def narrow(self, plan: BenchPlan) -> bool:
        """Return whether it is known as well as was asked."""
        return (
            len(self.series.batches) >= plan.least_sessions
            and self.interval is not None
            and self.interval.half_width <= plan.half_width
        )


def deciding(
    plan: BenchPlan, samples: Sequence[SessionSamples], present: Sequence[int]
) -> tuple[Deciding, ...]:
    """Return the numbers that must be narrow.

    Of several variants the ratio to the baseline: that is what they were run together for, and
    paired by round it is narrow while each time alone wanders with the machine. Of one variant,
    or without the baseline, the time per call.

    Args:
        plan: what was planned.
        samples: of each session.
        present: places of the variants that have numbers, the anchor not among them.
    """
    paired = len(present) > 1 and 0 in present
    found = []
    for variant in present:
        if paired and variant == 0:
            continue
        series = series_of(samples, plan.batch, variant, 0 if paired else None)
        name = plan.variants[variant].name
        found.append(
            Deciding(
                what=f"{name} over {plan.variants[0].name}" if paired else f"time of {name}",
                variant=variant,
                series=series,
                interval=_interval(series, plan),
            )
        )
    return tuple(found)


def result_of(
    plan: BenchPlan,
    audits: Sequence[AuditReport],
    sessions: Sequence[Session],
    absent: Absent,
    work: Work,
    spent_s: float,
) -> BenchResult:
    """Return everything that follows from the sessions.

    Args:
        plan: what was planned.
        audits: timer audit of each target.
        sessions: in order.
        absent: variant, or `anchor`, that has no number -> reason and what happened.
        work: variant, or `anchor` -> floating-point operations and bytes of a call.
        spent_s: wall clock of all sessions, s.
    """
    samples = [samples_of(s, len(plan.variants)) for s in sessions]
    names = (*(v.name for v in plan.variants), ANCHOR)
    gone = {i for i, name in enumerate(names) if name in absent or not _counts(samples, i)}
    rows = tuple(
        _absent_row(name, samples, i, absent, work) if i in gone
        else _row(name, plan, samples, i, gone, work)
        for i, name in enumerate(names)
    )  # fmt: skip
    present = [i for i in range(len(plan.variants)) if i not in gone]
    numbers = deciding(plan, samples, present)
    verdict, why = _verdict(plan, rows, numbers, len(sessions), spent_s)
    return BenchResult(plan=plan, verdict=verdict, why=why, audits=tuple(audits),
                       sessions=tuple(sessions), variants=rows, spent_s=spent_s,
                       remarks=tuple(_remarks(sessions, numbers)))  # fmt: skip


def recomputed(result: BenchResult) -> BenchResult:
    """Return the result again from its own raw samples; equal, unless a number was changed."""
    absent = {v.name: (v.reason, v.detail) for v in result.variants
              if v.reason is not None and v.reason != "no-samples"}  # fmt: skip
    work = {v.name: (v.flop, v.bytes) for v in result.variants}
    again = result_of(result.plan, result.audits, result.sessions, absent, work, result.spent_s)
    return replace(again, lost=result.lost, notes=result.notes, observed=result.observed)


def _counts(samples: Sequence[SessionSamples], variant: int) -> bool:
    """Return whether any sample of the variant counts."""
    return any(bool(np.isfinite(s.log_s[variant]).any()) for s in samples)


def _interval(series: Series, plan: BenchPlan) -> Interval | None:
    return interval(series.values, alpha_of(plan)) if series.batches else None


def _censored(samples: Sequence[SessionSamples], variant: int) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for session in samples:
        total.update(session.censored[variant])
    return dict(sorted(total.items()))


def _absent_row(
    name: str, samples: Sequence[SessionSamples], variant: int, absent: Absent, work: Work
) -> VariantResult:
    censored = _censored(samples, variant)
    by_reason = ", ".join(f"{n} {why}" for why, n in censored.items())
    nothing = f"no sample of it counts: {by_reason or 'none was taken'}"
    reason, detail = absent.get(name, ("no-samples", nothing))
    flop, moved = work.get(name, (None, None))
    return VariantResult(name=name, status="absent", reason=reason, detail=detail,
                         censored=censored, flop=flop, bytes=moved)  # fmt: skip


def _row(
    name: str, plan: BenchPlan, samples: Sequence[SessionSamples], variant: int,
    gone: set[int], work: Work,
) -> VariantResult:  # fmt: skip
    anchor = len(plan.variants)

    def over(other: int) -> Interval | None:
        if variant in (other, anchor) or other in gone:
            return None
        return _interval(series_of(samples, plan.batch, variant, other), plan)

    time = series_of(samples, plan.batch, variant)
    flop, moved = work.get(name, (None, None))
    return VariantResult(
        name=name,
        status="ok",
        time_s=_interval(time, plan),
        bootstrap_s=bootstrap(time, seed=(plan.seed * 1009 + variant) % 2**63),
        per_anchor=over(anchor),
        per_baseline=over(0),
        spread=spread([_counting(s, variant) for s in samples]),
        censored=_censored(samples, variant),
        flop=flop,
        bytes=moved,
    )


def _counting(session: SessionSamples, variant: int) -> Floats:
    row = session.log_s[variant]
    return np.asarray(np.exp(row[np.isfinite(row)]))


def _verdict(
    plan: BenchPlan, rows: Sequence[VariantResult], numbers: Sequence[Deciding], sessions: int,
    spent_s: float,
) -> tuple[BenchVerdict, str]:  # fmt: skip
    """Return how it ended, and why it is not `measured`."""
    if not numbers:
        reasons = dict.fromkeys(f"{r.name}: {r.reason}: {r.detail}" for r in rows[:-1])
        return "unmeasured", "; ".join(reasons)
    wide = [n for n in numbers if not n.narrow(plan)]
    if not wide:
        return "measured", ""
    return "noisy", "; ".join([*_complaints(plan, rows, wide), _next_step(plan, wide, sessions,
                                                                          spent_s)])  # fmt: skip


LEAST_NEIGHBOURS = 8
"""Sessions from which it is asked whether neighbours are alike."""
LEAST_SPREAD = 1e-3
"""Standard deviation of their logarithms below which it does not matter."""


def _remarks(sessions: Sequence[Session], numbers: Sequence[Deciding]) -> Iterator[str]:
    """Yield what speaks against the interval."""
    unsteady = sum(not s.steady for s in sessions)
    if unsteady:
        yield (f"{unsteady} of {things(len(sessions), 'session')} had not become steady before "
               "the first sample")  # fmt: skip
    for number in numbers:
        values = number.series.values
        if len(values) < LEAST_NEIGHBOURS or values.std() < LEAST_SPREAD:
            continue
        near = autocorrelation([values])
        if near > 2 / math.sqrt(len(values)):
            yield (f"{number.what}: sessions are like their neighbours (lag-1 autocorrelation "
                   f"{near:.2f}), so the interval may be too narrow")  # fmt: skip


def _complaints(
    plan: BenchPlan, rows: Sequence[VariantResult], wide: Sequence[Deciding]
) -> Iterator[str]:
    """Yield what is not as was asked."""
    for number in wide:
        seen = things(len(number.series.batches), "session")
        if number.interval is None:
            yield f"{number.what}: no round in which both count"
        elif math.isinf(number.interval.half_width):
            yield f"{number.what}: one session tells nothing of its error"
        elif number.interval.half_width > plan.half_width:
            yield (f"{number.what} is known to ±{percent(number.interval.half_width)} after "
                   f"{seen}, asked was ±{percent(plan.half_width)}")  # fmt: skip
        else:
            yield f"{number.what} rests on {seen}, at least {plan.least_sessions} were asked"
        row = rows[number.variant]
        if row.per_anchor and number.what.startswith("time") and number.interval:
            steady = row.per_anchor.half_width
            if steady <= min(plan.half_width, number.interval.half_width):
                yield f"over the anchor it is known to ±{percent(steady)}"
        if row.spread and row.spread.bimodal:
            yield f"samples of {row.name} fall into two modes"


def _next_step(plan: BenchPlan, wide: Sequence[Deciding], sessions: int, spent_s: float) -> str:
    """Return what to do: the budget that would probably do it."""
    widths = [n.interval.half_width for n in wide
              if n.interval and math.isfinite(n.interval.half_width)]  # fmt: skip
    factor = max([(w / plan.half_width) ** 2 for w in widths], default=1.0)
    if any(len(n.series.batches) < plan.least_sessions for n in wide):
        fewest = max(1, min(len(n.series.batches) for n in wide))
        factor = max(factor, plan.least_sessions / fewest)
    needed = math.ceil(sessions * factor)
    if needed > plan.looks[-1]:
        return (f"more than the {plan.looks[-1]} sessions that are run at most would be needed: "
                "quiet the machine, or ask for a wider interval")  # fmt: skip
    return f"a budget of about {seconds(spent_s * factor)} would do it"
