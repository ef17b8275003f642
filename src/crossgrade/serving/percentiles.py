"""Latencies of a load as numbers: percentiles with bounds, means, medians over sessions.

Must not know verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from crossgrade.measure.samples import Floats
from crossgrade.measure.statistics import interval
from crossgrade.serving.binomial import quantile_places
from crossgrade.serving.columns import Columns, latencies_s
from crossgrade.values.bench import Interval
from crossgrade.values.serving import METRICS, PERCENTILES, Metric, MetricName, Percentile


def metrics_of(sessions: Sequence[Columns], alpha: float) -> tuple[Metric, ...]:
    """Return every latency of a load.

    Args:
        sessions: its requests.
        alpha: 1 minus the coverage of the interval of the medians.
    """
    return tuple(_metric(name, [latencies_s(s, name) for s in sessions], alpha) for name in METRICS)


def _metric(name: MetricName, sessions: Sequence[Floats], alpha: float) -> Metric:
    ordered = np.sort(np.concatenate([np.empty(0), *sessions]))
    finite = bool(len(ordered)) and math.isfinite(ordered[-1])
    # The gaps of one answer are not independent, so bounds would promise too much.
    alone = name == "itl"
    return Metric(
        name=name,
        count=len(ordered),
        median_s=None if alone else median_over(sessions, alpha),
        mean_s=float(ordered.mean()) if finite else None,
        percentiles=tuple(percentile(ordered, share, bounds=not alone) for share in PERCENTILES),
    )


def percentile(ordered: Floats, share: float, *, bounds: bool = True) -> Percentile:
    """Return the least value that at least a share of the values does not exceed.

    Args:
        ordered: values from the least on, infinite ones without an answer.
        share: which percentile.
        bounds: whether its interval is wanted.
    """
    n = len(ordered)
    low, high = quantile_places(n, share) if bounds else (None, None)
    # 0.95 * 100 is a little more than 95 in floats.
    place = max(1, math.ceil(share * n - 1e-9)) if n else None
    return Percentile(share=share, value_s=_at(ordered, place), low_s=_at(ordered, low),
                      high_s=_at(ordered, high))  # fmt: skip


def _at(ordered: Floats, place: int | None) -> float | None:
    """Return an order statistic, counted from 1; None where it is no number."""
    value = math.inf if place is None else float(ordered[place - 1])
    return value if math.isfinite(value) else None


def median_over(sessions: Sequence[Floats], alpha: float) -> Interval | None:
    """Return the geometric mean of the medians of sessions with its t interval.

    None below two sessions, and where the median of one is no positive number: then half of its
    requests were not answered, or nothing took any time.
    """
    medians = np.array([np.median(s) for s in sessions if len(s)])
    if len(medians) < 2 or not bool(np.all(np.isfinite(medians) & (medians > 0))):
        return None
    return interval(np.log(medians), alpha)
