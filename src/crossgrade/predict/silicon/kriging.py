"""What a formula leaves over, interpolated between measured rows: local ordinary kriging.

The logarithm of measured / model is a smooth field over sizes with a little noise. A row is
predicted from its nearest measured rows, with weights that follow from an exponential covariance
(Matheron, 1963; local neighbourhoods: Chiles and Delfiner, Geostatistics, 2.6), which also says how
uncertain that is. Uses scipy for the search of neighbours. Must not know families or chips.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crossgrade.predict.silicon.model import Floats

NUGGET = 0.02
"""Variance of one row's noise over that of the field: rows repeat within some per cent of it."""
NEIGHBOURS = 24
"""Measured rows that one prediction uses; 40 change the error by less than 0.1 points."""
_BLOCK = 2000
"""Rows predicted at once, so that memory stays small."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What kriging says of rows."""

    mean: Floats
    """Expected value, shape [rows]."""
    deviation: Floats
    """Standard deviation over that of the field, shape [rows]: 0 beside a measured row."""


@dataclass(frozen=True, slots=True)
class Kriging:
    """A field known at points."""

    points: Floats
    """Where it is known, in units in which one step is one correlation length, [points, axes]."""
    values: Floats
    """What it is there, shape [points]."""
    tree: Any = field(repr=False)
    """Search tree over `points`."""

    @classmethod
    def build(cls, points: Floats, values: Floats) -> Kriging:
        """Return the field that has these values at these points."""
        from scipy.spatial import cKDTree

        return cls(points=points, values=values, tree=cKDTree(points))

    def at(self, wanted: Floats) -> Estimate:
        """Return the field at other points, shape [rows, axes]."""
        mean, deviation = np.empty(len(wanted)), np.empty(len(wanted))
        for part in _parts(len(wanted)):
            mean[part], deviation[part] = self._solve(wanted[part])
        return Estimate(mean=mean, deviation=deviation)

    def _solve(self, wanted: Floats) -> tuple[Floats, Floats]:
        count = min(NEIGHBOURS, len(self.values))
        distance, index = self.tree.query(wanted, k=[*range(1, count + 1)])
        near, known = self.points[index], self.values[index]
        square = ((near[:, :, None] - near[:, None]) ** 2).sum(axis=-1)
        covariance = np.exp(-np.sqrt(square)) + NUGGET * np.eye(count)
        towards = np.exp(-distance)
        ones = np.ones_like(towards)
        solved = np.linalg.solve(covariance, np.stack([ones, known, towards], axis=2))
        level = solved[:, :, 1].sum(axis=1) / solved[:, :, 0].sum(axis=1)
        weights = solved[:, :, 2]
        mean = level + (weights * (known - level[:, None])).sum(axis=1)
        left = 1 + NUGGET - (weights * towards).sum(axis=1)
        return mean, np.sqrt(np.maximum(left, NUGGET))


def _parts(count: int) -> Iterator[slice]:
    for begin in range(0, count, _BLOCK):
        yield slice(begin, min(begin + _BLOCK, count))
