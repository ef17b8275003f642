"""What a worker does: audit and try, or take sessions; generators of events.

Runs in a process of its own, or in this one. Must not know who listens, nor what was taken before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from crossgrade.errors import CrossgradeError
from crossgrade.measure.audit import audit
from crossgrade.measure.calibrate import launch_bound, made_ready
from crossgrade.measure.events import (
    Absent,
    Audited,
    CasePlan,
    Event,
    Lost,
    ProbeRequest,
    Ready,
    Refused,
    Sampled,
    SessionRequest,
    Trying,
)
from crossgrade.measure.session import take_session, variants_of
from crossgrade.records.codec import to_json
from crossgrade.records.typed import from_json
from crossgrade.targets.protocol import DEFAULT_ANCHOR, CanNote, HasAnchor, Opening, Target
from crossgrade.targets.registry import open_target
from crossgrade.values.audit import AuditReport
from crossgrade.values.bench import Variant
from crossgrade.values.operator_case import CannotRun, OperatorCase

OpenTarget = Callable[[str, Opening], Target]
LAUNCH_BOUND = (
    "the host launches calls no faster than this: it is the host's time, not the device's"
)
"""What is told of a variant that waits for its launches."""
AUDIT_TRIES = 3
"""Audits of a target of which one must find a timer that holds."""
AUDIT_SESSION = -1
"""Number under which the audit opens a target."""


@dataclass(slots=True)
class _Targets:
    """Targets, opened when they are first used."""

    opening: Opening
    open: OpenTarget
    found: dict[str, Target] = field(default_factory=dict)

    def get(self, spec: str) -> Target:
        """Return the target, open."""
        if spec not in self.found:
            self.found[spec] = self.open(spec, self.opening)
        return self.found[spec]

    def close(self) -> None:
        """Close all."""
        for target in self.found.values():
            target.close()


@contextmanager
def _targets(opening: Opening, open_: OpenTarget) -> Iterator[_Targets]:
    with ExitStack() as stack:
        targets = _Targets(opening, open_)
        stack.callback(targets.close)
        yield targets


def anchor_of(target: Target) -> OperatorCase:
    """Return the anchor kernel of a target."""
    return target.anchor() if isinstance(target, HasAnchor) else DEFAULT_ANCHOR


def probe(request: ProbeRequest, open_: OpenTarget = open_target) -> Iterator[Event]:
    """Yield audits of targets, then for each variant of each case whether it can run."""
    audits = {report.target: report for report in request.audits}
    opening = Opening(session=AUDIT_SESSION, seed=request.seed)
    with _targets(opening, open_) as targets:
        for spec in request.targets:
            target = targets.get(spec)
            report = audits[spec] = _audited(target)
            anchor = anchor_of(target)
            yield Audited(report=report, forkable=target.forkable, anchor=anchor)
        for case in request.cases:
            for variant in case.plan.variants:
                if (case.key, variant.name) not in request.skip:
                    yield Trying(key=case.key, variant=variant.name)
                    yield _tried(case, variant, targets, audits)


def _audited(target: Target) -> AuditReport:
    """Return an audit that some timer survived, else the last of AUDIT_TRIES.

    A timer that lies does so each time; a neighbour's noise seldom hits three audits.
    """
    anchor = anchor_of(target)
    for tries in range(1, AUDIT_TRIES + 1):
        report = replace(audit(target, anchor), tries=tries)
        if report.chosen is not None:
            break
    return report


def _tried(
    case: CasePlan, variant: Variant, targets: _Targets, audits: Mapping[str, AuditReport]
) -> Ready | Absent:
    try:
        opened = {variant.target: targets.get(variant.target)}
        one = made_ready(variant, case.plan, opened, audits)
    except CannotRun as cannot:
        return Absent(
            key=case.key, variant=variant.name, reason=cannot.reason, detail=cannot.detail
        )
    try:
        flop, bytes_ = one.kernel.work()
        notes = one.kernel.notes() if isinstance(one.kernel, CanNote) else ()
        notes = (*notes, LAUNCH_BOUND) if launch_bound(one) else notes
        value = one.kernel.read()
    finally:
        one.kernel.close()
    if value != value:
        detail = "the first element of the output is NaN"
        return Absent(key=case.key, variant=variant.name, reason="bad-output", detail=detail)
    return Ready(key=case.key, variant=variant.name, flop=flop, bytes=bytes_, notes=notes)


def take(request: SessionRequest, open_: OpenTarget = open_target) -> Iterator[Event]:
    """Yield one session per case that is asked for; targets stay open between cases."""
    audits = {report.target: report for report in request.audits}
    opened: dict[int, _Targets] = {}
    with ExitStack() as stack:
        for case in request.cases:
            yield Trying(key=case.key)
            if case.index not in opened:
                opening = Opening(session=case.index, seed=request.seed)
                opened[case.index] = stack.enter_context(_targets(opening, open_))
            targets = opened[case.index]
            try:
                specs = (v.target for v in variants_of(case.plan, case.absent).values())
                opened_here = {spec: targets.get(spec) for spec in specs}
                session = take_session(case, opened_here, audits, request.start)
            except CannotRun as cannot:
                reason: Any = "out-of-memory" if cannot.reason == "out-of-memory" else "error"
                detail = f"{cannot.reason}: {cannot.detail}"
                yield Lost(key=case.key, index=case.index, reason=reason, detail=detail)
            else:
                yield Sampled(key=case.key, session=session, wall_s=session.spent_s)


# the same as functions of JSON, for a worker's process -----------------------------------------
def probe_job(request: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the events of `probe` as JSON."""
    yield from told(probe(from_json(ProbeRequest, request)))


def take_job(request: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the events of `take` as JSON."""
    yield from told(take(from_json(SessionRequest, request)))


def told(events: Iterator[Event]) -> Iterator[Any]:
    """Yield events as JSON; an error of ours is the last of them."""
    try:
        for event in events:
            yield event_json(event)
    except CrossgradeError as error:
        yield event_json(
            Refused(
                error=type(error).__name__,
                message=error.message,
                where=error.where,
                hint=error.hint,
            )
        )


def event_json(event: Any) -> Any:
    """Return an event as JSON, with the name of its class."""
    return {"event": type(event).__name__, **to_json(event)}
