"""The time of a training step: its parts add up, and move as the plan moves them."""

from __future__ import annotations

import dataclasses

import pytest
from tests.unit.predict.training.steps import layout, prepared, pricer

from crossgrade.chips.loader import load_chip
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.predict.training.passes import passes_of
from crossgrade.predict.training.step import TrainingPricer
from crossgrade.values.layout import Layout, Shard
from crossgrade.values.training import PRODUCTS, Products, TrainingPlan

PLAN = TrainingPlan(batch=16)
LAYOUTS = (layout(), layout(tp=2), layout(dp=2), layout(pp=2), layout(tp=2, dp=2, pp=2),
           layout(dp=4, shard="full"), layout(dp=2, shard="optimizer"))  # fmt: skip


@pytest.mark.parametrize("where", LAYOUTS, ids=lambda one: f"{one.words} {one.shard}")
def test_parts_add_up_and_the_band_is_around_them(where: Layout) -> None:
    found = pricer("qwen3-0.6b").step(where, PLAN)
    assert sum(found.parts.values()) == pytest.approx(found.mid)
    assert found.low <= found.mid <= found.high
    assert not found.unknown_links


def test_twice_the_micro_batches_take_twice_the_passes() -> None:
    price = pricer("qwen3-0.6b")
    one = price.step(layout(), PLAN).parts
    two = price.step(layout(), dataclasses.replace(PLAN, batch=32)).parts
    assert two["forward"] == pytest.approx(2 * one["forward"])
    assert two["backward"] == pytest.approx(2 * one["backward"])
    assert two["optimizer"] == pytest.approx(one["optimizer"])


def test_whole_blocks_again_take_their_forward_pass_again() -> None:
    price = pricer("qwen3-0.6b")
    plan = dataclasses.replace(PLAN, recompute="full")
    none, full = (price.step(layout(tp=2), one).parts for one in (PLAN, plan))
    assert "recompute" not in none
    assert 0 < full["recompute"] < none["forward"]
    talk = "tensor-parallel collectives"
    assert none[talk] < full[talk] < 2 * none[talk]


def test_a_pipeline_of_equal_stages_has_the_bubble_of_its_schedule() -> None:
    price = pricer("qwen3-0.6b")
    found = price.step(layout(pp=4), PLAN)
    busy = found.mid - found.parts["pipeline bubble"] - found.parts["optimizer"]
    # At most (p - 1) / m of the slowest stage, which has the head.
    assert 0 < found.parts["pipeline bubble"] <= 3 / 16 * busy
    chunks = price.step(layout(pp=2), dataclasses.replace(PLAN, interleave=2))
    whole = price.step(layout(pp=2), PLAN)
    ratio = chunks.parts["pipeline bubble"] / whole.parts["pipeline bubble"]
    assert ratio == pytest.approx(0.5, rel=0.2)


def test_replicas_hide_what_they_exchange_but_for_a_bucket() -> None:
    price = pricer("qwen3-0.6b")
    where = layout(dp=8)
    hidden = price.step(where, PLAN).parts["gradients reduced"]
    waited = price.step(where, dataclasses.replace(PLAN, overlap=False)).parts["gradients reduced"]
    assert 0 < hidden < waited


def test_shared_tokens_leave_less_to_do_to_each_rank() -> None:
    price = pricer("gpt", chip="a100")
    plan = dataclasses.replace(PLAN, sequence_parallel=True)
    plain, shared = (price.step(layout(tp=4), one).parts for one in (PLAN, plan))
    assert shared["forward"] < plain["forward"]
    waited = price.step(layout(tp=4), dataclasses.replace(plan, overlap=False)).parts
    talk = "tensor-parallel collectives"
    assert waited[talk] > shared[talk]


def test_state_in_the_host_passes_its_link_twice() -> None:
    price = pricer("qwen3-0.6b", chip="a100", optimizer="adamw-fp32")
    plan = dataclasses.replace(PLAN, offload="optimizer")
    found = price.step(layout(), plan)
    link = price.chip.link("host")
    assert link is not None
    moved = 2 * price.need.optimizer / link.bandwidth.value
    assert found.parts["offload"] == pytest.approx(moved)


