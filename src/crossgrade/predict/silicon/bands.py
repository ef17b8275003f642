"""P10 and P90 of a prediction, from how far off it was on rows that it had not seen.

Split-conformal intervals (Lei et al. 2018) with the nearest held-out rows in place of all of them:
small kernels err otherwise than large ones. Must not know families or chips. Uses scipy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.fitting import fit
from crossgrade.predict.silicon.knowledge import Band, regime
from crossgrade.predict.silicon.model import Floats, KernelModel
from crossgrade.values.kernel import KernelRows

LEAST = 60
"""Held-out rows that a quantile is taken of: a tenth of them lies outside on each side."""
SHARE = 0.1
"""Share of all held-out rows that count as near, where that is more than LEAST."""
TAIL = 0.1
"""Share of rows that may lie below P10, and above P90."""
REGIMES = 16
"""Regimes at which a band is kept."""
_BLOCK = 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bands:
    """Held-out residuals, findable by regime."""

    residuals: Floats
    """log(measured / predicted), shape [rows]."""
    centre: Floats
    """Mean of each feature, shape [features]."""
    scale: Floats
    """Standard deviation of each, 1 where it does not vary."""
    tree: Any
    """Search tree over scaled features."""

    @classmethod
    def of(cls, residuals: Floats, features: Floats) -> Bands:
        """Return bands from held-out rows.

        Args:
            residuals: log(measured / predicted), shape [rows].
            features: where those rows lie, such as `regime` gives, shape [rows, features].

        Raises:
            ValueError: no residual.
        """
        from scipy.spatial import cKDTree

        fine = np.isfinite(residuals) & np.isfinite(features).all(axis=1)
        if not fine.any():
            raise ValueError("a band needs residuals")
        centre, scale = features[fine].mean(axis=0), features[fine].std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        tree = cKDTree((features[fine] - centre) / scale)
        return cls(residuals=residuals[fine], centre=centre, scale=scale, tree=tree)

    def factors(self, features: Floats) -> tuple[Floats, Floats]:
        """Return (P10, P90) over the prediction, each of shape [kernels]."""
        count = len(self.residuals)
        near = min(count, max(LEAST, round(SHARE * count)))
        # The row to be predicted is one more than those held out (conformal correction).
        tail = max(0.0, (TAIL * (near + 1) - 1) / max(near - 1, 1))
        low, high = np.empty((2, len(features)))
        for begin in range(0, len(features), _BLOCK):
            at = slice(begin, begin + _BLOCK)
            scaled = (features[at] - self.centre) / self.scale
            _, found = self.tree.query(scaled, k=[*range(1, near + 1)])
            low[at], high[at] = np.quantile(self.residuals[found], [tail, 1 - tail], axis=1)
        return np.exp(low), np.exp(high)


def held_out(
    model: KernelModel,
    rows: KernelRows,
    facts: Facts,
    prior: Mapping[str, float] | None = None,
    *,
    count: int = 5,
) -> tuple[Floats, Floats]:
    """Return (residuals, regimes) of measured rows, each predicted from the other folds.

    Args:
        model: the formula.
        rows: the rows that the final fit may see.
        facts: the chip.
        prior: what the final fit believes before.
        count: folds.

    Raises:
        ValueError: rows have no measured time.
    """
    if rows.seconds is None:
        raise ValueError("a fit needs measured rows")
    fold = np.arange(len(rows)) % count
    residuals, features = np.empty(len(rows)), np.empty((len(rows), 3))
    for i in range(count):
        if not (fold == i).any() or not (fold != i).any():
            continue
        values = fit(model, rows.take(fold != i), facts, prior, starts=1)
        terms = model.terms(rows.take(fold == i), facts, values)
        residuals[fold == i] = np.log(rows.seconds[fold == i] / terms.total)
        features[fold == i] = regime(terms)
    return residuals, features


def condensed(off: Floats, where: Floats) -> Band:
    """Return the band of held-out rows at a few regimes, which reading a prediction takes.

    Args:
        off: log(measured / predicted), shape [rows].
        where: where the rows lie, as `knowledge.regime` gives, shape [rows, 3].

    Raises:
        ValueError: no residual.
    """
    fine = np.isfinite(off) & np.isfinite(where).all(axis=1)
    off, where = off[fine], where[fine]
    bands = Bands.of(off, where)
    scale = np.where(where.std(axis=0) > 1e-9, where.std(axis=0), 1.0)
    points = _far_apart(where / scale) * scale
    low, high = bands.factors(points)
    return Band(points=points, scale=scale, low=low, high=high)


def _far_apart(points: Floats) -> Floats:
    """Return some points that lie far from each other (Gonzalez, 1985)."""
    chosen = [int(((points - points.mean(axis=0)) ** 2).sum(axis=1).argmin())]
    distance = ((points - points[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < min(REGIMES, len(points)) and distance.max() > 0:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return points[chosen]
