"""Lines for vector kernels: one 910C die by five folds, GPUs by few points and from each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from crossgrade.chips.loader import load_chip
from crossgrade.predict.scorecard.between import (
    ASSUMED,
    Case,
    Part,
    assumed,
    banded,
    bands,
    off,
    sheets,
    terms_of,
    transfers,
)
from crossgrade.predict.scorecard.cards import tensorcast
from crossgrade.predict.scorecard.cards.cube import IN_VIEW, omitted
from crossgrade.predict.scorecard.line import Anchor, Goal, Line, Tier
from crossgrade.predict.silicon.bands import Bands
from crossgrade.predict.silicon.facts import Facts, facts_of
from crossgrade.predict.silicon.fitting import Batch, fit_all, seconds_of, totals
from crossgrade.predict.silicon.held_out import Held, band, cross_validated, left_out
from crossgrade.predict.silicon.knowledge import regime
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.silicon.score import Score, score
from crossgrade.predict.silicon.splits import halves, spread_out
from crossgrade.predict.silicon.vector import Vector
from crossgrade.predict.sources import ascend, vector_gpu
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
        split=f"nothing fitted; {ASSUMED}",
        score=assumed(totals(model, batches, starting(model)), measured),
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
        said, (low, high) = totals(model, asked, fit_all(model, batches)), held.factors
        yield Line(
            family="vector", chip=chip.name, tier="T1",
            rows_of=f"vector of a DeepSeek-V3.2 step, device not named; {omitted(other)}",
            split="fitted on the rows of the 910C die, scored on the other report",
            score=score(said, seconds_of(asked), said * low, said * high),
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
    cases = [_case(model, format, rows[chip], given[chip], facts[chip]) for chip in rows]
    own = [terms_of(case, {p.key: p.fitted for p in case.parts if p.fitted}) for case in cases]
    known = [off(case, terms, case.measured) for case, terms in zip(cases, own, strict=True)]
    for (case, begun), terms in zip(sheets(cases), own, strict=True):
        seen = sum(len(b.rows) for b in given[case.chip])
        held = bands(case, known) or _inner(model, given[case.chip])
        said: list[tuple[Tier, Score, int, str]] = [
            ("T0", begun, 0, "nothing fitted"),
            *(("T1", m.score, 0, f"{m.left_out}: {m.donors}") for m in transfers(case, cases)),
            ("T2", banded(terms, case.measured, held), seen,
             f"{POINTS} points per operation from a quarter of the sizes"),
        ]  # fmt: skip
        for tier, reached, fitted, split in said:
            yield Line(
                family="vector", rows_of=f"{kind}, {format}", chip=case.chip, tier=tier,
                split=f"{split}; scored on the other three quarters of the sizes",
                score=reached, fitted_rows=fitted, anchors=anchors,
            )  # fmt: skip


def _case(
    model: Vector, format: str, rows: list[KernelRows], given: list[Batch], facts: Facts
) -> Case:
    asked = [Batch(rows=r.take(halves(r, BYTES, QUARTER)[1]), facts=facts) for r in rows]
    part = Part(key="", batches=asked, fitted=fit_all(model, given, starts=1))
    return Case(chip=facts.chip, format=format, stack=rows[0].stack, model=model, parts=[part])


def _inner(model: Vector, given: list[Batch]) -> Bands:
    """Return a band from left-out sizes of the calibration, where no other chip tells."""
    places = [regime(model.terms(b.rows, b.facts, starting(model))) for b in given]
    return Bands.of(left_out(model, given, BYTES), np.concatenate(places))


def _calibration(rows: list[KernelRows], facts: Facts) -> list[Batch]:
    """Return the points that a chip's owner would time."""
    return [
        Batch(rows=r.take(spread_out(r, halves(r, BYTES, QUARTER)[0], POINTS)), facts=facts)
        for r in rows
    ]
