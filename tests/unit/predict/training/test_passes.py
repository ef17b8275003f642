"""A captured training step divides as Megatron-LM divides it, found from the graph alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.unit.predict.training.steps import GPT, layout, passes, prepared

from crossgrade.predict.layouts.divided import divided, shares_of
from crossgrade.predict.layouts.pieces import Pieces
from crossgrade.predict.stack_time import launched
from crossgrade.predict.training.memory import training_memory
from crossgrade.values.kernel import BACKWARD
from crossgrade.values.layout import Layout
from crossgrade.values.training import Recompute, TrainingPlan

MODELS = ("gpt", "qwen3-0.6b", "meta-llama-3.1-8b")
ROUTED = ("qwen3-30b-a3b", "deepseek-v3")


def products(pieces: Pieces, tp: int) -> float:
    """Multiplications of all matrix products on all tensor-parallel ranks."""
    shares = shares_of([Layout(chips=tp, kind="sharded", tp=tp)], [pieces.batch], pieces.batch, 1)
    total = 0.0
    for piece, count in pieces.pieces.items():
        if piece.family == "matmul":
            sizes = divided(piece, shares)
            total += count * tp * math.prod(float(sizes[name][0]) for name in sizes)
    return total


@pytest.mark.parametrize("model", [*MODELS, *ROUTED])
def test_ranks_together_do_the_products_of_one_chip(model: str) -> None:
    found = passes(model)
    for pieces in (*found.forward.values(), *found.backward.values()):
        assert products(pieces, 2) == pytest.approx(products(pieces, 1), rel=0.01)


@pytest.mark.parametrize("model", [*MODELS, *ROUTED])
def test_backward_products_are_twice_those_of_the_forward_pass(model: str) -> None:
    found = passes(model)
    forward = sum(products(p, 1) for p in found.forward.values())
    backward = sum(products(p, 1) for p in found.backward.values())
    # Where few tokens leave experts without any, their gradients count all the same.
    assert backward == pytest.approx(2 * forward, rel=0.05 if model in ROUTED else 0.02)


@pytest.mark.parametrize("model", MODELS)
def test_ranks_add_up_twice_per_block_and_pass(model: str) -> None:
    found = passes(model)
    for one in (found.forward["blocks"], found.backward["blocks"]):
        assert sum(one.sums.values()) == 2 * found.blocks
        assert {s.kinds for s in one.sums} == {frozenset({"rows"})}
        assert all(s.bytes == found.hidden_bytes for s in one.sums)


@pytest.mark.parametrize("model", ROUTED)
def test_routed_layers_add_up_once_per_pass(model: str) -> None:
    found = passes(model)
    layers = sum(n for p, n in found.forward["blocks"].pieces.items() if p.op == "grouped_mm") // 2
    assert layers
    for one in (found.forward["blocks"], found.backward["blocks"]):
        experts = [n for s, n in one.sums.items() if "experts" in s.kinds]
        assert experts == [layers]
    grouped = [n for p, n in found.backward["blocks"].pieces.items() if p.op == "grouped_mm"]
    assert sum(grouped) == 4 * layers


def test_gradients_of_fused_attention_are_priced_by_its_sizes() -> None:
    found = passes("qwen3-0.6b")
    backward = [p for p in found.backward["blocks"].pieces if p.op == BACKWARD]
    forward = [p for p in found.forward["blocks"].pieces if p.op == "prefill"]
    assert [p.sizes[:2] for p in backward] == [p.sizes[:2] for p in forward]
    assert {p.family for p in backward} == {"attention"}
    assert found.core.pieces.keys() == set(forward)


def test_attention_that_is_not_fused_is_recomputed_between_its_projections() -> None:
    found = passes("gpt")
    assert {p.op for p in found.core.pieces} == {"bmm", "pointwise"}
    assert sum(found.core.pieces.values()) == 3 * found.blocks


@pytest.mark.parametrize("tp", [1, 2])
@pytest.mark.parametrize("recompute", ["none", "selective"])
@pytest.mark.parametrize("together", [False, True])
def test_kept_activations_are_those_of_the_published_formula(
    tp: int, recompute: Recompute, together: bool
) -> None:
    """Korthikanti et al., 2022, equations 1 to 6: bytes per block and sequence of s tokens."""
    s, h, a = 256, GPT["n_embd"], GPT["n_head"]
    shared = tp if together else 1
    kept = s * h * (10 / shared + 24 / tp)
    kept += 5 * a * s * s / tp if recompute == "none" else 0
    step, found = prepared("gpt", tokens=s), passes("gpt", tokens=s)
    plan = TrainingPlan(batch=1, recompute=recompute, sequence_parallel=together)
    memory = training_memory(found, step.memory, layout(tp=tp), plan)
    # Behind the blocks: logits in 16 bits, what the last norm reads and makes, a mask of dropout.
    ends = memory.activations - found.blocks * kept

    assert 0 <= ends <= 1.2 * (2 * s * GPT["vocab_size"] / tp + 8 * s * h)


def test_whole_blocks_are_recomputed_from_their_inputs() -> None:
    step, found = prepared("gpt"), passes("gpt")
    plan = TrainingPlan(batch=1, recompute="full")
    memory = training_memory(found, step.memory, layout(), plan)
    none = training_memory(found, step.memory, layout(), TrainingPlan(batch=1))

    blocks = sum(row.bytes for row in (*found.kept["blocks"].rest, *found.kept["blocks"].core))
    inputs = found.hidden_bytes * found.blocks
    assert none.activations - memory.activations == pytest.approx(
        blocks * (1 - 1 / found.blocks) - inputs
    )


def test_state_is_18_bytes_per_parameter_with_masters_and_16_bit_weights() -> None:
    step = prepared("gpt", optimizer="adamw-fp32")
    memory = training_memory(passes("gpt", optimizer="adamw-fp32"), step.memory, layout(),
                             TrainingPlan(batch=1))  # fmt: skip
    state = memory.weights + memory.gradients + memory.optimizer
    assert state / step.memory.parameters == pytest.approx(18, rel=0.02)


def test_replicas_share_out_what_zero_says() -> None:
    step, found = prepared("qwen3-0.6b"), passes("qwen3-0.6b")
    plan = TrainingPlan(batch=4)
    whole = training_memory(found, step.memory, layout(dp=4), plan)
    for shard, divided_ in (("optimizer", {"optimizer"}), ("gradients", {"optimizer", "gradients"}),
                            ("full", {"optimizer", "gradients"})):  # fmt: skip
        memory = training_memory(found, step.memory, layout(dp=4, shard=shard), plan)  # type: ignore[arg-type]
        for name in ("gradients", "optimizer"):
            part = 4 if name in divided_ else 1
            assert getattr(memory, name) == pytest.approx(getattr(whole, name) / part)
    assert memory.weights == pytest.approx(whole.weights / 4 + step.memory.shares.block)


def test_offloaded_state_is_not_on_the_chip() -> None:
    step, found = prepared("qwen3-0.6b"), passes("qwen3-0.6b")
    plan = TrainingPlan(batch=1, offload="optimizer")
    assert training_memory(found, step.memory, layout(), plan).optimizer == 0.0


def test_stages_hold_their_blocks_and_ends() -> None:
    step, found = prepared("qwen3-0.6b"), passes("qwen3-0.6b")
    plan = TrainingPlan(batch=8)
    one = training_memory(found, step.memory, layout(), plan)
    two = training_memory(found, step.memory, layout(pp=2), plan)
    # Tied weights of the embedding and the head are on both ends.
    assert one.weights / 2 < two.weights < one.weights
    assert np.isfinite(two.total)


def test_replicas_have_experts_of_their_own() -> None:
    step, found = prepared("qwen3-30b-a3b"), passes("qwen3-30b-a3b")
    plan = TrainingPlan(batch=8)
    one, eight = (training_memory(found, step.memory, layout(dp=dp), plan) for dp in (1, 8))
    assert one.weights == pytest.approx(step.memory.weights)
    assert (one.weights, one.gradients, one.optimizer) == (
        eight.weights, eight.gradients, eight.optimizer
    )  # fmt: skip


@pytest.mark.parametrize("model", [*MODELS, *ROUTED])
def test_no_launch_is_of_two_passes(model: str) -> None:
    step = prepared(model)
    stages = step.capture.columns["call_stage"]
    for kernel in launched(step, "compile").kernels:
        assert len(set(stages[kernel.calls].tolist())) == 1, kernel.op
