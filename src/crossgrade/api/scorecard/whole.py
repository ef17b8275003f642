"""One line of the scorecard from predicted and measured times of whole steps.

Must not know where either comes from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossgrade.predict.scorecard.line import Anchor, Goal, Line, Tier, Whole
from crossgrade.predict.silicon.score import score

Times = tuple[float, float, float]
"""P10, P50 and P90 of a step, s; NaN where nothing is predicted."""
NONE: Times = (np.nan, np.nan, np.nan)


def whole_line(
    family: Whole, name: str, found: Sequence[Times], measured: np.ndarray, *, chip: str,
    tier: Tier, split: str = "no end-to-end row is fitted to", goals: tuple[Goal, ...] = (),
    anchors: tuple[Anchor, ...] = (),
) -> Line:  # fmt: skip
    """Return a line.

    Args:
        family: heading that it stands under.
        name: its rows in words.
        found: predictions, one per row.
        measured: times, s, shape [rows].
        chip: name of the chip, or `all`.
        tier: what predictions may know.
        split: what was fitted, in words.
        goals: what was asked.
        anchors: what others reach.
    """
    low, mid, high = (np.array(column) for column in zip(*found, strict=True))
    return Line(
        family=family, rows_of=name, chip=chip, tier=tier, split=split,
        score=score(mid, measured, low, high), fitted_rows=0, goals=goals, anchors=anchors,
    )  # fmt: skip
