"""The timer audit: a timer that lies is caught, by the check that is there for it; others pass."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from crossgrade.measure import audit_checks
from crossgrade.measure.audit import audit
from crossgrade.targets.protocol import Opening
from crossgrade.targets.simulated import (
    FAULTS,
    Faults,
    HostCosts,
    NoiseModel,
    SimulatedDevice,
    open_simulated,
)
from crossgrade.targets.timers import ReadTimer, SynchronizeTimer
from crossgrade.values.audit import CHECK_NAMES, TIMER_KINDS, AuditReport, TimerAudit
from crossgrade.values.operator_case import OperatorCase

ANCHOR = OperatorCase(op="gemm", dtype="float32", arguments={"m": 320, "k": 320, "n": 320})
NO_TIMERS = {"nan-output", "out-of-memory"}


def failed(timer: TimerAudit) -> set[str]:
    return {check.name for check in timer.checks if not check.passed}


def events_of(faults: Faults) -> TimerAudit:
    return audit(SimulatedDevice(faults=faults), ANCHOR).timers[0]


class TestOnlyOneCheckFindsIt:
    """Without the check of its name the timer would be believed: each test fails then."""

    def test_finite(self):
        assert failed(events_of(Faults(event_nan_every=7))) == {"finite"}

    def test_positive(self):
        assert failed(events_of(Faults(event_negative_every=7))) == {"positive"}

    def test_resolution(self):
        assert failed(events_of(Faults(event_step_ns=10_000))) == {"resolution"}

    def test_linear(self):
        assert failed(events_of(Faults(event_offset_ns=200_000))) == {"linear"}

    def test_agrees(self):
        assert failed(events_of(Faults(event_scale=1.25))) == {"agrees"}

    def test_synchronizes(self):
        assert failed(events_of(Faults(lying_synchronize=True))) == {"synchronizes"}

    def test_no_leak(self):
        assert failed(events_of(Faults(event_leak=0.5))) == {"no-leak"}

    def test_a_a(self):
        assert failed(events_of(Faults(alternating=0.03))) == {"a-a"}

    def test_there_is_a_test_for_every_check(self):
        names = {name.removeprefix("test_").replace("_", "-") for name in dir(type(self))}
        assert set(CHECK_NAMES) <= names


class TestFaultsByName:
    @pytest.mark.parametrize("name", [name for name in FAULTS if name not in NO_TIMERS])
    def test_who_lies_is_caught_and_who_does_not_is_believed(self, name):
        report = audit(open_simulated(f"faulty:{name}"), ANCHOR)
        lies = FAULTS[name].lies
        assert {t.kind: t.survived for t in report.timers} == {
            k: k not in lies for k in TIMER_KINDS
        }
        assert report.chosen == next((k for k in TIMER_KINDS if k not in lies), None)

    @pytest.mark.parametrize(
        ("names", "chosen"),
        [
            ("scaled-events,lazy", "wall-read"),
            ("nan-events,negative-events", "wall-synchronize"),
            ("zero-events,lying-synchronize", "wall-read"),
            ("coarse-clock,alternating", None),
            ("nan-output", "device-event"),
        ],
    )
    def test_the_best_that_does_not_lie_is_chosen(self, names, chosen):
        assert audit(open_simulated(f"faulty:{names}"), ANCHOR).chosen == chosen

    def test_an_anchor_that_cannot_run_leaves_no_timer(self):
        report = audit(open_simulated("faulty:out-of-memory"), ANCHOR)
        assert report.chosen is None
        (timer,) = report.timers
        assert not timer.survived
        assert "out-of-memory" in timer.checks[0].detail

    def test_a_timer_that_raises_is_not_used(self):
        class Without(SimulatedDevice):
            def timers(self):
                class Raises:
                    kind = "device-event"

                    def span_ns(self, kernel, count):
                        raise RuntimeError("no events here")

                return Raises(), *super().timers()[1:]

        report = audit(Without(), ANCHOR)
        assert report.chosen == "wall-synchronize"
        assert "no events here" in report.timers[0].checks[0].detail


class TestHonestDevices:
    def test_without_noise_every_timer_passes(self):
        report = audit(open_simulated("null"), ANCHOR)
        assert report.chosen == "device-event"
        for timer in report.timers:
            assert tuple(check.name for check in timer.checks) == CHECK_NAMES
            assert failed(timer) == set()
        assert report.seconds < 5
        assert dict(report.facts)["device"] == "simulated"

    def test_with_noise_nearly_all_pass(self):
        model = NoiseModel(
            session_sd=0.03, kernel_sd=0.01, within_sd=0.02, phi=0.5, spike_rate=0.01, spike=3.0
        )
        reports = [
            audit(SimulatedDevice(model, opening=Opening(seed=seed, session=-1)), ANCHOR)
            for seed in range(100)
        ]
        for index in range(len(TIMER_KINDS)):
            assert sum(report.timers[index].survived for report in reports) >= 99

    @pytest.mark.parametrize("call_us", [3, 20, 800, 4_000])
    def test_long_and_short_anchors_do(self, call_us):
        anchor = OperatorCase(op="gemm", dtype="float32", arguments={"sim_us": call_us})
        assert audit(SimulatedDevice(), anchor).chosen == "device-event"

    def test_a_wait_that_costs_much_is_no_reason_to_refuse_the_hosts_clock(self):
        costs = HostCosts(synchronize_ns=300e3, read_ns=500e3)
        report: AuditReport = audit(SimulatedDevice(costs=costs), ANCHOR)
        assert [timer.survived for timer in report.timers] == [True] * 3

    def test_fewer_spans_than_wanted_are_told(self):
        anchor = OperatorCase(op="gemm", dtype="float32", arguments={"sim_us": 4_000})
        check = audit(SimulatedDevice(), anchor).timers[0].checks[0]
        assert check.passed
        assert "instead of 200" in check.detail

    def test_an_anchor_that_takes_too_long_is_refused_and_told(self):
        anchor = OperatorCase(op="gemm", dtype="float32", arguments={"sim_us": 100_000})
        report = audit(SimulatedDevice(), anchor)
        assert report.chosen is None
        assert "takes too long" in report.timers[0].checks[-1].detail


class HostKernel:
    """A product or a sum in numpy."""

    def __init__(self, case):
        shape = [case.arguments[name] for name in ("mk" if case.op == "gemm" else case.arguments)]
        self.left, self.right = (np.ones(shape, np.float32) for _ in range(2))
        self.call = np.matmul if case.op == "gemm" else np.add
        self.output = None

    def launch(self):
        self.output = self.call(self.left, self.right)

    def read(self):
        return math.nan if self.output is None else float(self.output.flat[0])

    def work(self):
        return None, None

    def close(self):
        pass


class Host:
    """This machine's processor, through numpy."""

    spec, forkable = "host", True

    def facts(self):
        return {}

    def clock_ns(self):
        return time.perf_counter_ns()

    def synchronize(self):
        pass

    def timers(self):
        return SynchronizeTimer(self), ReadTimer(self)

    def prepare(self, case, *, copies=1):
        return HostKernel(case)

    def close(self):
        pass


def test_a_real_processor_goes_through_every_check():
    """Whether it passes is up to what else runs; what cannot depend on that is asserted."""
    anchor = OperatorCase(op="gemm", dtype="float32", arguments={"m": 128, "k": 128, "n": 128})
    report = audit(Host(), anchor, limit_s=1.0)
    for timer in report.timers:
        assert tuple(check.name for check in timer.checks) == CHECK_NAMES
        assert not failed(timer) & {"finite", "positive", "resolution"}


def test_checks_are_made_in_the_order_of_their_names():
    assert tuple(audit_checks.CHECKS) == CHECK_NAMES
