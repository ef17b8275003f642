"""Attention: prefill and decode of one layer, on head configurations that were not fitted.

Rows are split by (heads, KV heads, head size, window), latent attention by its heads. T0, T1 and T2
are scored on the configurations that may not be fitted (three quarters; of the eight numbers of
heads that latent attention has, the six other than 32 and 64); T3 on five folds, each configuration
once. No parameter is fitted to a scored row. The formulas themselves and their starting values were
chosen while errors of these rows were seen, on all chips but RTX PRO 6000; the correlation lengths
of T3 on RTX PRO 6000.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossgrade.chips.loader import chip_names, load_chip
from crossgrade.predict.scorecard.between import (
    Case,
    Part,
    banded,
    bands,
    off,
    sheets,
    transfers,
)
from crossgrade.predict.scorecard.cards.anchors import anchors
from crossgrade.predict.scorecard.folding import folded, tabled
from crossgrade.predict.scorecard.line import Anchor, Goal, Line, Tier
from crossgrade.predict.silicon.attention import Decode, Prefill, traffic, visible
from crossgrade.predict.silicon.bands import Bands, held_out
from crossgrade.predict.silicon.facts import Facts, facts_of
from crossgrade.predict.silicon.fitting import Batch, fit
from crossgrade.predict.silicon.kernel_sets import thinned
from crossgrade.predict.silicon.latent import Latent
from crossgrade.predict.silicon.model import Floats, KernelModel, Terms
from crossgrade.predict.silicon.score import Score, score
from crossgrade.predict.silicon.splits import Mask, folds, halves, spread_out
from crossgrade.predict.sources.aiconfigurator_attention import (
    LATENT,
    attention,
    latent,
)
from crossgrade.values.kernel import SITES, Family, KernelRows

FITTED: Mapping[Family, float] = {"attention": 0.25, "latent-attention": 0.4}
"""Share of configurations that may be fitted below T3."""
POINTS = 30
"""Rows of the chip that T2 may see."""
TRANSFER_ROWS = 600
"""Rows of each other chip that T1 is fitted to."""
MODELS: Mapping[str, KernelModel] = {"prefill": Prefill(), "decode": Decode()}
"""Operation -> its formula."""
LATENTS: Mapping[str, KernelModel] = {op: Latent(decode=op.startswith("decode")) for op in LATENT}
"""Operation over a latent -> its formula."""
GOALS: Mapping[tuple[str, Tier], float] = {
    ("prefill", "T2"): 0.20,
    ("decode", "T2"): 0.20,
    ("prefill", "T3"): 0.07,
    ("decode", "T3"): 0.05,
}
"""(operation, tier) -> mean error asked of unseen head configurations."""
QUOTED: Mapping[str, str] = {"prefill": "mean 2 to 3.2 %", "decode": "mean 1.1 %"}
"""aiconfigurator's own figures: interior points left out one at a time, an easier split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """Rows of one chip, operation and format, with their split."""

    rows: KernelRows
    """All rows."""
    facts: Facts
    """The chip."""
    model: KernelModel
    """The formula."""

    @property
    def calibration(self) -> KernelRows:
        """Return the rows of configurations that may be fitted."""
        return self.rows.take(self.halves[0])

    @property
    def scored(self) -> KernelRows:
        """Return the others."""
        return self.rows.take(self.halves[1])

    @property
    def halves(self) -> tuple[Mask, Mask]:
        """Return (may be fitted, scored) masks."""
        return halves(self.rows, SITES[self.rows.family], FITTED[self.rows.family])


def lines(data: Path) -> Iterator[Line]:
    """Yield the lines of attention.

    Args:
        data: the folder of the large data sets.
    """
    for op, model in MODELS.items():
        yield from _of(list(sets(attention(data, op), model)))
    for op, model in LATENTS.items():
        yield from _of(list(sets(latent(data, op), model)))


def sets(found: Mapping[str, list[KernelRows]], model: KernelModel) -> Iterator[Set]:
    """Yield the rows of every chip that has a description."""
    for chip, tables in found.items():
        if chip in chip_names():
            for rows in tables:
                # Latent attention knows its formats itself, from the rate of bf16.
                format = rows.format if rows.family == "attention" else "bf16"
                yield Set(rows=rows, facts=facts_of(load_chip(chip), format), model=model)


