"""Chips that are alike weigh more, twins share one vote."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.likeness import averaged, family_of, likeness

ONE = Facts(
    chip="one", architecture="first", matrix_flop_per_s=1e15, vector_flop_per_s=1e14,
    bandwidth_bytes_per_s=3e12, cores=132, clock_hz=1.8e9, cache_bytes=50e6,
    link_bytes_per_s=4e11,
)  # fmt: skip


def test_the_nearer_sheet_weighs_more():
    near = replace(ONE, architecture="near", bandwidth_bytes_per_s=3.3e12)
    far = replace(ONE, architecture="far", bandwidth_bytes_per_s=1e12)
    weights = likeness(ONE, [near, far])
    assert weights[0] > 2 * weights[1]
    assert sum(weights) == pytest.approx(1)


def test_a_family_has_one_vote():
    twins = [replace(ONE, architecture=a) for a in ("twin", "twin-ultra")]
    other = replace(ONE, architecture="other")
    assert likeness(ONE, [*twins, other]) == pytest.approx([0.25, 0.25, 0.5])
    assert family_of("twin-ultra") == "twin"


def test_a_silent_sheet_counts_as_a_factor_of_two():
    weights = likeness(ONE, [ONE, replace(ONE, architecture="x", matrix_flop_per_s=math.nan)])
    assert weights[0] / weights[1] == pytest.approx(math.e)


def test_parameters_are_averaged_by_logarithm():
    assert averaged([{"a": 1.0}, {"a": 100.0}], [1, 1])["a"] == pytest.approx(10)
    assert averaged([{"a": 1.0}, {"a": 100.0}], [1, 0])["a"] == pytest.approx(1)
    with pytest.raises(ValueError, match="average"):
        averaged([], [])
