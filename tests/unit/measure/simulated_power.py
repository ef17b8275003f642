"""A device with a known power on a clock of its own, and sensors of it."""

from __future__ import annotations

import math
from bisect import bisect_right
from contextlib import contextmanager
from random import Random

from crossgrade.targets.energy.meter import CannotRead


class World:
    """Time passes only when something is done; readings are taken at their times meanwhile."""

    def __init__(self, idle_w=50.0):
        self.now = 0.0
        self.idle_w = idle_w
        self._moments, self._joules, self._watts = [0.0], [0.0], [idle_w]
        self._take = None

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.spend(seconds, self.idle_w)

    def spend(self, seconds, watts):
        """Let time pass at a power."""
        end = self.now + seconds
        so_far = self.energy(self.now)
        self._moments.append(self.now)
        self._joules.append(so_far)
        self._watts.append(watts)
        while self._take is not None and self._next <= end:
            self.now, self._next = self._next, self._next + self._poll_s
            if not self._take():
                self._take = None
        self.now = end

    def energy(self, moment):
        """Return the energy from the start to a moment, J."""
        place = bisect_right(self._moments, moment) - 1
        return self._joules[place] + (moment - self._moments[place]) * self._watts[place]

    @contextmanager
    def beside(self, take, poll_s):
        self._take, self._poll_s, self._next = take, poll_s, self.now
        try:
            yield
        finally:
            self._take = None


class Sensor:
    """A sensor that gives a new value every `period_s`."""

    sensor = "simulated"
    scope = "board"

    def __init__(self, world, kind, *, period_s=0.1, poll_s=0.01, window_s=0.5, noise_w=0.0,
                 step=0.0, fails_at=math.inf, failure=None):  # fmt: skip
        self.kind, self.poll_s = kind, poll_s
        self._world, self._period_s, self._window_s = world, period_s, window_s
        # A counter counts something whole; the world computes with fractions.
        self._noise_w, self._step = noise_w, step or (1e-6 if kind == "counter" else 0.0)
        self._fails_at, self._failure = fails_at, failure
        self.closed = False

    def read(self):
        if self._world.now >= self._fails_at:
            raise self._failure or CannotRead("error", "unplugged")
        tick = math.floor(self._world.now / self._period_s + 1e-6)
        value = self._value(tick * self._period_s)
        if self.kind != "counter":
            value += Random(tick).gauss(0.0, 1.0) * self._noise_w
        return round(value / self._step) * self._step if self._step else value

    def _value(self, moment):
        energy = self._world.energy
        if self.kind == "counter":
            return energy(moment)
        window = min(self._window_s if self.kind == "averaged" else 1e-3, moment)
        return (energy(moment) - energy(moment - window)) / window if window else 0.0

    def close(self):
        self.closed = True
