"""The scorecard of dense products: thirty points, a measured table, no point at all.

Frozen splits by weight, (n, k): all m of one weight are on one side. No parameter is fitted to a
scored row. The formula, its starting values, spreads and plans were chosen on the quarter of
weights that may be fitted, of all chips but RTX PRO 6000, so T1 is free of rows of its chip in
parameters, not in the choice of the formula; scored errors of A100, MI300X and MI355X were seen
before the rung of single rows, deeper splits of K and wider spreads went in. Features of T3 were
chosen on one fold of B300. Must not know how a line is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from crossgrade.chips.loader import load_chip
from crossgrade.errors import UnknownChip
from crossgrade.predict.scorecard import splits
from crossgrade.predict.scorecard.line import Anchor, Goal, Line, Tier
from crossgrade.predict.scorecard.score import Score, score
from crossgrade.predict.scorecard.sources import aiconfigurator, aiter
from crossgrade.predict.silicon.bands import Bands, held_out, regime
from crossgrade.predict.silicon.facts import BYTES, Facts, facts_of
from crossgrade.predict.silicon.fitting import fit
from crossgrade.predict.silicon.likeness import averaged, family_of, likeness
from crossgrade.predict.silicon.matmul import TileWave
from crossgrade.predict.silicon.model import Floats
from crossgrade.predict.silicon.table import Table
from crossgrade.values.kernel import KernelRows

SITE = ("n", "k")
"""Sizes of one weight: what a split holds together."""
FEW, MANY = 30, 300
"""Points of a quick calibration, and of a fit that is transferred or carries a table."""
PROBES = 500
"""Rows of another chip that tell how far a transfer is off."""
Values = Mapping[str, float]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chip:
    """One chip's measured rows of one kind."""

    rows: KernelRows
    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Book:
    """All measured rows, and fits that more than one line needs."""

    kinds: Mapping[Kind, Mapping[str, _Chip]]
    """(stack, format) -> chip -> rows."""
    fits: dict[tuple[Kind, str], dict[str, float]] = field(default_factory=dict)
    """Parameters from MANY rows of a chip, made when asked for."""

    def fitted(self, kind: Kind, chip: str) -> dict[str, float]:
        if (kind, chip) not in self.fits:
            at = self.kinds[kind][chip]
            every = np.ones(len(at.rows), dtype=np.bool_)
            chosen = splits.spread_out(at.rows, every, MANY)
            self.fits[kind, chip] = fit(TileWave(), at.rows.take(chosen), at.facts, starts=2)
        return self.fits[kind, chip]

    def transferred(self, kind: Kind, target: Facts, chips: list[str]) -> dict[str, float]:
        weights = likeness(target, [self.kinds[kind][c].facts for c in chips])
        return averaged([self.fitted(kind, c) for c in chips], weights)

    def strangers(self, kind: Kind, target: Facts) -> list[str]:
        """Return chips of other architecture families that have rows of this kind."""
        family = family_of(target.architecture)
        return [
            c for c, at in self.kinds[kind].items() if family_of(at.facts.architecture) != family
        ]


def lines(data: Path) -> Iterator[Line]:
    """Yield the lines of dense products.

    Args:
        data: the folder of the large data sets; what is not there has no line.
    """
    book = _Book(kinds=_kinds(data))
    for kind, chips in book.kinds.items():
        for chip, at in chips.items():
            if sum(splits.halves(at.rows, SITE)[0]) > FEW:
                yield _few(book, kind, chip)
    for chip in TABLE_CHIPS:
        if chip in book.kinds.get(("vllm", "bf16"), {}):
            yield _tabled(book, ("vllm", "bf16"), chip)
    yield from _sheets(book)


def _kinds(data: Path) -> dict[Kind, dict[str, _Chip]]:
    found: dict[Kind, dict[str, _Chip]] = {}
    for source in (aiconfigurator, aiter):
        for chip, every in source.matmul(data).items():
            try:
                described = load_chip(chip)
            except UnknownChip:
                continue  # A table of a chip that nobody has described yet.
            for rows in every:
                at = _Chip(rows=rows, facts=facts_of(described, rows.format))
                found.setdefault((rows.stack, rows.format), {})[chip] = at
    return found


def _few(book: _Book, kind: Kind, chip: str) -> Line:
    """Return the line of FEW points of this chip, held near what other architectures say."""
    at = book.kinds[kind][chip]
    strangers = book.strangers(kind, at.facts)
    prior = book.transferred(kind, at.facts, strangers) if strangers else None
    allowed, scored = splits.halves(at.rows, SITE)
    few = at.rows.take(splits.spread_out(at.rows, allowed, FEW))
    model = TileWave()
    values = fit(model, few, at.facts, prior)
    bands = Bands.of(*held_out(model, few, at.facts, prior))
    rows = at.rows.take(scored)
    return _line(
        kind, chip, "T2", len(few),
        f"by (n, k), a quarter may be fitted: {len(few)} points far apart from it, near parameters "
        f"of {_named(strangers)}; scored: all rows of the other weights",
        _predicted(rows, at.facts, values, bands),
        goals=_mape(FEW_GOALS.get((*kind, chip))),
        anchors=_anchors(rows, at.facts),
    )  # fmt: skip


