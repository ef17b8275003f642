"""Energy of one call: idle power first, then calls for seconds, the sensor read beside them.

A figure comes with the doubt that the scatter of power leaves; where there can be none, with the
reason. Must not know any sensor or target, nor torch.

The rules are those of careful public ones (InferenceX's audit of power): a span of many periods of
the sensor, trapezoids with interpolated ends, no gap between readings above 3 s, a reason instead
of a number.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import stdev
from typing import Final

from crossgrade.measure.student import quantile
from crossgrade.measure.watch import Beside, Span, Watch, in_thread
from crossgrade.targets.energy.meter import CannotRead, EnergyMeter, NoMeter
from crossgrade.values.observation import Energy, EnergyReason

_PARTS: Final = 5
_MOST_CALLS: Final = 1 << 24
_LOOK_S: Final = 0.1
"""Time between two looks at whether idling was long enough, s: looking takes power too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyRules:
    """How long is long enough."""

    settle_s: float = 1.0
    """Time before idle power, and time of working before calls count, s: a power that a sensor
    averages over a second still holds what was before."""
    least_s: float = 2.0
    """Least time of idling and of working, s."""
    least_changes: int = 10
    """The sensor gives at least that many new values while calls count."""
    least_readings: int = 5
    """Idle power is told from at least that many readings."""
    periods: float = 10.0
    """Idle power is taken over that many periods of the sensor, where it has one by then."""
    gap_s: float = 3.0
    """Longest time without a reading, s."""
    batch_s: float = 0.02
    """Calls are started in batches of that length, s, and waited for after each."""
    limit_s: float = 20.0
    """Limit of idling and of working, each, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """Calls that count."""

    span: Span
    """When they ran."""
    calls: int
    """How many."""


def energy_of(
    meter: EnergyMeter | NoMeter,
    run_once: Callable[[], object],
    *,
    wait: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], object] = time.sleep,
    beside: Beside = in_thread,
    rules: EnergyRules = EnergyRules(),
) -> Energy:
    """Return the energy of one call; takes about six seconds; a slow sensor, up to a minute.

    Nothing else may run on what the sensor counts: it counts that too. What `run_once` raises comes
    out.

    Args:
        meter: the sensor, or why there is none; it stays open.
        run_once: starts one call.
        wait: returns when all started calls have run.
        clock: s.
        sleep: waits so many seconds.
        beside: takes the readings.
        rules: how long is long enough.
    """
    if isinstance(meter, NoMeter):
        return _absent(meter.reason, meter.detail)
    watch = Watch(meter, clock)
    calls = _Calls(run_once, wait, clock, watch, rules)
    try:
        watch.learn()
        with beside(watch.take, meter.poll_s):
            idle = _idle(watch, clock, sleep, meter.poll_s, rules)
            worked = calls.counted()
        watch.check()
    except CannotRead as error:
        return _absent(error.reason, error.detail, meter)
    return _judged(meter, watch, idle, worked, rules)


def _idle(
    watch: Watch,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
    poll_s: float,
    rules: EnergyRules,
) -> Span:
    """Return a span in which nothing ran, long enough to tell idle power."""
    sleep(rules.settle_s)
    start = clock()
    while True:
        sleep(max(poll_s, _LOOK_S))
        watch.check()
        span = Span(start_s=start, end_s=clock())
        if span.seconds >= rules.limit_s or _told_idle(watch, span, rules):
            return watch.trimmed(span)


def _told_idle(watch: Watch, span: Span, rules: EnergyRules) -> bool:
    """Return whether a span is long enough for idle power.

    A power may stay the same for long while nothing runs, a counter may not.
    """
    period_s = watch.period_s(span)
    if watch.counts and period_s is None:
        return False
    readings = watch.readings(watch.trimmed(span))
    wanted_s = max(rules.least_s, rules.periods * (period_s or 0.0))
    return readings >= rules.least_readings and span.seconds >= wanted_s


class _Calls:
    """Calls in batches, for as long as the sensor wants."""

    def __init__(
        self,
        run_once: Callable[[], object],
        wait: Callable[[], object],
        clock: Callable[[], float],
        watch: Watch,
        rules: EnergyRules,
    ) -> None:
        self._run_once = run_once
        self._wait = wait
        self._clock = clock
        self._watch = watch
        self._rules = rules
        self._batch = 1

    def counted(self) -> Worked:
        """Run calls until enough were seen; more run before and after than count, so that every
        value that is interpolated at an end was taken while calls ran."""
        rules = self._rules
        begun = self._clock()
        self._grow(begun + rules.settle_s)
        self._until_seen(begun)
        start, calls = self._clock(), 0
        while True:
            calls += self._run()
            span = Span(start_s=start, end_s=self._clock())
            changes = self._watch.changes(span)
            enough = span.seconds >= rules.least_s and changes >= rules.least_changes
            if enough or span.seconds >= rules.limit_s:
                break
        self._until_seen(span.end_s)
        return Worked(span=span, calls=calls)

    def _grow(self, until_s: float) -> None:
        """Run calls for a while, and learn how many make a batch."""
        while True:
            before = self._clock()
            self._run()
            now = self._clock()
            if now - before < self._rules.batch_s:
                self._batch = min(2 * self._batch, _MOST_CALLS)
            if now >= until_s:
                return

    def _until_seen(self, moment_s: float) -> None:
        """Run calls until the sensor told something after a moment."""
        while not self._watch.seen_since(moment_s):
            if self._clock() - moment_s > self._rules.gap_s + self._rules.settle_s:
                return
            self._run()

    def _run(self) -> int:
        for _ in range(self._batch):
            self._run_once()
        self._wait()
        self._watch.check()
        return self._batch


def _judged(
    meter: EnergyMeter, watch: Watch, idle: Span, worked: Worked, rules: EnergyRules
) -> Energy:
    """Return the figures, or why there are none."""
    span, calls = worked.span, worked.calls
    coarse = _too_coarse(watch, idle, span, rules)
    if coarse:
        return _absent("too-coarse", coarse, meter, worked=worked)
    idle_w = watch.joules(idle) / idle.seconds
    joules = watch.joules(span)
    active_w = joules / span.seconds
    doubt_w = watch.step_w() + math.hypot(
        *(_scatter_w(watch, part) for part in (idle, span)),
        *(_dating_w(watch, part) for part in (idle, span)),
    )
    each_s = span.seconds / calls
    below = active_w - idle_w <= doubt_w
    return Energy(
        joules_per_call=None if below else (active_w - idle_w) * each_s,
        gross_joules_per_call=joules / calls,
        idle_w=idle_w,
        active_w=active_w,
        calls=calls,
        seconds=span.seconds,
        sensor=meter.sensor,
        kind=meter.kind,
        scope=meter.scope,
        reason="below-idle" if below else None,
        detail=_below(active_w, idle_w, doubt_w) if below else "",
        doubt_joules_per_call=doubt_w * each_s,
        period_s=watch.period_s(span),
    )


def _too_coarse(watch: Watch, idle: Span, span: Span, rules: EnergyRules) -> str:
    """Return what a sensor lacks for a figure; empty: nothing."""
    if watch.counts and watch.period_s(idle) is None:
        return f"{watch.changes(idle)} new values in {idle.seconds:.3g} s of idling tell no power"
    changes = watch.changes(span)
    if changes < rules.least_changes:
        return f"{changes} new values in {span.seconds:.3g} s, {rules.least_changes} are needed"
    if not watch.seen_since(span.end_s):
        return "it gave no new value after the last call"
    for name, part in (("idling", idle), ("working", span)):
        gap = watch.widest_gap_s(part)
        if gap > rules.gap_s:
            return f"{gap:.3g} s of {name} went by without a reading, {rules.gap_s:g} s are allowed"
    return ""


def _scatter_w(watch: Watch, span: Span) -> float:
    """Return half the 95 % interval of the mean power of a span, from equal parts of it, W."""
    powers = [watch.joules(part) / part.seconds for part in span.parts(_PARTS)]
    return quantile(0.975, _PARTS - 1) * stdev(powers) / math.sqrt(_PARTS)


def _dating_w(watch: Watch, span: Span) -> float:
    """Return what is in doubt because a change of a counter is seen late, W.

    It is seen one reading late at most, and never later than the sensor takes for the next one.
    """
    late_s = watch.late_s(span)
    return watch.joules(span) / span.seconds * late_s / span.seconds if watch.counts else 0.0


def _below(active_w: float, idle_w: float, doubt_w: float) -> str:
    return (
        f"{active_w:.4g} W while working, {idle_w:.4g} W while idling: the difference is within "
        f"{doubt_w:.2g} W, which the sensor leaves in doubt"
    )


def _absent(
    reason: EnergyReason,
    detail: str,
    meter: EnergyMeter | None = None,
    *,
    worked: Worked | None = None,
) -> Energy:
    return Energy(
        joules_per_call=None,
        gross_joules_per_call=None,
        idle_w=None,
        active_w=None,
        calls=worked.calls if worked else 0,
        seconds=worked.span.seconds if worked else 0.0,
        sensor=meter.sensor if meter else "",
        kind=meter.kind if meter else None,
        scope=meter.scope if meter else "",
        reason=reason,
        detail=detail,
    )
