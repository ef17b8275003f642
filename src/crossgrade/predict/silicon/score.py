"""Predicted against measured: the figures of one line of the scorecard.

Must not know families, chips or how a line is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossgrade.predict.silicon.model import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Errors over the rows of one split."""

    rows: int
    """Rows that were to be predicted."""
    covered: float
    """Share of them that have a prediction, 0 to 1."""
    mape: float
    """Mean of |predicted / measured - 1|."""
    median: float
    """Median of it."""
    p90: float
    """90th percentile of it."""
    bias: float
    """Median of predicted / measured - 1: above 0 is too slow."""
    inside: float
    """Share of covered rows between P10 and P90, 0 to 1; NaN without a band."""

    @property
    def uncovered(self) -> float:
        """Return the share of rows without a prediction, 0 to 1."""
        return 1 - self.covered


def score(
    predicted: Floats,
    measured: Floats,
    low: Floats | None = None,
    high: Floats | None = None,
) -> Score:
    """Return the errors of predictions.

    Args:
        predicted: P50, s, shape [rows]; NaN where there is no prediction.
        measured: s, shape [rows].
        low: P10, s, shape [rows].
        high: P90, s, shape [rows].

    Raises:
        ValueError: no row has a prediction.
    """
    known = np.isfinite(predicted)
    if not known.any():
        raise ValueError("no row has a prediction")
    off = predicted[known] / measured[known] - 1
    inside = np.nan
    if low is not None and high is not None:
        held = (measured[known] >= low[known]) & (measured[known] <= high[known])
        inside = float(held.mean())
    size = np.abs(off)
    return Score(
        rows=len(measured),
        covered=float(known.mean()),
        mape=float(size.mean()),
        median=float(np.median(size)),
        p90=float(np.quantile(size, 0.9)),
        bias=float(np.median(off)),
        inside=inside,
    )
