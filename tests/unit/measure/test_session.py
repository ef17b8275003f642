"""A session: blocks of the right length, fair rounds, honest witnesses."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from tests.unit.measure.simulated import GEMM, plan, slower

from crossgrade.measure.audit import audit
from crossgrade.measure.calibrate import launch_bound, least_block_ns, made_ready
from crossgrade.measure.events import CaseSession
from crossgrade.measure.samples import samples_of
from crossgrade.measure.session import take_session, variants_of
from crossgrade.targets.protocol import Opening
from crossgrade.targets.simulated import Faults, NoiseModel, SimulatedDevice
from crossgrade.values.bench import ANCHOR
from crossgrade.values.operator_case import CannotRun, OperatorCase


def device(noise=None, faults=None, session=0):
    opening = Opening(session=session)
    return SimulatedDevice(noise or NoiseModel(), faults or Faults(), opening, spec="null")


def session(plan_, target=None, audited=None, **options):
    report = audit(audited or device(), plan_.anchor)
    return taken_by(plan_, {"null": target or device()}, {"null": report}, **options)


def taken_by(plan_, targets, reports, **options):
    defaults = {"index": 0, "rounds": 12, "limit_s": 100.0, "absent": ()}
    wanted = CaseSession(key="x", plan=plan_, **{**defaults, **options})
    return take_session(wanted, targets, reports, "in-process")


def test_every_round_times_each_variant_and_the_anchor_once():
    taken = session(plan(GEMM, slower(0.5)))
    rounds = [taken.order[i : i + 3] for i in range(0, len(taken.order), 3)]
    assert len(rounds) == 12
    assert all(sorted(r) == [0, 1, 2] for r in rounds)
    assert len({tuple(r) for r in rounds}) > 2


def test_the_order_follows_from_seed_and_session_alone():
    one, again = session(plan(seed=3)), session(plan(seed=3))
    assert one == again
    assert one.order != session(plan(seed=4)).order
    assert one.order != session(plan(seed=3), index=1).order


def test_blocks_are_as_long_as_the_timer_and_the_plan_ask():
    wanted = plan()
    report = audit(device(), wanted.anchor)
    least = least_block_ns(report, report.chosen, wanted.block_s)
    assert least >= wanted.block_s * 1e9
    taken = session(wanted)
    assert min(taken.spans_ns) >= 0.99 * least
    assert taken.counts[0] > 1


def test_spans_are_the_true_time_times_the_count():
    target = device()
    taken = session(plan(), target)
    per_call = [s / taken.counts[v] for v, s in zip(taken.order, taken.spans_ns, strict=True)
                if v == 0]  # fmt: skip
    assert per_call[0] == pytest.approx(target.true_time_s(GEMM) * 1e9, rel=1e-3)


def test_cold_blocks_are_single_calls_with_flushes_outside_the_span():
    target = device()
    taken = session(plan(cache="cold"), target)
    assert taken.counts == (1, 1)
    hot = target.true_time_s(GEMM) * 1e9
    assert all(math.isclose(s, hot, rel_tol=0.2)
               for v, s in zip(taken.order, taken.spans_ns, strict=True) if v == 0)  # fmt: skip


def test_a_session_stops_at_the_end_of_a_batch_when_its_time_is_up():
    taken = session(plan(prime_s=0.0, settle_s=0.0), rounds=60, limit_s=0.03)
    batches, rest = divmod(len(taken.order), 2 * 6)
    assert rest == 0
    assert 1 <= batches < 10


def test_an_absent_variant_keeps_its_place_and_has_no_samples():
    taken = session(plan(GEMM, slower(0.5)), absent=("v0",))
    assert set(taken.order) == {1, 2}
    assert taken.counts[0] == 0
    assert taken.timers[0] is None


def test_the_anchor_comes_last_and_runs_on_the_target_of_the_baseline():
    found = variants_of(plan(GEMM, slower(1)))
    assert list(found) == [0, 1, 2]
    assert (found[2].name, found[2].target) == (ANCHOR, "null")


def test_throttled_batches_are_censored_and_kept():
    faults = Faults(throttle=0.3, throttle_after_ns=0.08e9)
    taken = session(plan(), device(faults=faults), audited=device())
    assert Counter(reason for _, reason in taken.censored).keys() == {"throttled"}
    assert len(taken.spans_ns) == len(taken.order) == 24
    assert 1.0 in taken.telemetry["throttled"]


def test_a_session_that_warms_up_too_long_says_so():
    faults = Faults(throttle=0.3, throttle_after_ns=0.0)
    assert session(plan(settle_s=0.0)).steady is False
    assert session(plan(settle_s=1.0), device(faults=faults)).steady is True


def test_a_call_that_is_too_long_for_the_budget_is_refused():
    long = OperatorCase(op="gemm", dtype="float32", arguments={"sim_us": 1e6})
    with pytest.raises(CannotRun) as caught:
        session(plan(long))
    assert caught.value.reason == "over-budget"
    assert "the budget is 10 s" in caught.value.detail


def test_without_a_timer_nothing_is_made_ready():
    wanted = plan()
    faulty = device(faults=Faults(alternating=0.03))
    report = audit(faulty, wanted.anchor)
    assert report.chosen is None
    with pytest.raises(CannotRun, match="no-timer"):
        made_ready(wanted.variants[0], wanted, {"null": faulty}, {"null": report})


@pytest.mark.parametrize(("fault", "timer"), [
    (Faults(), "device-event"),
    (Faults(lying_synchronize=True), "wall-read"),
])  # fmt: skip
def test_the_timers_own_cost_is_taken_off(fault, timer):
    """5 µs a call by a timer whose own cost is 1 to 14 µs a block: the truth to 1 %."""
    short = OperatorCase(op="gemm", dtype="float32", arguments={"sim_us": 5.0})
    target = device(faults=fault)
    taken = session(plan(short), target, audited=device(faults=fault))
    assert taken.timers[0] == timer
    found = samples_of(taken, 1).log_s[0]
    assert np.exp(np.median(found)) == pytest.approx(5e-6, rel=0.01)


def test_a_cold_call_that_is_shorter_than_the_timers_own_cost_is_refused():
    lying = Faults(lying_synchronize=True)
    short = OperatorCase(op="gemm", dtype="float32", arguments={"sim_us": 5.0})
    with pytest.raises(CannotRun, match="too-short"):
        session(plan(short, cache="cold"), device(faults=lying), audited=device(faults=lying))


def test_a_throttled_second_target_spoils_the_round_too():
    wanted = plan(GEMM, GEMM, targets=("null", "other"))
    report = audit(device(), wanted.anchor)
    hot = device(faults=Faults(throttle=0.3, throttle_after_ns=0.0))
    targets = {"null": device(), "other": hot}
    taken = taken_by(wanted, targets, {"null": report, "other": report})
    assert len(taken.censored) == len(taken.order)


def test_what_waits_for_its_launches_is_known():
    tiny = OperatorCase(op="gemm", dtype="float32", arguments={"sim_us": 0.2})
    report = audit(device(), plan().anchor)
    for case, bound in ((tiny, True), (GEMM, False)):
        wanted = plan(case)
        one = made_ready(wanted.variants[0], wanted, {"null": device()}, {"null": report})
        assert launch_bound(one) is bound
