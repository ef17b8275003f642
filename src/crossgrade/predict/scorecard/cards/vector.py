"""Lines for vector kernels: one 910C die by five folds, GPUs by few points and from each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from crossgrade.chips.loader import load_chip
from crossgrade.predict.scorecard.cards import tensorcast
from crossgrade.predict.scorecard.cards.cube import IN_VIEW, omitted
from crossgrade.predict.scorecard.held_out import Held, band, cross_validated, left_out
from crossgrade.predict.scorecard.line import Anchor, Goal, Line
from crossgrade.predict.scorecard.score import score
from crossgrade.predict.scorecard.sources import ascend, vector_gpu
from crossgrade.predict.scorecard.splits import halves, spread_out
from crossgrade.predict.silicon.facts import Facts, facts_of
from crossgrade.predict.silicon.fitting import Batch, fit_all, seconds_of, totals
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.silicon.vector import Vector
from crossgrade.values.kernel import SIZES, KernelRows

PUBLISHED = "52 % MAPE on 87 rows"
"""TensorCast's formula on a larger set of public 910C rows, run by us before."""
BYTES = ("bytes_read", "bytes_written")
QUARTER = 0.25
"""Share of the sizes that may be fitted on a GPU."""
POINTS = 8
"""Calibration points per operation of a GPU."""
NEUSIGHT = Anchor(
    who="NeuSight",
    figure="elementwise 19.3 %, softmax 13.9 %, layer norm 56.7 %, on unseen GPUs",
    source="summary files of sitar-lab/NeuSight@6945927 (ASPLOS 2025); not run here, another split",
)


def lines(data: Path) -> Iterator[Line]:
    """Yield the lines of this family.

    Args:
        data: the folder of the large data sets.
    """
    yield from _die(data)
    yield from _gpus(vector_gpu.vidur(data), "bf16", "norm, rope, activation, add of vidur", ())
    yield from _gpus(
        vector_gpu.neusight(data), "fp32", "elementwise, softmax, layer norm of NeuSight",
        (NEUSIGHT,),
    )  # fmt: skip


def _die(data: Path) -> Iterator[Line]:
    """Yield the lines of one 910C die."""
    reading = ascend.die(data, "vector")
    chip = load_chip(ascend.CHIP)
    batches = [Batch(rows=r, facts=facts_of(chip, r.format)) for r in reading.rows]
    model = Vector(ops=tuple(sorted({b.rows.op for b in batches})))
    measured, kind = seconds_of(batches), f"vector, CANN 8.5; {omitted(reading)}"
    anchor = tensorcast.anchor(batches, PUBLISHED)
    yield Line(
        family="vector", rows_of=kind, chip=chip.name, tier="T0",
        split="nothing fitted", score=score(totals(model, batches, starting(model)), measured),
        fitted_rows=0, anchors=(anchor,),
    )  # fmt: skip
    held = cross_validated(model, batches, SIZES["vector"])
    yield Line(
        family="vector", rows_of=kind, chip=chip.name, tier="T2",
        split=f"five folds by sizes, each scored once; {IN_VIEW}", score=held.score(),
        fitted_rows=len(measured) * 4 // 5,
        goals=(Goal(measure="mape", most=0.30),), anchors=(anchor,),
    )  # fmt: skip
    unseen = _operation_left_out(batches)
    yield Line(
        family="vector", rows_of=kind, chip=chip.name, tier="T2",
        split="one operation left out at a time", score=unseen.score(),
        fitted_rows=len(measured) - len(measured) // len(batches), anchors=(anchor,),
    )  # fmt: skip
    other = ascend.step(data, "vector")
    asked = [Batch(rows=r, facts=facts_of(chip, r.format)) for r in other.rows]
    if asked:
        yield Line(
            family="vector", chip=chip.name, tier="T1",
            rows_of=f"vector of a DeepSeek-V3.2 step, device not named; {omitted(other)}",
            split="fitted on the rows of the 910C die, scored on the other report",
            score=score(totals(model, asked, fit_all(model, batches)), seconds_of(asked)),
            fitted_rows=0,
        )  # fmt: skip


def _operation_left_out(batches: list[Batch]) -> Held:
    """Return each operation predicted from the others, its band from theirs."""
    predicted, measured = [], []
    for out in sorted({b.rows.op for b in batches}):
        kept = [b for b in batches if b.rows.op != out]
        model = Vector(ops=tuple(sorted({b.rows.op for b in kept})))
        asked = [b for b in batches if b.rows.op == out]
        predicted.append(totals(model, asked, fit_all(model, kept, starts=1)))
        measured.append(seconds_of(asked))
    factors = []
    for i, mine in enumerate(predicted):
        rest = [np.log(m / p) for j, (m, p) in enumerate(zip(measured, predicted, strict=True))
                if j != i]  # fmt: skip
        low, high = band(np.concatenate(rest))
        factors.append((mine * low, mine * high))
    return Held(
        predicted=np.concatenate(predicted),
        measured=np.concatenate(measured),
        low=np.concatenate([low for low, _ in factors]),
        high=np.concatenate([high for _, high in factors]),
    )


def _gpus(
    rows: Mapping[str, list[KernelRows]], format: str, kind: str, anchors: tuple[Anchor, ...]
) -> Iterator[Line]:
    """Yield T0, T1 from the other chips, and T2, all on the same rows of each GPU."""
    model = Vector(ops=tuple(sorted({r.op for of_chip in rows.values() for r in of_chip})))
    facts = {chip: facts_of(load_chip(chip), format) for chip in rows}
    given = {chip: _calibration(rows[chip], facts[chip]) for chip in rows}
    for chip, of_chip in rows.items():
        asked = [
            Batch(rows=r.take(halves(r, BYTES, QUARTER)[1]), facts=facts[chip]) for r in of_chip
        ]
        others = [b for other, batches in given.items() if other != chip for b in batches]
        known = [("T0", starting(model), 0, "nothing fitted")]
        if others:
            known.append(
                ("T1", fit_all(model, others, starts=1), 0, f"fitted on {len(rows) - 1} other chip")
            )
        seen = sum(len(b.rows) for b in given[chip])
        own = fit_all(model, given[chip], starts=1)
        known.append(
            ("T2", own, seen, f"{POINTS} points per operation from a quarter of the sizes")
        )
        low, high = band(left_out(model, given[chip], BYTES))
        measured = seconds_of(asked)
        for tier, values, fitted, split in known:
            said = totals(model, asked, values)
            bands = (said * low, said * high) if tier == "T2" else (None, None)
            yield Line(
                family="vector", rows_of=f"{kind}, {format}", chip=chip, tier=tier,  # type: ignore[arg-type]
                split=f"{split}; scored on the other three quarters of the sizes",
                score=score(said, measured, *bands),
                fitted_rows=fitted, anchors=anchors,
            )  # fmt: skip


def _calibration(rows: list[KernelRows], facts: Facts) -> list[Batch]:
    """Return the points that a chip's owner would time."""
    return [
        Batch(rows=r.take(spread_out(r, halves(r, BYTES, QUARTER)[0], POINTS)), facts=facts)
        for r in rows
    ]