def _of(chips: list[Set]) -> Iterator[Line]:
    """Yield all lines of one operation; T2 and T3 where there are configurations to fit."""
    cases = [_case(one) for one in chips]
    few = [_few(one) if one.halves[0].any() else None for one in chips]
    known = [off(c, f[0], c.measured) for c, f in zip(cases, few, strict=True) if f]
    for one, (case, begun), found in zip(chips, sheets(cases), few, strict=True):
        yield _formula(one, "T0", "nothing fitted", begun)
        alike = [c for c in cases if c.format == case.format]
        for told in transfers(case, alike):
            yield _formula(one, "T1", f"{told.left_out}: {told.donors}", told.score)
        if found:
            terms, seen = found
            held = bands(case, known) or _inner(one)
            what = f"fitted on {seen} rows of this chip"
            yield _formula(one, "T2", what, banded(terms, case.measured, held), seen)
            yield _table(one)


def _case(one: Set) -> Case:
    rows, may = one.rows, thinned(one.calibration, TRANSFER_ROWS)
    # A table may have no configuration that may be fitted: such a chip lends nothing.
    lent = fit(one.model, may, one.facts) if len(may) else None
    part = Part(key=rows.op, batches=[Batch(rows=one.scored, facts=one.facts)], fitted=lent)
    return Case(chip=one.facts.chip, format=rows.format, stack=rows.stack, model=one.model,
                parts=[part])  # fmt: skip


def _points(one: Set) -> KernelRows:
    return one.rows.take(spread_out(one.rows, one.halves[0], POINTS))


def _few(one: Set) -> tuple[Terms, int]:
    """Return the scored rows as a few points of this chip have them, and how many those are."""
    few = _points(one)
    return one.model.terms(one.scored, one.facts, fit(one.model, few, one.facts)), len(few)


def _inner(one: Set) -> Bands:
    """Return a band from the calibration points themselves, where no other chip tells."""
    return Bands.of(*held_out(one.model, _points(one), one.facts))


def _formula(one: Set, tier: Tier, seen: str, reached: Score, fitted: int = 0) -> Line:
    split = f"{seen}; scored on head configurations that may not be fitted"
    return _line(one, tier, split, reached, one.scored, fitted)


def _table(one: Set) -> Line:
    """Return T3: each fold of head configurations predicted from the other four."""
    rows = one.rows
    assert rows.seconds is not None
    told = folded([rows], tabled(one.model, one.facts))
    reached = score(told["p50"], rows.seconds, told["p10"], told["p90"])
    split = "five folds by head configuration, each predicted from the table of the other four"
    most = max(int(known.sum()) for known, _ in folds(rows, SITES[rows.family]))
    return _line(one, "T3", split, reached, rows, most)


def _line(one: Set, tier: Tier, split: str, reached: Score, rows: KernelRows, fitted: int) -> Line:
    most = GOALS.get((rows.op, tier)) if rows.family == "attention" else None
    return Line(
        family=rows.family,
        rows_of=f"{rows.op} {rows.format}, {rows.stack}",
        chip=one.facts.chip,
        tier=tier,
        split=split,
        score=reached,
        fitted_rows=fitted,
        goals=() if most is None else (Goal(measure="mape", most=most),),
        anchors=_anchors(rows, one.facts) if rows.family == "attention" else (),
    )


def _anchors(rows: KernelRows, facts: Facts) -> tuple[Anchor, ...]:
    assert rows.seconds is not None
    quoted = (
        "its documentation; interior rows left out one at a time, an easier split; not run here"
    )
    theirs = Anchor(who="aiconfigurator", figure=QUOTED[rows.op], source=quoted)
    return (*anchors(*at_peaks(rows, facts), rows.seconds), theirs)


def at_peaks(rows: KernelRows, facts: Facts) -> tuple[Floats, Floats]:
    """Return the times of attention's work and of its traffic at the data sheet's peaks, s."""
    s = rows.sizes
    flop = 2 * s["batch"] * s["heads"] * visible(rows) * (s["qk_size"] + s["v_size"])
    limit = np.where(s["window"] > 0, s["window"] + s["queries"] - 1, np.inf)
    moved = traffic(rows, np.minimum(s["keys"], limit))
    return flop / facts.matrix_flop_per_s, moved / facts.bandwidth_bytes_per_s
