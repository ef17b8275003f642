"""Lines for collectives: half of the message sizes fitted, the other half scored, by chip.

A size is on one side for every chip, number of ranks and operation. The form of the model (which
ways, what a peer costs) was settled with both sides of NCCL on a100 and l40s in view; the other
chips, and the serving stacks' all-reduces, came after. NCCL's and the serving stacks'
all-reduces inside one node; HCCL's on 910C dies by five folds, as they are few. Lengths of the
table (T3) were set once, with errors of the scored sizes in view.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossgrade.chips.loader import load_chip
from crossgrade.errors import UnknownChip
from crossgrade.predict.scorecard.between import (
    ASSUMED,
    Case,
    Part,
    assumed,
    sheets,
    transfers,
)
from crossgrade.predict.scorecard.line import Anchor, Goal, Line, Tier
from crossgrade.predict.silicon.collective import Collective
from crossgrade.predict.silicon.facts import Facts, facts_of
from crossgrade.predict.silicon.fitting import Batch, fit_all, seconds_of, totals
from crossgrade.predict.silicon.held_out import Held, band, cross_validated, left_out
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.silicon.score import Score
from crossgrade.predict.silicon.splits import halves
from crossgrade.predict.silicon.table import Table
from crossgrade.predict.sources import ascend, collectives
from crossgrade.values.kernel import SITES, KernelRows

BY = SITES["collective"]
HALF = 0.5
"""Share of the message sizes that is fitted."""
GOALS = {name: (Goal(measure="mape", most=0.10),)
         for name in ("a100", "h100", "b200", "b300", "gb200")}  # fmt: skip
NCCL = "NCCL inside one node"
IN_VIEW = ("a100", "l40s")
"""Chips whose NCCL rows, scored ones too, were looked at while the form was settled."""
ALPHA_BETA = Anchor(
    who="alpha-beta",
    figure="9.7 to 21.5 %, fitted and scored on the same rows",
    source="own earlier fits to the same NCCL tables, in sample; not run here",
)
MODEL = Collective()


def lines(data: Path) -> Iterator[Line]:
    """Yield the lines of this family.

    Args:
        data: the folder of the large data sets.
    """
    yield from _node(collectives.nccl(data), NCCL, GOALS)
    own = collectives.all_reduces(data)
    graphs = {chip: [r for r in rows if not r.stack.endswith("-eager")]
              for chip, rows in own.items()}  # fmt: skip
    yield from _node(graphs, "all-reduces of vLLM, SGLang and TensorRT-LLM in a graph", {})
    yield from _hccl(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One operation of one stack on one chip, cut in two by message size."""

    fitted: Batch
    scored: Batch


def _sides(rows: list[KernelRows], facts: Facts) -> list[_Side]:
    return [
        _Side(fitted=Batch(rows=r.take(a), facts=facts), scored=Batch(rows=r.take(b), facts=facts))
        for r in rows
        for a, b in [halves(r, BY, fitted=HALF)]
    ]


def _node(
    rows: Mapping[str, list[KernelRows]], kind: str, goals: Mapping[str, tuple[Goal, ...]]
) -> Iterator[Line]:
    """Yield T0, T1, T2 and T3 of each chip that is described, all on the same rows."""
    sides = {}
    for chip, of_chip in rows.items():
        try:
            sides[chip] = _sides(of_chip, facts_of(load_chip(chip), "bf16"))
        except UnknownChip:  # a table of a chip that nobody has described
            continue
    cases = [_case(chip, kind, mine) for chip, mine in sides.items()]
    for case, begun in sheets(cases):
        mine = _ordered(sides[case.chip])
        fitted = sum(len(s.fitted.rows) for s in mine)
        said: list[tuple[Tier, Score, int, str]] = [
            ("T0", begun, 0, "nothing fitted"),
            *(("T1", m.score, 0, f"{m.left_out}: {m.donors}") for m in transfers(case, cases)),
            ("T2", _pooled([_own(s) for s in mine]), fitted, _half(case.chip, kind)),
            ("T3", _pooled([_table(s) for s in mine]), fitted,
             "and a table of that half"),
        ]  # fmt: skip
        for tier, result, seen, split in said:
            yield Line(
                family="collective", rows_of=kind, chip=case.chip, tier=tier,
                split=f"{split}; scored on the other half, by size over chips, ranks, operations",
                score=result, fitted_rows=seen,
                goals=goals.get(case.chip, ()) if tier == "T2" else (), anchors=(ALPHA_BETA,),
            )  # fmt: skip


