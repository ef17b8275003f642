"""Measured kernels of anybody's chip, scored with the parameters that the package ships.

Nothing is fitted: each kind is predicted by `estimate`, as `crossgrade assess` does. A lower tier
is what is left when fits are taken away: of this chip for T1, of all chips for T0. Must not know
where rows come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossgrade.predict.scorecard.line import Tier
from crossgrade.predict.silicon.estimate import estimate
from crossgrade.predict.silicon.knowledge import Knowledge
from crossgrade.predict.silicon.measured import check
from crossgrade.predict.silicon.score import Score, score
from crossgrade.values.chip import Chip
from crossgrade.values.kernel import KernelRows

TIERS: tuple[Tier, ...] = ("T0", "T1", "T2")
"""Tiers that shipped parameters reach; a measured table (T3) is not shipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnScore:
    """Errors on one kind of kernel."""

    rows: KernelRows
    """What was measured."""
    tier: str
    """What the prediction knew."""
    basis: str
    """What it rests on, for a person."""
    score: Score | None
    """The errors; None where no row has a prediction."""


def own_scores(
    kinds: Sequence[KernelRows], chip: Chip, knowledge: Knowledge, tier: Tier | None = None
) -> Iterator[OwnScore]:
    """Yield the errors of each kind.

    Args:
        kinds: measured kernels.
        chip: what they ran on.
        knowledge: what was fitted.
        tier: know no more than this; the best if None.

    Raises:
        BadOption: an unknown format or operation.
    """
    less = restricted(knowledge, chip, tier)
    for rows in kinds:
        check(rows, chip)
        found = estimate(rows, chip, less)
        told, basis = bool(np.isfinite(found.mid).any()), found.basis
        if tier is not None and found.tier != tier:
            told, basis = False, f"{tier} is not known of this kind, {found.tier} is"
        elif not told:
            basis = "the description of the chip lacks a rate that the formula needs"
        assert rows.seconds is not None
        yield OwnScore(
            rows=rows, tier=found.tier, basis=basis,
            score=score(found.mid, rows.seconds, found.low, found.high) if told else None,
        )  # fmt: skip


def restricted(knowledge: Knowledge, chip: Chip, tier: Tier | None) -> Knowledge:
    """Return knowledge without what a tier may not know."""
    if tier == "T0":
        return replace(knowledge, fits=tuple(f for f in knowledge.fits if not f.chip))
    if tier == "T1":
        return replace(knowledge, fits=tuple(f for f in knowledge.fits if f.chip != chip.name))
    return knowledge
