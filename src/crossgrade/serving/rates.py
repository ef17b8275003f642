"""Throughput of a load, requests in flight, and the share that is good. Must not know verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from crossgrade.measure.samples import Floats
from crossgrade.measure.student import quantile
from crossgrade.serving.binomial import clopper_pearson
from crossgrade.serving.columns import Columns, Flags, PerRequest, in_flight, per_request_s
from crossgrade.values.bench import Interval
from crossgrade.values.serving import Limits, Share

_GRID = 200


def requests_per_s(columns: Columns) -> float | None:
    """Return answered requests per s, from the first one sent to the last end; None without any."""
    return _rate(columns, float(columns.answered.sum()))


def tokens_per_s(columns: Columns) -> float | None:
    """Return tokens of answered requests per s."""
    return _rate(columns, float(columns.tokens[columns.answered].sum()))


def _rate(columns: Columns, amount: float) -> float | None:
    tried = columns.tried
    if not tried.any():
        return None
    span = float(columns.ended_s[tried].max() - columns.sent_s[tried].min())
    return amount / span if span > 0 else None


def rate_over(
    sessions: Sequence[Columns], rate: Callable[[Columns], float | None], alpha: float
) -> Interval | None:
    """Return the mean of a rate over sessions with its t interval.

    Not in logarithms as times are: a session may have answered nothing. One session alone has an
    endless interval.
    """
    found = np.array([r for s in sessions if (r := rate(s)) is not None])
    if not len(found) or not found.any():
        return None
    return linear_interval(found, alpha, least=0.0)


def linear_interval(values: Floats, alpha: float, least: float = -math.inf) -> Interval:
    """Return the mean with Student's t interval, df = values - 1; endless for one value.

    Args:
        values: one or more.
        alpha: 1 minus the coverage.
        least: below which nothing can lie.
    """
    mean, count = float(values.mean()), len(values)
    if count < 2:
        return Interval(value=mean, low=least, high=math.inf)
    half = quantile(1 - alpha / 2, count - 1) * float(values.std(ddof=1)) / math.sqrt(count)
    return Interval(value=mean, low=max(least, mean - half), high=mean + half)


def concurrency(sessions: Sequence[Columns]) -> float | None:
    """Return the mean number of requests in flight while counted ones were being sent."""
    found = [c for s in sessions if (c := _concurrency(s)) is not None]
    return float(np.mean(found)) if found else None


def _concurrency(columns: Columns) -> float | None:
    sent = columns.sent_s[columns.tried]
    if not len(sent):
        return None
    at = np.linspace(sent.min(), sent.max(), _GRID)
    return float(in_flight(columns.sent_s, columns.ended_s, at).mean())


def good_share(sessions: Sequence[Columns], limits: Limits) -> Share | None:
    """Return the share of requests sent that were answered within all limits; None without any."""
    if limits.ttft_s is None and limits.tpot_s is None and limits.e2e_s is None:
        return None
    found = [bool(good) for s in sessions for good in _good(s, limits)]
    return clopper_pearson(sum(found), len(found)) if found else None


def _good(columns: Columns, limits: Limits) -> Flags:
    """Return [requests sent] which are good; an answer that has no TPOT keeps every limit of it."""
    good = columns.answered
    limited: tuple[tuple[PerRequest, float | None], ...] = (
        ("ttft", limits.ttft_s), ("tpot", limits.tpot_s), ("e2e", limits.e2e_s),
    )  # fmt: skip
    for name, limit in limited:
        if limit is not None:
            good = good & ~(per_request_s(columns, name) > limit)
    return good[columns.tried]
