"""The eight questions to a timer. Each finds something that no other one finds.

All times come from the timer and from the target's own clock, so simulated targets are audited in
their own time. Must not know targets, nor which timer is chosen.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from crossgrade.measure import audit_limits as limits
from crossgrade.measure.audit_scene import Probe, believable, lower_quartile
from crossgrade.measure.student import quantile
from crossgrade.values.audit import AuditCheck, CheckName

Quad = tuple[float, float, float, float]
"""Spans of n, 2n, 2n and n calls, ns."""


def finite(probe: Probe) -> AuditCheck:
    """Return whether every span of real work is a number."""
    bad = sum(not math.isfinite(span) for span in probe.work_ns)
    return _counted("finite", bad, probe, "NaN or infinite")


def positive(probe: Probe) -> AuditCheck:
    """Return whether no span of real work is zero or negative."""
    bad = sum(span <= 0.0 for span in probe.work_ns)
    return _counted("positive", bad, probe, "zero or negative")


def _counted(name: CheckName, bad: int, probe: Probe, what: str) -> AuditCheck:
    spans = len(probe.work_ns)
    detail = f"{bad} of {spans} spans are {what}" if bad else ""
    if not bad and spans < limits.WORK_SPANS:
        call_ms = probe.scene.call_ns / 1e6
        detail = f"{spans} spans instead of {limits.WORK_SPANS}: one call takes {call_ms:.3g} ms"
    return AuditCheck(
        name=name, passed=bad == 0, value=float(bad), limit=f"0 spans {what}", detail=detail
    )


def resolution_ns(probe: Probe) -> float | None:
    """Return the least step seen, ns; None: all readings are the same.

    For the host's clock it is the step of the clock, for events the least difference of two spans.
    """
    told = sorted(s for s in (*probe.work_ns, *probe.ramp_ns) if math.isfinite(s) and s >= 0.0)
    if probe.wall:
        told = [float(probe.scene.target.clock_ns()) for _ in range(limits.CLOCK_READINGS)]
    steps = [b - a for a, b in itertools.pairwise(told) if b - a > limits.SAME_STEP_NS]
    return min(steps, default=None)


def resolution(probe: Probe) -> AuditCheck:
    """Return whether the timer's steps are fine enough for the blocks that are timed."""
    allowed, step = limits.BLOCK_NS / limits.RESOLUTION_STEPS, resolution_ns(probe)
    return AuditCheck(
        name="resolution",
        passed=step is not None and step <= allowed,
        value=None if step is None else step / 1e9,
        limit=f"step at most {allowed / 1e9:.3g} s: {limits.RESOLUTION_STEPS} in a block",
        detail="all readings are the same" if step is None else "",
    )


def linear(probe: Probe) -> AuditCheck:
    """Return whether twice the work takes twice the time.

    The fixed cost of a wait is part of a wall timer's span and was seen by the same clock, so it is
    taken off; events have none, and one that adds a constant is found here. A slope from three
    lengths would forgive the constant, and a plain ratio would blame an honest clock for the wait.
    The lengths come as n, 2n, 2n, n, so that a drift or a change from block to block cancels.
    """
    ratio, told = None, ""
    for number in probe.tries(len(limits.LINEAR_TRIES)):
        how = limits.LINEAR_TRIES[number - 1]
        ratio = _doubling(_quads(probe, how), probe.fixed_ns, how.statistic)
        told = f"try {number} of {len(limits.LINEAR_TRIES)}, {how.statistic}"
        if _is_two(ratio):
            break
    return AuditCheck(
        name="linear", passed=_is_two(ratio), value=ratio,
        limit=f"ratio {limits.LINEAR_LOW} to {limits.LINEAR_HIGH}",
        detail="" if told.startswith("try 1") and _is_two(ratio) else told,
    )  # fmt: skip


