"""The made-up device: its own time, honest where it should be, wrong only as it is told to be."""

from __future__ import annotations

import math
import statistics
from typing import get_args

import pytest

from crossgrade.errors import UnknownTarget
from crossgrade.targets.protocol import CanFlush, CanWitness, LaunchesMany, Opening, Simulated
from crossgrade.targets.simulated import (
    FAULTS,
    FREE,
    Faults,
    HostCosts,
    NoiseModel,
    SimulatedDevice,
    open_simulated,
)
from crossgrade.targets.simulated.faults import FaultName
from crossgrade.values.operator_case import CannotRun, OperatorCase


def case(**arguments) -> OperatorCase:
    return OperatorCase(op="gemm", dtype="float32", arguments=arguments)


HUNDRED_US = case(sim_us=100)
TINY = OperatorCase(op="add", dtype="float32", arguments={"batch_size": 1, "dim_size": 1})


def spans(device: SimulatedDevice, what: OperatorCase, blocks: int, count: int = 10) -> list[float]:
    timer, kernel = device.timers()[0], device.prepare(what)
    return [timer.span_ns(kernel, count) for _ in range(blocks)]


class TestTime:
    def test_launches_return_before_the_work_has_run(self):
        device = open_simulated("null")
        kernel = device.prepare(HUNDRED_US)
        start = device.clock_ns()
        kernel.launch()
        launched = device.clock_ns()
        device.synchronize()
        assert launched - start < 2_000
        assert device.clock_ns() - start > 100_000

    def test_a_block_in_closed_form_is_the_same_as_call_by_call(self):
        for sim_us in (0.2, 1.0, 30.0):
            together, alone = SimulatedDevice(), SimulatedDevice()
            a, b = (d.prepare(case(sim_us=sim_us)) for d in (together, alone))
            for count in (1, 2, 7):
                a.launch_many(count)
                for _ in range(count):
                    b.launch()
                together.synchronize()
                alone.synchronize()
                assert together.clock_ns() == alone.clock_ns()

    @pytest.mark.parametrize("index", [0, 1, 2])
    def test_without_costs_each_timer_tells_the_true_time(self, index):
        device = SimulatedDevice(costs=FREE, faults=Faults(event_step_ns=0.0))
        timer, kernel = device.timers()[index], device.prepare(HUNDRED_US)
        assert timer.span_ns(kernel, 20) == pytest.approx(2e6, abs=2)
        assert device.true_time_s(HUNDRED_US) == 1e-4

    def test_a_million_calls_cost_no_loop(self):
        assert spans(SimulatedDevice(costs=FREE), HUNDRED_US, 1, 10**9) == [pytest.approx(1e14)]

    def test_a_loop_that_waits_for_a_time_ends(self):
        device = SimulatedDevice(costs=FREE)
        start = device.clock_ns()
        readings = [device.clock_ns() for _ in range(1000)]
        assert readings[-1] > start + 100

    def test_flushing_takes_time_and_drains(self):
        device = SimulatedDevice(costs=HostCosts(flush_ns=5e6))
        device.prepare(HUNDRED_US).launch()
        start = device.clock_ns()
        device.flush()
        assert device.clock_ns() - start > 5e6


class TestCases:
    def test_times_follow_the_arguments(self):
        device = open_simulated("null")
        small, large = case(m=512, k=512, n=512), case(m=1024, k=1024, n=1024)
        assert device.true_time_s(large) / device.true_time_s(small) == pytest.approx(8, rel=0.02)
        assert device.true_time_s(case(sim_us=10, scale=1.5)) == pytest.approx(15e-6)
        assert device.true_time_s(TINY) < 1e-6
        assert device.prepare(small).work()[0] == 2.0 * 512**3
        assert device.prepare(HUNDRED_US).work() == (None, None)

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ({"m": 4, "k": 4}, "bad-arguments"),
            ({"m": 4, "k": 4, "n": 0}, "bad-arguments"),
            ({"sim_us": -1}, "bad-arguments"),
            ({"sim_us": 1, "sim_fail": "too-large"}, "too-large"),
            ({"sim_us": 1, "sim_fail": "no such reason"}, "bad-arguments"),
        ],
    )
    def test_what_cannot_run_says_why(self, arguments, reason):
        with pytest.raises(CannotRun) as raised:
            open_simulated("null").prepare(case(**arguments))
        assert raised.value.reason == reason

    @pytest.mark.parametrize("spec", ["null", "faulty:jitter"])
    def test_a_name_that_is_in_no_catalogue_needs_a_time(self, spec):
        device = open_simulated(spec)
        with pytest.raises(CannotRun) as raised:
            device.prepare(OperatorCase(op="no_such", dtype="float32", arguments={"n": 4}))
        assert raised.value.reason == "unknown-operator"
        for op, arguments in (("no_such", {"sim_us": 5}), ("aten.mm.default", {"n": 4})):
            device.prepare(OperatorCase(op=op, dtype="float32", arguments=arguments)).launch()

    def test_it_is_a_simulated_target_with_a_witness_and_a_flush(self):
        device = open_simulated("null")
        assert isinstance(device, Simulated)
        assert isinstance(device, CanWitness)
        assert isinstance(device, CanFlush)
        assert isinstance(device.prepare(HUNDRED_US), LaunchesMany)
        assert [timer.kind for timer in device.timers()] == [
            "device-event", "wall-synchronize", "wall-read",
        ]  # fmt: skip


