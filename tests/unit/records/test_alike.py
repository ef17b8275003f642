"""Rounding is no difference; all else is, with its place."""

from __future__ import annotations

import pytest

from crossgrade.records.alike import unlike
from crossgrade.values.bench import Interval

ONE = Interval(value=1.0, low=0.5, high=float("inf"))


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (ONE, ONE, []),
        (ONE, Interval(value=1 + 1e-12, low=0.5, high=float("inf")), []),
        (ONE, Interval(value=1.0, low=0.6, high=float("inf")), ["low: 0.5 and 0.6"]),
        (ONE, Interval(value=1.0, low=0.5, high=2), ["high: 'Infinity' and 2"]),
        ({"a": (ONE, 1)}, {"a": [ONE, 2]}, ["a[1]: 1 and 2"]),
        ([1, 2], [1], ["all: [1, 2] and [1]"]),
        ({"a": 1}, {"b": 1}, ["all: {'a': 1} and {'b': 1}"]),
        ([True], [1], ["[0]: True and 1"]),
        (None, 0, ["all: None and 0"]),
    ],
)
def test_what_differs(first, second, found):
    assert list(unlike(first, second)) == found
