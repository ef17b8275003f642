"""Whether requests pile up while a load lasts.

A queue that grows has no latency: every figure says how long the load lasted. Two signs are looked
for. Latency that grows with the time at which requests were due, by more than sessions differ in
it or in each session by more than its noise; and fewer completions than arrivals with more in
flight at the end than chance explains. The second sees what the first cannot: a server that shares
its time among all requests answers those in the rush of the end fast, because nothing comes after
them. Error rates on simulated queues stand in `docs/explanation/serving.md` and are held by a test.
Must not know verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from crossgrade.measure.samples import Floats
from crossgrade.measure.statistics import ALPHA
from crossgrade.measure.student import quantile
from crossgrade.serving.columns import Columns, in_flight
from crossgrade.serving.rates import linear_interval
from crossgrade.units import percent
from crossgrade.values.bench import Interval
from crossgrade.values.serving import Load, Saturation

GROWTH: Final = 0.2
"""Growth of the latency over the load from which on it matters. A queue that grows from nothing
grows by up to twice its median; noise alone seldom reaches a fifth in three sessions."""
DELIVERED: Final = 0.95
"""Completed over offered below which requests may be piling up."""
BACKLOG_GROWTH: Final = 0.5
"""Growth of the requests in flight, as a share of their mean, that goes with a backlog."""
BACKLOG_SIGMA: Final = 3.0
"""How many times the square root of those in flight at both ends a backlog exceeds: where requests
do not hinder each other, their number is a Poisson variable."""
LEAST: Final = 20
"""Answers in a session, settled, without which no slope is worked out."""
_BATCHES: Final = 10
_SETTLED: Final = 1.5
_GRID: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Growth:
    """One session: growth over the load as a share, with what is needed for an interval."""

    value: float
    """Growth."""
    half: float
    """Half width of its 95 % interval from what remains around the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signs:
    """What one session shows."""

    latency: _Growth | None
    """Of the end-to-end latency, over its median."""
    flight: _Growth | None
    """Of the requests in flight, over their mean."""
    before: float
    """Requests in flight when the load had settled; of a load with a cap those that waited."""
    after: float
    """The same when the last request had come."""
    offered: float
    """Requests that came in between; 0 where the load was too short to tell."""


def saturation_of(load: Load, sessions: Sequence[Columns]) -> Saturation:
    """Return whether requests piled up under a load."""
    if load.kind == "closed-loop":
        why = "a closed loop cannot: each user waits for an answer"
        return Saturation(saturated=False, slope=None, in_flight=None, delivered=None, why=why)
    signs = [found for s in sessions if (found := _signs(s)) is not None]
    slope = _over([s.latency for s in signs if s.latency])
    flight = _over([s.flight for s in signs if s.flight])
    before, after = sum(s.before for s in signs), sum(s.after for s in signs)
    offered = sum(s.offered for s in signs)
    delivered = 1 - (after - before) / offered if offered else None
    each = [s.latency.value - s.latency.half for s in signs if s.latency]
    sure = slope is not None and (slope.low > 0 or min(each) > 0)
    grows = sure and slope is not None and slope.value >= GROWTH
    fills = flight is not None and flight.value > 0
    backlog = delivered is not None and delivered < DELIVERED
    backlog = backlog and after - before > BACKLOG_SIGMA * math.sqrt(before + after)
    backlog = backlog and flight is not None and flight.value >= BACKLOG_GROWTH
    if grows and fills and slope is not None:
        why = f"the latency grew by {percent(slope.value)} of its median over the load"
    elif backlog and delivered is not None:
        why = (f"{percent(delivered)} of the requests that came were answered while they came, and "
               f"{after - before:.0f} more were waiting at the end")  # fmt: skip
    else:
        why = _calm(slope, delivered)
    return Saturation(saturated=(grows and fills) or backlog, slope=slope, in_flight=flight,
                      delivered=delivered, why=why)  # fmt: skip


def _calm(slope: Interval | None, delivered: float | None) -> str:
    """Return why requests do not count as piling up."""
    if slope is None and delivered is None:
        return "too few answers, or a load too short beside its latency, to tell"
    if slope is None:
        return "too few answers for a slope; as many were answered as came"
    return "the latency does not grow beyond what chance explains, and no backlog remains"


