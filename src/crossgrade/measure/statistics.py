"""From samples to numbers with intervals: batch medians, session values, t and bootstrap, spread.

All in logarithms, so that a ratio and its inverse say the same. The unit of replication is the
session: what varies between sessions is in every interval. Must not know verdicts or targets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from crossgrade.measure.samples import Floats, SessionSamples, batch_medians
from crossgrade.measure.student import quantile
from crossgrade.values.bench import Interval, Spread

ALPHA: Final = 0.05
"""Share of intervals that may miss, where the number of sessions is fixed beforehand."""
ALPHA_LOOKS: Final = 0.04
"""The same where several looks may end the measurement.

Who stops as soon as the interval is narrow stops too often when chance made it so. With looks at
8, 12, 18, 27 and 40 normal session values are covered by plain 95 % intervals in 93.2 to 95.1 %
of experiments, by these in 94.4 to 96.0 %, whatever the noise (200,000 simulated experiments at
each of 13 noise levels). With a first look at 5 it is 92.3 to 95.0 % and 93.6 to 96.0 %.
"""
BOOTSTRAP_LEAST: Final = 8
"""Sessions from which a bootstrap is given; with fewer it is too narrow."""
RESAMPLES: Final = 2000
_LEAST_FOR_MODES: Final = 20
_LEAST_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One quantity over the sessions, in logarithms."""

    batches: tuple[Floats, ...]
    """Batch medians of each session in which any counts."""
    sessions: tuple[int, ...]
    """Which sessions these are, places in the run."""

    @property
    def values(self) -> Floats:
        """Return the value of each session: the median of its batch medians."""
        return np.array([np.median(b) for b in self.batches])


def series_of(
    samples: Sequence[SessionSamples], batch: int, variant: int, over: int | None = None
) -> Series:
    """Return a variant's time, or its ratio to another paired by round, over all sessions."""
    found = [batch_medians(s.ratio(variant, over), batch) for s in samples]
    kept = [i for i, b in enumerate(found) if len(b)]
    return Series(batches=tuple(found[i] for i in kept), sessions=tuple(kept))


class PlansLooks(Protocol):
    """A plan that may end at several looks."""

    @property
    def looks(self) -> tuple[int, ...]:
        """Return the session counts after which it may stop."""

    @property
    def least_sessions(self) -> int:
        """Return the sessions before which it does not stop as done."""


def alpha_of(plan: PlansLooks) -> float:
    """Return the share of intervals that may miss, so that with all looks 95 % hold."""
    return ALPHA_LOOKS if sum(s >= plan.least_sessions for s in plan.looks) > 1 else ALPHA


def interval(values_log: Floats, alpha: float = ALPHA) -> Interval:
    """Return the geometric mean with Student's t interval, df = sessions - 1.

    Args:
        values_log: [sessions] logarithms, one or more; one alone gives an endless interval.
        alpha: 1 minus the coverage of the t interval.
    """
    mean, count = float(np.mean(values_log)), len(values_log)
    if count < 2:
        return Interval(value=math.exp(mean), low=0.0, high=math.inf)
    error = float(np.std(values_log, ddof=1)) / math.sqrt(count)
    return interval_around(mean, quantile(1 - alpha / 2, count - 1) * error)


def interval_around(middle_log: float, half_log: float) -> Interval:
    """Return an interval from its middle and half width in logarithms."""
    low, high = middle_log - half_log, middle_log + half_log
    return Interval(value=math.exp(middle_log), low=math.exp(low), high=math.exp(min(high, 700.0)))


