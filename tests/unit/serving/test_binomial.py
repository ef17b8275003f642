"""Binomial tails against sums of exact fractions, and the bounds that rest on them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrade.serving.binomial import (
    binomial_cdf,
    clopper_pearson,
    quantile_places,
    values_needed,
)


def exact_cdf(k: int, n: int, p: Fraction) -> Fraction:
    return sum((math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1)), Fraction(0))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(-1, 61), st.integers(1, 999))
def test_the_tail_is_the_sum(n, k, thousandths):
    p = Fraction(thousandths, 1000)
    wanted = float(exact_cdf(min(k, n), n, p)) if k >= 0 else 0.0
    assert binomial_cdf(k, n, float(p)) == pytest.approx(wanted, rel=1e-9, abs=1e-13)


def test_the_tail_holds_for_a_hundred_thousand():
    """Against the sum of logarithms of its terms."""
    n, p = 100_000, 0.99
    k = np.arange(98_940)
    steps = np.log(n - k[:-1]) - np.log(k[:-1] + 1) + math.log(p / (1 - p))
    logs = n * math.log(1 - p) + np.concatenate([[0.0], np.cumsum(steps)])
    assert binomial_cdf(98_939, n, p) == pytest.approx(float(np.exp(logs).sum()), rel=1e-6)


@pytest.mark.parametrize(("share", "needed"), [(0.99, 368), (0.95, 72), (0.9, 36), (0.5, 6)])
def test_an_upper_end_takes_so_many_values(share, needed):
    assert values_needed(share) == needed
    assert quantile_places(needed, share)[1] == needed
    assert quantile_places(needed - 1, share)[1] is None


def test_the_places_of_a_median_are_those_of_the_tables():
    """Conover, Practical Nonparametric Statistics: of 20 values the 6th and the 15th."""
    assert quantile_places(20, 0.5) == (6, 15)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_each_end_misses_seldom_enough_and_is_the_closest_that_does(n, share):
    low, high = quantile_places(n, share)
    p = Fraction(share).limit_denominator(100)
    limit = Fraction(25, 1000)
    if low is not None:
        assert exact_cdf(low - 1, n, p) <= limit
    assert exact_cdf(low or 0, n, p) > limit
    if high is not None:
        assert 1 - exact_cdf(high - 1, n, p) <= limit
        assert 1 - exact_cdf(high - 2, n, p) > limit
    else:
        assert 1 - exact_cdf(n - 1, n, p) > limit


@pytest.mark.parametrize(("hits", "n", "low", "high"), [
    (0, 10, 0.0, 1 - 0.025 ** (1 / 10)),  # in closed form where none or all hit
    (10, 10, 0.025 ** (1 / 10), 1.0),
    (0, 100_000, 0.0, 1 - 0.025 ** (1 / 100_000)),
    (7, 10, 0.3475471, 0.9332605),  # as statistics packages print it
])  # fmt: skip
def test_a_share_has_the_interval_of_clopper_and_pearson(hits, n, low, high):
    found = clopper_pearson(hits, n)
    assert found.value == hits / n
    assert found.low == pytest.approx(low, rel=1e-6)
    assert found.high == pytest.approx(high, rel=1e-6)
