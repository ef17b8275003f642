"""docs/explanation/kernels.md has every parameter of every kernel model, as it is now."""

from __future__ import annotations

from typing import get_args

from tools.kernel_parameters import MODELS, PAGE, fits, meanings, tables, written

from crossgrade.chips.loader import load_chip
from crossgrade.predict.silicon.facts import facts_of
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.predict.silicon.models import model_for
from crossgrade.values.kernel import Family


def test_the_page_is_what_the_models_say():
    page = PAGE.read_text("utf-8")
    assert written(page) == page, "run python tools/kernel_parameters.py"


def test_every_formula_that_prices_kernels_is_on_the_page():
    used = {
        model_for(family, op, facts_of(load_chip(chip), "bf16")).name
        for chip in ("h100", "ascend-910c-die")
        for family in get_args(Family)
        for op in ("prefill", "decode")
    }
    page = PAGE.read_text("utf-8")
    assert used == {model.name for model in MODELS}
    assert [name for name in sorted(used) if f"`{name}`" not in page] == []


def test_every_parameter_stands_in_one_of_the_tables():
    shown = {p for parameters in tables().values() for p in parameters}
    assert [p.name for model in MODELS for p in model.parameters if p not in shown] == []


def test_every_parameter_has_a_meaning_and_no_meaning_is_left_over():
    assert {name: list(words) for name, words in meanings().items()} == {
        name: [p.name for p in parameters] for name, parameters in tables().items()
    }


def test_the_table_of_fits_counts_what_ships():
    rows = [line.split(" | ") for line in fits().splitlines()[2:]]
    assert sum(int(row[3]) for row in rows) == sum(1 for fit in shipped().fits if fit.chip)
