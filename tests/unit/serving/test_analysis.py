"""Verdicts, rates, the self-check, when to stop; and the same requests give the same result."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.serving.made import (
    CLOSED,
    ENDPOINT,
    OPEN,
    failing,
    plan,
    queue,
    requests,
    result,
    session,
    steady,
    unsent,
)

from crossgrade.serving.analysis import serving_recomputed, serving_result, wants_more
from crossgrade.values.serving import OWN_LIMIT, SERVING_VERDICTS, Limits, Load

DUE = np.arange(108) * 0.1


def three(make=steady, **changes):
    return result(*(make(seed) for seed in range(3)), **changes)


def load_of(found):
    [load] = found.loads
    assert found.verdict == load.verdict
    return load


# verdicts ------------------------------------------------------------------------------------
def test_three_calm_sessions_are_measured():
    found = load_of(three())
    assert (found.verdict, found.why) == ("measured", "")
    assert found.sessions == 3
    assert found.outcomes == {"ok": 300}


@pytest.mark.parametrize("kind", ["refused", "timed-out", "http-error", "cut-off", "malformed"])
def test_more_than_one_failure_in_a_hundred_is_the_verdict(kind):
    one = load_of(three(lambda seed: failing(steady(seed), [50], kind)))
    assert one.verdict == "measured"
    two = load_of(three(lambda seed: failing(steady(seed), [50, 60], kind)))
    assert two.verdict == kind
    assert "2.0 % of the requests failed" in two.why


def test_of_several_kinds_the_commonest_counts():
    def mixed(seed):
        return failing(failing(steady(seed), [20], "cut-off"), [30, 40], "timed-out")

    assert load_of(three(mixed)).verdict == "timed-out"


def test_a_dead_endpoint_is_refused_and_not_just_unmeasured():
    gone = unsent(failing(steady(), range(20), "refused"), range(20, 108))
    assert load_of(result(gone)).verdict == "refused"


def test_where_only_warm_ups_were_sent_they_say_why():
    hung = unsent(failing(steady(), range(8), "timed-out"), range(8, 108))
    found = load_of(result(hung))
    assert found.verdict == "timed-out"
    assert found.outcomes == {"unfinished": 100}


def test_nothing_answered_is_unmeasured():
    assert load_of(result(failing(steady(), range(108), "unfinished"))).verdict == "unmeasured"
    assert load_of(result()).verdict == "unmeasured"
    assert load_of(result(unsent(steady(), range(108)))).verdict == "unmeasured"


def test_too_few_sessions_or_a_wide_interval_is_noisy():
    few = load_of(result(steady(0), steady(1)))
    assert few.verdict == "noisy"
    assert "2 sessions of 3" in few.why
    wide = load_of(result(*(steady(i, e2e=0.5 * (1 + 0.2 * i)) for i in range(3))))
    assert wide.verdict == "noisy"
    assert "the median e2e is known to" in wide.why


def test_requests_without_an_answer_in_time_are_noisy():
    left = load_of(three(lambda seed: failing(steady(seed), [50, 80], "unfinished")))
    assert left.verdict == "noisy"
    assert "6 requests had no answer" in left.why


def test_a_growing_queue_is_saturated():
    found = load_of(three(lambda seed: queue(np.random.default_rng(seed), 1.5)))
    assert found.verdict == "saturated"


def test_the_run_has_the_worst_of_its_loads():
    rows = [session(steady(i), index=i, load=0) for i in range(3)]
    rows += [session(failing(steady(i), range(50, 60)), index=i, load=1) for i in range(3)]
    found = serving_result(plan=plan(OPEN, CLOSED), endpoint=ENDPOINT, sessions=rows, spent_s=1.0)
    assert [load.verdict for load in found.loads] == ["measured", "http-error"]
    assert found.verdict == "http-error"


def test_every_verdict_has_a_rank():
    assert SERVING_VERDICTS[0] == "unmeasured"
    assert SERVING_VERDICTS[-1] == "measured"


# the client ----------------------------------------------------------------------------------
def test_a_client_with_little_headroom_may_be_the_limit():
    found = load_of(three(null_per_s=40.0))
    assert found.verdict == "client-bound"
    assert found.client.headroom == pytest.approx(4.0, rel=0.3)
    assert load_of(three(null_per_s=70.0)).verdict == "measured"


def test_a_self_check_that_failed_vouches_for_nothing():
    found = load_of(three(null_per_s=None))
    assert found.verdict == "client-bound"
    assert "self-check" in found.why


def test_the_least_headroom_counts():
    rows = [session(steady(i), index=i, null_per_s=rate) for i, rate in enumerate((900, 30, 900))]
    found = serving_result(plan=plan(), endpoint=ENDPOINT, sessions=rows, spent_s=1.0)
    assert found.verdict == "client-bound"


@pytest.mark.parametrize(("late", "verdict"), [(0.004, "measured"), (0.02, "client-bound")])
def test_requests_sent_late(late, verdict):
    def make(seed):
        return steady(seed, late=late)

    found = load_of(three(make))
    assert found.verdict == verdict
    assert found.client.late_share == pytest.approx(late / 0.1, rel=0.1)
    assert load_of(three(make, load=CLOSED)).client.late_share is None
    capped = dataclasses.replace(OPEN, concurrency=2)
    assert not load_of(three(make, load=capped)).client.bound


# rates ---------------------------------------------------------------------------------------
def test_throughput_is_from_the_first_sent_to_the_last_end():
    found = load_of(result(requests(DUE, 0.1, 0.5, tokens=4)))
    assert found.requests_per_s.value == pytest.approx(100 / (99 * 0.1 + 0.5))
    assert found.output_tokens_per_s.value == pytest.approx(400 / (99 * 0.1 + 0.5))
    assert found.requests_per_s.high == float("inf")
    assert found.concurrency == pytest.approx(5.0, rel=0.05)


def test_failures_are_no_throughput():
    found = load_of(result(failing(requests(DUE, 0.1, 0.5), range(58, 108))))
    assert found.requests_per_s.value < 6


def test_the_share_that_is_good():
    half = requests(DUE, np.where(np.arange(108) % 2, 0.1, 0.2), 0.5)
    assert load_of(result(half)).good is None
    good = load_of(result(half, limits=Limits(ttft_s=0.15))).good
    assert good.value == 0.5
    assert good.low == pytest.approx(0.3983, abs=1e-4)
    assert good.high == pytest.approx(0.6017, abs=1e-4)
    broken = failing(half, range(59, 69, 2))
    assert load_of(result(broken, limits=Limits(ttft_s=0.15))).good.value == 0.45
    assert load_of(result(half, limits=Limits(tpot_s=0.12))).good.value == 0.5
    assert load_of(result(half, limits=Limits(e2e_s=0.4))).good.value == 0.0
    one = requests(DUE, 0.1, 0.1, tokens=1)
    assert load_of(result(one, limits=Limits(tpot_s=1e-9))).good.value == 1.0


# when to stop --------------------------------------------------------------------------------
def more(found):
    return wants_more(found, max((load.sessions for load in found.loads), default=0))


def test_more_is_wanted_until_it_is_narrow_at_a_look():
    assert more(result(steady(0), steady(1)))
    assert not more(three())
    assert more(three(half_width=1e-6))
    assert more(result(*(steady(i) for i in range(4))))  # between two looks
    assert not more(result(*(steady(i) for i in range(5))))


def test_the_last_look_ends_it():
    wide = [steady(i, e2e=0.5 * (1 + i % 3)) for i in range(6)]
    assert more(result(*wide[:5], looks=(3, 5, 6)))
    assert not more(result(*wide, looks=(3, 5, 6)))


def test_loads_that_cannot_get_better_ask_for_no_more():
    assert not more(three(lambda seed: failing(steady(seed), range(108), "refused")))
    assert not more(three(lambda seed: queue(np.random.default_rng(seed), 1.5)))


def test_nothing_yet_wants_more():
    assert more(result())


# again ---------------------------------------------------------------------------------------
@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 107), max_size=30),
    st.lists(st.integers(0, 107), max_size=30),
    st.sampled_from([OPEN, CLOSED, Load(kind="trace", trace="x", pace=2.0, concurrency=3)]),
    st.sampled_from([-1, 0, 4, 900]),
    st.integers(1, 3),
)
def test_any_requests_give_a_result_and_the_same_again(gone, left, load, reported, sessions):
    base = steady(1, spread=0.3, output_reported=(reported,) * 108)
    broken = unsent(failing(base, gone, "cut-off"), left)
    found = result(*([broken] * sessions), load=load, limits=Limits(ttft_s=0.1))
    assert serving_recomputed(found) == found
    assert found.verdict in SERVING_VERDICTS
    assert (found.verdict == "measured") == (load_of(found).why == "")


def test_what_the_clients_machine_could_not_send_is_the_clients():
    def make(seed):
        made = failing(steady(seed), range(20, 40), "unfinished")
        details = tuple(f"{OWN_LIMIT}: Too many open files" if d else "" for d in made.details)
        return dataclasses.replace(made, details=details)

    found = load_of(three(make))
    assert found.verdict == "client-bound"
    assert "60 requests met a limit of the client's machine" in found.why
