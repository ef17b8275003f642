"""Sessions whose every time is known, and simulated queues, for the tests of the arithmetic."""

from __future__ import annotations

import dataclasses

import numpy as np

from crossgrade.serving.analysis import serving_result
from crossgrade.values.serving import (
    Endpoint,
    Load,
    Requests,
    ServePlan,
    ServeSession,
    ServingResult,
)

OPEN = Load(kind="open-loop", rate_per_s=10.0, requests=100, warmups=8)
CLOSED = Load(kind="closed-loop", concurrency=4, requests=100, warmups=8)
ENDPOINT = Endpoint(address="http://127.0.0.1:8000/v1", model="tiny")


def plan(*loads: Load, **changes) -> ServePlan:
    """Return a plan that is content with three sessions."""
    given = {"least_sessions": 3, "looks": (3, 5, 8, 12), **changes}
    return ServePlan(endpoint=ENDPOINT.address, model="tiny", api="completions",
                     loads=loads or (OPEN,), **given)  # fmt: skip


def requests(due, ttft, e2e, *, warmups=8, tokens=4, late=0.0, **columns) -> Requests:
    """Return requests that were answered, an event per token, evenly spaced.

    Args:
        due: [requests] when each was due, s.
        ttft: first text after that, s; one for all, or one each.
        e2e: last text after that, s.
        warmups: places that do not count.
        tokens: of an answer.
        late: how late each was sent, s.
        columns: columns of `Requests` in place of what follows from these.
    """
    n = len(due)
    due = np.asarray(due, dtype=float)
    first, last = due + ttft, due + e2e
    gaps = (last - first) / max(tokens - 1, 1)
    found = {
        "due_ns": tuple(float(x) * 1e9 for x in due),
        "sent_ns": tuple(float(x) * 1e9 for x in due + late),
        "first_ns": tuple(float(x) * 1e9 for x in first),
        "last_ns": tuple(float(x) * 1e9 for x in last),
        "ended_ns": tuple(float(x) * 1e9 for x in last),
        "outcomes": ("ok",) * n,
        "details": ("",) * n,
        "input_asked": (128,) * n,
        "input_reported": (130,) * n,
        "output_asked": (tokens,) * n,
        "output_reported": (tokens,) * n,
        "chunks": (tokens,) * n,
        "text_bytes": (5 * tokens,) * n,
        "gaps_ns": tuple((float(g) * 1e9,) * (tokens - 1) for g in gaps),
    }
    return Requests(**(found | columns), warmups=warmups)


def failing(made: Requests, which, outcome="http-error") -> Requests:
    """Return the requests with some that got an error at once."""
    gone = set(which)

    def put(column, value):
        return tuple(value if i in gone else x for i, x in enumerate(column))

    return dataclasses.replace(
        made,
        first_ns=put(made.first_ns, None), last_ns=put(made.last_ns, None),
        outcomes=put(made.outcomes, outcome), details=put(made.details, "it said no"),
        output_reported=put(made.output_reported, -1), input_reported=put(made.input_reported, -1),
        chunks=put(made.chunks, 0), text_bytes=put(made.text_bytes, 0),
        gaps_ns=put(made.gaps_ns, ()),
    )  # fmt: skip


def unsent(made: Requests, which) -> Requests:
    """Return the requests with some that were never sent."""
    gone = set(which)

    def put(column):
        return tuple(None if i in gone else x for i, x in enumerate(column))

    made = failing(made, gone, "unfinished")
    return dataclasses.replace(made, sent_ns=put(made.sent_ns), ended_ns=put(made.ended_ns))


def session(made: Requests, index=0, load=0, null_per_s=1000.0) -> ServeSession:
    return ServeSession(index=index, load=load, restarted=False, requests=made,
                        null_per_s=null_per_s, spent_s=10.0)  # fmt: skip


def result(*made: Requests, load=OPEN, endpoint=ENDPOINT, null_per_s=1000.0,
           **changes) -> ServingResult:  # fmt: skip
    """Return what follows from one load with a session per entry."""
    rows = [session(m, index=i, null_per_s=null_per_s) for i, m in enumerate(made)]
    return serving_result(plan=plan(load, **changes), endpoint=endpoint, sessions=rows, spent_s=1.0)


def steady(seed=0, n=108, rate=10.0, *, spread=0.02, ttft=0.1, e2e=0.5, **changes) -> Requests:
    """Return a load that the endpoint bears easily."""
    rng = np.random.default_rng(seed)
    due = 1e6 + np.cumsum(rng.exponential(1 / rate, n))
    scale = np.exp(rng.normal(0, spread, n))
    return requests(due, ttft * scale, e2e * scale, **changes)


def queue(rng, rho, n=100, warmups=8, service_s=1.0) -> Requests:
    """Return requests of an M/D/1 queue: Poisson arrivals, one server, equal service."""
    due = np.cumsum(rng.exponential(service_s / rho, n + warmups))
    done, free = np.empty(n + warmups), 0.0
    for place, at in enumerate(due):
        free = max(free, at) + service_s
        done[place] = free
    return requests(due, done - due - service_s / 2, done - due, warmups=warmups)


def shared(rng, rho, n=100, warmups=8) -> Requests:
    """Return requests of a server that shares its time evenly among all that are there."""
    due = np.cumsum(rng.exponential(1 / rho, n + warmups))
    done, left, now, place = np.empty(n + warmups), {}, 0.0, 0
    while place < len(due) or left:
        ends = now + min(left.values()) * len(left) if left else np.inf
        comes = due[place] if place < len(due) else np.inf
        at = min(ends, comes)
        left = {i: work - (at - now) / len(left) for i, work in left.items()}
        now = at
        if comes <= ends:
            left[place] = 1.0
            place += 1
        for i in [i for i, work in left.items() if work <= 1e-9]:
            done[i] = now
            del left[i]
    return requests(due, (done - due) / 2, done - due, warmups=warmups)


def unhindered(rng, rate, n=100, warmups=8) -> Requests:
    """Return requests of a server on which they do not hinder each other; each takes about 1 s."""
    due = np.cumsum(rng.exponential(1 / rate, n + warmups))
    took = rng.uniform(0.8, 1.2, n + warmups)
    return requests(due, took / 2, took, warmups=warmups)
