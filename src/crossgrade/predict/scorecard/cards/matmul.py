"""The scorecard of dense products: thirty points, a measured table, no point at all.

Frozen splits by weight, (n, k): all m of one weight are on one side. No parameter is fitted to a
scored row. The formula, its starting values, spreads and plans were chosen on the quarter of
weights that may be fitted, of all chips but RTX PRO 6000, so T1 is free of rows of its chip in
parameters, not in the choice of the formula; scored errors of A100, MI300X and MI355X were seen
before the rung of single rows, deeper splits of K and wider spreads went in. Features of T3 were
chosen on one fold of B300. Must not know how a line is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from crossgrade.chips.loader import load_chip
from crossgrade.errors import UnknownChip
from crossgrade.predict.scorecard.between import (
    Case,
    Part,
    banded,
    bands,
    lent,
    off,
    sheets,
    strangers,
    terms_of,
    transfers,
)
from crossgrade.predict.scorecard.cards.anchors import anchors
from crossgrade.predict.scorecard.folding import folded, tabled
from crossgrade.predict.scorecard.line import Anchor, Goal, Line, Tier
from crossgrade.predict.silicon import splits
from crossgrade.predict.silicon.bands import Bands, held_out
from crossgrade.predict.silicon.facts import BYTES, Facts, facts_of
from crossgrade.predict.silicon.fitting import Batch, fit
from crossgrade.predict.silicon.matmul import TileWave
from crossgrade.predict.silicon.model import Floats, Terms
from crossgrade.predict.silicon.score import Score, score
from crossgrade.predict.sources import aiconfigurator, aiter
from crossgrade.values.kernel import SITES, KernelRows

SITE = SITES["matmul"]
"""Sizes of one weight: what a split holds together."""
FEW, MANY = 30, 300
"""Points of a quick calibration, and of a fit that is transferred or carries a table."""
Kind = tuple[str, str]
FEW_GOALS: Mapping[tuple[str, str, str], float] = {
    **{("vllm", "bf16", chip): 0.11 for chip in ("a100", "h100", "b200")},
    **{
        ("vllm", format, chip): 0.15
        for format in ("fp8", "fp8_block", "nvfp4")
        for chip in ("h100", "b200")
    },
    ("aiter", "fp8_block", "mi300x"): 0.07,
    **{("aiter", format, "mi355x"): 0.18 for format in ("bf16", "fp8", "mxfp4")},
}
"""(stack, format, chip) -> greatest mean error with FEW points."""
TABLE_CHIPS = ("a100", "h100", "b200")
TABLE_GOALS = (Goal(measure="median", most=0.033), Goal(measure="p90", most=0.12))
SHEET_GOALS = {"b200": 0.13, "a100": 0.17}
"""Chip -> greatest mean error from the data sheet and other chips' parameters."""
_AIC = Anchor(
    who="aiconfigurator",
    figure="median 3.63 %, p90 14.7 % (whole sites left out)",
    source="quoted, ai-dynamo/aiconfigurator@095f58a5; their folds, not ours",
)


Sites = Mapping[str, Case]
"""Chip -> what is measured of one kind."""


def lines(data: Path) -> Iterator[Line]:
    """Yield the lines of dense products.

    Args:
        data: the folder of the large data sets; what is not there has no line.
    """
    kinds = _kinds(data)
    every = [case for chips in kinds.values() for case in chips.values()]
    for case, begun in sheets(every):
        yield _line(case, "T0", 0, "nothing fitted; scored: all rows", begun,
                    anchors=_anchors(_rows(case), _facts(case)))  # fmt: skip
    for chips in kinds.values():
        for case in chips.values():
            yield from _sheet(case, chips)
    yield from _calibrated(kinds)
    for chip in TABLE_CHIPS:
        if chip in kinds.get(("vllm", "bf16"), {}):
            yield _tabled(kinds["vllm", "bf16"][chip])


def _kinds(data: Path) -> dict[Kind, dict[str, Case]]:
    found: dict[Kind, dict[str, Case]] = {}
    for source in (aiconfigurator, aiter):
        for chip, every in source.matmul(data).items():
            try:
                described = load_chip(chip)
            except UnknownChip:
                continue  # A table of a chip that nobody has described yet.
            for rows in every:
                batch = Batch(rows=rows, facts=facts_of(described, rows.format))
                found.setdefault((rows.stack, rows.format), {})[chip] = _case(chip, batch)
    return found