def bootstrap(series: Series, seed: int, resamples: int = RESAMPLES) -> Interval | None:
    """Return the interval by resampling sessions and, within them, batches; None below 8 sessions.

    95 % of resampled geometric means (percentiles) around the plain one. Raw output of the
    generator is used, because numpy keeps only that the same in all versions.
    """
    count = len(series.batches)
    if count < BOOTSTRAP_LEAST:
        return None
    sizes = np.array([len(b) for b in series.batches])
    table = np.full((count, sizes.max()), math.inf)
    for row, batches in zip(table, series.batches, strict=True):
        row[: len(batches)] = batches
    generator = np.random.PCG64(seed)
    chosen = _below(generator, (resamples, count), np.full((resamples, count), count))
    size = sizes[chosen][..., None]
    inner = _below(generator, (*chosen.shape, table.shape[1]), size)
    drawn = table[chosen[..., None], inner]
    drawn[np.broadcast_to(np.arange(table.shape[1]) >= size, drawn.shape)] = math.inf
    drawn.sort(axis=2)
    middle = (np.take_along_axis(drawn, (size - 1) // 2, 2)
              + np.take_along_axis(drawn, size // 2, 2)) / 2  # fmt: skip
    low, high = np.quantile(middle[..., 0].mean(axis=1), (ALPHA / 2, 1 - ALPHA / 2))
    return Interval(value=math.exp(float(series.values.mean())), low=math.exp(low),
                    high=math.exp(high))  # fmt: skip


def _below(generator: np.random.PCG64, shape: tuple[int, ...], limit: np.ndarray) -> np.ndarray:
    """Return random whole numbers from 0 to below `limit`."""
    raw = np.asarray(generator.random_raw(math.prod(shape)), dtype=np.uint64).reshape(shape)
    share = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.asarray((share * limit).astype(np.int64))


def spread(samples_s: Sequence[Floats]) -> Spread:
    """Return how single samples scatter.

    Args:
        samples_s: per session the samples that count in order, s per call; one at least in all.
    """
    pooled = np.concatenate(samples_s)
    median = float(np.median(pooled))
    p5, p95 = np.quantile(pooled, (0.05, 0.95))
    return Spread(
        samples=len(pooled),
        median_s=median,
        mad_s=float(np.median(np.abs(pooled - median))),
        p5_s=float(p5),
        p95_s=float(p95),
        cv=float(np.std(pooled, ddof=1) / np.mean(pooled)) if len(pooled) > 1 else 0.0,
        autocorrelation=autocorrelation(samples_s),
        bimodal=bimodal(samples_s),
    )


def autocorrelation(samples: Sequence[Floats]) -> float:
    """Return the lag-1 autocorrelation around each session's own mean; 0 where nothing varies."""
    centred = [s - s.mean() for s in samples if len(s) > 1]
    power = sum(float((c * c).sum()) for c in centred)
    lagged = sum(float((c[1:] * c[:-1]).sum()) for c in centred)
    return lagged / power if power else 0.0


def bimodal(samples: Sequence[Floats]) -> bool:
    """Return whether samples fall into two modes within sessions.

    They are cut in two where the variance within both parts is least. There are two modes where
    each part has a tenth of the samples, a window halfway between the two medians holds fewer than
    half as many as an equal window around either median, and half of the sessions have a tenth
    of their samples in each part. The last keeps apart what varies between sessions: that is no
    second mode, and it is in the interval. One normal or even distribution never passes, nor do
    a few slow outliers.
    """
    pooled = np.sort(np.concatenate(samples))
    count = len(pooled)
    if count < _LEAST_FOR_MODES or pooled[0] == pooled[-1]:
        return False
    cut = _least_variance_cut(pooled)
    if min(cut, count - cut) < _LEAST_SHARE * count:
        return False
    low, high = np.median(pooled[:cut]), np.median(pooled[cut:])
    window = (high - low) / 8
    around = [int((np.abs(pooled - place) <= window).sum())
              for place in (low, (low + high) / 2, high)]  # fmt: skip
    if 2 * around[1] >= min(around[0], around[2]):
        return False
    shares = [float((s < pooled[cut]).mean()) for s in samples if len(s)]
    both = sum(_LEAST_SHARE <= share <= 1 - _LEAST_SHARE for share in shares)
    return 2 * both >= len(shares)


def _least_variance_cut(ordered: Floats) -> int:
    """Return how many of the sorted samples belong to the lower part (Otsu's criterion)."""
    count = len(ordered)
    lower = np.arange(1, count)
    total = np.cumsum(ordered - ordered.mean())[:-1]
    return int(np.argmax(total**2 / (lower * (count - lower)))) + 1
