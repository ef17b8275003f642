"""Ranks that hold up the others are named, and healthy ones are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.unit.measure.collectives.made_up import members, plan, sessions

from crossgrade.measure.collectives.slow import ALPHA, readings, signals_of, slow_ranks
from crossgrade.values.collective import SIGNALS


def found(given, ranks=4):
    signals = signals_of(plan(ranks), given)
    return slow_ranks(signals, members(ranks), given)


@pytest.mark.parametrize("rank", [0, 2, 3])
def test_a_rank_whose_own_work_takes_longer(rank):
    (slow,) = found(sessions(5, work={rank: 1.5}))
    assert (slow.rank, slow.device) == (rank, f"made-up:{rank}")
    assert "work" in slow.signals
    assert slow.ratio == pytest.approx(1.5, rel=0.1)
    assert 1.1 < slow.limit < slow.ratio
    assert slow.wait_share < 0.5  # it comes last


def test_a_rank_that_is_released_late_comes_last_though_its_work_is_as_fast():
    (slow,) = found(sessions(5, late_ns={1: 3e6}))
    assert (slow.rank, slow.signals) == (1, ("arrival",))
    assert slow.wait_share < 0.5


def test_a_rank_with_a_slow_link():
    (slow,) = found(sessions(5, link={2: 2.0}))
    assert (slow.rank, slow.signals) == (2, ("link",))
    assert slow.ratio == pytest.approx(2.0, rel=0.15)


def test_of_two_ranks_the_slower_one_is_named_by_its_work():
    (slow,) = found(sessions(8, ranks=2, work={1: 1.6}), ranks=2)
    assert slow.rank == 1
    signals = {s.signal: s for s in signals_of(plan(2), sessions(5, ranks=2))}
    assert signals["link"].reason == "too-few-ranks"
    assert signals["link"].readings == ()


def test_two_slow_ranks_of_six_the_slowest_first():
    slow = found(sessions(8, ranks=6, work={1: 1.5, 4: 2.5}), ranks=6)
    assert [s.rank for s in slow] == [4, 1]


def test_what_slows_the_whole_machine_slows_no_rank():
    assert found(sessions(5, work=dict.fromkeys(range(4), 3.0))) == ()


def test_a_rank_within_the_margin_is_not_slow_however_well_that_is_known():
    given = sessions(12, noise=0.001, between=0.001, work={1: 1.08})
    assert found(given) == ()
    reading = next(s for s in signals_of(plan(), given) if s.signal == "work").readings[1]
    assert reading.ratio == pytest.approx(1.08, rel=0.01)
    assert reading.limit == pytest.approx(1.1, rel=0.01)


def test_noise_raises_the_limit():
    quiet, loud = (signals_of(plan(), sessions(5, between=b))[0].readings[0].limit
                   for b in (0.01, 0.3))  # fmt: skip
    assert quiet < 1.2
    assert loud > 1.4


def test_one_session_tells_nothing():
    assert {s.reason for s in signals_of(plan(), sessions(1))} == {"too-few-sessions"}


@pytest.mark.parametrize("ranks", [2, 4, 8])
@pytest.mark.parametrize("count", [5, 8])
@pytest.mark.parametrize("draw", ["normal", "heavy", "unequal"])
def test_healthy_groups_are_seldom_accused(ranks, count, draw):
    """The whole of ALPHA, and the margin on top: noise between sessions of 30 %."""
    rng = np.random.default_rng(ranks * count)
    accused = 0
    runs = 600
    for _ in range(runs):
        for _ in SIGNALS:
            values = (
                0.3
                * {
                    "normal": lambda: rng.normal(size=(count, ranks)),
                    "heavy": lambda: rng.standard_t(3, size=(count, ranks)),
                    "unequal": lambda: (
                        rng.normal(size=(count, ranks)) * np.where(np.arange(ranks) == 0, 3.0, 1.0)
                    ),
                }[draw]()
            )
            over = np.stack([values[:, r] - np.median(np.delete(values, r, 1), axis=1)
                             for r in range(ranks)], axis=1)  # fmt: skip
            accused += any(r.slow for r in readings(over))
    # Three standard errors above what is allowed.
    assert accused / runs <= ALPHA + 3 * math.sqrt(ALPHA / runs)