def _tabled(book: _Book, kind: Kind, chip: str) -> Line:
    """Return the line of a measured table, each weight told from the others."""
    at = book.kinds[kind][chip]
    p50, deviation = np.empty((2, len(at.rows)))
    for fitted, scored in splits.folds(at.rows, SITE):
        table = _table(at.rows.take(fitted), at.facts)
        p50[scored], deviation[scored] = table.seconds(at.rows.take(scored), at.facts)
    assert at.rows.seconds is not None
    reach = np.exp(1.2816 * deviation)
    return _line(
        kind, chip, "T3", len(at.rows) * 4 // 5,
        "five folds by (n, k): the table and the parameters come from the other four; "
        "scored: every row once",
        score(p50, at.rows.seconds, p50 / reach, p50 * reach),
        goals=TABLE_GOALS,
        anchors=(_AIC, *_anchors(at.rows, at.facts)),
    )  # fmt: skip


def _table(rows: KernelRows, facts: Facts) -> Table:
    model = TileWave()
    every = np.ones(len(rows), dtype=np.bool_)
    values = fit(model, rows.take(splits.spread_out(rows, every, MANY)), facts, starts=1)
    return Table.build(model, values, rows, facts, groups=splits.shares(rows, SITE))


def _sheets(book: _Book) -> Iterator[Line]:
    """Yield lines that know no row of the chip: with its family's other chips, and without."""
    kind = ("vllm", "bf16")
    chips = book.kinds.get(kind, {})
    for chip, at in chips.items():
        others = [c for c in chips if c != chip]
        strangers = book.strangers(kind, at.facts)
        if others:
            goal = SHEET_GOALS.get(chip)
            yield _sheet(
                book, kind, chip, others, (Goal(measure="mape", most=goal),) if goal else ()
            )
        if strangers and strangers != others:
            yield _sheet(book, kind, chip, strangers, ())


def _sheet(book: _Book, kind: Kind, chip: str, others: list[str], goals: tuple[Goal, ...]) -> Line:
    at = book.kinds[kind][chip]
    values = book.transferred(kind, at.facts, others)
    return _line(
        kind, chip, "T1", 0,
        f"no row of this chip: parameters of {_named(others)} ({MANY} points each), weighted by "
        "likeness of the data sheets; scored: all rows",
        _predicted(at.rows, at.facts, values, _foreign(book, kind, others)),
        goals=goals,
        anchors=_anchors(at.rows, at.facts),
    )  # fmt: skip


def _foreign(book: _Book, kind: Kind, chips: list[str]) -> Bands | None:
    """Return bands of a transfer: each of these chips told from the rest of them."""
    residuals, features = [], []
    for chip in chips:
        rest = [c for c in chips if c != chip]
        if not rest:
            return None
        at = book.kinds[kind][chip]
        chosen = np.linspace(0, len(at.rows) - 1, min(PROBES, len(at.rows))).astype(np.int64)
        rows = at.rows.take(chosen)
        terms = TileWave().terms(rows, at.facts, book.transferred(kind, at.facts, rest))
        assert rows.seconds is not None
        residuals.append(np.log(rows.seconds / terms.total))
        features.append(regime(terms))
    return Bands.of(np.concatenate(residuals), np.concatenate(features))


def _predicted(rows: KernelRows, facts: Facts, values: Values, bands: Bands | None) -> Score:
    terms = TileWave().terms(rows, facts, values)
    assert rows.seconds is not None
    if bands is None:
        return score(terms.total, rows.seconds)
    low, high = bands.factors(regime(terms))
    return score(terms.total, rows.seconds, terms.total * low, terms.total * high)


def _anchors(rows: KernelRows, facts: Facts) -> tuple[Anchor, ...]:
    """Return what data sheets and fixed constants give on the same rows."""
    assert rows.seconds is not None
    found = []
    for who, matrix, memory, launch_s, source in (
        ("spec roofline", 1.0, 1.0, 0.0, "peaks of the data sheet; run on these rows"),
        ("TensorCast constants", 0.7, 0.6, 5e-6,
         "msmodeling's default efficiencies and launch time; run on these rows"),
    ):  # fmt: skip
        got = score(_roofline(rows, facts, matrix, memory) + launch_s, rows.seconds)
        found.append(Anchor(who=who, figure=f"mean {got.mape:.1%}", source=source, score=got))
    return tuple(found)


def _roofline(rows: KernelRows, facts: Facts, matrix: float, memory: float) -> Floats:
    batch, m, n, k = rows.sizes.values()
    width = BYTES[rows.format]
    moved = batch * ((m * k + n * k) * width + m * n * 2.0)
    compute = 2 * batch * m * n * k / (facts.matrix_flop_per_s * matrix)
    return np.asarray(np.maximum(compute, moved / (facts.bandwidth_bytes_per_s * memory)))


def _line(
    kind: Kind,
    chip: str,
    tier: Tier,
    seen: int,
    split: str,
    scored: Score,
    *,
    goals: tuple[Goal, ...],
    anchors: tuple[Anchor, ...],
) -> Line:
    stack, format = kind
    return Line(
        family="matmul", rows_of=f"matmul {format}, {stack}", chip=chip, tier=tier, split=split,
        score=scored, fitted_rows=seen, goals=goals, anchors=anchors,
    )  # fmt: skip


def _mape(most: float | None) -> tuple[Goal, ...]:
    return () if most is None else (Goal(measure="mape", most=most),)


def _named(chips: list[str]) -> str:
    return ", ".join(chips) if chips else "no other chip"