def _quads(probe: Probe, how: limits.LinearTry) -> list[Quad]:
    least = how.wall_ns if probe.wall else limits.BLOCK_NS
    count = probe.scene.count(max(least, limits.OVERHEAD_BLOCKS * probe.fixed_ns))
    each = 6 * count * probe.scene.call_ns
    return [
        (probe.span(count), probe.span(2 * count), probe.span(2 * count), probe.span(count))
        for _ in range(probe.affordable("linear", each, how.quads))
    ]


def _is_two(ratio: float | None) -> bool:
    return ratio is not None and limits.LINEAR_LOW <= ratio <= limits.LINEAR_HIGH


def _doubling(quads: Sequence[Quad], fixed: float, how: limits.Statistic) -> float | None:
    """Return the time of twice the work over the time of the work; None: too few good spans."""
    ratios, ones, twos = [], [], []
    for first, second, third, last in quads:
        short = [span - fixed for span in believable((first, last)) if span > fixed]
        long = [span - fixed for span in believable((second, third)) if span > fixed]
        ones += short
        twos += long
        if short and long:
            ratios.append(statistics.fmean(long) / statistics.fmean(short))
    if not ratios:
        return None
    if how == "median of ratios":
        return statistics.median(ratios)
    pick = min if how == "minima" else lower_quartile
    return pick(twos) / pick(ones)


def agrees(probe: Probe) -> AuditCheck:
    """Return whether it agrees with the host's clock on a long block that ends in a read."""
    scene = probe.scene
    waits = (probe.overhead_ns or 0.0) + scene.read_ns if probe.wall else scene.read_ns
    count = scene.count(max(limits.AGREES_BLOCK_NS, limits.AGREES_OVERHEADS * waits))
    difference = None
    for _ in probe.tries():
        each = count * scene.call_ns
        repeats = probe.affordable("agrees", each, limits.AGREES_REPEATS, 2)
        seen = [_difference(probe, count) for _ in range(repeats)]
        good = [value for value in seen if value is not None]
        difference = statistics.median(good) if good else None
        if difference is not None and difference < limits.AGREES_SHARE:
            break
    return AuditCheck(
        name="agrees",
        passed=difference is not None and difference < limits.AGREES_SHARE,
        value=difference, limit=f"difference below {limits.AGREES_SHARE:.0%} of the block",
        detail="no span was finite and positive" if difference is None else "",
    )  # fmt: skip


def _difference(probe: Probe, count: int) -> float | None:
    scene = probe.scene
    scene.drain()
    start = scene.target.clock_ns()
    span = probe.span(count)
    scene.heavy.read()
    wall = float(scene.target.clock_ns() - start)
    return abs(span - wall) / wall if believable([span]) else None


def synchronizes(probe: Probe) -> AuditCheck:
    """Return whether the work has ended when the span is told: a read then costs next to nothing.

    The span itself may be right all the same; but then work of one variant runs into the next.
    """
    scene, count = probe.scene, probe.scene.count(limits.BLOCK_NS)
    block = count * scene.call_ns
    share = math.inf
    for _ in probe.tries():
        idle, after = [], []
        for _ in range(probe.affordable("repeats", block, limits.REPEATS)):
            scene.drain()
            idle.append(_read_ns(probe))
            probe.span(count)
            after.append(_read_ns(probe))
        share = (lower_quartile(after) - lower_quartile(idle)) / block
        if share < limits.SYNCHRONIZES_SHARE:
            break
    return AuditCheck(
        name="synchronizes", passed=share < limits.SYNCHRONIZES_SHARE, value=share,
        limit=f"a read costs less than {limits.SYNCHRONIZES_SHARE:.0%} of the span more than idle",
    )  # fmt: skip


def _read_ns(probe: Probe) -> float:
    clock = probe.scene.target.clock_ns
    start = clock()
    probe.scene.heavy.read()
    return float(clock() - start)


