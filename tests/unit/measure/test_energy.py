"""Energy of a call: right for a device whose power is known, and a reason where it cannot be."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from tests.unit.measure.simulated_power import Sensor, World

from crossgrade.measure.energy import EnergyRules, energy_of
from crossgrade.measure.watch import in_thread
from crossgrade.targets.energy.meter import CannotRead, NoMeter

CALL_S = 0.003


@pytest.fixture
def world():
    return World()


def measured(world, sensor, *, call_s=CALL_S, watts=250.0, run=None, **options):
    return energy_of(
        sensor,
        run or (lambda: world.spend(call_s, watts)),
        clock=world.clock,
        sleep=world.sleep,
        beside=world.beside,
        **options,
    )


SENSORS = [
    ("counter", {"period_s": 0.001}, 0.002),
    ("counter", {"period_s": 0.1}, 0.01),
    ("counter", {"period_s": 1.0, "poll_s": 0.2}, 0.03),
    ("counter", {"period_s": 0.1, "step": 1.0}, 0.02),
    ("counter", {"period_s": 0.0937}, 0.01),
    ("counter", {"period_s": 1.9, "poll_s": 0.1}, 0.02),
    ("instant", {"period_s": 0.05, "noise_w": 0.5}, 0.01),
    ("instant", {"period_s": 0.2, "poll_s": 0.25, "noise_w": 1.0}, 0.01),
    ("averaged", {"period_s": 0.1, "window_s": 0.5, "noise_w": 0.2}, 0.01),
    ("averaged", {"period_s": 0.1, "window_s": 1.0, "noise_w": 1.0}, 0.01),
]


@pytest.mark.parametrize(("kind", "options", "share"), SENSORS)
def test_the_energy_of_a_known_power_is_found(world, kind, options, share):
    energy = measured(world, Sensor(world, kind, **options))
    assert energy.reason is None
    assert energy.joules_per_call == pytest.approx(200 * CALL_S, rel=share)
    assert energy.gross_joules_per_call == pytest.approx(250 * CALL_S, rel=share)
    assert energy.idle_w == pytest.approx(50, rel=max(share, 0.015))
    assert energy.active_w == pytest.approx(250, rel=share)
    assert (energy.sensor, energy.kind, energy.scope) == ("simulated", kind, "board")


@pytest.mark.parametrize(("kind", "options", "share"), SENSORS)
def test_the_figures_of_one_answer_agree(world, kind, options, share):
    energy = measured(world, Sensor(world, kind, **options))
    each_s = energy.seconds / energy.calls
    assert each_s == pytest.approx(CALL_S)
    assert energy.gross_joules_per_call == pytest.approx(energy.active_w * each_s)
    assert energy.joules_per_call == pytest.approx(
        energy.gross_joules_per_call - energy.idle_w * each_s
    )
    assert abs(energy.joules_per_call - 200 * CALL_S) <= 2 * energy.doubt_joules_per_call
    assert energy.doubt_joules_per_call < 0.2 * energy.joules_per_call


def test_it_works_two_seconds_and_ten_changes(world):
    fine = measured(world, Sensor(world, "counter", period_s=0.01))
    assert 2 <= fine.seconds < 2.1
    coarse = measured(world, Sensor(world, "counter", period_s=0.5))
    assert 4.5 <= coarse.seconds < 6


@pytest.mark.parametrize("moment", [0.0, 0.4, 0.8, 1.2, 1.6])
def test_idling_and_working_do_not_mix_in_a_slow_counter(world, moment):
    world.spend(moment, 300)
    energy = measured(world, Sensor(world, "counter", period_s=1.9, poll_s=0.1))
    assert energy.joules_per_call == pytest.approx(200 * CALL_S, rel=0.001)
    assert energy.idle_w == pytest.approx(50, rel=0.001)


def test_the_period_of_the_sensor_is_learned(world):
    energy = measured(world, Sensor(world, "counter", period_s=0.1, poll_s=0.01))
    assert energy.period_s == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(("period_s", "poll_s"), [(0.001, 0.05), (0.004, 0.02)])
def test_the_period_of_a_fast_sensor_is_learned_by_reading_fast(world, period_s, poll_s):
    sensor = Sensor(world, "counter", period_s=period_s, poll_s=poll_s)
    right = sensor.read

    def read():
        world.now += 2e-5  # a reading takes time; nothing runs meanwhile
        return right()

    sensor.read = read
    energy = measured(world, sensor)
    assert energy.period_s == pytest.approx(period_s, rel=0.05)
    assert energy.joules_per_call == pytest.approx(200 * CALL_S, rel=0.01)
    assert energy.doubt_joules_per_call < 0.01 * energy.joules_per_call


def test_a_power_that_changes_within_a_call_is_integrated(world):
    def run():
        world.spend(0.7, 400)
        world.spend(0.3, 100)

    energy = measured(world, Sensor(world, "counter"), run=run)
    assert energy.joules_per_call == pytest.approx(0.7 * 350 + 0.3 * 50, rel=0.02)
    energy = measured(world, Sensor(world, "averaged", window_s=1.0, noise_w=0.1), run=run)
    assert energy.joules_per_call == pytest.approx(0.7 * 350 + 0.3 * 50, rel=0.02)


def test_a_call_that_takes_longer_than_all_limits_is_one_call(world):
    energy = measured(world, Sensor(world, "counter"), call_s=60)
    assert energy.calls == 1
    assert energy.joules_per_call == pytest.approx(200 * 60, rel=0.01)


def test_what_comes_before_is_in_no_figure(world):
    world.spend(30, 700)
    heated = [0.0]

    def run():
        heated[0] += CALL_S
        world.spend(CALL_S, 250 if heated[0] > 0.4 else 90)

    energy = measured(world, Sensor(world, "averaged", window_s=0.5, noise_w=0.1), run=run)
    assert energy.idle_w == pytest.approx(50, abs=0.5)
    assert energy.joules_per_call == pytest.approx(200 * CALL_S, rel=0.01)


def test_calls_are_waited_for_in_batches(world):
    queue, waits = [0], [0]

    def start():
        queue[0] += 1

    def wait():
        waits[0] += 1
        world.spend(queue[0] * 1e-5, 250)
        queue[0] = 0

    energy = measured(world, Sensor(world, "counter"), run=start, wait=wait)
    assert energy.joules_per_call == pytest.approx(200 * 1e-5, rel=0.01)
    assert energy.calls > 500 * waits[0]


@pytest.mark.parametrize("kind", ["counter", "averaged", "instant"])
def test_work_that_takes_no_more_than_idling_has_a_reason(world, kind):
    energy = measured(world, Sensor(world, kind, noise_w=2.0), watts=50.0)
    assert energy.reason == "below-idle"
    assert energy.joules_per_call is None
    assert energy.gross_joules_per_call == pytest.approx(50 * CALL_S, rel=0.05)
    assert "W while idling" in energy.detail


def test_a_difference_within_the_step_of_the_sensor_is_no_difference(world):
    sensor = Sensor(world, "instant", step=5.0, noise_w=4.0)
    assert measured(world, sensor, watts=51.0).reason == "below-idle"


def test_the_step_of_a_power_is_in_doubt(world):
    fine = measured(world, Sensor(world, "instant", noise_w=1.0))
    coarse_world = World()
    coarse = measured(coarse_world, Sensor(coarse_world, "instant", noise_w=1.0, step=2.0))
    assert coarse.doubt_joules_per_call > 2.0 * CALL_S > fine.doubt_joules_per_call


def test_a_counter_that_stands_still_while_nothing_runs_tells_no_idle_power():
    world = World(idle_w=0.0)
    energy = measured(world, Sensor(world, "counter"))
    assert energy.reason == "too-coarse"
    assert "of idling tell no power" in energy.detail


@pytest.mark.parametrize(("kind", "period_s"), [("counter", 8.0), ("instant", 8.0)])
def test_a_sensor_that_changes_too_seldom_has_a_reason(world, kind, period_s):
    energy = measured(world, Sensor(world, kind, period_s=period_s, noise_w=1.0))
    assert energy.reason == "too-coarse"
    assert "new values" in energy.detail
    assert energy.joules_per_call is energy.gross_joules_per_call is energy.idle_w is None
    assert energy.calls > 0


@pytest.mark.parametrize("kind", ["counter", "averaged"])
def test_a_sensor_that_stands_still_has_a_reason(world, kind):
    sensor = Sensor(world, kind)
    sensor.read = lambda: 42.0
    assert measured(world, sensor).reason == "too-coarse"


def test_a_sensor_that_is_read_too_seldom_has_a_reason(world):
    sensor = Sensor(world, "instant", poll_s=3.5, noise_w=1.0)
    energy = measured(world, sensor, rules=EnergyRules(least_changes=3))
    assert energy.reason == "too-coarse"
    assert "without a reading" in energy.detail


@pytest.mark.parametrize("moment", [0.0, 1.5, 3.2, 5.0])
@pytest.mark.parametrize("reason", ["error", "not-permitted"])
def test_a_sensor_that_fails_has_its_reason(world, moment, reason):
    failure = CannotRead(reason, "unplugged")
    energy = measured(world, Sensor(world, "counter", fails_at=moment, failure=failure))
    assert (energy.reason, energy.detail) == (reason, "unplugged")
    assert energy.joules_per_call is None
    assert energy.sensor == "simulated"


def test_a_counter_that_goes_back_is_an_error(world):
    sensor = Sensor(world, "counter")
    right = sensor.read
    sensor.read = lambda: right() if world.now < 4 else 1.0
    energy = measured(world, sensor)
    assert energy.reason == "error"
    assert "went back" in energy.detail


def test_no_sensor_is_told_with_its_reason_and_runs_nothing():
    def run():
        raise AssertionError("it ran")

    energy = energy_of(NoMeter(reason="not-permitted", detail="chmod"), run)
    assert (energy.reason, energy.detail, energy.calls) == ("not-permitted", "chmod", 0)
    assert (energy.sensor, energy.kind, energy.scope) == ("", None, "")


def test_noise_makes_doubt(world):
    quiet = measured(world, Sensor(world, "instant", noise_w=0.1))
    loud = measured(world, Sensor(world, "instant", noise_w=20.0))
    assert loud.doubt_joules_per_call > 10 * quiet.doubt_joules_per_call
    assert abs(loud.joules_per_call - 200 * CALL_S) < 2 * loud.doubt_joules_per_call


# with a thread and the real clock -------------------------------------------------------------
SHORT = EnergyRules(settle_s=0.02, least_s=0.1, batch_s=0.002)


class Ticks:
    """A counter of one joule for each reading; on a real clock only its order is known."""

    sensor, kind, scope, poll_s = "ticks", "counter", "machine", 0.001

    def __init__(self):
        self.count, self.threads = 0, set()

    def read(self):
        self.count += 1
        self.threads.add(threading.current_thread().name)
        return float(self.count)

    def close(self):
        pass


def test_readings_are_taken_beside_the_calls():
    meter = Ticks()
    energy = energy_of(meter, lambda: sum(range(100)), rules=SHORT)
    assert meter.threads == {"MainThread", "sensor of energy"}  # the first learns the period
    assert energy.gross_joules_per_call > 0
    assert energy.calls > 100
    assert not [t for t in threading.enumerate() if t.name == "sensor of energy"]


def test_what_a_call_raises_comes_out_and_the_thread_ends():
    def run():
        raise ValueError("no memory")

    with pytest.raises(ValueError, match="no memory"):
        energy_of(Ticks(), run, rules=replace(SHORT, settle_s=0.001))
    assert not [t for t in threading.enumerate() if t.name == "sensor of energy"]


def test_the_thread_ends_where_a_reading_asks_for_it():
    taken, ended = [], threading.Event()

    def take():
        taken.append(1)
        ended.set()
        return False

    with in_thread(take, 0.0):
        assert ended.wait(10)
    assert taken == [1]
