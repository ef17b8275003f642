"""From samples of ranks to times and bandwidths with intervals.

An execution takes as long as on the rank that took longest. The unit of replication is the session:
a process group of its own. Must not know how samples are taken, nor verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossgrade.measure.samples import Floats
from crossgrade.measure.statistics import alpha_of, interval, spread
from crossgrade.values.bench import Interval
from crossgrade.values.collective import CommPlan, CommReason, CommRow, CommSession, bus_factor

Absent = tuple[CommReason, str]


def rank_times_s(session: CommSession, cell: int) -> Floats:
    """Return [ranks, rounds] the time per call of a cell on each rank, s."""
    blocks = np.flatnonzero(np.asarray(session.order) == cell)
    spans = np.asarray(session.spans_ns, dtype=np.float64)
    calls = session.calls[cell]
    found: Floats = spans[:, blocks] * 1e-9 / max(calls, 1)
    return found


def times_s(session: CommSession, cell: int) -> Floats:
    """Return [rounds] the time per call of a cell, s: the largest over the ranks."""
    found = rank_times_s(session, cell)
    return np.asarray(found.max(axis=0)) if found.size else np.empty(0)


def session_values(sessions: Sequence[CommSession], cell: int) -> Floats:
    """Return per session that has any the logarithm of its median time."""
    found = [times_s(s, cell) for s in sessions]
    return np.array([np.log(np.median(f)) for f in found if len(f)])


def row_of(
    plan: CommPlan, sessions: Sequence[CommSession], cell: int, absent: Absent | None
) -> CommRow:
    """Return what follows of one cell.

    Args:
        plan: what was planned.
        sessions: in order.
        cell: place in the plan.
        absent: why it has no number, where it has none.
    """
    what = plan.cells[cell]
    values = session_values(sessions, cell)
    if absent is None and not len(values):
        absent = ("no-samples", "no session has samples of it")
    if absent is not None:
        return CommRow(op=what.op, size_bytes=what.size_bytes, status="absent", reason=absent[0],
                       detail=absent[1])  # fmt: skip
    time = interval(values, alpha_of(plan))
    factor = bus_factor(what.op, plan.ranks)
    per_rank = np.concatenate([rank_times_s(s, cell) for s in sessions], axis=1)
    return CommRow(
        op=what.op,
        size_bytes=what.size_bytes,
        status="ok",
        sessions=len(values),
        time_s=time,
        algorithm_bytes_per_s=_rate(what.size_bytes, time),
        bus_bytes_per_s=_rate(what.size_bytes * factor, time),
        spread=spread([f for f in (times_s(s, cell) for s in sessions) if len(f)]),
        ranks_s=tuple(float(x) for x in np.median(per_rank, axis=1)),
    )


def _rate(amount: float, time: Interval) -> Interval:
    """Return an amount over a time; its ends change places."""
    high = amount / time.low if time.low > 0 else float("inf")
    return Interval(value=amount / time.value, low=amount / time.high, high=high)


def is_narrow(row: CommRow, plan: CommPlan) -> bool:
    """Return whether a row is known as well as was asked."""
    return (
        row.time_s is not None
        and row.sessions >= plan.least_sessions
        and row.time_s.half_width <= plan.half_width
    )
