"""Collectives as a document: what is wrong first, then a row per collective and size.

Must not work out a number.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator

from crossgrade.report.document import Block, Document, Entry, Heading, Line, Table, Tone
from crossgrade.units import binary_bytes, percent, seconds, si, things
from crossgrade.values.bench import Interval
from crossgrade.values.collective import CommResult, CommRow, CommRun, SignalReport, SlowRank

_BROAD = 0.2
"""Half width above which an interval is shown by its ends."""
_TONES: dict[str, Tone] = {
    "measured": "good",
    "noisy": "warning",
    "incomplete": "bad",
    "unmeasured": "bad",
}
_SIGNALS = {
    "work": "its own work takes",
    "arrival": "it reaches the others after",
    "link": "messages to and from it take",
}


def comm_document(run: CommRun) -> Document:
    """Return a run: verdict, slow ranks and wrong results, then every collective."""
    return Document(blocks=tuple(_blocks(run)))


def _blocks(run: CommRun) -> Iterator[Block]:
    result = run.result
    plan = result.plan
    backend = f" ({result.backend})" if result.backend else ""
    yield Heading(text=f"{plan.ranks} ranks on {plan.target}{backend}: {result.verdict}")
    if result.why:
        yield Line(text=result.why, tone=_TONES[result.verdict])
    for slow in result.slow:
        yield _slow(slow, result)
    yield from _absent(result)
    if any(row.status == "ok" for row in result.rows):
        yield _table(result)
    yield from _alike(result)
    for lost in result.lost:
        yield Line(text=f"session {lost.index} was lost, {lost.reason}: {lost.detail}",
                   tone="warning")  # fmt: skip
    for note in result.notes:
        yield Line(text=f"mind: {note}", tone="quiet")
    yield from _kept(run)


def _slow(slow: SlowRank, result: CommResult) -> Entry:
    """Return a slow rank with the numbers that name it."""
    of_it = {s.signal: r for s in result.signals for r in s.readings if r.rank == slow.rank}
    details = [f"{_SIGNALS[name]} {of_it[name].ratio:.2f} times as long as the others' "
               f"(called slow above {of_it[name].limit:.2f})" for name in slow.signals]  # fmt: skip
    details.append(f"it waits {slow.wait_share:.2f} times as long as the others in an all-reduce "
                   "after that work: who comes last waits least")  # fmt: skip
    text = f"slow: rank {slow.rank} on {slow.device} holds up the others"
    return Entry(text=text, details=tuple(details), tone="warning")


def _absent(result: CommResult) -> Iterator[Block]:
    """Yield rows without a number; wrong results first."""
    gone = [r for r in result.rows if r.status == "absent"]
    gone.sort(key=lambda r: r.reason != "wrong-result")
    if gone:
        rows = tuple((r.op, binary_bytes(r.size_bytes), r.reason or "", r.detail) for r in gone)
        yield Table(columns=("collective", "size", "reason", "what happened"), rows=rows,
                    whole=frozenset({0, 2}), right=frozenset({1}),
                    title="without a number")  # fmt: skip


def _table(result: CommResult) -> Table:
    columns = ("collective", "size", "time", "95 % interval", "algorithm", "bus", "sessions")
    rows = tuple(_cells(r) for r in result.rows if r.status == "ok")
    title = f"measured, {result.plan.dtype}; time on the rank that took longest"
    return Table(columns=columns, rows=rows, whole=frozenset({0}),
                 right=frozenset(range(1, len(columns))), title=title)  # fmt: skip


def _cells(row: CommRow) -> tuple[str, ...]:
    assert row.time_s is not None
    assert row.algorithm_bytes_per_s is not None
    assert row.bus_bytes_per_s is not None
    return (
        row.op,
        binary_bytes(row.size_bytes),
        seconds(row.time_s.value),
        _span(row.time_s),
        si(row.algorithm_bytes_per_s.value, "B/s"),
        si(row.bus_bytes_per_s.value, "B/s"),
        str(row.sessions),
    )


def _span(interval: Interval) -> str:
    """Return how well a time is known: a share, or both ends where that says more."""
    if not math.isfinite(interval.high):
        return "unknown: one session"
    if interval.half_width <= _BROAD:
        return f"±{percent(interval.half_width)}"
    return f"{seconds(interval.low)} to {seconds(interval.high)}"


def _alike(result: CommResult) -> Iterator[Block]:
    """Yield how alike the ranks are, and from which ratio on one would be called slow."""
    if result.sessions:
        told = tuple(filter(None, (_signal(s) for s in result.signals)))
        text = "ranks beside the median of the others, and the ratio above which one is called slow"
        yield Entry(text=text, details=told)


def _signal(report: SignalReport) -> str:
    if report.reason:
        return f"{report.signal}: not told, {report.reason}"
    found = [f"rank {r.rank} {r.ratio:.2f} ({r.limit:.2f})" for r in report.readings]
    return f"{report.signal}: {', '.join(found)}"


def _kept(run: CommRun) -> Iterator[Block]:
    if run.taken_up:
        yield Line(text=f"taken up: {things(run.taken_up, 'session')} of an earlier run, not "
                   "measured again", tone="quiet")  # fmt: skip
    if run.record:
        yield Line(text=f"record: {shlex.quote(run.record)}", tone="quiet")
