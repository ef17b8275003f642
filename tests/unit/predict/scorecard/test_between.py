"""Transfers and bands between chips, on products whose times are made here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossgrade.chips.loader import load_chip
from crossgrade.predict.scorecard.between import (
    Case,
    Part,
    assumed,
    banded,
    bands,
    lent,
    off,
    sheets,
    strangers,
    stretch,
    terms_of,
    transfers,
)
from crossgrade.predict.silicon.facts import facts_of
from crossgrade.predict.silicon.fitting import Batch
from crossgrade.predict.silicon.matmul import TileWave
from crossgrade.predict.silicon.model import starting
from crossgrade.values.kernel import KernelRows

pytest.importorskip("scipy")
MODEL = TileWave()


def case(
    chip: str, slower: float, format: str = "bf16", stack: str = "vllm", *, lends: bool = True
) -> Case:
    """Return products that take `slower` times what the start says, with noise of 10 %."""
    rng = np.random.default_rng(len(chip))
    m, n = (x.ravel() for x in np.meshgrid(2.0 ** np.arange(12), 2.0 ** np.arange(6, 14)))
    rows = KernelRows(family="matmul", op="mm", format=format, stack=stack,
                      sizes={"batch": np.ones(len(m)), "m": m, "n": n, "k": n})  # fmt: skip
    facts = facts_of(load_chip(chip), format)
    total = MODEL.terms(rows, facts, starting(MODEL)).total
    seconds = total * slower * np.exp(rng.normal(0, 0.1, len(m)))
    batch = Batch(rows=replace(rows, seconds=seconds), facts=facts)
    part = Part(key="mm", batches=[batch], fitted=starting(MODEL) if lends else None)
    return Case(chip=chip, format=format, stack=stack, model=MODEL, parts=[part])


def known(*cases: Case):
    return [off(c, terms_of(c, {}), c.measured) for c in cases]


def test_a_band_holds_what_other_chips_were_off_by():
    mine = case("h100", 1.3)
    terms = terms_of(mine, {})
    others = known(case("a100", 1.3), case("b200", 1.3), case("l40s", 1.3))
    found = banded(terms, mine.measured, bands(mine, others))
    assert 0.65 < found.inside < 0.95
    wrong = known(case("a100", 0.5), case("b200", 0.5), case("l40s", 0.5))
    assert banded(terms, mine.measured, bands(mine, wrong)).inside < 0.05


def test_no_row_of_the_scored_chip_is_in_its_band():
    mine = case("h100", 1.3)
    assert bands(mine, known(mine, case("h100", 1.0, "fp8"))) is None


def test_the_same_format_goes_before_others_and_the_stack_before_the_format():
    mine = case("h100", 1.0)
    same, format = case("a100", 1.5), case("b200", 3.0, stack="trtllm")
    other = case("b200", 2.0, "fp8")
    terms = terms_of(mine, {})

    def middle(*cases: Case) -> float:
        held = bands(mine, known(*cases))
        assert held is not None
        return float(np.median(held.residuals))

    assert len(terms.total)
    assert middle(same, other, format) == pytest.approx(np.log(1.5), abs=0.05)
    assert middle(other, format) == pytest.approx(np.log(2.0), abs=0.05)
    assert middle(format) == pytest.approx(np.log(3.0), abs=0.05)


def test_what_tells_chips_apart_is_stretched():
    assert stretch(1) == 1.0
    # t of 0.9 with one degree of freedom is 3.0777: times sqrt(3 / 2) over 1.28155 sqrt(1 / 2).
    assert stretch(2) == pytest.approx(3.0777 * np.sqrt(1.5) / 1.28155 / np.sqrt(0.5), rel=1e-4)
    assert stretch(2) > stretch(3) > stretch(10) > 1
    held = bands(case("h100", 1.0), known(case("a100", 1.0), case("l40s", 2.0)))
    assert held is not None
    low, high = held.residuals[:600].min(), held.residuals.max()
    assert high - low > stretch(2) * np.log(2.0)


def test_nobody_tells_is_the_assumed_band():
    mine = case("h100", 1.0)
    assert banded(terms_of(mine, {}), mine.measured, None).inside == 1.0
    assert assumed(np.array([1.0, 1.0]), np.array([2.4, 2.6])).inside == 0.5


def test_sheets_of_every_case_have_a_band():
    cases = [case("h100", 1.1), case("a100", 1.1), case("l40s", 1.1)]
    found = {c.chip: s for c, s in sheets(cases)}
    assert set(found) == {"h100", "a100", "l40s"}
    assert all(s.bias == pytest.approx(1 / 1.1 - 1, abs=0.05) for s in found.values())
    assert all(s.inside > 0.6 for s in found.values())


def test_a_chip_with_kin_is_told_twice_and_one_without_once():
    cases = [case(c, 1.0) for c in ("b200", "gb200", "h100", "a100")]
    assert [m.left_out for m in transfers(cases[0], cases)] == [
        "this chip left out", "this architecture left out"
    ]  # fmt: skip
    near, far = transfers(cases[0], cases)
    assert "gb200" in near.donors
    assert "gb200" not in far.donors
    (alone,) = transfers(cases[2], cases)
    assert "the only one of its architecture" in alone.left_out
    assert not list(transfers(cases[0], [cases[0]]))


def test_a_case_that_lends_nothing_is_no_donor():
    mine, poor = case("h100", 1.0), case("a100", 1.0, lends=False)
    assert not list(transfers(mine, [mine, poor]))
    values, donors = lent(mine, [poor])
    assert not values
    assert donors == "no other chip"


def test_strangers_are_of_another_family():
    cases = [case(c, 1.0) for c in ("b200", "b300", "h100")]
    assert [c.chip for c in strangers("gb200", cases)] == ["h100"]
