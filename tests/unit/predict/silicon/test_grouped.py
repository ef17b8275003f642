"""Routed experts on a cube: products of the active experts, beside two that were measured."""

from __future__ import annotations

import numpy as np
import pytest

from crossgrade.chips.loader import load_chip
from crossgrade.predict.silicon.estimate import estimate
from crossgrade.predict.silicon.facts import facts_of
from crossgrade.predict.silicon.grouped import GroupedCube
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.silicon.models import model_for
from crossgrade.values.kernel import KernelRows

DIE = load_chip("ascend-910c-die")


def rows(tokens: float, ep: float = 16.0, format: str = "int8", **changes: float) -> KernelRows:
    sizes = {"tokens": tokens, "hidden": 7168.0, "inter": 2048.0, "topk": 8.0, "experts": 256.0,
             "tp": 1.0, "ep": ep, "skew": 0.0} | changes  # fmt: skip
    return KernelRows(family="experts", op="grouped_mm", format=format, stack="vllm-ascend",
                      sizes={name: np.array([size]) for name, size in sizes.items()})  # fmt: skip


def test_two_products_that_no_fit_has_seen():
    """16 experts of 32 rows each, int8: 330 and 175 us measured, hicann/oam-tools@8804d04d."""
    found = [f for f in shipped().fits if f.chip == DIE.name and f.kind.family == "matmul"]
    [fit], facts, model = found, facts_of(DIE, "int8"), GroupedCube()
    sixteen, each = np.array([16.0]), np.array([32.0])
    for columns, depth, measured in ((4096.0, 7168.0, 329.6e-6), (7168.0, 2048.0, 174.9e-6)):
        said = model._product(sixteen, each, np.array([columns]), np.array([depth]), "int8",
                              facts, fit.values)  # fmt: skip
        assert said.total[0] == pytest.approx(measured, rel=0.08)


def test_parameters_are_those_of_dense_products_of_the_chip():
    found = estimate(rows(1024), DIE, shipped())
    assert found.tier == "T1"  # nothing of experts was fitted
    assert found.basis.startswith("dense products, calibrated on")
    moved = estimate(rows(1024), load_chip("ascend-910b2"), shipped())
    assert moved.tier == "T1"
    assert "transferred from ascend-910c-die" in moved.basis


def test_chips_without_a_cube_have_the_formula_of_tiles():
    assert model_for("experts", "gated", facts_of(load_chip("h100"), "bf16")).name != "cube-grouped"


@pytest.mark.parametrize("format", ["int8", "bf16", "int4_wo"])
def test_more_tokens_and_fewer_ranks_take_longer(format):
    facts, model = facts_of(DIE, format), GroupedCube()
    times = [
        float(model.terms(rows(t, ep, format), facts, starting(model)).total[0])
        for t, ep in ((64, 16), (1024, 16), (16384, 16), (16384, 4))
    ]
    assert times == sorted(times)


def test_half_of_the_columns_of_each_expert_read_half_of_its_weights():
    facts, model = facts_of(DIE, "int8"), GroupedCube()
    one, two = (model.terms(rows(256, tp=tp), facts, starting(model)) for tp in (1.0, 2.0))
    assert two.memory[0] == pytest.approx(one.memory[0] / 2, rel=0.05)
