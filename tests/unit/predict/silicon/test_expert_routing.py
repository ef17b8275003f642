"""Routing: who has how many rows, against simulation and by counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.predict.silicon.routing import (
    BLOCKS,
    active_at_random,
    loads,
    share_of,
)
from crossgrade.values.kernel import EVEN_ODDS

MODELS = st.tuples(
    st.sampled_from([(8, 2), (16, 1), (128, 8), (256, 6), (512, 22)]), st.sampled_from([1, 2, 8])
)


def sizes(**wanted: float) -> dict[str, np.ndarray]:
    given = {"tokens": 64.0, "hidden": 4096.0, "inter": 1536.0, "topk": 8.0, "experts": 128.0,
             "tp": 1.0, "ep": 1.0, "skew": 0.0} | wanted  # fmt: skip
    return {name: np.array([value], dtype=float) for name, value in given.items()}


@pytest.mark.parametrize(("tokens", "topk", "experts", "ep"), [
    (4, 8, 128, 1), (16, 8, 128, 4), (64, 1, 16, 2), (40, 22, 512, 8),
])  # fmt: skip
def test_active_experts_at_random_agree_with_a_simulation(
    tokens: int, topk: int, experts: int, ep: int
) -> None:
    rng = np.random.default_rng(1)
    here = experts // ep
    hit = [
        len(
            {e for _ in range(tokens) for e in rng.choice(experts, topk, replace=False) if e < here}
        )
        for _ in range(300)
    ]
    standard_error = np.std(hit) / np.sqrt(len(hit))
    assert active_at_random(tokens, topk, experts, ep) == pytest.approx(
        np.mean(hit), abs=4 * standard_error + 1e-6
    )


def test_active_experts_at_random_are_all_experts_in_the_limit() -> None:
    assert active_at_random(1e6, 8, 128, 4) == pytest.approx(32)
    assert active_at_random(10, 16, 16, 1) == pytest.approx(16)


@given(MODELS, st.integers(1, 5000), st.sampled_from([0.0, 1.01, 1.2]))
def test_loads_hand_out_every_choice_and_no_expert_sees_a_token_twice(
    model: tuple[tuple[int, int], int], tokens: int, skew: float
) -> None:
    (experts, topk), _ = model
    found = loads(tokens, topk, experts, skew)
    assert found.sum() == tokens * topk
    assert found.min() >= 0
    assert found.max() <= tokens
    assert (np.diff(found) <= 0).all()


def test_even_loads_are_equal_and_power_laws_are_not() -> None:
    even, mild, strong = (loads(4096, 8, 128, skew) for skew in (0.0, 1.01, 1.2))
    assert np.ptp(even) == 0
    assert even.max() < mild.max() < strong.max()


@given(MODELS, st.integers(1, 3000), st.sampled_from([EVEN_ODDS, 0.0, 1.01, 1.2]))
def test_blocks_hold_all_rows_and_waste_less_than_one_block_per_expert(
    model: tuple[tuple[int, int], int], tokens: int, skew: float
) -> None:
    (experts, topk), ep = model
    share = share_of(sizes(tokens=tokens, topk=topk, experts=experts, ep=ep, skew=skew))
    assert 0 <= share.active[0] <= experts / ep + 1e-9
    for block in BLOCKS:
        room = share.blocks[block][0] * block
        assert room >= share.rows[0] - 1e-6
        assert room <= share.rows[0] + share.active[0] * block + 1e-6


def test_blocks_of_even_loads_are_counted_by_hand() -> None:
    # 100 tokens x 8 over 128 experts: 32 experts of 7 rows and 96 of 6; one block of 8 or 16 each.
    share = share_of(sizes(tokens=100))
    assert share.rows[0] == 800
    assert share.blocks[8][0] == share.blocks[16][0] == 128
    # 2048 tokens: 128 rows each.
    assert share_of(sizes(tokens=2048)).blocks[16][0] == 128 * 8


@pytest.mark.parametrize("skew", [EVEN_ODDS, 0.0])
def test_a_rank_has_its_part_of_the_rows_without_skew(skew: float) -> None:
    whole, part = share_of(sizes(skew=skew)), share_of(sizes(skew=skew, ep=8))
    assert part.rows[0] == pytest.approx(whole.rows[0] / 8)


def test_the_busiest_rank_of_a_power_law_has_more_than_its_part() -> None:
    whole, part = (
        share_of(sizes(tokens=4096, skew=1.2)),
        share_of(sizes(tokens=4096, skew=1.2, ep=8)),
    )
    assert whole.rows[0] / 8 < part.rows[0] < whole.rows[0]
