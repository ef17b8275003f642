"""A difference of logarithms with its error, what can be said of it, and of many at once.

Must not know runs or targets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from crossgrade.measure.samples import Floats
from crossgrade.measure.statistics import ALPHA, interval_around
from crossgrade.measure.student import quantile, tail
from crossgrade.values.bench import Interval
from crossgrade.values.comparison import ComparisonVerdict

FALSE_DISCOVERY: Final = 0.05
"""Expected share of wrong ones among FASTER and SLOWER, at most."""
MOST_SESSIONS: Final = 1000
"""More than that is no advice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Second over first, in logarithms."""

    shift: float
    """Logarithm of the ratio."""
    error: float
    """Its standard error; infinite where one session is all there is."""
    df: float
    """Degrees of freedom of the error."""
    alpha: float = ALPHA
    """1 minus the coverage of its t interval."""

    @property
    def half(self) -> float:
        """Return the half width of the interval, in logarithms."""
        if math.isinf(self.error):
            return math.inf
        return quantile(1 - self.alpha / 2, self.df) * self.error if self.error else 0.0

    @property
    def interval(self) -> Interval:
        """Return the ratio with its interval."""
        return interval_around(self.shift, self.half)

    @property
    def p_value(self) -> float:
        """Return the two-sided probability under no difference."""
        if self.error == 0:
            return float(self.shift == 0)
        return min(1.0, 2 * tail(abs(self.shift) / self.error, self.df))

    @property
    def significant(self) -> bool:
        """Return whether the interval excludes 1."""
        return abs(self.shift) > self.half


def paired(values_log: Floats, alpha: float = ALPHA) -> Effect:
    """Return the effect from one logarithm of a ratio per session."""
    count = len(values_log)
    if count < 2:
        return Effect(shift=float(np.mean(values_log)), error=math.inf, df=1, alpha=alpha)
    error = float(np.std(values_log, ddof=1)) / math.sqrt(count)
    return Effect(shift=float(np.mean(values_log)), error=error, df=count - 1, alpha=alpha)


def welch(first: Floats, second: Floats, alpha: float = ALPHA) -> Effect:
    """Return the effect between sessions of two runs whose noise may differ (Welch 1947)."""
    shift = float(np.mean(second) - np.mean(first))
    sizes = (len(first), len(second))
    if min(sizes) < 2:
        return Effect(shift=shift, error=math.inf, df=1, alpha=alpha)
    parts = [float(np.var(v, ddof=1)) / len(v) for v in (first, second)]
    total = sum(parts)
    if total == 0:
        return Effect(shift=shift, error=0.0, df=sum(sizes) - 2, alpha=alpha)
    # Shares first: squares of tiny variances vanish.
    df = 1 / sum((p / total) ** 2 / (n - 1) for p, n in zip(parts, sizes, strict=True))
    return Effect(shift=shift, error=math.sqrt(total), df=df, alpha=alpha)


def verdict_of(effect: Effect, margin: float) -> ComparisonVerdict:
    """Return what can be said of one case; the margin is the same factor up and down."""
    edge = math.log1p(margin)
    if abs(effect.shift) + effect.half < edge:
        return "SAME"
    if effect.significant and abs(effect.shift) > edge:
        return "SLOWER" if effect.shift > 0 else "FASTER"
    return "INCONCLUSIVE"


def sessions_still_needed(effect: Effect, sessions: int, margin: float) -> int | None:
    """Return how many more sessions would probably settle it; None where that cannot be told.

    The half width falls with the root of the sessions. It must come down to the margin, or where
    it is there already, to how far the ratio is from the edge of the margin.
    """
    edge = math.log1p(margin)
    goal = edge if effect.half > edge else abs(abs(effect.shift) - edge)
    if math.isinf(effect.half) or goal == 0:
        return None
    more = max(1, math.ceil(min(sessions * (effect.half / goal) ** 2, 1e9)) - sessions)
    return more if more <= MOST_SESSIONS else None


def discoveries(p_values: Sequence[float], rate: float = FALSE_DISCOVERY) -> list[bool]:
    """Return which p-values are discoveries, so that on average at most `rate` of these are wrong.

    Benjamini and Hochberg (1995); holds where cases are independent or positively dependent.
    """
    count = len(p_values)
    limit = -1.0
    for rank, p in enumerate(sorted(p_values), start=1):
        if p <= rate * rank / count:
            limit = p
    return [p <= limit for p in p_values]
