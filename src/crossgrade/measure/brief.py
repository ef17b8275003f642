"""How one case of a calibration is timed: briefly, for there are many of them.

Must not know which cases.
"""

from __future__ import annotations

from typing import Final

from crossgrade.measure.calibrate import LEAST_SESSIONS
from crossgrade.measure.events import CasePlan
from crossgrade.targets.protocol import DEFAULT_ANCHOR
from crossgrade.values.bench import BenchPlan, SessionStart, Variant
from crossgrade.values.operator_case import OperatorCase

HALF_WIDTH: Final = 0.1
"""Half width of the 95 % interval that is asked of a time, as a share."""
_BATCH: Final = 3
_ROUNDS: Final = 12
_ROOM: Final = 4.0
"""A call must be that much shorter than its budget allows: getting ready takes time too, and what
its length was told from may flatter it."""


def longest_call_s(budget_s: float) -> float:
    """Return how long a call may be so that its case fits into a budget, s."""
    return budget_s / (_BATCH * LEAST_SESSIONS * _ROOM)


def brief_plan(case: OperatorCase, target: str, budget_s: float, start: SessionStart) -> CasePlan:
    """Return how a case is timed.

    Args:
        case: what is timed.
        target: what it runs on.
        budget_s: its share of the time, s.
        start: how sessions are wanted.
    """
    plan = BenchPlan(
        variants=(Variant(name=target, target=target, case=case),),
        anchor=DEFAULT_ANCHOR,
        half_width=HALF_WIDTH,
        least_sessions=LEAST_SESSIONS,
        budget_s=budget_s,
        rounds=_ROUNDS,
        batch=_BATCH,
        prime_s=min(0.2, budget_s / 100),
        settle_s=min(1.0, budget_s / 100),
        seed=case.seed,
        start=start,
    )
    return CasePlan(key=case.key, plan=plan)
