"""Lines for dense products on a cube unit: one 910C die, few rows, five folds over shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from crossgrade.chips.loader import load_chip
from crossgrade.predict.scorecard.between import ASSUMED, assumed
from crossgrade.predict.scorecard.cards import tensorcast
from crossgrade.predict.scorecard.line import Goal, Line
from crossgrade.predict.silicon.cube import Cube
from crossgrade.predict.silicon.facts import facts_of
from crossgrade.predict.silicon.fitting import Batch, fit_all, seconds_of, totals
from crossgrade.predict.silicon.held_out import Held, cross_validated
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.silicon.score import score
from crossgrade.predict.sources import ascend
from crossgrade.values.kernel import SIZES

PUBLISHED = "18.6 % MAPE on 63 rows, of which 43 are here"
"""TensorCast's formula on a larger set of public 910C rows, run by us before."""

IN_VIEW = "the form of the model was settled with these folds in view"
"""What a reader must know of a figure over few rows. Of the other report nothing was fitted, but
its errors were seen too while the form was settled."""


def lines(data: Path) -> Iterator[Line]:
    """Yield the lines of this family.

    Args:
        data: the folder of the large data sets.
    """
    reading, model = ascend.die(data, "matmul"), Cube()
    chip = load_chip(ascend.CHIP)
    batches = [Batch(rows=r, facts=facts_of(chip, r.format)) for r in reading.rows]
    measured, kind = seconds_of(batches), f"matmul bf16 and int8, CANN 8.5; {omitted(reading)}"
    anchor = tensorcast.anchor(batches, PUBLISHED)
    yield Line(
        family="matmul", rows_of=kind, chip=chip.name, tier="T0",
        split="nothing fitted; starting values partly read off extreme rows of the same report; "
        f"{ASSUMED}",
        score=assumed(totals(model, batches, starting(model)), measured),
        fitted_rows=0, anchors=(anchor,),
    )  # fmt: skip
    held = cross_validated(model, batches, SIZES["matmul"])
    yield Line(
        family="matmul", rows_of=kind, chip=chip.name, tier="T2",
        split=f"five folds by (batch, m, n, k), each scored once; {IN_VIEW}",
        score=held.score(), fitted_rows=len(measured) * 4 // 5,
        goals=(Goal(measure="mape", most=0.15),), anchors=(anchor,),
    )  # fmt: skip
    yield from _another_model(data, batches, model, held)


def _another_model(data: Path, batches: list[Batch], model: Cube, held: Held) -> Iterator[Line]:
    """Yield products of another network, fit and band from all rows of the die."""
    reading = ascend.step(data, "matmul")
    if not reading.rows:
        return
    chip = load_chip(ascend.CHIP)
    asked = [Batch(rows=r, facts=facts_of(chip, r.format)) for r in reading.rows]
    values: Mapping[str, float] = fit_all(model, batches)
    said, (low, high) = totals(model, asked, values), held.factors
    yield Line(
        family="matmul",
        rows_of=f"matmul of a DeepSeek-V3.2 decode step, device not named; {omitted(reading)}",
        chip=chip.name, tier="T1",
        split="fitted on the rows of the 910C die, scored on the other report",
        score=score(said, seconds_of(asked), said * low, said * high), fitted_rows=0,
    )  # fmt: skip


def omitted(reading: ascend.Reading) -> str:
    """Return what was left out of a report, in words: rows and reason."""
    told = {why: n for why, n in reading.dropped.items() if why != ascend.OTHER}
    parts = [f"{n} {why}" for why, n in sorted(told.items())]
    return "left out: " + (", ".join(parts) if parts else "nothing")
