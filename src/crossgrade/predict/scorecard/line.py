"""One line of the scorecard: what was predicted from what, how far off, and beside whom.

Must not know how a line is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from crossgrade.predict.silicon.score import Score
from crossgrade.values.assessment import Tier as Tier
from crossgrade.values.kernel import Family

Whole = Literal["served", "batch", "step", "training"]
"""What is scored as a whole: a service under load; a batch to its last token; one step; a training
step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """Somebody else's figure for the same question."""

    who: str
    """Tool or formula, such as `aiconfigurator` or `spec roofline`."""
    figure: str
    """As published or as measured by us, such as `median 3.63 %, p90 14.7 %`."""
    source: str
    """Where that stands, and whether we ran it on the same rows."""
    score: Score | None = None
    """Its errors on the same rows, where it was run here; None where the figure is quoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What was asked of a line beforehand."""

    measure: Literal["mape", "median", "p90", "uncovered"]
    """Which figure."""
    most: float
    """It is met at or below this, as a fraction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Errors of one tier on one set of rows."""

    family: Family | Whole
    """Which kernels, or what whole."""
    rows_of: str
    """Their kind in words, such as `matmul bf16, vllm 0.24.0`."""
    chip: str
    """Name of the chip, or `all`."""
    tier: Tier
    """What the prediction may know."""
    split: str
    """In words: what was fitted, what is scored."""
    score: Score
    """The errors."""
    fitted_rows: int
    """Measured rows of this chip that the prediction has seen."""
    goals: tuple[Goal, ...] = ()
    """What was asked; empty where nothing was."""
    anchors: tuple[Anchor, ...] = ()
    """What others reach."""
    card: str = ""
    """Module of `cards` that made it; filled in where lines are collected."""