def no_leak(probe: Probe) -> AuditCheck:
    """Return whether an empty operator after a heavy one inherits none of its time.

    The heavy block is left running; only the timer's own means may drain it. What it is compared
    with comes after a heavy block too, one that was read, so that caches are equally cold.
    """
    scene, count = probe.scene, probe.scene.count(limits.BLOCK_NS)
    allowed = max(limits.LEAK_CALLS, limits.LEAK_FLOOR_NS / scene.call_ns)
    leaked = None
    for _ in probe.tries():
        idle, after = [], []
        each = 2 * count * scene.call_ns
        for _ in range(probe.affordable("repeats", each, limits.REPEATS)):
            scene.launch(count)
            scene.drain()
            idle.append(probe.empty_span())
            scene.drain()
            scene.launch(count)
            after.append(probe.empty_span())
            scene.drain()
        # Zero is a fair answer here: an empty operator may take less than a step of the timer.
        idle, after = ([s for s in told if 0.0 <= s < math.inf] for told in (idle, after))
        if idle and after:
            leaked = (lower_quartile(after) - lower_quartile(idle)) / scene.call_ns
        if leaked is not None and leaked <= allowed:
            break
    return AuditCheck(
        name="no-leak", passed=leaked is not None and leaked <= allowed, value=leaked,
        limit=f"at most {allowed:.2g} of a call of the kernel before",
        detail="no empty span was finite, or all were negative" if leaked is None else "",
    )  # fmt: skip


def a_a(probe: Probe) -> AuditCheck:
    """Return whether one kernel under two names in strict alternation differs too often.

    Each experiment is a t-test at 5 % on the logarithms of the ratios of its pairs, so about one of
    20 is positive by chance. The limit leaves an honest timer 0.03 % (binomial; POSITIVES).
    """
    scene, count = probe.scene, probe.scene.count(limits.A_A_NS)
    pair = 2 * count * scene.call_ns
    wanted = limits.EXPERIMENTS * limits.PAIRS
    pairs = probe.affordable("a-a", pair, wanted) // limits.EXPERIMENTS
    pairs = max(pairs, limits.LEAST_PAIRS)
    limit = f"fewer than {limits.POSITIVES} of {limits.EXPERIMENTS} experiments positive"
    if pairs * limits.EXPERIMENTS * pair > 2 * scene.share_ns:
        detail = f"takes too long: one call of the anchor takes {scene.call_ns / 1e6:.3g} ms"
        return AuditCheck(name="a-a", passed=False, value=None, limit=limit, detail=detail)
    positives = None
    for _ in probe.tries():
        found = [_experiment(probe, count, pairs) for _ in range(limits.EXPERIMENTS)]
        held = [f for f in found if f is not None]
        positives = sum(held) if 2 * len(held) >= limits.EXPERIMENTS else None
        if positives is not None and positives < limits.POSITIVES:
            break
    return AuditCheck(
        name="a-a", passed=positives is not None and positives < limits.POSITIVES,
        value=None if positives is None else float(positives), limit=limit,
        detail="too few spans were finite and positive" if positives is None else "",
    )  # fmt: skip


def _experiment(probe: Probe, count: int, pairs: int) -> bool | None:
    """Return whether the two names differ at 5 %; None: too few good pairs."""
    spans = [(probe.span(count), probe.span(count)) for _ in range(pairs)]
    logs = [math.log(a / b) for a, b in spans if len(believable((a, b))) == 2]
    if len(logs) < 3:
        return None
    mean, deviation = statistics.fmean(logs), statistics.stdev(logs)
    if abs(mean) < limits.A_A_LEAST:
        return False
    return abs(mean) > _student(len(logs) - 1) * deviation / math.sqrt(len(logs))


@cache
def _student(df: int) -> float:
    """Return the 97.5 % quantile of Student's t."""
    return quantile(0.975, df)


CHECKS: Mapping[CheckName, Callable[[Probe], AuditCheck]] = {
    "finite": finite, "positive": positive, "resolution": resolution, "linear": linear,
    "agrees": agrees, "synchronizes": synchronizes, "no-leak": no_leak, "a-a": a_a,
}  # fmt: skip
"""Name -> check, in the order of CHECK_NAMES."""
