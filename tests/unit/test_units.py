"""Quantities as a person reads them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade import units


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (999, "999 B"), (999.9e6, "1.00 GB"), (144e9, "144 GB"), (1.6e12, "1.60 TB"),
     (849.8e9, "850 GB"), (56.5e6, "56.5 MB")],
)  # fmt: skip
def test_bytes_are_decimal(value, shown):
    assert units.bytes_(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.2, "1.20 s"), (0.00412, "4.12 ms"), (8.5e-4, "850 µs"), (3e-9, "3.00 ns"),
     (0.9996e-3, "1.00 ms"), (0, "0 ns"), (90, "90.0 s")],
)  # fmt: skip
def test_seconds_take_the_unit_that_reads_best(value, shown):
    assert units.seconds(value) == shown


def test_unknown_is_a_word():
    assert units.si(math.nan, "B") == "unknown"
    assert units.seconds(math.nan) == "unknown"


@pytest.mark.parametrize(("share", "shown"), [(0, "0 %"), (0.0004, "under 0.1 %"),
                                              (0.034, "3.4 %"), (0.5, "50 %")])  # fmt: skip
def test_percent(share, shown):
    assert units.percent(share) == shown


@pytest.mark.parametrize(("value", "least", "shown"), [
    (1.3, 1.0, "1.3x"), (99.96, 1.0, ">100x"), (99.9, 1.0, "99.9x"), (1.0, 0.0, "-"),
    (0.0, 1.0, "-"), (math.nan, 1.0, "-"), (1.0, math.nan, "-"),
])  # fmt: skip
def test_times_over(value, least, shown):
    assert units.times_over(value, least) == shown


@given(st.floats(min_value=1e-8, max_value=1e20))
def test_what_is_shown_is_within_half_a_per_cent(value):
    text = units.si(value, "B").replace(",", "")
    number, unit = text.split(" ")
    scale = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15, "EB": 1e18}[unit]
    assert float(number) * scale == pytest.approx(value, rel=5.1e-3)
