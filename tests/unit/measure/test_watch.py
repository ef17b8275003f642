"""Readings over time: integrals, counters that are read too often, spans."""

from __future__ import annotations

import pytest

from crossgrade.measure.watch import Span, Watch


class Given:
    """A sensor whose readings and their times are given."""

    sensor, scope, poll_s = "given", "board", 0.1

    def __init__(self, kind, readings):
        self.kind, self._readings = kind, list(readings)
        self.now = 0.0

    def clock(self):
        return self.now

    def read(self):
        return self._value

    def watched(self):
        watch = Watch(self, self.clock)
        for moment, value in self._readings:
            self.now, self._value = moment, value
            assert watch.take()
        return watch


def span(start, end):
    return Span(start_s=start, end_s=end)


RAMP = [(0.0, 0.0), (0.5, 50.0), (2.0, 200.0), (2.1, 210.0), (4.0, 400.0)]


@pytest.mark.parametrize(("start", "end"), [(0, 4), (0.25, 3.0), (0.6, 0.9), (2.05, 3.9)])
def test_a_power_that_rises_evenly_is_integrated_exactly(start, end):
    watch = Given("instant", RAMP).watched()
    assert watch.joules(span(start, end)) == pytest.approx(50 * (end**2 - start**2))


def test_beyond_the_readings_the_nearest_one_holds():
    watch = Given("instant", [(1.0, 10.0), (2.0, 10.0), (3.0, 30.0)]).watched()
    assert watch.joules(span(0, 1)) == pytest.approx(10)
    assert watch.joules(span(3, 5)) == pytest.approx(60)


COUNTER = [(0.0, 7.0), (0.4, 7.0), (0.5, 100.0), (0.9, 100.0), (1.5, 200.0), (2.5, 300.0)]


def test_a_counter_is_dated_by_its_changes_and_its_first_value_by_none():
    watch = Given("counter", COUNTER).watched()
    assert watch.joules(span(0.5, 2.5)) == pytest.approx(200)
    assert watch.joules(span(1.0, 2.0)) == pytest.approx(100)
    assert watch.joules(span(0.0, 0.5)) == 0
    assert (watch.changes(span(0, 3)), watch.readings(span(0, 3))) == (3, 6)
    assert watch.period_s(span(0, 3)) == pytest.approx(1.0)
    assert watch.period_s(span(0, 2)) is None


def test_a_span_is_trimmed_to_what_the_sensor_told():
    watch = Given("counter", COUNTER).watched()
    assert watch.trimmed(span(0.1, 2.4)) == span(0.5, 1.5)
    assert watch.trimmed(span(0.1, 0.6)) == span(0.1, 0.6)
    assert Given("instant", RAMP).watched().trimmed(span(0.1, 3.0)) == span(0.5, 2.1)


def test_gaps_reach_to_the_ends_of_a_span():
    watch = Given("instant", RAMP).watched()
    assert watch.widest_gap_s(span(0.4, 2.2)) == pytest.approx(1.5)
    assert watch.widest_gap_s(span(2.2, 3.0)) == pytest.approx(0.8)


def test_a_value_is_new_only_where_it_changed():
    watch = Given("counter", COUNTER[:4]).watched()
    assert watch.seen_since(0.5)
    assert not watch.seen_since(0.6)
    assert Given("instant", COUNTER[:4]).watched().seen_since(0.9)


def test_the_smallest_step_is_that_of_a_power():
    readings = [(0.0, 50.0), (0.1, 55.0), (0.2, 50.0), (0.3, 70.0)]
    assert Given("instant", readings).watched().step_w() == 5.0
    assert Given("instant", readings[:1]).watched().step_w() == 0.0
    assert Given("counter", [(0.0, 1.0), (1.0, 2.0)]).watched().step_w() == 0.0


def test_parts_of_a_span_cover_it():
    parts = span(1.0, 2.0).parts(5)
    assert [p.start_s for p in parts] == pytest.approx([1.0, 1.2, 1.4, 1.6, 1.8])
    assert parts[-1].end_s == 2.0
    watch = Given("instant", RAMP).watched()
    assert sum(watch.joules(p) for p in parts) == pytest.approx(watch.joules(span(1.0, 2.0)))
