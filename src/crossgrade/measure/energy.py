"""Energy of one call: what a sensor says while a variant runs, less what it says before.

Rules: idle is measured just before and subtracted apart; the working span lasts some seconds and
several updates of the sensor; a figure that cannot be had is a reason, never a zero. Must not know
any sensor.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from crossgrade.targets.energy import HasEnergySensor, NoEnergy, Sensor
from crossgrade.targets.protocol import Kernel, Target
from crossgrade.values.observation import Energy

IDLE_S: Final = 2.0
"""Time of the idle reading, s."""
WORK_S: Final = 3.0
"""Least time of the working span, s."""
MOST_S: Final = 20.0
"""Most time that is waited for a slow sensor, s."""
LEAST_UPDATES: Final = 10
"""Changes of the sensor without which a span is too short for it."""
LEAST_RISE: Final = 0.02
"""Share by which power at work must exceed idle power: less is the sensor's own scatter."""
PERIOD_S: Final = 0.02
"""Time between readings, s."""
Clock = Callable[[], float]
_NOTHING: Final = Energy(joules_per_call=None, gross_joules_per_call=None, idle_w=None,
                         active_w=None, calls=0, seconds=0.0, sensor="", kind=None,
                         scope="")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Readings over a stretch of time."""

    seconds: float
    """Its length, s."""
    joules: float
    """Energy in it, J."""
    updates: int
    """How often the sensor changed."""


def energy_of(
    target: Target,
    kernel: Kernel,
    *,
    clock: Clock = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Energy:
    """Return the energy of a call of a kernel, or why it is not known.

    Args:
        target: where it runs.
        kernel: what runs; it has run before.
        clock: monotonic, s.
        sleep: waits some seconds.
    """
    if not isinstance(target, HasEnergySensor):
        return replace(_NOTHING, reason="no-sensor",
                       detail=f"`{target.spec}` tells of no energy sensor")  # fmt: skip
    try:
        sensor = target.energy_sensor()
        return _measured(sensor, _Work(target, kernel), clock, sleep)
    except NoEnergy as nothing:
        return replace(_NOTHING, reason=nothing.reason, detail=nothing.detail)


@dataclass(slots=True)
class _Work:
    """Calls of a kernel, counted."""

    target: Target
    kernel: Kernel
    calls: int = 0

    def once(self) -> None:
        """Run one call to its end."""
        self.kernel.launch()
        self.target.synchronize()
        self.calls += 1


def _measured(sensor: Sensor, work: _Work, clock: Clock, sleep: Callable[[float], None]) -> Energy:
    idle_end = clock() + IDLE_S
    idle = _span(sensor, lambda: sleep(PERIOD_S), lambda updates: clock() >= idle_end, clock, sleep)
    start = clock()

    def enough(updates: int) -> bool:
        spent = clock() - start
        return spent >= MOST_S or (spent >= WORK_S and updates >= LEAST_UPDATES)

    active = _span(sensor, work.once, enough, clock, sleep)
    found = replace(_NOTHING, sensor=sensor.name, kind=sensor.kind, scope=sensor.scope,
                    calls=work.calls, seconds=active.seconds)  # fmt: skip
    if active.updates < LEAST_UPDATES:
        return replace(found, reason="too-coarse", detail=f"{sensor.name} changed "
                       f"{active.updates} times in {active.seconds:.1f} s")  # fmt: skip
    idle_w, active_w = idle.joules / idle.seconds, active.joules / active.seconds
    gross = active.joules / work.calls
    found = replace(found, idle_w=idle_w, active_w=active_w, gross_joules_per_call=gross)
    if active_w <= (1 + LEAST_RISE) * idle_w:
        return replace(found, reason="below-idle", detail=f"{active_w:.4g} W at work, "
                       f"{idle_w:.4g} W idle")  # fmt: skip
    return replace(found, joules_per_call=(active_w - idle_w) * active.seconds / work.calls)


def _span(
    sensor: Sensor, step: Callable[[], None], enough: Callable[[int], bool], clock: Clock,
    sleep: Callable[[float], None],
) -> Span:  # fmt: skip
    """Return what the sensor tells while steps are taken, until it is enough."""
    return (_counted if sensor.kind == "counter" else _sampled)(sensor, step, enough, clock, sleep)


def _counted(
    sensor: Sensor, step: Callable[[], None], enough: Callable[[int], bool], clock: Clock,
    sleep: Callable[[float], None],
) -> Span:  # fmt: skip
    """Return the difference of a counter, read after each step."""
    start, last, joules, updates = clock(), sensor.read(), 0.0, 0
    while not enough(updates):
        step()
        now = sensor.read()
        if now != last:
            joules += _since(last, now, sensor.wraps_at_j)
            updates, last = updates + 1, now
    return Span(seconds=clock() - start, joules=joules, updates=updates)


def _since(before: float, now: float, wraps_at: float | None) -> float:
    if now >= before:
        return now - before
    if wraps_at is None:
        raise NoEnergy("error", "the counter went back")
    return now + wraps_at - before


@dataclass(slots=True)
class _Trapezoid:
    """Power over time, integrated as it is read."""

    joules: float = 0.0
    updates: int = 0
    failed: NoEnergy | None = None
    _last: tuple[float, float] | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def add(self, at: float, watts: float) -> None:
        """Take a reading in."""
        if self._last is not None:
            self.joules += (at - self._last[0]) * (watts + self._last[1]) / 2
            self.updates += watts != self._last[1]
        self._last = at, watts


def _sampled(
    sensor: Sensor, step: Callable[[], None], enough: Callable[[int], bool], clock: Clock,
    sleep: Callable[[float], None],
) -> Span:  # fmt: skip
    """Return power integrated over time; a thread reads it while steps are taken."""
    power = _Trapezoid()
    start = clock()
    power.add(start, sensor.read())

    def read() -> None:
        while not power.done.is_set():
            try:
                power.add(clock(), sensor.read())
            except NoEnergy as failed:
                power.failed = failed
                return
            sleep(PERIOD_S)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        while power.failed is None and not enough(power.updates):
            step()
    finally:
        power.done.set()
        thread.join()
    if power.failed is not None:
        raise power.failed
    end = clock()
    power.add(end, sensor.read())
    return Span(seconds=end - start, joules=power.joules, updates=power.updates)
