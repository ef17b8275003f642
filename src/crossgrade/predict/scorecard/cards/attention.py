"""Attention: prefill and decode of one layer, on head configurations that were not fitted.

Rows are split by (heads, KV heads, head size, window). T0, T1 and T2 are scored on the three
quarters of configurations that may not be fitted; T3 on five folds, each configuration once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossgrade.chips.loader import chip_names, load_chip
from crossgrade.predict.scorecard.line import Anchor, Goal, Line, Tier
from crossgrade.predict.scorecard.score import Score, score
from crossgrade.predict.scorecard.sources.aiconfigurator_attention import ATTENTION, attention
from crossgrade.predict.scorecard.splits import folds, halves, shares, spread_out
from crossgrade.predict.silicon.attention import Decode, Prefill, features, traffic, visible
from crossgrade.predict.silicon.attention_table import AttentionTable, Prediction, thinned
from crossgrade.predict.silicon.facts import Facts, facts_of
from crossgrade.predict.silicon.fitting import fit
from crossgrade.predict.silicon.model import Floats, KernelModel, starting
from crossgrade.values.kernel import KernelRows

HEADS = ("heads", "kv_heads", "qk_size", "window")
"""Sizes that make a head configuration."""
POINTS = 30
"""Rows of the chip that T2 may see."""
TRANSFER_ROWS = 600
"""Rows of each other chip that T1 is fitted to."""
MODELS: Mapping[str, KernelModel] = {"prefill": Prefill(), "decode": Decode()}
"""Operation -> its formula."""
GOALS: Mapping[tuple[str, Tier], float] = {
    ("prefill", "T3"): 0.07, ("decode", "T3"): 0.05, ("prefill", "T2"): 0.20, ("decode", "T2"): 0.20,
}  # fmt: skip
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
        """Return the quarter of configurations that may be fitted."""
        return self.rows.take(halves(self.rows, HEADS)[0])

    @property
    def scored(self) -> KernelRows:
        """Return the other three quarters."""
        return self.rows.take(halves(self.rows, HEADS)[1])


def lines(data: Path) -> Iterator[Line]:
    """Yield the lines of attention.

    Args:
        data: the folder of the large data sets.
    """
    for op in ATTENTION:
        found = attention(data, op)
        formats = sorted({rows.format for chip in found.values() for rows in chip})
        for format in formats:
            yield from _lines([s for s in sets(found, MODELS[op]) if s.rows.format == format])


def sets(found: Mapping[str, list[KernelRows]], model: KernelModel) -> Iterator[Set]:
    """Yield the rows of every chip that has a description."""
    for chip, tables in found.items():
        if chip in chip_names():
            for rows in tables:
                yield Set(rows=rows, facts=facts_of(load_chip(chip), rows.format), model=model)


def _lines(chips: list[Set]) -> Iterator[Line]:
    fitted = [fit(s.model, thinned(s.calibration, TRANSFER_ROWS), s.facts) for s in chips]
    for one in chips:
        yield _formula(one, "T0", "nothing fitted", starting(one.model))
        for what, same in (("chip", _chip), ("architecture", _architecture)):
            others = [v for s, v in zip(chips, fitted, strict=True) if same(s) != same(one)]
            if others:
                seen = f"fitted on {len(others)} other chips, this {what} left out"
                yield _formula(one, "T1", seen, middle(others))
        few = one.rows.take(spread_out(one.rows, halves(one.rows, HEADS)[0], POINTS))
        values = fit(one.model, few, one.facts)
        yield _formula(one, "T2", f"fitted on {len(few)} rows of this chip", values, len(few))
        yield _table(one)


def _chip(one: Set) -> str:
    return one.facts.chip


def _architecture(one: Set) -> str:
    return one.facts.architecture


def middle(of: list[dict[str, float]]) -> dict[str, float]:
    """Return the geometric mean of parameters of several chips."""
    return {name: float(np.exp(np.mean([np.log(v[name]) for v in of]))) for name in of[0]}


def _formula(
    one: Set, tier: Tier, seen: str, values: Mapping[str, float], fitted: int = 0
) -> Line:
    rows = one.scored
    assert rows.seconds is not None
    reached = score(one.model.terms(rows, one.facts, values).total, rows.seconds)
    split = f"{seen}; scored on the three quarters of head configurations that may not be fitted"
    return _line(one, tier, split, reached, rows, fitted)


def _table(one: Set) -> Line:
    """Return T3: each fold of head configurations predicted from the other four."""
    rows, groups = one.rows, shares(one.rows, HEADS)
    assert rows.seconds is not None
    ends = {name: np.full(len(rows), np.nan) for name in ("p10", "p50", "p90")}
    seen = 0
    for known, asked in folds(rows, HEADS):
        if not asked.any() or not known.any():
            continue
        table = AttentionTable.build(
            one.model, rows.take(known), one.facts, features, groups[known]
        )
        predicted: Prediction = table.predict(rows.take(asked))
        for name, column in ends.items():
            column[asked] = getattr(predicted, name)
        seen = max(seen, int(known.sum()))
    reached = score(ends["p50"], rows.seconds, ends["p10"], ends["p90"])
    split = "five folds by head configuration, each predicted from the table of the other four"
    return _line(one, "T3", split, reached, rows, seen)


def _line(
    one: Set, tier: Tier, split: str, reached: Score, rows: KernelRows, fitted: int
) -> Line:
    most = GOALS.get((rows.op, tier))
    return Line(
        family="attention",
        rows_of=f"{rows.op} {rows.format}, {rows.stack}",
        chip=one.facts.chip,
        tier=tier,
        split=split,
        score=reached,
        fitted_rows=fitted,
        goals=() if most is None else (Goal(measure="mape", most=most),),
        anchors=_anchors(rows, one.facts),
    )


def _anchors(rows: KernelRows, facts: Facts) -> tuple[Anchor, ...]:
    here = "run here on the same rows"
    found = []
    for who, formula, source in (
        ("spec roofline", roofline, f"greater of FLOP and byte time at the data sheet; {here}"),
        ("TensorCast constants", constants, f"0.7 of FLOP, 0.6 of bytes, 5 us; {here}"),
    ):
        reached = _reached(formula, rows, facts)
        figure = f"mean {reached.mape:.1%}, median {reached.median:.1%}"
        found.append(Anchor(who=who, figure=figure, source=source, score=reached))
    quoted = "its documentation; interior rows left out one at a time, an easier split; not run here"
    found.append(Anchor(who="aiconfigurator", figure=QUOTED[rows.op], source=quoted))
    return tuple(found)


def _reached(
    formula: Callable[[KernelRows, Facts], Floats], rows: KernelRows, facts: Facts
) -> Score:
    assert rows.seconds is not None
    return score(formula(rows, facts), rows.seconds)


def roofline(rows: KernelRows, facts: Facts, matrix: float = 1.0, moved: float = 1.0) -> Floats:
    """Return the greater of compute and memory time at shares of the data sheet, s.

    Args:
        rows: attention.
        facts: the chip.
        matrix: share of the matrix peak that is reached.
        moved: share of the memory bandwidth that is reached.
    """
    s = rows.sizes
    flop = 2 * s["batch"] * s["heads"] * visible(rows) * (s["qk_size"] + s["v_size"])
    limit = np.where(s["window"] > 0, s["window"] + s["queries"] - 1, np.inf)
    bytes_ = traffic(rows, np.minimum(s["keys"], limit))
    compute = flop / (matrix * facts.matrix_flop_per_s)
    return np.maximum(compute, bytes_ / (moved * facts.bandwidth_bytes_per_s))


def constants(rows: KernelRows, facts: Facts) -> Floats:
    """Return the time with TensorCast's constants (Ascend/msmodeling), s."""
    return roofline(rows, facts, 0.7, 0.6) + 5e-6
