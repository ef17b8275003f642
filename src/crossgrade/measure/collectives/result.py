"""What follows from the raw samples of a group: a row per collective and size, slow ranks, verdict.

The same sessions give the same result, so a record can be checked. Must not know how samples are
taken, nor how a result is shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from crossgrade.measure.collectives.numbers import Absent, is_narrow, row_of
from crossgrade.measure.collectives.slow import signals_of, slow_ranks
from crossgrade.units import percent, seconds, things
from crossgrade.values.collective import (
    CommPlan,
    CommResult,
    CommRow,
    CommSession,
    Rank,
    verdict_of,
)


def comm_result_of(
    plan: CommPlan,
    backend: str,
    ranks: Sequence[Rank],
    sessions: Sequence[CommSession],
    absent: Mapping[int, Absent],
    spent_s: float,
) -> CommResult:
    """Return everything that follows from the sessions.

    Args:
        plan: what was planned.
        backend: of the process group.
        ranks: who took part.
        sessions: in order.
        absent: cell, by place in the plan, that has no number -> reason and what happened.
        spent_s: wall clock of all sessions, s.
    """
    rows = tuple(row_of(plan, sessions, cell, absent.get(cell)) for cell in range(len(plan.cells)))
    narrow = tuple(is_narrow(row, plan) for row in rows)
    signals = signals_of(plan, sessions)
    return CommResult(
        plan=plan,
        backend=backend,
        verdict=verdict_of(rows, narrow),
        why=_why(plan, rows, narrow, len(sessions), spent_s),
        ranks=tuple(ranks),
        sessions=tuple(sessions),
        rows=rows,
        signals=signals,
        slow=slow_ranks(signals, ranks, sessions),
        spent_s=spent_s,
    )


def comm_recomputed(result: CommResult) -> CommResult:
    """Return the result again from its own raw samples; equal, unless a number was changed."""
    absent = {
        cell: (row.reason, row.detail)
        for cell, row in enumerate(result.rows)
        if row.reason is not None and row.reason != "no-samples"
    }
    again = comm_result_of(
        result.plan, result.backend, result.ranks, result.sessions, absent, result.spent_s
    )
    return replace(again, lost=result.lost, notes=result.notes)


def _why(
    plan: CommPlan, rows: Sequence[CommRow], narrow: Sequence[bool], sessions: int, spent_s: float
) -> str:
    """Return why it is not `measured`, and what to do; empty where it is."""
    told = []
    if gone := sum(row.status == "absent" for row in rows):
        told.append(f"{gone} of {things(len(rows), 'row')} without a number")
    wide = [r for r, ok in zip(rows, narrow, strict=True) if r.status == "ok" and not ok]
    if not wide:
        return "; ".join(told)
    worst = max(r.time_s.half_width if r.time_s else math.inf for r in wide)
    fewest = max(1, min(r.sessions for r in wide))
    told.append(f"{len(wide)} of {things(len(rows), 'row')} known less well than "
                f"±{percent(plan.half_width)}" if worst > plan.half_width else
                f"{things(fewest, 'session')} of at least {plan.least_sessions}")  # fmt: skip
    factor = max(1.0, plan.least_sessions / fewest)
    if math.isfinite(worst):
        factor = max(factor, (worst / plan.half_width) ** 2)
    if sessions * factor > plan.looks[-1]:
        told.append(f"the widest needs more than {plan.looks[-1]} sessions: quiet the machine, or "
                    "ask for a wider interval")  # fmt: skip
    else:
        told.append(f"a budget of about {seconds(spent_s * factor)} would do it")
    return "; ".join(told)
