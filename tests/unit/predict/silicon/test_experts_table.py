"""A table of routed experts: measured rows come back, unseen models profit, the band is honest."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from crossgrade.chips.loader import load_chip
from crossgrade.predict.silicon.experts import Experts
from crossgrade.predict.silicon.experts_table import ExpertsTable
from crossgrade.predict.silicon.facts import facts_of
from crossgrade.predict.silicon.kernel_sets import priced
from crossgrade.predict.silicon.model import starting
from crossgrade.values.kernel import SIZES, KernelRows

FACTS = facts_of(load_chip("h100"), "fp8_block")
WIDTHS = [(h, i) for h in (2048.0, 3072.0, 4096.0, 6144.0) for i in (768.0, 1536.0, 2048.0)]


def measured(models: list[tuple[float, float]]) -> KernelRows:
    """Rows that differ from the formula by a bump over tokens and by five per cent of noise."""
    points = list(itertools.product([2.0**n for n in range(14)], models, [1.0, 4.0]))
    columns = {
        "tokens": [t for t, _, _ in points], "hidden": [m[0] for _, m, _ in points],
        "inter": [m[1] for _, m, _ in points], "topk": [8.0] * len(points),
        "experts": [128.0] * len(points), "tp": [1.0] * len(points),
        "ep": [e for _, _, e in points], "skew": [0.0] * len(points),
    }  # fmt: skip
    sizes = {name: np.array(columns[name]) for name in SIZES["experts"]}
    some = KernelRows(family="experts", op="gated", format="fp8_block", stack="none", sizes=sizes)
    rng = np.random.default_rng(len(models))
    bump = 0.4 * np.exp(-((np.log2(sizes["tokens"]) - 7) ** 2) / 4)
    seconds = Experts().terms(some, FACTS, starting(Experts())).total
    return replace(
        some,
        seconds=seconds * np.exp(bump + rng.normal(0, 0.05, len(some))),
        launched=np.full(len(some), "one"),
    )


def test_an_unseen_model_is_nearer_by_table_than_by_formula_and_most_rows_lie_in_the_band() -> None:
    known, unseen = measured(WIDTHS[::2]), measured(WIDTHS[1::2])
    groups = known.sizes["hidden"] / 1e5 + known.sizes["inter"] / 1e6
    table = ExpertsTable.build([known], FACTS, [groups])
    told = table.estimate(replace(unseen, seconds=None, launched=None))
    formula = priced(Experts(), unseen, FACTS, table.sets).total
    off = np.abs(told.p50 / unseen.seconds - 1).mean()
    assert off < 0.07
    assert off < 0.7 * np.abs(formula / unseen.seconds - 1).mean()
    inside = (told.p10 <= unseen.seconds) & (unseen.seconds <= told.p90)
    assert 0.6 < inside.mean() < 0.97


def test_the_band_surrounds_the_median() -> None:
    known = measured(WIDTHS)
    told = ExpertsTable.build([known], FACTS, [known.sizes["hidden"] / 1e5]).estimate(known)
    assert (told.p10 < told.p90).all()
    assert np.abs(told.p50 / known.seconds - 1).mean() < 0.06
