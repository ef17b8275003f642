"""Readings of a sensor of energy over time, and what follows from them for a span.

A power is integrated by trapezoids between readings, with values interpolated at the ends of the
span. A counter is interpolated between the readings at which it was first seen to have changed:
what it says in between is old. Must not know any sensor, nor what runs meanwhile.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Protocol

from crossgrade.targets.energy.meter import CannotRead, EnergyMeter

LEAST_CHANGES = 3
"""A period is told from that many changes."""
_AT_SPEED_S = 0.05
_MOST_AT_SPEED = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One reading."""

    at_s: float
    """When, s: the middle of the reading."""
    value: float
    """J or W."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A time between two moments."""

    start_s: float
    """When it begins, s."""
    end_s: float
    """When it ends, s."""

    @property
    def seconds(self) -> float:
        """Return how long it is, s."""
        return self.end_s - self.start_s

    def parts(self, count: int) -> tuple[Span, ...]:
        """Return it cut into equal parts."""
        step = self.seconds / count
        cuts = [self.start_s + i * step for i in range(count)] + [self.end_s]
        return tuple(Span(start_s=a, end_s=b) for a, b in pairwise(cuts))


class Beside(Protocol):
    """Something that takes readings while other things run."""

    def __call__(self, take: Callable[[], bool], poll_s: float, /) -> AbstractContextManager[None]:
        """Call `take` every `poll_s` seconds until it returns False or the context ends."""


@contextmanager
def in_thread(take: Callable[[], bool], poll_s: float) -> Iterator[None]:
    """Take readings in a thread of this process."""
    over = threading.Event()

    def loop() -> None:
        while take() and not over.wait(poll_s):
            pass

    thread = threading.Thread(target=loop, name="sensor of energy", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Watch:
    """A sensor that is read again and again; the thread that reads it only adds to the end."""

    def __init__(self, meter: EnergyMeter, clock: Callable[[], float]) -> None:
        """Take a sensor and a clock, s."""
        self._meter = meter
        self._clock = clock
        self._points: list[Point] = []
        self._edges: list[Point] = []
        self._failure: CannotRead | None = None
        self._fine_s: float | None = None

    def learn(self) -> None:
        """Read at full speed for a moment, to learn the period of a sensor that is fast.

        Readings are far apart later on, so that they take no power; such a sensor then gives a new
        value each time, and how old it may be is known from here alone.

        Raises:
            CannotRead: the sensor failed.
        """
        start = self._clock()
        changes: list[float] = []
        last = self._meter.read()
        for _ in range(_MOST_AT_SPEED):
            now = self._clock()
            if now - start > _AT_SPEED_S or len(changes) > LEAST_CHANGES:
                break
            value = self._meter.read()
            if value != last:
                changes.append(now)
            last = value
        if len(changes) >= LEAST_CHANGES:
            self._fine_s = median(b - a for a, b in pairwise(changes))

    def take(self) -> bool:
        """Add a reading; return False where the sensor failed, which ends the watch."""
        before = self._clock()
        try:
            value = self._meter.read()
        except CannotRead as error:
            self._failure = error
            return False
        point = Point(at_s=(before + self._clock()) / 2, value=value)
        if self._points and self._fell(value):
            self._failure = CannotRead("error", f"{self._meter.sensor} went back to {value:g} J")
            return False
        if not self._points or value != self._points[-1].value:
            self._edges.append(point)
        self._points.append(point)
        return True

    def _fell(self, value: float) -> bool:
        return self.counts and value < self._points[-1].value

    @property
    def counts(self) -> bool:
        """Return whether the sensor is a counter."""
        return self._meter.kind == "counter"

    def check(self) -> None:
        """Do nothing as long as the sensor works.

        Raises:
            CannotRead: it failed.
        """
        if self._failure is not None:
            raise self._failure

    def seen_since(self, moment_s: float) -> bool:
        """Return whether a value was taken after a moment that is no older than it."""
        told = self._told
        return bool(told) and told[-1].at_s >= moment_s

    def readings(self, span: Span) -> int:
        """Return how many readings lie in a span."""
        return len(_within(self._points, span))

    def changes(self, span: Span) -> int:
        """Return how often the value was new in a span; the very first reading is no change."""
        return len(_within(self._edges[1:], span))

    def period_s(self, span: Span) -> float | None:
        """Return the usual time between changes, s; None where there are too few in a span."""
        if self._fine_s is not None:
            return self._fine_s
        times = [p.at_s for p in _within(self._edges[1:], span)]
        if len(times) < LEAST_CHANGES:
            return None
        return median(b - a for a, b in pairwise(times))

    def late_s(self, span: Span) -> float:
        """Return how late a change may be seen, s."""
        return min(self._meter.poll_s, self.period_s(span) or self._meter.poll_s)

    def trimmed(self, span: Span) -> Span:
        """Return a span from the first to the last value that the sensor told in it.

        Nothing is interpolated at its ends: what comes before and after has no part in it.
        """
        inner = _within(self._told, span)
        if len(inner) < 2:
            return span
        return Span(start_s=inner[0].at_s, end_s=inner[-1].at_s)

    def widest_gap_s(self, span: Span) -> float:
        """Return the longest time without a reading that a span touches, s."""
        inner = [p.at_s for p in _within(self._points, span)]
        return max(b - a for a, b in pairwise([span.start_s, *inner, span.end_s]))

    def step_w(self) -> float:
        """Return the smallest difference between values of a power, W; 0 for a counter."""
        if self.counts:
            return 0.0
        values = sorted({p.value for p in self._points})
        return min((b - a for a, b in pairwise(values)), default=0.0)

    def joules(self, span: Span) -> float:
        """Return the energy of a span, J.

        Outside the readings the nearest one holds.
        """
        points = self._told
        if not points:
            return 0.0 if self.counts else math.nan
        if self.counts:
            return _at(points, span.end_s) - _at(points, span.start_s)
        inner = [p for p in points if span.start_s < p.at_s < span.end_s]
        first = Point(at_s=span.start_s, value=_at(points, span.start_s))
        last = Point(at_s=span.end_s, value=_at(points, span.end_s))
        line = [first, *inner, last]
        return sum((b.at_s - a.at_s) * (a.value + b.value) / 2 for a, b in pairwise(line))

    @property
    def _told(self) -> list[Point]:
        """Return the readings that say something: of a counter, those that changed.

        How old the very first value of a counter is nobody knows.
        """
        return self._edges[1:] if self.counts else self._points


def _within(points: Sequence[Point], span: Span) -> Sequence[Point]:
    first = bisect_left(points, span.start_s, key=_moment)
    return points[first : bisect_right(points, span.end_s, key=_moment)]


def _moment(point: Point) -> float:
    return point.at_s


def _at(points: Sequence[Point], moment_s: float) -> float:
    """Return the value at a moment, on the line between its neighbours."""
    place = bisect_left(points, moment_s, key=_moment)
    if place == 0:
        return points[0].value
    if place == len(points):
        return points[-1].value
    before, after = points[place - 1], points[place]
    share = (moment_s - before.at_s) / (after.at_s - before.at_s)
    return before.value + share * (after.value - before.value)
