"""Student's t against closed forms, which hold for whole degrees of freedom, and printed tables."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.measure.student import cdf, incomplete_beta, quantile, tail

# Printed in statistical tables (and known to more digits): p = 0.975.
TABLE = {
    5: 2.570581835636314,
    7: 2.3646242515927844,
    10: 2.2281388519649385,
    30: 2.0422724563012373,
}


def closed_form(t: float, df: int) -> float:
    """Return the cdf by Abramowitz and Stegun 26.7.3 and 26.7.4: finite sums."""
    angle = math.atan(t / math.sqrt(df))
    cos, sin = math.cos(angle), math.sin(angle)
    if df % 2:
        term, total = cos, 0.0
        for k in range(1, df - 1, 2):
            total += term
            term *= cos * cos * (k + 1) / (k + 2)
        between = 2 / math.pi * (angle + sin * total)
    else:
        term, total = 1.0, 0.0
        for k in range(0, df, 2):
            total += term
            term *= cos * cos * (k + 1) / (k + 2)
        between = sin * total
    return 0.5 + between / 2


@given(st.floats(-30, 30), st.integers(1, 60))
def test_the_cdf_is_the_closed_form(t, df):
    assert cdf(t, df) == pytest.approx(closed_form(t, df), abs=1e-11)


@pytest.mark.parametrize(("df", "expected"), TABLE.items())
def test_quantiles_of_the_tables(df, expected):
    assert quantile(0.975, df) == pytest.approx(expected, abs=1e-10)
    assert quantile(0.025, df) == pytest.approx(-expected, abs=1e-10)


@given(st.floats(0.0005, 0.9995), st.floats(0.5, 300))
def test_the_quantile_undoes_the_cdf_for_any_degrees_of_freedom(p, df):
    assert cdf(quantile(p, df), df) == pytest.approx(p, abs=1e-10)


@pytest.mark.parametrize("p", [0.6, 0.9, 0.975, 0.9995])
def test_one_and_two_degrees_of_freedom_have_formulas(p):
    assert quantile(p, 1) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-10)
    two = (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    assert quantile(p, 2) == pytest.approx(two, rel=1e-10)


def test_many_degrees_of_freedom_are_the_normal_distribution():
    assert quantile(0.975, 1e7) == pytest.approx(NormalDist().inv_cdf(0.975), abs=1e-6)


def test_far_tails_keep_their_digits():
    # One degree of freedom: the tail is atan(1 / t) / pi.
    assert tail(1e9, 1) == pytest.approx(math.atan(1e-9) / math.pi, rel=1e-9)
    assert tail(math.inf, 3) == 0
    assert tail(-math.inf, 3) == 1


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile(1.0, 3)
    with pytest.raises(ValueError, match="above 0"):
        tail(1.0, 0)
    assert incomplete_beta(2, 3, 0, 1) == 0
    assert incomplete_beta(2, 3, 1, 0) == 1
