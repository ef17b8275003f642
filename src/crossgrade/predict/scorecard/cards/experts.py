"""Routed experts: one rank's fused operation, on models that were not fitted.

Rows are split by model (hidden, inter, topk, experts) into five folds, so that T2 and T3 score each
model once, unseen. The launched kernel of a scored row is never read. Rows of models that route
within groups have another routing than they name; they are scored apart and never fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
from crossgrade.predict.scorecard.folding import FOLDS, Columns, Learnt, Parts, folded, tabled
from crossgrade.predict.scorecard.line import Anchor, Goal, Line, Tier
from crossgrade.predict.silicon.experts import Experts, weight_bytes
from crossgrade.predict.silicon.facts import ARITHMETIC, Facts, facts_of
from crossgrade.predict.silicon.fitting import Batch, fit
from crossgrade.predict.silicon.kernel_sets import fitted, priced
from crossgrade.predict.silicon.model import TERMS, Floats, Terms
from crossgrade.predict.silicon.routing import share_of
from crossgrade.predict.silicon.score import Score, score
from crossgrade.predict.silicon.splits import shares, spread_out
from crossgrade.predict.silicon.table import Table
from crossgrade.predict.sources.aiconfigurator_experts import experts
from crossgrade.values.kernel import SITES, KernelRows

MODEL = SITES["experts"]
"""Sizes that make a model."""
POINTS = 30
"""Rows of the chip that T2 may see."""
LENT = 300
"""Rows of one operation that a chip's parameters come from where they are lent, as shipped."""
LEAST_MODELS = 5
"""With fewer models of a format there is no unseen one worth the name: T0 and T1 alone."""
BOUND = 0.12
"""Mean error asked of fp8_block on unseen models with a table (prototypes: 12 to 13 %)."""
ASKED = {("fp8_block", chip) for chip in ("h100", "b200", "b300", "gb200")}
"""(format, chip) that the bound was asked of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """Rows of one chip, format and stack."""

    parts: Parts
    """Rows by operation: gated and ungated experts."""
    facts: Facts
    """The chip."""

    @property
    def seconds(self) -> Floats:
        """Return the measured times, s, part after part."""
        return np.concatenate([p.seconds for p in self.parts if p.seconds is not None])

    @property
    def models(self) -> int:
        """Return how many models there are."""
        return len(np.unique(np.concatenate([shares(p, MODEL) for p in self.parts])))


def lines(data: Path) -> Iterator[Line]:
    """Yield the lines of routed experts.

    Args:
        data: the folder of the large data sets.
    """
    sets = _sets(experts(data))
    cases = {key: _case(*key, one) for key, one in sets.items()}
    every = list(cases.values())
    for case, begun in sheets(every):
        one = sets[case.format, case.chip]
        yield _line(one, case.format, case.chip, "T0", "nothing fitted; all models", begun, 0)
    for case in every:
        alike = [c for c in every if c.format == case.format]
        for told in transfers(case, alike):
            split = f"{told.left_out}: {told.donors}; all models"
            one = sets[case.format, case.chip]
            yield _line(one, case.format, case.chip, "T1", split, told.score, 0)
    yield from _own({key: one for key, one in sets.items() if one.models >= LEAST_MODELS}, cases)
    yield from _grouped(data, sets)


def _case(format: str, chip: str, one: Set) -> Case:
    """Return all rows of a chip, with what some of each operation lend."""
    parts = [
        Part(key=rows.op, batches=[Batch(rows=rows, facts=one.facts)],
             fitted=fit(Experts(), _far(rows, LENT), one.facts, starts=1))
        for rows in one.parts
    ]  # fmt: skip
    return Case(chip=chip, format=format, stack=one.parts[0].stack, model=Experts(), parts=parts)


def _own(
    sets: Mapping[tuple[str, str], Set], cases: Mapping[tuple[str, str], Case]
) -> Iterator[Line]:
    """Yield T2, its bands from the other chips' T2, and T3, of each chip and format."""
    few = {key: folded(one.parts, _calibrated(one.facts)) for key, one in sets.items()}
    known = [off(cases[key], _terms(found), sets[key].seconds) for key, found in few.items()]
    for (format, chip), one in sets.items():
        found = few[format, chip]
        held = bands(cases[format, chip], known)
        reached = banded(_terms(found), one.seconds, held)
        split = f"{POINTS} rows of the other models; {FOLDS} folds by model"
        yield _line(one, format, chip, "T2", split, reached, POINTS)
        table = folded(one.parts, tabled(Experts(), one.facts))
        reached = score(table["p50"], one.seconds, table["p10"], table["p90"])
        split = f"all rows of the other models; {FOLDS} folds by model"
        yield _line(
            one, format, chip, "T3", split, reached, len(one.seconds) * (FOLDS - 1) // FOLDS
        )


