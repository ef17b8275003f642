"""Student's t distribution: probabilities and quantiles, without a library for statistics.

By the regularised incomplete beta function as a continued fraction, evaluated as Lentz does
(Abramowitz and Stegun, 26.5.8 and 26.7.1). Must not know what the numbers are for.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

_EXACT: Final = 1e-16
_TERMS: Final = 10_000


def tail(t: float, df: float) -> float:
    """Return the probability of a value above `t`.

    Args:
        t: any number.
        df: degrees of freedom, above 0, whole or not.
    """
    if df <= 0:
        raise ValueError(f"degrees of freedom must be above 0: {df}")
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    whole = df + t * t
    beyond = 0.5 * incomplete_beta(df / 2, 0.5, df / whole, t * t / whole)
    return beyond if t >= 0 else 1 - beyond


def cdf(t: float, df: float) -> float:
    """Return the probability of a value up to `t`."""
    return tail(-t, df)


@lru_cache(maxsize=4096)
def quantile(p: float, df: float) -> float:
    """Return the value that is not exceeded with probability `p`, 0 < p < 1, such as 0.975."""
    if not 0 < p < 1:
        raise ValueError(f"a probability lies between 0 and 1: {p}")
    if p < 0.5:
        return -quantile(1 - p, df)
    low, high = 0.0, 2.0
    while tail(high, df) > 1 - p:
        low, high = high, 2 * high
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        if tail(middle, df) > 1 - p:
            low = middle
        else:
            high = middle


def incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), 0 <= x <= 1.

    Args:
        a: first parameter, above 0.
        b: second parameter, above 0.
        x: where.
        rest: 1 - x; given, because near 1 the difference has no digits left.
    """
    if x <= 0 or rest <= 0:
        return float(rest <= 0)
    # The fraction converges fast only below the mean of the distribution.
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, rest, x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    log_front += a * math.log(x) + b * math.log(rest)
    return math.exp(log_front) * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction behind `incomplete_beta`."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / (1 + term * d)
            c = 1 + term / c
            value *= c * d
        if abs(c * d - 1) < _EXACT:
            break
    return value
