"""Shared-out training against the figures of the ZeRO paper, and how many chips follow from it."""

from __future__ import annotations

import dataclasses

import pytest
from tests.conftest import capture_of

from crossgrade.chips.loader import load_chip
from crossgrade.predict.phase import predict
from crossgrade.predict.price import price
from crossgrade.predict.sharding import (
    exchanged_bytes,
    least_sharded,
    peak_per_chip,
    sharded_exchange,
    state_per_chip,
)
from crossgrade.values.breakdown import Exchange
from crossgrade.values.layout import SHARDS, Layout

GB = 1e9
PAPER = {"none": 120.0, "optimizer": 31.4, "gradients": 16.6, "full": 1.9}
"""Rajbhandari et al., 2020, arXiv 1910.02054, figure 1: 7.5 billion parameters on 64 chips, GB."""


@pytest.fixture(scope="module")
def step(dense_config):
    return capture_of(dense_config, "train", tokens=64)


@pytest.mark.parametrize("shard", SHARDS)
def test_figure_1_of_the_paper(shard):
    """2 bytes of weights and of gradients, 12 of optimizer state per parameter (K = 12)."""
    p = 7.5e9
    need = state_per_chip(weights=2 * p, gradients=2 * p, optimizer=12 * p, chips=64, shard=shard)
    assert need / GB == pytest.approx(PAPER[shard], abs=0.05)


@pytest.mark.parametrize("shard", SHARDS[1:])
def test_more_chips_never_need_more_each(step, shard):
    needs = [peak_per_chip(step.memory, shard, n) for n in (1, 2, 3, 8, 64, 4096)]
    assert needs == sorted(needs, reverse=True)
    assert needs[0] == step.memory.peak_fused
    assert needs[-1] >= step.memory.shares.rest_fused


@pytest.mark.parametrize("shard", SHARDS[1:])
def test_the_least_number_is_the_least(step, shard):
    stays = peak_per_chip(step.memory, shard, 1 << 40)
    for usable in (stays * 1.01, stays * 1.2, step.memory.peak_fused * 0.95):
        least = least_sharded(step.memory, shard, usable)
        if least is None:
            assert stays >= usable
            continue
        assert peak_per_chip(step.memory, shard, least) <= usable
        assert least == 1 or peak_per_chip(step.memory, shard, least - 1) > usable


def test_what_does_not_divide_needs_no_number_of_chips(step):
    stays = peak_per_chip(step.memory, "optimizer", 1 << 40)
    assert least_sharded(step.memory, "optimizer", stays * 0.99) is None
    assert least_sharded(step.memory, "optimizer", step.memory.peak_fused) == 1


def test_exchange_of_section_7(step):
    s, w = step.memory.shares, step.memory.weights
    g = s.gradients
    assert g == s.trained == pytest.approx(w, rel=1e-5)  # but for a table of the rotary embedding
    assert exchanged_bytes(s, w, "none")[0] == 2 * g
    assert exchanged_bytes(s, w, "optimizer")[0] == exchanged_bytes(s, w, "gradients")[0] == 2 * g
    assert exchanged_bytes(s, w, "full")[0] == 2 * w + g
    chip = load_chip("h100")
    assert sharded_exchange(chip, step.memory, "full", 1, "optimistic") is None
    full, less = (
        sharded_exchange(chip, step.memory, k, 64, "pessimistic").seconds
        for k in ("full", "optimizer")
    )
    assert full > less > 0


def test_chips_do_not_shorten_a_step_but_multiply_it(step):
    """Only the update of the parameters is divided; each chip has sequences of its own."""
    chip = load_chip("h100")
    one = predict(step, chip, Layout(chips=1))
    layout = Layout(chips=8, kind="data-parallel-sharded", dp=8, shard="optimizer")
    eight = predict(step, chip, layout)
    assert eight.network_s.high > 0
    assert eight.time_s.high + 1e-12 > eight.network_s.high
    assert eight.tokens_per_s.high <= 8 * one.tokens_per_s.high * 2
    assert eight.tokens_per_s_per_chip.low == pytest.approx(eight.tokens_per_s.low / 8)
    even = predict(step, chip, dataclasses.replace(layout, kind="ideal-shards", tp=8, dp=1))
    assert even.time_s.low < eight.time_s.low


def taking(seconds: float) -> Exchange:
    return Exchange(kind="collectives", rounds=0, inside_bytes=0.0, outside_bytes=0.0, at_once=True,
                    seconds=seconds)  # fmt: skip


def test_an_exchange_hides_behind_computing_at_one_end_alone(step):
    chip = load_chip("h100")
    low, high = (
        price(columns, chip, Layout(chips=1), step.traffic, end, covered=taking(1e-9))
        for columns, end in (
            (step.fused_columns, "optimistic"),
            (step.eager_columns, "pessimistic"),
        )
    )
    assert (low.network_s, high.network_s) == (0, 1e-9)
    long = price(step.fused_columns, chip, Layout(chips=1), step.traffic, "optimistic",
                 covered=taking(5.0))  # fmt: skip
    assert long.total_s == pytest.approx(5.0)


def test_fp32_state_is_twelve_bytes_a_parameter(dense_config):
    from crossgrade.capture.run import CaptureSession
    from crossgrade.predict.phase import prepare
    from crossgrade.values.workload import Workload
    from crossgrade.workloads.resolve import find_model

    found = find_model(str(dense_config))
    session = CaptureSession(found.build(None))
    rows = {}
    for kind in ("adamw", "adamw-fp32", "sgd"):
        asked = Workload(model=found.ref, phase="train", batch=1, tokens=32, context=0, dtype=None,
                         optimizer=kind)  # fmt: skip
        rows[kind] = prepare(session.capture(asked))
    parameters = rows["adamw"].memory.parameters
    held = {kind: row.memory.optimizer / parameters for kind, row in rows.items()}
    assert held == {"adamw": 4, "adamw-fp32": 12, "sgd": 0}
    assert len({row.flops for row in rows.values()}) == 1
