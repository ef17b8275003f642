"""The binomial distribution: its tail, and the interval of a share by Clopper and Pearson.

By the regularised incomplete beta function, exact to rounding for any count. Must not know what is
counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from crossgrade.measure.statistics import ALPHA
from crossgrade.measure.student import incomplete_beta
from crossgrade.values.serving import Share


@lru_cache(maxsize=65536)
def binomial_cdf(k: int, n: int, p: float) -> float:
    """Return the probability of at most `k` hits in `n` independent tries of probability `p`."""
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    return incomplete_beta(n - k, k + 1, 1 - p, p)


def clopper_pearson(hits: int, n: int, alpha: float = ALPHA) -> Share:
    """Return a share with its interval (Clopper and Pearson, Biometrika 26, 1934).

    Args:
        hits: tries that count.
        n: tries, 1 or more.
        alpha: 1 minus the coverage.
    """
    low = _root(lambda p: 1 - binomial_cdf(hits - 1, n, p) >= alpha / 2) if hits else 0.0
    high = _root(lambda p: binomial_cdf(hits, n, p) <= alpha / 2) if hits < n else 1.0
    return Share(value=hits / n, low=low, high=high)


def _root(beyond: Callable[[float], bool]) -> float:
    """Return where a statement on 0 to 1 that is first false becomes true."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return (low + high) / 2


@lru_cache(maxsize=4096)
def quantile_places(n: int, share: float, alpha: float = ALPHA) -> tuple[int | None, int | None]:
    """Return which order statistics, counted from 1, enclose a quantile; None where none does.

    Distribution-free (David and Nagaraja, Order Statistics, 7.1): each end misses with a
    probability of at most alpha / 2, whatever the distribution, if the values are independent.

    Args:
        n: values.
        share: of the quantile, 0.99 for p99.
        alpha: 1 minus the coverage.
    """
    low = _first(n, lambda k: binomial_cdf(k, n, share) > alpha / 2)
    high = _first(n, lambda k: binomial_cdf(k, n, share) >= 1 - alpha / 2) + 1
    return low or None, high if high <= n else None


def _first(n: int, holds: Callable[[int], bool]) -> int:
    """Return the least k of 0 to n for which a statement holds that stays true from there on."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def values_needed(share: float, alpha: float = ALPHA) -> int:
    """Return how many values it takes until a quantile has an upper end: 368 for p99."""
    return math.ceil(math.log(alpha / 2) / math.log(share))
