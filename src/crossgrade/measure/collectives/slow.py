"""Which ranks hold up the others.

In a collective that synchronises, every rank is inside for as long as the slowest one needs, so
the time inside tells nothing: the slow rank comes last and waits least. What tells it apart is
fixed work of its own, when it reaches the others after that work, and messages between pairs.

A rank is compared with the median of the others, in the same round, so that what slows the whole
machine cancels. It is called slow where its session values lie above those of the others by more
than their noise explains, and by more than MARGIN. Must not know how samples are taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from crossgrade.measure.collectives.member import MOST_PAIRED
from crossgrade.measure.samples import Floats
from crossgrade.measure.student import quantile
from crossgrade.values.collective import (
    SIGNALS,
    CommPlan,
    CommSession,
    Rank,
    RankReading,
    RankSignal,
    SignalReason,
    SignalReport,
    SlowRank,
)

MARGIN: Final = math.log(1.1)
"""A rank that takes up to 10 % longer is not called slow, however well that is known: what one CPU
core or one chip has over another."""
ALPHA: Final = 0.01
"""Share of healthy groups of which any rank may be called slow by noise, over all ranks and
signals; held by Bonferroni's bound for session values that are normal and independent."""
_LEAST_SESSIONS: Final = 3


def signals_of(plan: CommPlan, sessions: Sequence[CommSession]) -> tuple[SignalReport, ...]:
    """Return every signal with a reading per rank, or why it has none."""
    return tuple(_signal(name, plan, sessions) for name in SIGNALS)


def slow_ranks(
    signals: Sequence[SignalReport], ranks: Sequence[Rank], sessions: Sequence[CommSession]
) -> tuple[SlowRank, ...]:
    """Return the ranks that are slow by any signal, the slowest first."""
    found = []
    for rank in ranks:
        of_it = [(s.signal, r) for s in signals for r in s.readings if r.rank == rank.rank]
        slow = [(name, reading) for name, reading in of_it if reading.slow]
        if slow:
            worst = max((r for _, r in slow), key=lambda r: r.ratio)
            found.append(SlowRank(rank=rank.rank, device=rank.device,
                                  signals=tuple(name for name, _ in slow), ratio=worst.ratio,
                                  limit=worst.limit,
                                  wait_share=_wait_share(sessions, rank.rank)))  # fmt: skip
    return tuple(sorted(found, key=lambda s: -s.ratio))


def _signal(name: RankSignal, plan: CommPlan, sessions: Sequence[CommSession]) -> SignalReport:
    reason = _missing(name, plan, sessions)
    if reason is not None:
        return SignalReport(signal=name, reason=reason)
    values = np.array([_VALUES[name](s) for s in sessions])  # [sessions, ranks]
    return SignalReport(signal=name, readings=tuple(readings(values)))


def _missing(
    name: RankSignal, plan: CommPlan, sessions: Sequence[CommSession]
) -> SignalReason | None:
    if name == "link" and plan.ranks < 3:
        return "too-few-ranks"
    if name == "link" and plan.ranks > MOST_PAIRED:
        return "too-many-ranks"
    return "too-few-sessions" if len(sessions) < _LEAST_SESSIONS else None


def readings(values_log: Floats) -> list[RankReading]:
    """Return each rank's ratio with the limit that the noise gives.

    By Student's t over its own session values: one rank may be louder than the others, so their
    noise is not pooled.

    Args:
        values_log: [sessions, ranks] logarithm of how many times as long as the others it takes.
    """
    count, ranks = values_log.shape
    errors = values_log.std(axis=0, ddof=1) / math.sqrt(count)
    beyond = quantile(1 - ALPHA / (ranks * len(SIGNALS)), count - 1)
    found = []
    for rank, middle in enumerate(values_log.mean(axis=0)):
        noise = beyond * float(errors[rank])
        found.append(RankReading(rank=rank, ratio=math.exp(float(middle)),
                                 limit=math.exp(min(MARGIN + noise, 700.0))))  # fmt: skip
    return found


def _over_others(log_s: Floats) -> Floats:
    """Return [ranks] median over rounds of a rank's value less the median of the others'.

    Args:
        log_s: [ranks, rounds].
    """
    ranks = len(log_s)
    rest = [np.median(np.delete(log_s, rank, axis=0), axis=0) for rank in range(ranks)]
    return np.asarray(np.median(log_s - np.array(rest), axis=1))


def _work(session: CommSession) -> Floats:
    return _over_others(np.log(_positive(session.work_ns)))


def _arrival(session: CommSession) -> Floats:
    released = np.asarray(session.released_ns)
    arrived = released + np.asarray(session.work_ns) - released.min(axis=0)
    return _over_others(np.log(np.maximum(arrived, 1.0)))


def _link(session: CommSession) -> Floats:
    """Return [ranks] what a rank adds to the messages that it takes part in.

    The logarithm of a pair's time is taken as a sum of what its two ranks add (least squares over
    the pairs); an exchange has as much of a slow rank as of a fast one.
    """
    log_s = np.log(_positive(session.pair_ns))
    ranks = max(high for _, high in session.pairs) + 1
    takes_part = np.zeros((len(session.pairs), ranks))
    for place, pair in enumerate(session.pairs):
        takes_part[place, list(pair)] = 1.0
    adds = np.linalg.lstsq(takes_part, log_s, rcond=None)[0]
    return _over_others(np.asarray(adds))


_VALUES: Final = {"work": _work, "arrival": _arrival, "link": _link}


def _positive(rows: Sequence[Sequence[float]]) -> Floats:
    return np.maximum(np.asarray(rows, dtype=np.float64), 1.0)


def _wait_share(sessions: Sequence[CommSession], rank: int) -> float:
    """Return the median wait of a rank in the small all-reduce over that of the others."""
    waits = np.concatenate([_positive(s.wait_ns) for s in sessions], axis=1)
    others = np.delete(waits, rank, axis=0)
    return float(np.median(waits[rank]) / np.median(others))