class TestNoise:
    MODEL = NoiseModel(session_sd=0.03, kernel_sd=0.02, within_sd=0.01, phi=0.5)

    def logs(self, opening: Opening, blocks: int = 4000, model: NoiseModel = MODEL) -> list[float]:
        device = SimulatedDevice(model, opening=opening, costs=FREE)
        return [math.log(s / 1e6) for s in spans(device, HUNDRED_US, blocks)]

    def test_the_same_opening_gives_the_same_times(self):
        opening = Opening(seed=3, session=2)
        assert self.logs(opening, 50) == self.logs(opening, 50)
        assert self.logs(opening, 50) != self.logs(Opening(seed=3, session=3), 50)
        assert self.logs(opening, 50) != self.logs(Opening(seed=4, session=2), 50)

    def test_within_a_session_it_is_the_process_that_was_asked_for(self):
        logs = self.logs(Opening())
        mean = statistics.fmean(logs)
        lagged = statistics.correlation(logs[:-1], logs[1:])
        assert statistics.stdev(logs) == pytest.approx(0.01, rel=0.1)
        assert lagged == pytest.approx(0.5, abs=0.05)
        assert abs(mean) < 4 * math.hypot(0.03, 0.02)

    def test_sessions_scatter_about_the_true_time(self):
        means = [
            statistics.fmean(self.logs(Opening(session=s), 20, NoiseModel(session_sd=0.03)))
            for s in range(400)
        ]
        assert statistics.stdev(means) == pytest.approx(0.03, rel=0.15)
        assert abs(statistics.fmean(means)) < 3 * 0.03 / 20

    def test_spikes_are_rare_and_long(self):
        logs = self.logs(Opening(), 4000, NoiseModel(spike_rate=0.05, spike=4.0))
        hit = [log for log in logs if log > 0.1]
        assert len(hit) / len(logs) == pytest.approx(0.05, abs=0.015)
        assert hit[0] == pytest.approx(math.log(5), abs=0.01)


class TestFaults:
    def test_every_name_has_a_line_and_does_something(self):
        assert set(FAULTS) == set(get_args(FaultName))
        for fault in FAULTS.values():
            assert fault.says
            assert fault.faults or fault.noise

    def test_faults_combine(self):
        device = open_simulated("faulty:scaled-events,nan-output")
        assert math.isnan(device.prepare(HUNDRED_US).read())
        assert spans(device, HUNDRED_US, 1) == [pytest.approx(1.25e6, rel=0.01)]

    @pytest.mark.parametrize(
        "spec", ["faulty:lier", "faulty:", "faulty", "faulty:lazy,hang", "null:x", "nul", "replay:"]
    )
    def test_what_is_unknown_is_refused_with_what_there_is(self, spec):
        with pytest.raises(UnknownTarget) as raised:
            open_simulated(spec)
        if spec.startswith("faulty"):
            assert all(name in raised.value.hint for name in FAULTS)

    def test_a_throttled_device_says_so(self):
        device = open_simulated("faulty:throttling")
        before = device.witness()
        seen = spans(device, HUNDRED_US, 400)
        after = device.witness()
        assert (before.readings["throttled"], after.readings["throttled"]) == (0.0, 1.0)
        assert after.readings["clock_hz"] == pytest.approx(0.7 * before.readings["clock_hz"])
        assert seen[-1] / seen[0] == pytest.approx(1 / 0.7, rel=0.01)
        assert after.unread

    def test_no_memory_for_anything(self):
        with pytest.raises(CannotRun) as raised:
            open_simulated("faulty:out-of-memory").prepare(TINY)
        assert raised.value.reason == "out-of-memory"

    @pytest.mark.parametrize("fault", ["lying-synchronize", "lazy"])
    def test_only_the_read_drains_a_device_that_does_not_wait(self, fault):
        device = open_simulated(f"faulty:{fault}")
        heavy, tiny = device.prepare(case(sim_us=5000)), device.prepare(TINY)
        _, synchronize, read = device.timers()
        tiny.launch()
        idle = read.span_ns(tiny, 1)
        heavy.launch()
        assert read.span_ns(tiny, 1) == pytest.approx(idle, rel=0.01)
        assert read.span_ns(heavy, 1) == pytest.approx(5e6, rel=0.01)
        tiny.read()
        told = synchronize.span_ns(heavy, 1)
        after = synchronize.span_ns(tiny, 1)
        assert told < 1e5
        assert (after > 4e6) == (fault == "lazy")
