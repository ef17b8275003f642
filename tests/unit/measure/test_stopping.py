"""When a measurement ends, and how many rounds the next session has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.coverage import Noise, plan_of, session_of

from crossgrade.measure.stopping import MOST_ROUNDS, done, next_rounds

EXACT = Noise()
PLAN = plan_of(2)


def sessions_of(count, noise=EXACT, plan=PLAN):
    rng = np.random.default_rng(4)
    return [session_of(plan, noise, rng, i, plan.rounds) for i in range(count)]


@pytest.mark.parametrize(
    ("count", "stop", "reason"),
    [
        (0, False, "between-looks"),
        (5, False, "between-looks"),  # a look, below the least number of sessions
        (7, False, "between-looks"),
        (8, True, "narrow"),
        (9, False, "between-looks"),
        (12, True, "narrow"),
    ],
)
def test_it_ends_as_done_only_at_looks(count, stop, reason):
    found = done(PLAN, sessions_of(count), 0.0, 1.0)
    assert (found.stop, found.reason) == (stop, reason)


def test_wide_goes_on_to_the_last_look():
    loud = Noise(within=0.01, between=0.3)
    assert done(PLAN, sessions_of(8, loud), 0.0, 1.0).reason == "wide"
    last = done(PLAN, sessions_of(40, loud), 0.0, 1.0)
    assert (last.stop, last.reason) == (True, "looks-exhausted")


def test_the_budget_ends_it_before_the_session_that_does_not_fit():
    plan = replace(PLAN, budget_s=10.0)
    assert not done(plan, sessions_of(3), 9.0, 1.0).stop
    assert done(plan, sessions_of(3), 9.1, 1.0).reason == "budget"
    assert done(plan, sessions_of(8), 9.1, 1.0).reason == "narrow"


def test_it_ends_when_nothing_is_left_to_time():
    only_anchor = replace(sessions_of(1)[0], order=(2,), spans_ns=(1e5,))
    assert done(PLAN, [only_anchor], 0.0, 1.0).reason == "nothing-left"


def test_rounds_are_as_planned_until_the_third_session():
    assert next_rounds(PLAN, sessions_of(2)) == PLAN.rounds


def test_noise_between_sessions_wants_short_ones_and_noise_within_long_ones():
    between = next_rounds(PLAN, sessions_of(6, Noise(within=0.002, between=0.05)))
    within = next_rounds(PLAN, sessions_of(6, Noise(within=0.05, between=0.0005)))
    assert between == 6
    assert within > 10 * between


def test_rounds_follow_kalibera_and_jones():
    # A session costs 1 s besides its blocks, a batch of 18 blocks 36 ms: 27.4 batches per session
    # cost as much. Ratio noise within a batch / between sessions about 1/5: near 6 batches.
    sessions = sessions_of(200, Noise(within=0.01, between=0.005))
    assert 12 <= next_rounds(PLAN, sessions) <= 36


@pytest.mark.parametrize("batch", [1, 4, 6, 10, 100])
def test_rounds_are_a_multiple_of_the_batch(batch):
    plan = replace(PLAN, batch=batch, rounds=batch * 2)
    found = next_rounds(plan, sessions_of(4, Noise(within=0.01, between=0.01), plan))
    assert found % batch == 0
    assert found >= min(6, batch)
    assert found <= max(MOST_ROUNDS, batch)


def test_times_without_noise_want_the_fewest_rounds():
    assert next_rounds(PLAN, sessions_of(3)) == 6
