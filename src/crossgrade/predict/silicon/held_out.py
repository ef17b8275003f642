"""Few measured rows, pooled: predictions of rows that were not fitted, with bands from others.

Folds are by group of sizes and frozen (`splits`). The band of a fold comes from rows of the other
folds, each predicted by a fit that saw neither: so nothing of a scored row is in its prediction or
in its band. Must not know families or chips.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.silicon.fitting import Batch, fit_all, seconds_of, totals
from crossgrade.predict.silicon.model import Floats, KernelModel
from crossgrade.predict.silicon.score import Score, score
from crossgrade.predict.silicon.splits import shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Rows predicted without having been fitted; each array [rows], s, in the order of batches."""

    predicted: Floats
    """P50."""
    low: Floats
    """P10."""
    high: Floats
    """P90."""
    measured: Floats
    """What it took."""

    @property
    def factors(self) -> tuple[float, float]:
        """Return P10 and P90 over P50 for rows of another set that the same formula predicts."""
        return band(np.log(self.measured / self.predicted))

    def score(self, chosen: Floats | None = None) -> Score:
        """Return the errors, of some rows if a mask is given."""
        at = slice(None) if chosen is None else chosen.astype(bool)
        return score(self.predicted[at], self.measured[at], self.low[at], self.high[at])


def cross_validated(
    model: KernelModel, batches: Sequence[Batch], by: Sequence[str], count: int = 5
) -> Held:
    """Return every row predicted by a fit on the other folds.

    Args:
        model: the formula.
        batches: measured rows, pooled.
        by: sizes that make a group.
        count: folds.
    """
    folds = [(shares(b.rows, by) * count).astype(np.int64) for b in batches]
    return validated_by(model, batches, folds)


def validated_by(
    model: KernelModel,
    batches: Sequence[Batch],
    folds: Sequence[NDArray[np.int64]],
    prior: Mapping[str, float] | None = None,
    looseness: float = 1.0,
) -> Held:
    """Return every row predicted by a fit on the other folds; the folds are given.

    Args:
        model: the formula.
        batches: measured rows, pooled.
        folds: per batch the fold of each row, from 0; three or more in all.
        prior: what the fits believe before.
        looseness: how much less they believe it than the model says, see `fit_all`.
    """
    count = 1 + max(int(f.max()) for f in folds if len(f))
    fold, measured = np.concatenate(folds), seconds_of(batches)

    def without(left_out: set[int]) -> Floats:
        kept = _kept(batches, [~np.isin(f, list(left_out)) for f in folds])
        return totals(model, batches, fit_all(model, kept, prior, starts=1, looseness=looseness))

    pairs = {frozenset(p): without(set(p)) for p in itertools.combinations(range(count), 2)}
    predicted, low, high = (np.full(len(fold), np.nan) for _ in range(3))
    for i in range(count):
        at = fold == i
        predicted[at] = without({i})[at]
        others = [fold == j for j in range(count) if j != i]
        inner = [pairs[frozenset((i, j))] for j in range(count) if j != i]
        off = np.concatenate(
            [np.log(measured[o] / p[o]) for o, p in zip(others, inner, strict=True)]
        )
        few, many = band(off)
        low[at], high[at] = predicted[at] * few, predicted[at] * many
    return Held(predicted=predicted, low=low, high=high, measured=measured)


def left_out(
    model: KernelModel, batches: Sequence[Batch], by: Sequence[str], most: int = 12
) -> Floats:
    """Return logarithms of measured over predicted, each row's group left out of its fit.

    Args:
        model: the formula.
        batches: measured rows, pooled.
        by: sizes that make a group.
        most: parts that are left out in turn; with more groups than that, each is several.
    """
    parts = [shares(b.rows, by) for b in batches]
    groups = np.unique(np.concatenate(parts))
    order = [np.searchsorted(groups, part) % min(most, len(groups)) for part in parts]
    every, measured = np.concatenate(order), seconds_of(batches)
    off = np.full(len(every), np.nan)
    for i in np.unique(every):
        kept = _kept(batches, [o != i for o in order])
        said = totals(model, batches, fit_all(model, kept, starts=1))
        off[every == i] = np.log(measured / said)[every == i]
    return off


def band(off: Floats) -> tuple[float, float]:
    """Return the factors of P10 and P90 from logarithms of measured over predicted.

    With n residuals a new one lies below the k-th smallest with probability k / (n + 1), so the
    quantiles are taken as of one residual more on either side.
    """
    n = len(off)
    tail = max(0.1 * (n + 1) - 1, 0.0) / max(n - 1, 1)
    return float(np.exp(np.quantile(off, tail))), float(np.exp(np.quantile(off, 1 - tail)))


def _kept(batches: Sequence[Batch], masks: Sequence[NDArray[np.bool_]]) -> list[Batch]:
    """Return some rows of each batch."""
    return [
        Batch(rows=batch.rows.take(mask), facts=batch.facts)
        for batch, mask in zip(batches, masks, strict=True)
    ]
