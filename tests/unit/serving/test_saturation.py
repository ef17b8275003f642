"""Queues that grow are told from those that do not; figures stand in the docs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from tests.unit.serving.made import (
    CLOSED,
    OPEN,
    failing,
    queue,
    requests,
    result,
    session,
    shared,
    steady,
    unhindered,
    unsent,
)

from crossgrade.serving.columns import columns_of
from crossgrade.serving.saturation import saturation_of
from crossgrade.values.serving import Load

TRIALS = 120


def found_in(simulated, load, sessions, seed=11):
    """Return the share of trials in which a simulated server counts as saturated."""
    rng = np.random.default_rng(seed)
    said = [
        saturation_of(
            OPEN, [columns_of(OPEN, session(simulated(rng, load))) for _ in range(sessions)]
        )
        for _ in range(TRIALS)
    ]
    return sum(s.saturated for s in said) / TRIALS


@pytest.mark.parametrize("sessions", [1, 3])
def test_a_queue_at_half_its_capacity_seldom_alarms(sessions):
    assert found_in(queue, 0.5, sessions) <= 0.05


@pytest.mark.parametrize("sessions", [1, 3])
def test_a_queue_above_its_capacity_is_found(sessions):
    assert found_in(queue, 1.5, sessions) >= 0.95


def test_a_small_excess_is_found_by_three_sessions():
    assert found_in(queue, 1.2, 3) >= 0.9
    assert found_in(queue, 0.8, 3) <= 0.15


def test_a_server_that_shares_its_time_is_found_by_its_backlog():
    assert found_in(shared, 1.5, 3) >= 0.95
    assert found_in(shared, 0.5, 3) <= 0.05


@pytest.mark.parametrize("rate", [10, 40, 100])
def test_filling_up_at_the_start_is_no_saturation(rate):
    """At 100 per s and 1 s each the load is over before a request is answered."""
    assert found_in(unhindered, rate, 3) <= 0.05


def test_growth_is_a_share_of_the_median():
    due = np.arange(108) * 0.1
    ramp = requests(due, 0.1, 1 + np.arange(108) / 99)
    found = saturation_of(OPEN, [columns_of(OPEN, session(ramp))])
    median = 1 + (8 + 49.5) / 99
    assert found.slope.value == pytest.approx(1 / median, rel=1e-6)
    assert found.saturated
    assert "grew by" in found.why


def test_what_lengths_explain_is_no_growth():
    """A trace that begins with short answers, on a server that is never busy."""
    rng = np.random.default_rng(2)
    due, tokens = np.arange(108) * 1.0, np.sort(rng.integers(4, 400, 108))
    trace = Load(kind="trace", trace="x", requests=100)
    made = requests(due, 0.1, 0.1 + tokens * 0.002 + rng.normal(0, 1e-3, 108),
                    output_reported=tuple(int(t) for t in tokens),
                    output_asked=tuple(int(t) for t in tokens))  # fmt: skip
    found = saturation_of(trace, [columns_of(trace, session(made))])
    assert not found.saturated
    assert abs(found.slope.value) < 0.05


def test_a_closed_loop_cannot():
    made = columns_of(CLOSED, session(queue(np.random.default_rng(0), 1.5)))
    found = saturation_of(CLOSED, [made])
    assert (found.saturated, found.slope, found.delivered) == (False, None, None)
    assert "closed loop" in found.why


def test_requests_that_were_cut_or_wait_in_the_client_are_a_backlog():
    due = np.arange(108) * 0.1
    stuck = failing(requests(due, 0.1, np.where(np.arange(108) < 60, 0.5, 60.0)), range(60, 108),
                    "unfinished")  # fmt: skip
    assert result(stuck).loads[0].verdict == "saturated"
    waiting = unsent(requests(due, 0.1, 0.5), range(60, 107))
    assert saturation_of(OPEN, [columns_of(OPEN, session(waiting))]).saturated


def test_a_wait_in_the_client_is_seen_in_a_load_that_is_short_beside_its_latency():
    """Two at once at most, 16 per s, while 60 per s are due; a third is never sent."""
    capped = dataclasses.replace(OPEN, rate_per_s=60.0, concurrency=2, requests=60)
    due = np.arange(68) / 60
    waits = np.maximum(0, np.arange(68) / 16 - due)
    made = unsent(requests(due, waits + 0.05, waits + 0.12, late=waits), range(46, 68))
    assert result(made, load=capped).loads[0].verdict == "saturated"


def test_a_load_that_was_broken_off_has_no_backlog():
    due = np.arange(108) * 0.1
    broken = unsent(failing(requests(due, 0.1, 0.5), range(60, 80), "refused"), range(80, 108))
    found = result(broken).loads[0]
    assert not found.saturation.saturated
    assert found.verdict == "refused"


@pytest.mark.parametrize("n", [0, 1, 5])
def test_too_few_answers_decide_nothing(n):
    load = Load(kind="open-loop", rate_per_s=10.0, requests=n, warmups=0)
    made = requests(np.arange(n) * 0.1, 0.1, 0.5, warmups=0)
    found = saturation_of(load, [columns_of(load, session(made))])
    assert not found.saturated
    assert found.slope is None


def test_a_clock_that_stands_still_decides_nothing():
    load = Load(kind="open-loop", rate_per_s=10.0, requests=30, warmups=0)
    made = requests(np.zeros(30), 0.1, 0.5, warmups=0)
    assert not saturation_of(load, [columns_of(load, session(made))]).saturated


def test_a_calm_load_says_so():
    found = saturation_of(OPEN, [columns_of(OPEN, session(steady(i))) for i in range(3)])
    assert "does not grow" in found.why
    assert found.delivered == pytest.approx(1.0, abs=0.1)


def test_the_limits_in_the_docs_are_those_of_the_program():
    from crossgrade.serving import saturation

    text = (Path(__file__).parents[3] / "docs/explanation/serving.md").read_text(encoding="utf-8")
    assert re.search(rf"at least {saturation.GROWTH * 100:.0f} %", text)
    assert f"{saturation.DELIVERED * 100:.0f} %" in text


@pytest.mark.parametrize("slow", [0.0, 45.0])
def test_arrivals_that_the_time_for_sending_cut_off_are_no_backlog(slow):
    """A calm endpoint at 2 per s; sending ends at 40 s of 54; one answer may take long."""
    rows = []
    for seed in range(5):
        due = np.cumsum(np.random.default_rng(seed).exponential(0.5, 108))
        e2e = np.full(108, 2.0)
        e2e[20] += slow
        late = [n for n, at in enumerate(due) if at > 40]
        assert late
        rows.append(unsent(requests(due, 0.5, e2e), late))
    found = result(*rows, load=OPEN).loads[0]
    assert not found.saturation.saturated
