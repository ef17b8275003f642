"""What follows from the requests of an endpoint: latencies, rates, checks and a verdict per load.

The same sessions give the same result, so a record can be checked. numpy only. Must not know how
requests are sent, nor how a result is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from crossgrade.measure.statistics import alpha_of
from crossgrade.serving.binomial import values_needed
from crossgrade.serving.columns import Columns, Flags, columns_of
from crossgrade.serving.counting import counting_of, unseen_tokens
from crossgrade.serving.percentiles import metrics_of
from crossgrade.serving.rates import (
    concurrency,
    good_share,
    rate_over,
    requests_per_s,
    tokens_per_s,
)
from crossgrade.serving.saturation import saturation_of
from crossgrade.serving.selfcheck import client_check
from crossgrade.serving.verdicts import DECIDING, is_narrow, load_verdict, worst_of
from crossgrade.units import figure, things
from crossgrade.values.bench import LostSession
from crossgrade.values.serving import (
    OUTCOMES,
    Endpoint,
    Load,
    LoadResult,
    Metric,
    Outcome,
    ServePlan,
    ServeSession,
    ServingResult,
)

_PACKED = 1.5
"""Tokens per event from which on a gap between events is not one between tokens."""


def serving_result(
    *,
    plan: ServePlan,
    endpoint: Endpoint,
    sessions: Sequence[ServeSession],
    lost: Sequence[LostSession] = (),
    notes: Sequence[str] = (),
    spent_s: float,
) -> ServingResult:
    """Return everything that follows from the sessions.

    Args:
        plan: what was planned.
        endpoint: what it was measured on.
        sessions: in order, a row per load.
        lost: sessions that gave nothing.
        notes: what a reader of the numbers should know.
        spent_s: wall clock of all sessions, s.
    """
    loads = tuple(
        _load_result(plan, endpoint, load, [s for s in sessions if s.load == place])
        for place, load in enumerate(plan.loads)
    )
    return ServingResult(
        plan=plan,
        endpoint=endpoint,
        verdict=worst_of(found.verdict for found in loads),
        sessions=tuple(sessions),
        loads=loads,
        lost=tuple(lost),
        notes=tuple(notes),
        spent_s=spent_s,
    )


def serving_recomputed(result: ServingResult) -> ServingResult:
    """Return the result again from its own requests; equal, unless a number was changed."""
    return serving_result(
        plan=result.plan,
        endpoint=result.endpoint,
        sessions=result.sessions,
        lost=result.lost,
        notes=result.notes,
        spent_s=result.spent_s,
    )


def wants_more(result: ServingResult, taken: int) -> bool:
    """Return whether one more session is wanted, budget aside, after so many that are complete.

    Between looks it is; at a look where a load has too few sessions or a median that is known less
    well than was asked; after the last look it is not. Of a load that fails or saturates more
    sessions make no better number, so after `least_sessions` it asks for none.
    """
    plan = result.plan
    if taken >= plan.looks[-1]:
        return False
    if taken < plan.least_sessions or taken not in plan.looks:
        return True
    return any(_wants(plan, found) for found in result.loads)


def _wants(plan: ServePlan, found: LoadResult) -> bool:
    if found.sessions < plan.least_sessions:
        return True
    medians = [m.median_s for m in found.metrics if m.name in DECIDING]
    wide = any(median is not None and not is_narrow(median, plan) for median in medians)
    return wide and not found.saturation.saturated


def _load_result(
    plan: ServePlan, endpoint: Endpoint, load: Load, rows: Sequence[ServeSession]
) -> LoadResult:
    sessions = [columns_of(load, row) for row in rows]
    alpha = alpha_of(plan)
    metrics = metrics_of(sessions, alpha)
    unsent = sum(int((s.counted & ~s.tried).sum()) for s in sessions)
    found = LoadResult(
        key=load.key,
        verdict="measured",
        why="",
        sessions=len(sessions),
        outcomes=_outcomes(sessions, [s.counted for s in sessions]),
        metrics=metrics,
        requests_per_s=rate_over(sessions, requests_per_s, alpha),
        output_tokens_per_s=rate_over(sessions, tokens_per_s, alpha),
        concurrency=concurrency(sessions),
        good=good_share(sessions, plan.limits),
        saturation=saturation_of(load, sessions),
        client=client_check(load, sessions),
        counting=counting_of(endpoint, sessions),
        remarks=tuple(_remarks(endpoint, sessions, metrics, unsent)),
    )
    sent = _outcomes(sessions, [s.tried for s in sessions])
    if not sent:  # then the warm-ups say what hindered the rest
        sent = _outcomes(sessions, [~np.isnan(s.sent_s) for s in sessions])
    verdict, why = load_verdict(plan, found, sent)
    return replace(found, verdict=verdict, why=why)


def _outcomes(sessions: Sequence[Columns], which: Sequence[Flags]) -> dict[Outcome, int]:
    """Return some requests by outcome, in the order of the list."""
    found = Counter(
        outcome
        for s, chosen in zip(sessions, which, strict=True)
        for outcome, counts in zip(s.raw.outcomes, chosen, strict=True)
        if counts
    )
    return {outcome: found[outcome] for outcome in OUTCOMES if found[outcome]}


def _remarks(
    endpoint: Endpoint, sessions: Sequence[Columns], metrics: Sequence[Metric], unsent: int
) -> Iterator[str]:
    """Yield what a reader of the numbers of a load should know."""
    if unsent:
        yield f"{things(unsent, 'request')} never sent: in no percentile and no share"
    silent = sum(int((s.tried & s.ok & ~s.answered).sum()) for s in sessions)
    if silent:
        yield f"{things(silent, 'answer')} without text: they count as not answered"
    count = max((m.count for m in metrics if m.name != "itl"), default=0)
    for share in (0.95, 0.99):
        if 0 < count < values_needed(share):
            yield (f"p{share * 100:g} has no upper end: {things(count, 'request')} of the "
                   f"{values_needed(share)} that it takes")  # fmt: skip
    yield from _token_remarks(endpoint, sessions)


def _token_remarks(endpoint: Endpoint, sessions: Sequence[Columns]) -> Iterator[str]:
    """Yield what numbers of tokens do to TPOT and ITL."""
    tokens = sum(float(s.tokens[s.answered].sum()) for s in sessions)
    events = [e for s in sessions for e, there in zip(s.raw.chunks, s.answered, strict=True)
              if there]  # fmt: skip
    if events and tokens >= _PACKED * sum(events):
        yield (f"an event has {figure(tokens / sum(events))} tokens on average: itl is the gap "
               "between events, and tpot the fairer figure")  # fmt: skip
    whole = sum(int((s.answered & (s.tokens > 1)).sum()) for s in sessions)
    alone = sum(int((s.answered & (s.tokens > 1) & ([c == 1 for c in s.raw.chunks])).sum())
                for s in sessions)  # fmt: skip
    if alone:
        yield f"{things(alone, 'answer')} of {whole} came in one event: no tpot is known of them"
    hidden = unseen_tokens(sessions)
    if hidden and endpoint.ignores_eos:
        yield (f"{things(hidden, 'answer')} with more tokens than bytes of text: models that are "
               "kept from ending give tokens that do not show; tpot leaves out those after the "
               "last text")  # fmt: skip