def _case(chip: str, batch: Batch) -> Case:
    """Return all rows of a chip, with what MANY rows of the weights that may be fitted lend."""
    rows, model = batch.rows, TileWave()
    chosen = splits.spread_out(rows, splits.halves(rows, SITE)[0], MANY)
    lent = fit(model, rows.take(chosen), batch.facts, starts=2) if len(chosen) >= FEW else None
    part = Part(key=rows.op, batches=[batch], fitted=lent)
    return Case(chip=chip, format=rows.format, stack=rows.stack, model=model, parts=[part])


def _rows(case: Case) -> KernelRows:
    return case.parts[0].batches[0].rows


def _facts(case: Case) -> Facts:
    return case.parts[0].batches[0].facts


def _calibrated(kinds: Mapping[Kind, Sites]) -> Iterator[Line]:
    """Yield the lines of FEW points, their bands from the other chips' such lines."""
    found = [
        _few(case, chips)
        for chips in kinds.values()
        for case in chips.values()
        if sum(splits.halves(_rows(case), SITE)[0]) > FEW
    ]
    known = [off(few.case, few.terms, few.case.measured) for few in found]
    for few in found:
        case = few.case
        held = bands(case, known) or Bands.of(*few.inner())
        goal = FEW_GOALS.get((case.stack, case.format, case.chip))
        yield _line(
            case, "T2", FEW,
            f"by (n, k), a quarter may be fitted: {FEW} points far apart from it, near parameters "
            f"of {few.near}; scored: all rows of the other weights",
            banded(few.terms, case.measured, held),
            goals=() if goal is None else (Goal(measure="mape", most=goal),),
            anchors=_anchors(_rows(case), _facts(case)),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Few:
    """A chip calibrated with FEW points."""

    case: Case
    """The scored rows."""
    terms: Terms
    """What they are predicted to take."""
    near: str
    """Chips whose parameters the fit was held near."""
    inner: Callable[[], tuple[Floats, Floats]]
    """(residuals, regimes) of the points themselves, by folds."""


def _few(case: Case, chips: Sites) -> _Few:
    rows, facts, model = _rows(case), _facts(case), case.model
    allowed, scored = splits.halves(rows, SITE)
    few = rows.take(splits.spread_out(rows, allowed, FEW))
    values, near = lent(case, strangers(case.chip, chips.values()))
    prior = values.get(rows.op)
    part = Part(key=rows.op, batches=[Batch(rows=rows.take(scored), facts=facts)])
    asked = replace(case, parts=[part])
    return _Few(
        case=asked, near=near, terms=terms_of(asked, {rows.op: fit(model, few, facts, prior)}),
        inner=lambda: held_out(model, few, facts, prior),
    )  # fmt: skip


def _tabled(case: Case) -> Line:
    """Return the line of a measured table, each weight told from the others."""
    rows, facts = _rows(case), _facts(case)
    told = folded([rows], tabled(case.model, facts))
    return _line(
        case, "T3", len(rows) * 4 // 5,
        "five folds by (n, k): the table and the parameters come from the other four; "
        "scored: every row once",
        score(told["p50"], case.measured, told["p10"], told["p90"]),
        goals=TABLE_GOALS,
        anchors=(_AIC, *_anchors(rows, facts)),
    )  # fmt: skip


def _sheet(case: Case, chips: Sites) -> Iterator[Line]:
    """Yield lines that know no row of the chip: with its family's other chips, and without."""
    asked = (case.stack, case.format) == ("vllm", "bf16") and case.chip in SHEET_GOALS
    for told in transfers(case, list(chips.values())):
        nearest = "this chip left out" in told.left_out and asked
        yield _line(
            case, "T1", 0,
            f"{told.left_out}: {told.donors} ({MANY} points each); scored: all rows",
            told.score,
            goals=(Goal(measure="mape", most=SHEET_GOALS[case.chip]),) if nearest else (),
            anchors=_anchors(_rows(case), _facts(case)),
        )  # fmt: skip


def _anchors(rows: KernelRows, facts: Facts) -> tuple[Anchor, ...]:
    """Return what data sheets and fixed constants give on the same rows."""
    assert rows.seconds is not None
    batch, m, n, k = rows.sizes.values()
    moved = batch * ((m * k + n * k) * BYTES[rows.format] + m * n * 2.0)
    compute = 2 * batch * m * n * k / facts.matrix_flop_per_s
    return anchors(compute, moved / facts.bandwidth_bytes_per_s, rows.seconds)


def _line(
    case: Case,
    tier: Tier,
    seen: int,
    split: str,
    scored: Score,
    *,
    goals: tuple[Goal, ...] = (),
    anchors: tuple[Anchor, ...],
) -> Line:
    return Line(
        family="matmul", rows_of=f"matmul {case.format}, {case.stack}", chip=case.chip, tier=tier,
        split=split, score=scored, fitted_rows=seen, goals=goals, anchors=anchors,
    )  # fmt: skip
