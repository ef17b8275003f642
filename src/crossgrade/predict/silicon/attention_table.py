"""A measured table of attention: a formula per launched kernel, kriging of what it leaves over.

Each kernel gets its own parameters, held near those of all rows together, and its own field of
log(measured / model). The band comes from folds inside the table that leave out whole head
configurations, so it speaks of configurations that were not measured. Must not know chips by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.fitting import fit
from crossgrade.predict.silicon.kriging import Kriging
from crossgrade.predict.silicon.launched import Launched
from crossgrade.predict.silicon.model import Floats, KernelModel
from crossgrade.values.kernel import KernelRows

Features = Callable[[KernelRows], Floats]
"""Rows -> coordinates in which one step is one correlation length."""
FIT_ROWS = 600
"""Rows that the parameters of one kernel are fitted to; more do not change them."""
BAND_ROWS = 3000
"""Left-out rows that the width of the band is taken from."""
_FOLDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Seconds with a band, each shape [kernels]."""

    p50: Floats
    """Median, s."""
    p10: Floats
    """Lower end, s."""
    p90: Floats
    """Upper end, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is known of one kernel."""

    values: Mapping[str, float]
    """Parameters of the formula."""
    left: Kriging
    """log(measured / model)."""
    low: float
    """10 % of left-out rows lie below the mean by this many deviations or more (negative)."""
    high: float
    """90 % of left-out rows lie below the mean plus this many deviations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionTable:
    """Measured rows of one chip and format, ready to be asked for others."""

    model: KernelModel
    """The formula."""
    facts: Facts
    """The chip."""
    features: Features
    """Coordinates of the field."""
    launched: Launched
    """Which kernel runs."""
    parts: Mapping[str, Part]
    """Name of a kernel -> what is known of it."""

    @classmethod
    def build(
        cls,
        model: KernelModel,
        rows: KernelRows,
        facts: Facts,
        features: Features,
        groups: Floats,
    ) -> AttentionTable:
        """Return a table of measured rows.

        Args:
            model: the formula.
            rows: kernels with `seconds`.
            facts: the chip.
            features: coordinates.
            groups: number in [0, 1) per row, equal for rows of one head configuration.
        """
        launched = Launched.learn(rows)
        names = launched.of(rows)
        common = fit(model, thinned(rows, FIT_ROWS), facts, starts=1)
        parts = {}
        for name in np.unique(names):
            at = names == name
            own = rows.take(at)
            values = fit(model, thinned(own, FIT_ROWS), facts, common, starts=1)
            parts[str(name)] = _part(model, own, facts, features, values, groups[at])
        return cls(model=model, facts=facts, features=features, launched=launched, parts=parts)

    def predict(self, rows: KernelRows) -> Prediction:
        """Return seconds of rows, measured or not."""
        names = self.launched.of(rows)
        p50, p10, p90 = (np.full(len(rows), np.nan) for _ in range(3))
        for name, part in self.parts.items():
            at = names == name
            if not at.any():
                continue
            own = rows.take(at)
            base = np.log(self.model.terms(own, self.facts, part.values).total)
            field = part.left.at(self.features(own))
            p50[at] = np.exp(base + field.mean)
            p10[at] = np.exp(base + field.mean + part.low * field.deviation)
            p90[at] = np.exp(base + field.mean + part.high * field.deviation)
        return Prediction(p50=p50, p10=p10, p90=p90)


def thinned(rows: KernelRows, most: int) -> KernelRows:
    """Return at most `most` rows, evenly from first to last."""
    if len(rows) <= most:
        return rows
    return rows.take(np.linspace(0, len(rows) - 1, most).astype(np.int64))


def _part(
    model: KernelModel,
    rows: KernelRows,
    facts: Facts,
    features: Features,
    values: Mapping[str, float],
    groups: Floats,
) -> Part:
    assert rows.seconds is not None
    left = np.log(rows.seconds / model.terms(rows, facts, values).total)
    points = features(rows)
    rank = np.unique(groups, return_inverse=True)[1].reshape(-1)
    offs = [np.zeros(1)]
    for fold in range(_FOLDS):
        out = np.flatnonzero(rank % _FOLDS == fold)
        kept = rank % _FOLDS != fold
        if not len(out) or not kept.any():
            continue
        out = out[:: max(1, len(rows) // BAND_ROWS)]
        field = Kriging.build(points[kept], left[kept]).at(points[out])
        offs.append((left[out] - field.mean) / field.deviation)
    off = np.concatenate(offs)
    low, high = (float(q) for q in np.quantile(off, [0.1, 0.9]))
    return Part(values=values, left=Kriging.build(points, left), low=low, high=high)
