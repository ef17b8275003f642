"""One session: variants are made ready, clocks primed, samples taken in rounds.

Every round times each variant and the anchor once, in random order. Must not know processes, nor
what is done with the samples.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from crossgrade.measure.calibrate import Timed, made_ready
from crossgrade.measure.events import CaseSession
from crossgrade.measure.steady import WINDOW, is_steady
from crossgrade.targets.protocol import CanWitness, Target, Witness
from crossgrade.values.audit import AuditReport
from crossgrade.values.bench import ANCHOR, BenchPlan, CensorReason, Session, SessionStart, Variant

LEAST_CLOCK = 0.75
"""Share of the nominal clock below which a sample is censored."""
_NS = 1e9


def variants_of(plan: BenchPlan, absent: Sequence[str] = ()) -> dict[int, Variant]:
    """Return the variants that are timed by their place in the plan; the anchor after the last."""
    anchor = Variant(name=ANCHOR, target=plan.variants[0].target, case=plan.anchor)
    present = {i: v for i, v in enumerate(plan.variants) if v.name not in absent}
    return {**present, len(plan.variants): anchor}


def take_session(
    wanted: CaseSession,
    targets: Mapping[str, Target],
    audits: Mapping[str, AuditReport],
    start: SessionStart,
) -> Session:
    """Return the samples of one session.

    Args:
        wanted: what is measured, and for how long.
        targets: open targets by specification.
        audits: their timer audits.
        start: what this process is.

    Raises:
        CannotRun: a variant cannot be prepared, or one call takes too long for the budget.
    """
    plan = wanted.plan
    rng = random.Random(f"{plan.seed}/{wanted.index}")
    clock = targets[plan.variants[0].target].clock_ns
    began = clock()
    with ExitStack() as stack:
        timed = _made_ready(wanted, targets, audits, rng, stack)
        steady = _settle(timed, plan)
        primed = clock()
        samples = _take(timed, wanted, rng, primed + wanted.limit_s * _NS)
    return Session(
        index=wanted.index,
        start=start,
        order=tuple(samples.order),
        spans_ns=tuple(samples.spans),
        censored=tuple(samples.censored),
        steady=steady,
        primed_s=(primed - began) / _NS,
        spent_s=(clock() - began) / _NS,
        telemetry={name: tuple(values) for name, values in samples.telemetry.items()},
        unread=samples.unread,
        **_by_place(timed, len(plan.variants) + 1),
    )


def _by_place(timed: Mapping[int, Timed], places: int) -> dict[str, Any]:
    """Return what is known of each variant by its place in the plan."""
    found = [timed.get(i) for i in range(places)]
    return {
        "timers": tuple(t.timer.kind if t else None for t in found),
        "counts": tuple(t.count if t else 0 for t in found),
        "fixed_ns": tuple(t.fixed_ns if t else 0.0 for t in found),
    }


def _made_ready(
    session: CaseSession,
    targets: Mapping[str, Target],
    audits: Mapping[str, AuditReport],
    rng: random.Random,
    stack: ExitStack,
) -> dict[int, Timed]:
    """Return the variants by place, made ready in random order.

    Where buffers come to lie depends on what was allocated before, and can make one of two equal
    kernels faster for a whole session. Forked sessions would repeat it: their memory is laid out
    alike. In random order it becomes noise between sessions, which the interval has.
    """
    wanted = list(variants_of(session.plan, session.absent).items())
    rng.shuffle(wanted)
    timed: dict[int, Timed] = {}
    for place, variant in wanted:
        timed[place] = made_ready(variant, session.plan, targets, audits)
        stack.callback(timed[place].kernel.close)
    return dict(sorted(timed.items()))


def _settle(timed: Mapping[int, Timed], plan: BenchPlan) -> bool:
    """Prime the clocks with the anchor, then wait for steady rounds; return whether they came.

    What is watched is the length of whole rounds: whatever variant still warms up shows in it.
    """
    anchor = timed[len(plan.variants)]
    clock = anchor.target.clock_ns
    end = clock() + plan.prime_s * _NS
    while clock() < end:
        anchor.block_ns()
    end = clock() + plan.settle_s * _NS
    rounds: list[float] = []
    while clock() < end:
        rounds.append(sum(one.block_ns() for one in timed.values()))
        if len(rounds) % WINDOW == 0 and is_steady(rounds):
            return True
    return is_steady(rounds, last=True)


@dataclass(slots=True)
class _Samples:
    """Samples as they come."""

    order: list[int] = field(default_factory=list)
    spans: list[float] = field(default_factory=list)
    censored: list[tuple[int, CensorReason]] = field(default_factory=list)
    telemetry: dict[str, list[float]] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


def _take(
    timed: Mapping[int, Timed], wanted: CaseSession, rng: random.Random, end_ns: float
) -> _Samples:
    """Return samples of whole batches: at least one, no further one after `end_ns`."""
    samples = _Samples()
    target = timed[min(timed)].target
    targets = list({id(one.target): one.target for one in timed.values()}.values())
    before = _reasons(targets, samples)
    for done in range(0, wanted.rounds, wanted.plan.batch):
        if done and target.clock_ns() >= end_ns:
            break
        first = len(samples.order)
        for _ in range(wanted.plan.batch):
            order = list(timed)
            rng.shuffle(order)
            for which in order:
                samples.order.append(which)
                samples.spans.append(timed[which].block_ns())
        after = _reasons(targets, samples)
        reason = before or after
        if reason:
            samples.censored += [(i, reason) for i in range(first, len(samples.order))]
        before = after
    return samples


def _reasons(targets: Sequence[Target], samples: _Samples) -> CensorReason | None:
    """Ask every target's platform; return why samples beside this do not count, None if they do.

    Readings of the first target are kept; a throttled second one spoils the round as well.
    """
    first, *others = targets
    found = [_censored(_witness(first, samples))]
    found += [_censored(t.witness()) for t in others if isinstance(t, CanWitness)]
    return next((reason for reason in found if reason), None)


def _witness(target: Target, samples: _Samples) -> Witness | None:
    """Ask the platform and keep what it says."""
    if not isinstance(target, CanWitness):
        samples.unread.setdefault("all", "this target reads no clock, temperature, power or load")
        return None
    witness = target.witness()
    for name, value in witness.readings.items():
        samples.telemetry.setdefault(name, []).append(value)
    samples.unread.update(witness.unread)
    return witness


def _censored(witness: Witness | None) -> CensorReason | None:
    """Return why samples beside this witness do not count, None where they do."""
    if witness is None:
        return None
    readings = witness.readings
    if readings.get("throttled"):
        return "throttled"
    nominal = readings.get("clock_nominal_hz", 0.0)
    if nominal and readings.get("clock_hz", nominal) < LEAST_CLOCK * nominal:
        return "clock-low"
    return None
