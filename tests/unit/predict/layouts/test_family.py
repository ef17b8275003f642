"""Steps between two captures are what a capture there would give."""

from __future__ import annotations

import dataclasses

import pytest
from tests.unit.predict.layouts.steps import REF, layout, session

from crossgrade.chips.loader import load_chip
from crossgrade.predict.layouts.cost import step_cost
from crossgrade.predict.layouts.family import BATCH, StepFamily, between
from crossgrade.predict.layouts.pieces import Pieces, pieces_of
from crossgrade.predict.layouts.prices import StepPrices
from crossgrade.predict.layouts.service import cache_tokens, instance
from crossgrade.predict.layouts.step import rank_memory, step_times
from crossgrade.predict.phase import prepare
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.values.workload import Workload


class Counted:
    """Captures, and counts how many."""

    def __init__(self, preset: str) -> None:
        self.session, self.made = session(preset), []

    def __call__(self, workload: Workload):
        self.made.append((workload.phase, workload.tokens, workload.context))
        return prepare(self.session.capture(workload))


def family(preset: str, stack: str = "vllm") -> StepFamily:
    any_ = Workload(model=REF, phase="decode", batch=1, tokens=1, context=0, dtype=None)
    return StepFamily(prepare=Counted(preset), workload=any_, stack=stack)


def exact(made: StepFamily, phase: str, batch: int, tokens: int, context: int) -> Pieces:
    workload = dataclasses.replace(made.workload, phase=phase, batch=batch, tokens=tokens,
                                   context=context)  # fmt: skip
    return pieces_of(made.prepare(workload), made.stack)


def same(one: Pieces, other: Pieces) -> None:
    assert len(one.pieces) == len(other.pieces)
    for (a, many), (b, times) in zip(one.pieces.items(), other.pieces.items(), strict=True):
        assert (a.family, a.op, a.format, many) == (b.family, b.op, b.format, times)
        assert a.sizes == pytest.approx(b.sizes, rel=2e-3, abs=1)
    assert sum(row.bytes for row in one.cache) == pytest.approx(sum(r.bytes for r in other.cache))


@pytest.mark.parametrize("preset", ["qwen3-0.6b", "minimax-m2.5", "deepseek-v3"])
def test_between_two_captures_lies_what_would_be_captured(preset):
    made = family(preset)
    same(made.decode(700), exact(made, "decode", BATCH, 1, 700))
    same(made.prefill(700), exact(made, "prefill", 1, 700, 0))


def test_two_captures_serve_all_contexts_between():
    made = family("qwen3-0.6b")
    for context in (300, 400, 500, 900, 1000):
        made.decode(context)
    assert [c for _, _, c in made.prepare.made] == [256, 1024]


def test_unlike_steps_have_nothing_between():
    one, other = family("qwen3-0.6b").decode(256), family("deepseek-v3").decode(256)
    assert between(one, other, 0.5) is None


@pytest.fixture(scope="module")
def made():
    made = family("minimax-m2.5")
    chip, known = load_chip("h100"), shipped()
    cost = step_cost(made, layout(tp=2), chip, known, contexts=(256, 1024), longest=1024)
    return made, chip, known, cost


class TestCost:
    @pytest.mark.parametrize(("batch", "context"), [(1, 256), (16, 256), (64, 1024)])
    def test_a_step_that_decodes_is_that_step(self, made, batch, context):
        steps, chip, known, cost = made
        plain = step_times(steps.decode(context), chip, [layout(tp=2)], [batch], "vllm", known)
        for end in ("low", "mid", "high"):
            found = cost.seconds(batch, context, [], end=end)
            assert found == pytest.approx(float(getattr(plain, end)[0]), rel=1e-6)

    @pytest.mark.parametrize("tokens", [256, 1024])
    def test_a_step_that_prefills_is_that_step(self, made, tokens):
        steps, chip, known, cost = made
        plain = step_times(steps.prefill(tokens), chip, [layout(tp=2)], [1], "vllm", known)
        assert cost.seconds(0, 0, [(tokens, 0)]) == pytest.approx(float(plain.mid[0]), rel=0.02)

    def test_a_mixed_step_costs_more_than_each_and_less_than_both(self, made):
        cost = made[3]
        decode, read = cost.seconds(32, 512, []), cost.seconds(0, 0, [(512, 0)])
        both = cost.seconds(32, 512, [(512, 0)])
        assert max(decode, read) < both < decode + read

    def test_a_chunk_costs_more_behind_others(self, made):
        cost = made[3]
        assert cost.seconds(0, 0, [(256, 768)]) > cost.seconds(0, 0, [(256, 0)])

    def test_prices_are_whole_nanoseconds_of_the_busiest_replica(self, made):
        cost = made[3]
        prices = StepPrices(cost=cost, replicas=2, delay_ns=5)
        found = prices(8, 4, ((300, 0), (100, 0), (50, 0)))
        seconds = cost.seconds(4, 4.5 * 64, [(300, 0), (50, 0)], (8 + 450) / 2)
        assert found == round(seconds * 1e9) + 5
        assert prices(8, 4, ((300, 0), (100, 0), (50, 0))) == found

    def test_the_cache_holds_what_weights_leave(self, made):
        steps, chip, _, cost = made
        tokens = cache_tokens(steps, layout(tp=2), chip, 1024)
        rank = rank_memory(steps.decode(1024), [layout(tp=2)], [BATCH])
        full = rank.weights[0] + rank.cache[0] / BATCH / 1024 * tokens
        assert 0.8 < full / (chip.memory_capacity.value * 0.9) <= 1
        served = instance(steps, layout(tp=2), chip, cost, longest=1024, users=8)
        assert served is not None
        assert (served.policy.capacity, served.policy.max_running) == (tokens, 8)
        assert instance(steps, layout(tp=2), chip, cost, longest=tokens + 1) is None
