"""What in the record of a load on a served model contradicts another part of it.

Times of a request come one after the other, columns have one length, and what was answered has an
answer. What follows from the requests is not asked here. Must not know statistics.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields

from crossgrade.records.contradictions import frame_contradictions
from crossgrade.values.record import Record
from crossgrade.values.serving import Requests, ServeSession, ServingResult

_ROUNDING_NS = 1.0
_EARLY_NS = 1e6
"""How much earlier than due a request may be sent: a timer may fire a tick too soon."""


def serving_contradictions(record: Record, result: ServingResult) -> Iterator[str]:
    """Yield in words what cannot be true together in a record of kind `serving`.

    Args:
        record: the whole record.
        result: the measurement that it holds.
    """
    yield from frame_contradictions(record, result)
    keys = [load.key for load in result.plan.loads]
    if [load.key for load in result.loads] != keys:
        yield "its loads are not those of its plan"
    for (index, load), times in Counter((s.index, s.load) for s in result.sessions).items():
        if not 0 <= load < len(keys):
            yield f"session {index} has load {load}, and the plan has {len(keys)}"
        elif times > 1:
            yield f"session {index} has {keys[load]} {times} times"
    for session in result.sessions:
        where = f"session {session.index}, load {session.load}"
        yield from (f"{where}: {fault}" for fault in _session(session, result))


def _session(session: ServeSession, result: ServingResult) -> Iterator[str]:
    """Yield what is wrong with the requests of a session."""
    made = session.requests
    n = len(made.due_ns)
    columns = [f.name for f in fields(Requests) if f.name != "warmups"]
    if uneven := [name for name in columns if len(getattr(made, name)) != n]:
        yield f"{', '.join(uneven)} have other lengths than due_ns"
        return
    if not 0 <= made.warmups <= n:
        yield f"{made.warmups} of {n} requests are warm-ups"
    elif session.load in range(len(result.plan.loads)):
        planned = result.plan.loads[session.load].requests
        if n - made.warmups > planned:
            yield f"{n - made.warmups} requests count, {planned} were planned"
    if session.null_per_s is not None and not session.null_per_s > 0:
        yield f"null_per_s is {session.null_per_s}"
    for place in range(n):
        yield from (f"request {place}: {fault}" for fault in _request(made, place))


def _request(made: Requests, place: int) -> Iterator[str]:
    """Yield what is wrong with a request."""
    sent, first, last = made.sent_ns[place], made.first_ns[place], made.last_ns[place]
    ended, outcome, events = made.ended_ns[place], made.outcomes[place], made.chunks[place]
    times = [t for t in (made.due_ns[place], sent, first, last, ended) if t is not None]
    if not all(map(math.isfinite, times)):
        yield "a time is no number"
    elif times[1:] != sorted(times[1:]) or (sent is not None and sent < times[0] - _EARLY_NS):
        yield "it was not due, sent, answered and ended in this order"
    if (sent is None) != (ended is None):
        yield "it was sent and did not end, or the other way round"
    if sent is None and (outcome != "unfinished" or first is not None):
        yield f"it was never sent, and it is {outcome}"
    if (first is None) != (last is None) or (first is None) != (events == 0):
        yield "it has text without a time, or a time without text"
    if (events == 0) != (made.text_bytes[place] == 0) or events < 0:
        yield f"{events} events with text have {made.text_bytes[place]} bytes"
    yield from _gaps(made.gaps_ns[place], events, first, last)


def _gaps(
    gaps: Sequence[float], events: int, first: float | None, last: float | None
) -> Iterator[str]:
    """Yield what is wrong with the gaps of a request."""
    if len(gaps) != max(0, events - 1):
        yield f"{events} events with text have {len(gaps)} gaps"
    elif first is not None and last is not None and events:
        # Each gap was rounded once, and a clock that counts from long ago has steps of its own.
        allowed = _ROUNDING_NS * (len(gaps) + 1)
        if not (min(gaps, default=0.0) >= 0 and abs(sum(gaps) - (last - first)) <= allowed):
            yield "its gaps are not the time from its first to its last text"