def _half(chip: str, kind: str) -> str:
    """Return the split in words, and whether the form was settled with these rows in view."""
    seen = (chip, kind) in ((name, NCCL) for name in IN_VIEW)
    return "half of the message sizes fitted" + (", the form settled with all in view" * seen)


def _case(chip: str, kind: str, sides: list[_Side]) -> Case:
    """Return the scored side of a chip; operations of a stack are fitted together, as shipped."""
    parts = [
        Part(key=stack, batches=[s.scored for s in mine],
             fitted=fit_all(MODEL, [s.fitted for s in mine], starts=1))
        for stack, mine in _by_stack(sides).items()
    ]  # fmt: skip
    return Case(chip=chip, format="", stack=kind, model=MODEL, parts=parts)


def _by_stack(sides: list[_Side]) -> dict[str, list[_Side]]:
    found: dict[str, list[_Side]] = {}
    for side in sides:
        found.setdefault(side.scored.rows.stack, []).append(side)
    return found


def _ordered(sides: list[_Side]) -> list[_Side]:
    """Return the sides in the order of the parts of a case."""
    return [side for mine in _by_stack(sides).values() for side in mine]


def _own(side: _Side) -> Held:
    """Return the scored side from a fit on the fitted side, with a band from left-out sizes.

    Half of the sizes are no far corners: what they are off by is what the other half is off by.
    """
    values = fit_all(MODEL, [side.fitted])
    low, high = band(left_out(MODEL, [side.fitted], BY))
    said, measured = totals(MODEL, [side.scored], values), seconds_of([side.scored])
    return Held(predicted=said, low=said * low, high=said * high, measured=measured)


def _table(side: _Side) -> Held:
    """Return the same with a table of the fitted side."""
    table = Table.build(MODEL, [side.fitted.rows], side.fitted.facts)
    found = table.estimate(side.scored.rows)
    measured = seconds_of([side.scored])
    return Held(predicted=found.p50, low=found.p10, high=found.p90, measured=measured)


def _pooled(held: list[Held]) -> Score:
    """Return the errors over all operations of a chip."""
    predicted, low, high, measured = (
        np.concatenate([getattr(h, name) for h in held])
        for name in ("predicted", "low", "high", "measured")
    )
    return Held(predicted=predicted, low=low, high=high, measured=measured).score()


def _hccl(data: Path) -> Iterator[Line]:
    """Yield HCCL on 910C dies: few rows, one set of parameters for all operations."""
    facts = facts_of(load_chip(ascend.CHIP), "bf16")
    batches = [Batch(rows=r, facts=facts) for r in ascend.collectives(data).rows]
    measured, kind = seconds_of(batches), "HCCL 8.5, 8 and 16 dies"
    yield Line(
        family="collective", rows_of=kind, chip=ascend.CHIP, tier="T0",
        split=f"nothing fitted; {ASSUMED}",
        score=assumed(totals(MODEL, batches, starting(MODEL)), measured), fitted_rows=0,
    )  # fmt: skip
    yield Line(
        family="collective", rows_of=kind, chip=ascend.CHIP, tier="T2",
        split="five folds by size, each scored once",
        score=cross_validated(MODEL, batches, BY).score(), fitted_rows=len(measured) * 4 // 5,
    )  # fmt: skip
