"""Two batches in turn: the longer of kernels and collectives, each at half the batch."""

from __future__ import annotations

import numpy as np
import pytest
from tests.conftest import capture_of

from crossgrade.chips.loader import load_chip
from crossgrade.predict.layouts.faults import batch_faults
from crossgrade.predict.layouts.pieces import pieces_of
from crossgrade.predict.layouts.step import rank_memory, step_times
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.values.layout import Layout


@pytest.fixture(scope="module")
def prefill(moe_config):
    """Prompts of 512 tokens of a mixture of two layers."""
    return pieces_of(capture_of(moe_config, "prefill", batch=4, tokens=512), "vllm")


def layout(*, two_batch: bool, tp: int = 1, dp: int = 4) -> Layout:
    return Layout(chips=tp * dp, kind="sharded", tp=tp, dp=dp, ep=tp * dp, two_batch=two_batch)


def times(pieces, one: Layout, batch: int):
    return step_times(pieces, load_chip("h100"), [one], [batch], "vllm", shipped())


@pytest.mark.parametrize("end", ["low", "mid", "high"])
def test_what_is_hidden_is_the_shorter_of_the_two(prefill, end):
    batch = 32
    half = times(prefill, layout(two_batch=False), batch // 2)
    both = times(prefill, layout(two_batch=True), batch)
    talk = float(getattr(half.network, end)[0])
    kernels = sum(float((k.weights * getattr(k, end)).sum()) for k in half.kernels)
    # A step without reads by the host has nothing else in it.
    assert half.host[0] == 0.0
    assert float(getattr(both, end)[0]) == pytest.approx(2 * max(talk, kernels))


def test_one_sequence_a_rank_is_not_halved(prefill):
    one, other = (times(prefill, layout(two_batch=two), 4) for two in (False, True))
    assert np.array_equal(one.mid, other.mid)
    assert list(batch_faults(layout(two_batch=False), 4)) == []
    assert any("no two batches" in one for one in batch_faults(layout(two_batch=True), 4))


def test_both_batches_are_in_memory_at_once(prefill):
    one, other = (rank_memory(prefill, [layout(two_batch=two)], [32]) for two in (False, True))
    assert np.allclose(one.total, other.total)
