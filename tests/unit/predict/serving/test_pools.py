"""Several instances, and prompts read apart: what each request waits for."""

from __future__ import annotations

import numpy as np
import pytest

from crossgrade.predict.serving.loop import serve
from crossgrade.predict.serving.pools import Side, disaggregated, pooled
from crossgrade.predict.serving.request import Load, Policy

POLICY = Policy(max_running=64, max_tokens=4096, capacity=1_000_000, reserves=False)
MOVED = 77


def price(decoding: int, bucket: int, chunks: tuple[tuple[int, int], ...]) -> int:
    """A price that depends on everything that it is told."""
    read = sum(7 * new + new * past // 100 for new, past in chunks)
    return 1_000 + 13 * decoding + decoding * bucket + read


def load(many: int, gap: int = 50_000, seed: int = 0) -> Load:
    rng = np.random.default_rng(seed)
    return Load(
        prompts=rng.integers(1, 3000, many), outputs=rng.integers(1, 200, many),
        arrivals=np.cumsum(rng.integers(0, 2 * gap, many)),
    )  # fmt: skip


def test_one_instance_is_the_loop() -> None:
    asked = load(50)
    one, alone = pooled(asked, POLICY, price, 1), serve(asked, POLICY, price)
    for name in ("arrival", "first", "end"):
        assert (getattr(one, name) == getattr(alone, name)).all()
    assert one.busy == (alone.busy,)


def test_requests_go_to_instances_in_turn() -> None:
    asked = load(40)
    both = pooled(asked, POLICY, price, 2)
    for i in (0, 1):
        at = slice(i, None, 2)
        assert asked.arrivals is not None
        part = Load(prompts=asked.prompts[at], outputs=asked.outputs[at],
                    arrivals=asked.arrivals[at])  # fmt: skip
        assert (both.end[at] == serve(part, POLICY, price).end).all()


def test_users_are_shared_out_by_instances() -> None:
    asked = Load(prompts=np.full(30, 100), outputs=np.full(30, 50), users=5)
    found = pooled(asked, POLICY, price, 2)
    assert found.most_running == 3
    assert (found.end > found.first).all()


def test_a_request_alone_waits_for_its_prompt_its_cache_and_its_tokens() -> None:
    asked = Load(prompts=np.array([1000]), outputs=np.array([4]), arrivals=np.array([500]))
    side = Side(policy=POLICY, price=price, instances=1)
    found = disaggregated(asked, side, side, lambda prompts: np.full(len(prompts), MOVED))

    first = 500 + price(0, 0, ((1000, 0),))
    assert found.first[0] == first
    second = first + MOVED + price(0, 0, ((1, 1000),))
    assert found.end[0] == second + 2 * price(1, 1001 // 64, ())
    assert found.transfer[0] == MOVED


def test_an_answer_of_one_token_never_moves() -> None:
    asked = Load(prompts=np.array([10, 10]), outputs=np.array([1, 1]), arrivals=np.array([0, 1]))
    side = Side(policy=POLICY, price=price, instances=1)
    found = disaggregated(asked, side, side, lambda prompts: np.full(len(prompts), MOVED))
    assert (found.end == found.first).all()
    assert (found.transfer == 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_decoding_apart_is_never_held_up_by_prompts(seed: int) -> None:
    asked = load(60, gap=20_000, seed=seed)
    side = Side(policy=POLICY, price=price, instances=1)
    apart = disaggregated(asked, side, side, lambda prompts: np.zeros_like(prompts))
    together = pooled(asked, POLICY, price, 1)
    many = asked.outputs > 20
    waits = [((run.end - run.first)[many] / (asked.outputs[many] - 1)).mean()
             for run in (apart, together)]  # fmt: skip
    assert waits[0] < waits[1]
    assert (apart.first >= apart.arrival).all()
    assert (apart.end >= apart.first).all()


def test_a_request_without_room_to_decode_is_refused() -> None:
    asked = Load(prompts=np.array([100, 100]), outputs=np.array([10, 500]),
                 arrivals=np.array([0, 1]))  # fmt: skip
    small = Side(policy=Policy(max_running=4, max_tokens=64, capacity=200, reserves=False),
                 price=price, instances=1)  # fmt: skip
    found = disaggregated(asked, small, small, lambda prompts: np.zeros_like(prompts))
    assert (found.first >= 0).tolist() == [True, False]


def test_users_cannot_be_served_apart() -> None:
    asked = Load(prompts=np.array([10]), outputs=np.array([2]), users=1)
    side = Side(policy=POLICY, price=price, instances=1)
    with pytest.raises(ValueError, match="arrivals"):
        disaggregated(asked, side, side, lambda prompts: prompts)


def test_a_cache_that_arrived_is_gone_with_the_place() -> None:
    asked = Load(prompts=np.array([1000, 1000]), outputs=np.array([250, 250]),
                 arrivals=np.array([0, 1]))  # fmt: skip
    reads = Side(policy=POLICY, price=price, instances=1)
    tight = Side(policy=Policy(max_running=4, max_tokens=4096, capacity=2300, reserves=False),
                 price=price, instances=1)  # fmt: skip
    found = disaggregated(asked, reads, tight, lambda prompts: np.zeros_like(prompts))
    assert found.again > 1000
    assert (found.end > found.first).all()


def test_instances_without_a_request_are_idle() -> None:
    asked = Load(prompts=np.array([10]), outputs=np.array([2]), arrivals=np.array([0]))
    found = pooled(asked, POLICY, price, 3)
    assert len(found.busy) == 3
    assert found.busy[1:] == (0, 0)