def _over(growths: Sequence[_Growth]) -> Interval | None:
    """Return the mean over sessions with its t interval; of one session that of its own noise."""
    if not growths:
        return None
    if len(growths) == 1:
        value, half = growths[0].value, growths[0].half
        return Interval(value=value, low=value - half, high=value + half)
    return linear_interval(np.array([g.value for g in growths]), ALPHA)


def _signs(columns: Columns) -> _Signs | None:
    """Return what a session shows; None where it has too few answers or no length."""
    known = columns.answered
    if known.sum() < 2:
        return None
    begin = _begin(columns)
    horizon = min(float(np.nanmax(begin)), float(np.nanmax(columns.ended_s)))
    first = float(columns.start_s[columns.counted].min())
    span = horizon - first
    latency = columns.last_s - columns.start_s
    early = np.flatnonzero(known)[: max(1, int(known.sum()) // 4)]
    fresh = float(np.median(latency[early]))
    settled = min(float(columns.start_s.min()) + _SETTLED * fresh, first + span / 3)
    if span <= 0 or settled >= horizon:
        return None
    at = np.linspace(settled, horizon, _GRID)
    flying = in_flight(begin, columns.ended_s, at)
    capped = columns.load.concurrency is not None
    # Where only so many are let out at once, those that wait in the client are the backlog.
    left = in_flight(begin, columns.sent_s, at) if capped else flying
    offered = float(((begin > settled) & (begin <= horizon)).sum())
    return _Signs(
        latency=_latency_growth(columns, settled, span),
        flight=_growth(at, flying, span, float(flying.mean())),
        before=float(left[0]),
        after=float(left[-1]),
        # In less than two latencies as many cannot be answered as come, whatever the server does.
        offered=offered if capped or fresh <= span / 2 else 0.0,
    )


def _begin(columns: Columns) -> Floats:
    """Return [requests] from when on each was in flight, s, the wait in the client included.

    One that was never sent waits until the end, unless the load was broken off after failures, or
    the time for sending was over before it was due: nothing is sent after the last that was.
    """
    unsent = np.isnan(columns.sent_s)
    failed = (~unsent & ~columns.ok & ~columns.cut & columns.counted).any()
    late = columns.start_s > np.nanmax(columns.sent_s)
    return np.where(unsent & (failed | late), math.nan, columns.start_s)


def _latency_growth(columns: Columns, settled_s: float, span_s: float) -> _Growth | None:
    """Return how the latency grows over the load, as a share of its median.

    A request that was cut counts with the time that it had. Where answers or prompts differ in
    length, what length alone explains is taken out: a trace may well begin with the short ones.
    """
    known = columns.answered | columns.cut
    latency = np.where(columns.cut, columns.ended_s, columns.last_s) - columns.start_s
    median = float(np.median(latency[known]))
    use = known & (columns.start_s >= settled_s)
    if use.sum() < LEAST or median <= 0:
        return None
    lengths = [columns.tokens[use], np.array(columns.raw.input_asked, dtype=np.float64)[use]]
    values = _without(latency[use], columns.start_s[use], [x for x in lengths if np.ptp(x) > 0])
    return _growth(columns.start_s[use], values, span_s, median)


def _without(values: Floats, at: Floats, causes: Sequence[Floats]) -> Floats:
    """Return values less what causes explain beside a line in time, by least squares."""
    if not causes:
        return values
    centred = np.stack([x - x.mean() for x in (at, *causes)], axis=1)
    scale = centred.std(axis=0)
    scale[scale == 0] = 1.0
    weights = np.linalg.lstsq(centred / scale, values - values.mean(), rcond=None)[0]
    return np.asarray(values - (centred / scale)[:, 1:] @ weights[1:])


def _growth(at: Floats, values: Floats, span_s: float, typical: float) -> _Growth | None:
    """Return the slope of values in time as growth over the load, as a share of what is typical.

    By least squares. Neighbours in a queue wait for each other, so the noise is taken from the
    means of ten batches, which hardly do.
    """
    if typical <= 0 or np.ptp(at) <= 0:
        return None
    batches = min(_BATCHES, len(at) // 4)
    places = np.array([b.mean() for b in np.array_split(at, batches)])
    means = np.array([b.mean() for b in np.array_split(values, batches)])
    centred = places - places.mean()
    power = float(centred @ centred)
    slope = float(centred @ means) / power
    rest = means - means.mean() - slope * centred
    error = math.sqrt(float(rest @ rest) / (batches - 2) / power)
    scale = span_s / typical
    return _Growth(value=slope * scale, half=quantile(1 - ALPHA / 2, batches - 2) * error * scale)
