"""A field between points, and how far it is to be believed."""

from __future__ import annotations

import numpy as np
import pytest

from crossgrade.predict.silicon.kriging import Kriging


def test_it_returns_what_was_measured_and_doubts_what_is_far() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 4, (300, 2))
    values = np.sin(points[:, 0])
    field = Kriging.build(points, values)
    here = field.at(points)
    assert np.abs(here.mean - values).max() < 0.05
    far = field.at(np.array([[50.0, 50.0]]))
    assert far.deviation[0] > 3 * here.deviation.max()
    assert values.min() - 0.1 < far.mean[0] < values.max() + 0.1


def test_it_works_with_fewer_points_than_neighbours() -> None:
    field = Kriging.build(np.zeros((1, 2)), np.array([3.0]))
    assert field.at(np.ones((2, 2))).mean == pytest.approx([3.0, 3.0])
