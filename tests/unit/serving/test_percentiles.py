"""Latencies: exact order statistics, failures longer than any, honest bounds."""

from __future__ import annotations

import dataclasses
import math

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
    steady,
    unsent,
)

from crossgrade.serving.columns import columns_of, in_flight, latencies_s
from crossgrade.serving.percentiles import percentile

DUE = np.arange(108) * 0.1


def metric(found, name):
    return next(m for m in found.loads[0].metrics if m.name == name)


def at(found, name, share):
    return next(p for p in metric(found, name).percentiles if p.share == share)


def test_a_percentile_is_a_value_that_was_seen():
    ordered = np.arange(1, 101) * 1.0
    assert [percentile(ordered, s).value_s for s in (0.5, 0.9, 0.95, 0.99)] == [50, 90, 95, 99]
    assert percentile(np.array([3.0]), 0.5).value_s == 3.0
    assert percentile(np.empty(0), 0.5).value_s is None


def test_bounds_hold_as_often_as_they_say():
    rng = np.random.default_rng(3)
    truth, hits = math.log(10), 0  # p90 of the exponential distribution
    for _ in range(2000):
        found = percentile(np.sort(rng.exponential(1, 200)), 0.9)
        hits += found.low_s <= truth <= found.high_s
    assert hits / 2000 > 0.94


def test_warm_ups_do_not_count():
    slow_first = requests(DUE, 0.1, np.where(np.arange(108) < 8, 99.0, 0.5))
    assert at(result(slow_first), "e2e", 0.99).value_s == pytest.approx(0.5)
    assert metric(result(slow_first), "e2e").count == 100


def test_a_failure_is_longer_than_any():
    good = requests(DUE, 0.1, 0.5)
    two = result(failing(good, [20, 30]))
    assert at(two, "ttft", 0.95).value_s == pytest.approx(0.1)
    assert at(two, "ttft", 0.99).value_s is None
    assert at(two, "tpot", 0.99).value_s is None
    assert metric(two, "e2e").mean_s is None
    assert metric(two, "e2e").count == 100
    half = result(failing(good, range(40, 108)))
    assert at(half, "e2e", 0.5).value_s is None


def test_one_that_was_cut_is_longer_than_any_and_one_never_sent_has_no_latency():
    good = requests(DUE, 0.1, 0.5)
    cut = result(failing(good, [20, 30], "unfinished"))
    assert at(cut, "ttft", 0.99).value_s is None
    left = result(unsent(good, [20, 30]))
    assert metric(left, "ttft").count == 98
    assert at(left, "ttft", 0.99).value_s == pytest.approx(0.1)
    assert left.loads[0].outcomes == {"ok": 98, "unfinished": 2}
    assert any("2 requests never sent" in r for r in left.loads[0].remarks)


def test_an_answer_without_text_is_none():
    base = requests(DUE, 0.1, 0.5)
    silent = failing(base, [50, 60], "ok")
    found = result(silent)
    assert at(found, "ttft", 0.99).value_s is None
    assert any("2 answers without text" in r for r in found.loads[0].remarks)


def test_a_late_client_hides_no_queue():
    late = requests(DUE, 0.1, 0.5, late=0.09)
    assert at(result(late), "ttft", 0.5).value_s == pytest.approx(0.1)
    closed = result(late, load=CLOSED)
    assert at(closed, "ttft", 0.5).value_s == pytest.approx(0.01)


def test_tpot_is_per_token_after_the_first():
    assert at(result(requests(DUE, 0.1, 0.4, tokens=4)), "tpot", 0.5).value_s == pytest.approx(0.1)
    packed = requests(DUE, 0.1, 0.4, tokens=4, output_reported=(31,) * 108,
                      output_asked=(31,) * 108)  # fmt: skip
    found = result(packed)
    assert at(found, "tpot", 0.5).value_s == pytest.approx(0.01)
    assert any("an event has 7.75 tokens" in r for r in found.loads[0].remarks)
    unknown = requests(DUE, 0.1, 0.4, tokens=4, output_reported=(-1,) * 108)
    assert at(result(unknown), "tpot", 0.5).value_s == pytest.approx(0.1)


def test_an_answer_of_one_token_or_one_event_has_no_tpot():
    one = result(requests(DUE, 0.1, 0.1, tokens=1))
    assert metric(one, "tpot").count == 0
    assert at(one, "tpot", 0.5).value_s is None
    whole = requests(DUE, 0.1, 0.1, tokens=1, output_reported=(64,) * 108,
                     output_asked=(64,) * 108)  # fmt: skip
    found = result(whole)
    assert metric(found, "tpot").count == 0
    assert any("100 answers of 100 came in one event" in r for r in found.loads[0].remarks)


def test_gaps_have_percentiles_and_no_bounds():
    found = result(requests(DUE, 0.1, 0.4, tokens=4))
    assert metric(found, "itl").count == 300
    assert at(found, "itl", 0.99).value_s == pytest.approx(0.1)
    assert at(found, "itl", 0.99).high_s is None
    assert metric(found, "itl").median_s is None


def test_a_tail_without_enough_requests_says_how_many_it_takes():
    few = result(steady())
    assert at(few, "ttft", 0.99).high_s is None
    assert any("p99 has no upper end: 100 requests of the 368" in r for r in few.loads[0].remarks)
    many = result(*(steady(i) for i in range(4)))
    assert at(many, "ttft", 0.99).high_s is not None
    assert many.loads[0].remarks == ()


def test_a_median_is_the_geometric_mean_of_those_of_sessions():
    found = result(requests(DUE, 0.1, 1.0), requests(DUE, 0.1, 4.0))
    assert metric(found, "e2e").median_s.value == pytest.approx(2.0)
    assert metric(result(requests(DUE, 0.1, 1.0)), "e2e").median_s is None
    assert metric(result(requests(DUE, 0.1, 1.0), failing(requests(DUE, 0.1, 1.0), range(108))),
                  "e2e").median_s is None  # fmt: skip


def test_requests_in_flight_are_those_begun_and_not_ended():
    made = columns_of(OPEN, session(requests([0.0, 1.0, 2.0], 0.5, 1.5, warmups=0)))
    times = np.array([-0.1, 0.5, 1.2, 2.2, 9.0])
    assert in_flight(made.sent_s, made.ended_s, times).tolist() == [0, 1, 2, 2, 0]


def test_a_shift_of_the_clock_changes_nothing():
    made = queue(np.random.default_rng(0), 0.5)
    moved = dataclasses.replace(
        made, **{name: tuple(t + 2.0**50 for t in getattr(made, name))
                 for name in ("due_ns", "sent_ns", "first_ns", "last_ns", "ended_ns")})  # fmt: skip
    for name in ("ttft", "tpot", "e2e", "itl"):
        here, there = (latencies_s(columns_of(OPEN, session(m)), name) for m in (made, moved))
        assert np.allclose(here, there, atol=1e-6)
