"""A variant made ready: its kernel, its timer, and how many calls make a block.

Must not know sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crossgrade.measure.audit_limits import BLOCK_NS
from crossgrade.targets.protocol import CanFlush, Kernel, RunsModels, Target, Timer
from crossgrade.targets.timers import burst
from crossgrade.values.audit import AuditReport, TimerKind
from crossgrade.values.bench import BenchPlan, Variant
from crossgrade.values.case import Case
from crossgrade.values.operator_case import CannotRun, OperatorCase

STEPS_PER_BLOCK = 1000
"""A block lasts at least that many steps of the timer: its rounding is 0.1 % at most."""
OVERHEADS_PER_BLOCK = 20
"""A block lasts at least that many empty blocks: the timer's own cost is 5 % at most."""
LEAST_SESSIONS = 5
"""A case of which that many sessions of one batch do not fit is over budget."""
LEAST_COLD = 3.0
"""A cold call spans at least that many times the timer's own cost: taking the one off the other
leaves two thirds."""
LAUNCH_BOUND = 0.9
"""Share of a block that launching it takes, from which the time is the host's."""
EMPTY_BLOCKS = 15
"""Blocks without calls whose median is the timer's own cost."""
COPIES_COLD = 2
"""Sets of buffers that take turns where caches are cold."""
_NS = 1e9
_MOST_CALLS = 1 << 24


@dataclass(slots=True, kw_only=True)
class Timed:
    """A variant, ready to be timed."""

    variant: Variant
    """What it is."""
    target: Target
    """Where it runs."""
    kernel: Kernel
    """What is launched."""
    timer: Timer
    """How it is timed."""
    least_ns: float
    """Least length of a block, ns."""
    cold: bool
    """Whether caches are cleared before each block."""
    count: int = 1
    """Calls per block."""
    fixed_ns: float = 0.0
    """What a block without calls takes, ns."""

    def block_ns(self) -> float:
        """Return the span of one block, ns; what clears the caches lies outside it."""
        if self.cold and isinstance(self.target, CanFlush):
            self.target.flush()
        return self.timer.span_ns(self.kernel, self.count)


def made_ready(
    variant: Variant,
    plan: BenchPlan,
    targets: Mapping[str, Target],
    audits: Mapping[str, AuditReport],
) -> Timed:
    """Return a variant with its kernel, its timer and a calibrated number of calls per block.

    Raises:
        CannotRun: it cannot be prepared, has no timer, or one call takes too long for the budget.
    """
    target, audit = targets[variant.target], audits[variant.target]
    if audit.chosen is None:
        raise CannotRun("no-timer", f"no timer of `{variant.target}` passed the audit")
    cold = plan.cache == "cold"
    if cold and not isinstance(target, CanFlush):
        raise CannotRun("unsupported-operator", f"`{variant.target}` cannot clear its caches")
    kernel = prepared(target, variant.case, copies=COPIES_COLD if cold else 1)
    one = Timed(
        variant=variant,
        target=target,
        kernel=kernel,
        timer=timer_of(target, audit.chosen),
        least_ns=least_block_ns(audit, audit.chosen, plan.block_s),
        cold=cold,
    )
    try:
        _calibrate(one, plan)
        empty = sorted(one.timer.span_ns(kernel, 0) for _ in range(EMPTY_BLOCKS))
        one.fixed_ns = max(0.0, empty[EMPTY_BLOCKS // 2])
        _check_length(one)
    except BaseException:
        kernel.close()
        raise
    return one


def prepared(target: Target, case: Case, *, copies: int = 1) -> Kernel:
    """Return a case of either kind as a kernel.

    Raises:
        CannotRun: the target cannot run it.
    """
    if isinstance(case, OperatorCase):
        return target.prepare(case, copies=copies)
    if not isinstance(target, RunsModels):
        raise CannotRun("unsupported-operator", f"`{target.spec}` runs operators, not models")
    return target.prepare_model(case, copies=copies)


def timer_of(target: Target, kind: TimerKind) -> Timer:
    """Return the target's timer of a kind.

    Raises:
        CannotRun: it has none; the audit was made on another machine.
    """
    for timer in target.timers():
        if timer.kind == kind:
            return timer
    raise CannotRun("no-timer", f"`{target.spec}` has no {kind} timer")


def least_block_ns(audit: AuditReport, kind: TimerKind, block_s: float) -> float:
    """Return how long a block must last so that the timer itself does not show, ns.

    What a device event adds to a span is not known, only that it does not show in the block on
    which events are audited; the cost of a wall timer is measured.
    """
    timer = next(t for t in audit.timers if t.kind == kind)
    if kind == "device-event":
        block_s = max(block_s, BLOCK_NS / _NS)
    steps = STEPS_PER_BLOCK * (timer.resolution_s or 0.0)
    overheads = OVERHEADS_PER_BLOCK * (timer.overhead_s or 0.0)
    return max(block_s, steps, overheads) * _NS


def _calibrate(one: Timed, plan: BenchPlan) -> None:
    """Set the calls per block: hot, as many as the least length takes; cold, one."""
    one.block_ns()  # the first call pays for what is made once
    span = one.block_ns()
    _check_budget(span, plan)
    while not one.cold and span < one.least_ns and one.count < _MOST_CALLS:
        wanted = one.count * one.least_ns / span if span > 0 else one.count * 10
        # At most tenfold: the estimate from a short block is mostly overhead.
        one.count = max(one.count + 1, min(int(wanted * 1.1) + 1, one.count * 10))
        span = one.block_ns()


def _check_length(one: Timed) -> None:
    """Refuse a single cold call of which the timer's own cost is too large a part."""
    if not one.cold or not one.fixed_ns:
        return
    span = sorted(one.block_ns() for _ in range(3))[1]
    if span < LEAST_COLD * one.fixed_ns:
        raise CannotRun(
            "too-short",
            f"one call with cold caches spans {span / 1e3:.3g} µs, {one.fixed_ns / 1e3:.3g} µs of "
            "it are the timer's own; --cache hot times many calls at once",
        )


def launch_bound(one: Timed) -> bool:
    """Return whether the host launches a block's calls no faster than the device runs them.

    Asked of device events only: where a launch returns after the work, it says nothing.
    """
    if one.timer.kind != "device-event":
        return False
    target, launch_all = one.target, burst(one.kernel)
    target.synchronize()
    start = target.clock_ns()
    launch_all(one.count)
    launched = target.clock_ns() - start
    target.synchronize()
    return launched >= LAUNCH_BOUND * one.block_ns()


def _check_budget(call_ns: float, plan: BenchPlan) -> None:
    needed_s = call_ns / _NS * plan.batch * LEAST_SESSIONS
    if needed_s > plan.budget_s:
        raise CannotRun(
            "over-budget",
            f"one call takes {call_ns / _NS:.3g} s; {LEAST_SESSIONS} sessions of {plan.batch} "
            f"calls take {needed_s:.3g} s, the budget is {plan.budget_s:g} s",
        )