def _sets(found: Mapping[str, Parts]) -> dict[tuple[str, str], Set]:
    """Return the rows by format and chip, of chips that are described."""
    sets: dict[tuple[str, str], Set] = {}
    for chip in sorted(set(found) & set(chip_names())):
        for format in sorted({part.format for part in found[chip]} & set(ARITHMETIC)):
            parts = [part for part in found[chip] if part.format == format]
            sets[format, chip] = Set(parts=parts, facts=facts_of(load_chip(chip), format))
    return sets


def _far(rows: KernelRows, count: int) -> KernelRows:
    return rows.take(spread_out(rows, np.ones(len(rows), dtype=bool), count))


def _calibrated(facts: Facts) -> Callable[[Parts], Learnt]:
    """Return what lets POINTS rows far from each other teach."""

    def learn(train: Parts) -> Learnt:
        every = sum(map(len, train))
        few = [_far(part, max(2, round(POINTS * len(part) / every))) for part in train]
        sets = fitted(Experts(), few, facts)

        def told(rows: KernelRows) -> Columns:
            terms = priced(Experts(), rows, facts, sets)
            return {name: getattr(terms, name) for name in TERMS}

        return told

    return learn


def _terms(found: Columns) -> Terms:
    return Terms(**{name: found[name] for name in TERMS})


def _line(
    one: Set, format: str, chip: str, tier: Tier, split: str, reached: Score, rows: int
) -> Line:
    goals = (Goal(measure="mape", most=BOUND),) if (format, chip) in ASKED and tier == "T3" else ()
    return Line(
        family="experts",
        rows_of=f"routed experts {format}, {', '.join(sorted({p.stack for p in one.parts}))}",
        chip=chip,
        tier=tier,
        split=split,
        score=reached,
        fitted_rows=rows,
        goals=goals,
        anchors=_anchors(one, one.seconds),
    )


def _grouped(data: Path, sets: Mapping[tuple[str, str], Set]) -> Iterator[Line]:
    """Yield the models whose rows name another routing than they have, by tables of the others."""
    for (format, chip), one in _sets(experts(data, grouped=True)).items():
        others = sets.get((format, chip))
        if others is None or others.models < LEAST_MODELS:
            continue
        table = Table.build(Experts(), others.parts, others.facts)
        told = [table.estimate(part) for part in one.parts]
        p50, p10, p90 = (
            np.concatenate([getattr(e, name) for e in told]) for name in ("p50", "p10", "p90")
        )
        split = "all rows of models without groups; the routing of these rows is not the named one"
        line_format = f"{format}, routing within groups"
        reached = score(p50, one.seconds, p10, p90)
        yield _line(one, line_format, chip, "T3", split, reached, len(others.seconds))


def _anchors(one: Set, measured: Floats) -> tuple[Anchor, ...]:
    """Return simple formulas on the same rows, given our load of the busiest rank."""
    flop, moved = (np.concatenate([_work(part)[i] for part in one.parts]) for i in (0, 1))
    compute = flop / one.facts.matrix_flop_per_s
    memory = moved / one.facts.bandwidth_bytes_per_s
    return anchors(compute, memory, measured, "with our rows of the busiest rank")


def _work(rows: KernelRows) -> tuple[Floats, Floats]:
    """Return FLOP and least bytes of the busiest rank: weights once, activations in and out."""
    share = share_of(rows.sizes)
    products = 2 if rows.op == "ungated" else 3
    wide = rows.sizes["inter"] / rows.sizes["tp"]
    flop = 2 * share.rows * products * rows.sizes["hidden"] * wide
    return flop, weight_bytes(rows, share) + 4 * share.rows * rows.sizes["hidden"]
