"""What in the record of a measurement contradicts another part of it.

A digest tells that a file is as it was sealed, not that its parts fit each other. What follows from
samples is not asked here. Must not know statistics.
"""

from __future__ import annotations

from collections.abc import Iterator

from crossgrade.values.bench import BenchResult, Session
from crossgrade.values.collective import CommResult
from crossgrade.values.record import Record
from crossgrade.values.serving import ServingResult


def contradictions(record: Record, result: BenchResult) -> Iterator[str]:
    """Yield in words what cannot be true together.

    Args:
        record: the whole record.
        result: the measurement that it holds.
    """
    yield from frame_contradictions(record, result)
    yield from _timers(result)
    yield from _accuracy(result)
    for session in result.sessions:
        yield from _censored(session)


def comm_contradictions(record: Record, result: CommResult) -> Iterator[str]:
    """Yield in words what cannot be true together in a record of collectives.

    Args:
        record: the whole record.
        result: the measurement that it holds.
    """
    yield from frame_contradictions(record, result)
    if result.ranks and len(result.ranks) != result.plan.ranks:
        yield f"{len(result.ranks)} ranks took part, {result.plan.ranks} were planned"
    for session in result.sessions:
        for name, columns in (("spans_ns", session.spans_ns), ("started_ns", session.started_ns)):
            if [len(c) for c in columns] != [len(session.order)] * result.plan.ranks:
                yield f"{name} of session {session.index} does not fit its order and the ranks"


def frame_contradictions(
    record: Record, result: BenchResult | CommResult | ServingResult
) -> Iterator[str]:
    """Yield where verdict and plan of the record are not those of its data."""
    if record.verdict != result.verdict:
        yield f"the verdict of the record is {record.verdict}, that of its data {result.verdict}"
    if record.resolved != record.data["plan"]:
        yield "what was resolved is not the plan of its data"


def _accuracy(result: BenchResult) -> Iterator[str]:
    """Yield variants that pass with too large an error, or have a time without passing."""
    for row in result.variants:
        seen = result.observed.get(row.name)
        accuracy = seen.accuracy if seen else None
        if accuracy is None:
            continue
        if accuracy.passed != (accuracy.relative_error <= accuracy.limit):
            yield (f"{row.name}: error {accuracy.relative_error:.2g}, allowed "
                   f"{accuracy.limit:.2g}, and passed is {accuracy.passed}")  # fmt: skip
        if row.status == "ok" and not accuracy.passed:
            yield f"{row.name} has a number, and its output did not pass"


def _timers(result: BenchResult) -> Iterator[str]:
    """Yield numbers without a timer, and sessions timed by another one than the audit chose."""
    plan = result.plan
    targets = [*(v.target for v in plan.variants), plan.variants[0].target]
    chosen = {audit.target: audit.chosen for audit in result.audits}
    for row, target in zip(result.variants, targets, strict=True):
        if row.status == "ok" and chosen.get(target) is None:
            yield f"{row.name} has a number, and no timer of {target} passed an audit"
    for session in result.sessions:
        for timer, target in zip(session.timers, targets, strict=True):
            wanted = chosen.get(target)
            if timer is not None and timer != wanted:
                yield (f"session {session.index} was timed by {timer} on {target}, the audit chose "
                       f"{wanted or 'none'}")  # fmt: skip


def _censored(session: Session) -> Iterator[str]:
    """Yield blocks that do not count because of a witness that nobody heard."""
    blocks = [block for block, reason in session.censored if reason == "throttled"]
    if blocks and not any(session.telemetry.get("throttled", ())):
        yield (f"session {session.index} leaves out {len(blocks)} of its blocks as throttled, and "
               "no reading says so")  # fmt: skip
