"""The requests of one load in one session as columns, and their latencies.

Under an open loop and a trace a latency begins when a request was due, under a closed loop when it
was sent. Must not know statistics or verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crossgrade.measure.samples import Floats
from crossgrade.values.serving import Load, MetricName, Requests, ServeSession

Flags = NDArray[np.bool_]
PerRequest = Literal["ttft", "tpot", "e2e"]
"""Latencies of which a request has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Requests in the order in which they were due; warm-ups first."""

    load: Load
    """What was put on the endpoint."""
    raw: Requests
    """The same as they were taken."""
    null_per_s: float | None
    """Requests per s of the self-check."""
    start_s: Floats
    """[requests] from when on a latency counts, s on the clock of the client."""
    sent_s: Floats
    """[requests] when it was sent, s; NaN where it was not."""
    first_s: Floats
    """[requests] first text, s; NaN without any."""
    last_s: Floats
    """[requests] last text, s; NaN without any."""
    ended_s: Floats
    """[requests] end, s; NaN where it was not sent."""
    ok: Flags
    """[requests] whether its stream ended as the protocol says."""
    tokens: Floats
    """[requests] tokens of the answer: as reported, else events with text."""
    counted: Flags
    """[requests] whether it is no warm-up."""

    @property
    def tried(self) -> Flags:
        """Return [requests] which count and were sent."""
        return np.asarray(self.counted & ~np.isnan(self.sent_s))

    @property
    def answered(self) -> Flags:
        """Return [requests] which count and have an answer with text."""
        return self.tried & self.ok & ~np.isnan(self.first_s)

    @property
    def cut(self) -> Flags:
        """Return [requests] which were still running when the time of the load was over."""
        running = np.array([outcome == "unfinished" for outcome in self.raw.outcomes], dtype=bool)
        return np.asarray(self.tried & running)


def columns_of(load: Load, session: ServeSession) -> Columns:
    """Return the requests of a session as columns."""
    raw = session.requests
    due, sent = _seconds(raw.due_ns), _seconds(raw.sent_ns)
    reported = np.array(raw.output_reported, dtype=np.float64)
    events = np.array(raw.chunks, dtype=np.float64)
    return Columns(
        load=load,
        raw=raw,
        null_per_s=session.null_per_s,
        start_s=np.where(np.isnan(sent), due, sent) if load.kind == "closed-loop" else due,
        sent_s=sent,
        first_s=_seconds(raw.first_ns),
        last_s=_seconds(raw.last_ns),
        ended_s=_seconds(raw.ended_ns),
        ok=np.array([o == "ok" for o in raw.outcomes], dtype=bool),
        tokens=np.where(reported >= 0, reported, events),
        counted=np.arange(len(due)) >= raw.warmups,
    )


def _seconds(times_ns: Sequence[float | None]) -> Floats:
    return np.array([math.nan if t is None else t * 1e-9 for t in times_ns], dtype=np.float64)


def latencies_s(columns: Columns, name: MetricName) -> Floats:
    """Return the values of a latency, s; infinite for a request that was sent and not answered.

    Requests that were never sent have none, and some answers have no `tpot`; `itl` are the gaps
    that were seen, whatever became of the request.
    """
    if name == "itl":
        gaps = columns.raw.gaps_ns[columns.raw.warmups :]
        return np.fromiter(chain.from_iterable(gaps), dtype=np.float64) * 1e-9
    found = per_request_s(columns, name)
    return found[columns.tried & ~np.isnan(found)]


def per_request_s(columns: Columns, name: PerRequest) -> Floats:
    """Return [requests] a latency, s; infinite without an answer, NaN where an answer has none.

    An answer has no `tpot` where it is one token or came in one event.
    """
    if name == "tpot":
        several = (columns.tokens > 1) & (np.array(columns.raw.chunks) > 1)
        spans = np.where(several, columns.last_s - columns.first_s, math.nan)
        values = spans / np.where(several, columns.tokens - 1, 1)
    else:
        values = (columns.first_s if name == "ttft" else columns.last_s) - columns.start_s
    return np.where(columns.answered, values, math.inf)


def in_flight(begin_s: Floats, ended_s: Floats, at_s: Floats) -> Floats:
    """Return how many requests were in flight at some times.

    Args:
        begin_s: [requests] from when on each is, s; NaN leaves it out.
        ended_s: [requests] until when, s; NaN: for ever.
        at_s: times, s.
    """
    there = ~np.isnan(begin_s)
    begun = np.sort(begin_s[there])
    ended = np.sort(ended_s[there & ~np.isnan(ended_s)])
    inside = np.searchsorted(begun, at_s, side="right") - np.searchsorted(ended, at_s, side="right")
    return np.asarray(inside, dtype=np.float64)
