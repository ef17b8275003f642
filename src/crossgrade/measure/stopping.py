"""When a measurement has enough sessions, and how many rounds the next one has.

It may end as done only at a few planned looks; intervals are widened for that
(`statistics.ALPHA_LOOKS`). Budget and the last look end it whatever the numbers say, which costs
no coverage. Must not know how a session is run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from crossgrade.measure.result import deciding
from crossgrade.measure.samples import SessionSamples, samples_of
from crossgrade.measure.statistics import Series, series_of
from crossgrade.values.bench import BenchPlan, Session

StopReason = Literal["narrow", "looks-exhausted", "budget", "nothing-left",
                     "wide", "between-looks"]  # fmt: skip
"""narrow: every interval is as asked. looks-exhausted: the last look is over. budget: the next
session does not fit. nothing-left: the last session had no variant that can be timed. The others
let it go on. wide: at a look, not narrow yet. between-looks: it is not asked now."""

FEWEST_ROUNDS: Final = 6
MOST_ROUNDS: Final = 240
ROUNDS_AFTER: Final = 3
"""Sessions after which the noise between and within them is told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether to stop now."""

    stop: bool
    """Whether no further session is wanted."""
    reason: StopReason
    """Why, or why not."""


def done(
    plan: BenchPlan, sessions: Sequence[Session], spent_s: float, next_session_s: float
) -> Decision:
    """Return whether to stop after these sessions.

    Args:
        plan: looks, target and budget.
        sessions: all so far, in order.
        spent_s: wall clock so far, s.
        next_session_s: what the next one will take, s (estimated).
    """
    count = len(sessions)
    present = _present(plan, sessions)
    if count and not present:
        return Decision(stop=True, reason="nothing-left")
    at_look = count in plan.looks and count >= plan.least_sessions
    if at_look:
        samples = _samples(plan, sessions)
        if all(number.narrow(plan) for number in deciding(plan, samples, present)):
            return Decision(stop=True, reason="narrow")
    if count >= plan.looks[-1]:
        return Decision(stop=True, reason="looks-exhausted")
    if spent_s + next_session_s > plan.budget_s:
        return Decision(stop=True, reason="budget")
    return Decision(stop=False, reason="wide" if at_look else "between-looks")


def next_rounds(plan: BenchPlan, sessions: Sequence[Session]) -> int:
    """Return the rounds of the next session, a multiple of `plan.batch`, 6 to 240.

    From the third session on as Kalibera and Jones (ISMM 2013) say: the square root of cost of a
    session over cost of a round, times noise within over noise between; of the number that needs
    the most. Batch medians stand for rounds, because rounds are not independent.
    """
    if len(sessions) < ROUNDS_AFTER:
        return plan.rounds
    samples, present = _samples(plan, sessions), _present(plan, sessions)
    series = [number.series for number in deciding(plan, samples, present)]
    if len(present) == 1:  # its time over the anchor is what later runs are compared by
        series.append(series_of(samples, plan.batch, present[0], len(plan.variants)))
    batch_s = sum(sum(s.spans_ns) for s in sessions) * 1e-9 / sum(_batches(s, plan)
                                                                 for s in sessions)  # fmt: skip
    around_s = sum(max(0.0, s.spent_s - sum(s.spans_ns) * 1e-9) for s in sessions) / len(sessions)
    wanted = max((_best_batches(s, around_s / batch_s) for s in series), default=math.nan)
    if math.isnan(wanted):
        return plan.rounds
    least = max(1, math.ceil(FEWEST_ROUNDS / plan.batch))
    most = max(least, MOST_ROUNDS // plan.batch)
    return plan.batch * int(min(max(least, math.ceil(min(wanted, most))), most))


def _best_batches(series: Series, cost_ratio: float) -> float:
    """Return the best number of batches per session; infinite where sessions do not differ."""
    batches = [b for b in series.batches if len(b) > 1]
    if not batches or len(series.batches) < ROUNDS_AFTER:
        return math.nan
    within = float(np.mean([np.var(b, ddof=1) for b in batches]))
    size = float(np.mean([len(b) for b in series.batches]))
    # The median of n normal values has pi / 2 times the variance of their mean.
    own_noise = within * (math.pi / 2 if size > 2 else 1) / size
    between = float(np.var(series.values, ddof=1)) - own_noise
    if within == 0:
        return 0.0
    return math.sqrt(cost_ratio * within / between) if between > 0 else math.inf


def _batches(session: Session, plan: BenchPlan) -> float:
    """Return how many batches of rounds a session has; a part of one counts as such."""
    return len(session.order) / (max(1, len(set(session.order))) * plan.batch)


def _samples(plan: BenchPlan, sessions: Sequence[Session]) -> list[SessionSamples]:
    return [samples_of(s, len(plan.variants)) for s in sessions]


def _present(plan: BenchPlan, sessions: Sequence[Session]) -> list[int]:
    """Return the variants that the last session still had."""
    last = set(sessions[-1].order) if sessions else set()
    return [i for i in range(len(plan.variants)) if i in last]