def test_wider_sums_of_gradients_cost_traffic_in_every_micro_batch() -> None:
    narrow = pricer("gpt").step(layout(), PLAN).parts["gradients added up"]
    wide = pricer("gpt", optimizer="adamw-fp32").step(layout(), PLAN).parts["gradients added up"]
    assert wide > 2 * narrow
    assert "gradients added up" not in pricer("gpt").step(layout(), TrainingPlan(batch=1)).parts


def test_a_chip_without_a_described_link_has_no_collectives_in_its_time() -> None:
    found = pricer("qwen3-0.6b", chip="ascend-310p").step(layout(dp=2), PLAN)
    assert found.unknown_links
    assert found.mid == pytest.approx(sum(found.parts.values()))


def test_calls_one_by_one_are_more_and_slower() -> None:
    eager = pricer("qwen3-0.6b", stack="eager").step(layout(), PLAN)
    joined = pricer("qwen3-0.6b").step(layout(), PLAN)
    assert sum(k.kind.counts.sum() for k in eager.kernels) > 2 * sum(
        k.kind.counts.sum() for k in joined.kernels
    )
    assert eager.mid > 1.2 * joined.mid


@pytest.mark.parametrize("shard", ["none", "optimizer", "gradients", "full"])
@pytest.mark.parametrize("overlap", [True, False])
def test_a_band_holds_its_middle_where_links_are_slow(shard: Shard, overlap: bool) -> None:
    found = pricer("meta-llama-3.1-8b", optimizer="adamw-fp32").step(
        layout(dp=64, shard=shard), TrainingPlan(batch=128, overlap=overlap)
    )
    assert found.low <= found.mid <= found.high


def test_one_backward_pass_hides_what_is_gathered_and_reduced_once() -> None:
    price = pricer("meta-llama-3.1-8b", optimizer="adamw-fp32")
    where, plan = layout(dp=64, shard="full"), TrainingPlan(batch=64)
    hidden, waited = (price.step(where, dataclasses.replace(plan, overlap=overlap)).parts
                      for overlap in (True, False))  # fmt: skip
    names = ("gradients reduced", "weights gathered")
    spared = sum(waited[n] - hidden[n] for n in names)  # type: ignore[index]
    assert spared <= hidden["forward"] + hidden["backward"] + 1e-9


def test_sums_that_are_shared_out_are_reduced_in_every_micro_batch() -> None:
    price = pricer("qwen3-0.6b")
    where, plan = layout(dp=2, shard="gradients"), TrainingPlan(batch=2, overlap=False)
    one, four = (price.step(where, dataclasses.replace(plan, batch=batch)).parts
                 for batch in (2, 8))  # fmt: skip
    assert four["gradients reduced"] == pytest.approx(4 * one["gradients reduced"])
    whole = price.step(layout(dp=2), dataclasses.replace(plan, batch=8)).parts
    assert four["gradients added up"] < whole["gradients added up"]


def test_a_hop_between_stages_does_not_grow_with_replicas() -> None:
    price = pricer("meta-llama-3.1-8b")
    hops = [
        price.step(layout(tp=8, pp=2, dp=dp), TrainingPlan(batch=4 * dp)).parts[
            "hand-over between stages"
        ]
        for dp in (1, 8, 64)
    ]
    assert hops == pytest.approx([hops[0]] * 3)


@pytest.mark.parametrize("products", PRODUCTS)
def test_products_have_a_time_in_every_format(products: Products) -> None:
    step = prepared("qwen3-0.6b")
    price = TrainingPricer(
        passes=passes_of(step, "compile", products), need=step.memory, chip=load_chip("b200"),
        stack="compile", knowledge=shipped(),
    )  # fmt: skip
    assert price.step(layout(), PLAN).mid > 0


def test_what_fused_attention_does_not_keep_is_not_worked_out_again() -> None:
    plan = dataclasses.replace(PLAN, recompute="selective")
    assert "recompute" not in pricer("qwen3-0.6b").step(layout(), plan).parts
    assert pricer("gpt").step(layout(), plan).parts["recompute"] > 0
