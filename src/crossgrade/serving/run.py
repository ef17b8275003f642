"""A run: loads on an endpoint, session by session, until intervals are narrow or time is used.

Must not know files, renderers, or how a request is sent.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from crossgrade.errors import BadRecord, CrossgradeError
from crossgrade.records.typed import from_json
from crossgrade.serving.analysis import serving_result, wants_more
from crossgrade.units import seconds
from crossgrade.values.bench import LostReason, LostSession
from crossgrade.values.serving import Endpoint, ServePlan, ServeSession, ServingResult

MOST_LOST = 3
"""Sessions that may be lost; a server that failed so often is not started again."""
_DEAD = ("refused", "http-error", "cut-off", "malformed", "timed-out")
"""Verdicts of an endpoint from which further sessions learn nothing."""
_CAUTION = 0.8
"""Share of the time left that a load may take for sending; answers still come after that."""
Narrate = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What the endpoint is."""

    endpoint: Endpoint
    """What is known of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """A load was put on the endpoint."""

    session: ServeSession
    """Its requests."""
    wall_s: float
    """What it cost, with the start of the server where it was the first after it, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A session gave nothing."""

    index: int
    """Number of the session."""
    reason: LostReason
    """How it ended."""
    detail: str
    """What happened, for a person."""
    wall_s: float
    """What it cost, s."""


ServeEvent = Looked | Sampled | Lost
_EVENTS: dict[str, type[ServeEvent]] = {"Looked": Looked, "Sampled": Sampled, "Lost": Lost}


def serve_event_of(message: Any) -> ServeEvent:
    """Return the event that JSON tells.

    Raises:
        BadRecord: it is none.
    """
    fields = dict(message)
    kind = _EVENTS.get(str(fields.pop("event", "")))
    if kind is None:
        raise BadRecord("an entry of the journal is no event of a load")
    return from_json(kind, fields)


class Reached(Protocol):
    """An endpoint during one session."""

    def play(
        self, plan: ServePlan, place: int, endpoint: Endpoint, *, index: int, limit_s: float
    ) -> ServeSession:
        """Put a load on it and return every request."""


class ServingSource(Protocol):
    """Where an endpoint comes from: an address, or a server that is started for each session."""

    def look(self, plan: ServePlan) -> Endpoint:
        """Return what the endpoint is; EndpointAbsent where there is none."""

    def session(self, index: int) -> contextlib.AbstractContextManager[Reached]:
        """Return the endpoint for the loads of one session."""


class EventStore(Protocol):
    """Where events are kept, so that an interrupted run is taken up."""

    def events(self) -> Iterator[ServeEvent]:
        """Yield what an earlier process has kept."""

    def keep(self, event: ServeEvent) -> None:
        """Keep an event; it is safe when this returns."""


@dataclass(slots=True)
class _State:
    """A run; the fold over its events."""

    plan: ServePlan
    endpoint: Endpoint | None = None
    sessions: list[ServeSession] = field(default_factory=list)
    lost: list[LostSession] = field(default_factory=list)
    spent_s: float = 0.0

    def apply(self, event: ServeEvent) -> None:
        """Take an event in."""
        match event:
            case Looked():
                self.endpoint = event.endpoint
            case Sampled():
                self.sessions.append(event.session)
                self.spent_s += event.wall_s
            case Lost():
                self.lost.append(
                    LostSession(index=event.index, reason=event.reason, detail=event.detail)
                )
                self.spent_s += event.wall_s

    def missing(self, index: int) -> list[int]:
        """Return the loads that session has not had, in its own random order."""
        had = {s.load for s in self.sessions if s.index == index}
        order = list(range(len(self.plan.loads)))
        random.Random(f"{self.plan.seed}/{index}").shuffle(order)
        return [place for place in order if place not in had]

    @property
    def next_index(self) -> int:
        """Return the first session that is not complete."""
        lost = {one.index for one in self.lost}
        index = 0
        while index in lost or not self.missing(index):
            index += 1
        return index

    @property
    def complete(self) -> int:
        """Return how many sessions have every load."""
        return self.next_index - len(self.lost)

    @property
    def done(self) -> bool:
        """Return whether no further session is wanted."""
        count = self.complete
        if len(self.lost) >= MOST_LOST or count >= self.plan.looks[-1]:
            return True
        interrupted = len(self.missing(self.next_index)) < len(self.plan.loads)
        if not count or interrupted:
            return self.spent_s >= self.plan.budget_s
        result = self.result()
        if result.verdict in _DEAD and all(not r.outcomes.get("ok") for r in result.loads):
            return True
        enough = count in self.plan.looks and count >= self.plan.least_sessions
        if enough and not wants_more(result):
            return True
        return self.spent_s + self.spent_s / (count + len(self.lost)) > self.plan.budget_s

    @property
    def limit_s(self) -> float:
        """Return the time for sending the requests of the next load, s: an even share."""
        plan = self.plan
        wanted = max(plan.least_sessions * len(plan.loads) - len(self.sessions), 1)
        return max(_CAUTION * (plan.budget_s - self.spent_s) / wanted, 1.0)

    def result(self) -> ServingResult:
        """Return what follows from the requests so far."""
        assert self.endpoint is not None
        return serving_result(
            plan=self.plan,
            endpoint=self.endpoint,
            sessions=tuple(self.sessions),
            lost=tuple(self.lost),
            spent_s=self.spent_s,
        )


def run_serving(
    plan: ServePlan,
    source: ServingSource,
    store: EventStore | None = None,
    narrate: Narrate = lambda text: None,
    clock: Callable[[], float] = time.monotonic,
) -> ServingResult:
    """Return what was measured; a load once taken is kept.

    Args:
        plan: what is sent, and how well it is to be known.
        source: where the endpoint comes from.
        store: where events are kept; what it holds already is not measured again.
        narrate: told what happens.
        clock: s.

    Raises:
        EndpointAbsent: nothing that serves a model is there.
    """
    state = _State(plan=plan)
    for event in store.events() if store else ():
        state.apply(event)

    def take_in(event: ServeEvent) -> None:
        if store is not None:
            store.keep(event)
        state.apply(event)

    if state.endpoint is None:
        narrate(f"looking at {plan.endpoint}")
        take_in(Looked(endpoint=source.look(plan)))
    while not state.done:
        for event in _session(state, source, narrate, clock):
            take_in(event)
    return state.result()


def _session(
    state: _State, source: ServingSource, narrate: Narrate, clock: Callable[[], float]
) -> Iterator[ServeEvent]:
    """Yield each load of the next session as it is taken, or the loss of the session."""
    plan, index, began = state.plan, state.next_index, clock()
    assert state.endpoint is not None
    try:
        with source.session(index) as serving:
            for place in state.missing(index):
                load = plan.loads[place]
                left = max(plan.budget_s - state.spent_s, 0.0)
                narrate(f"session {index + 1}: {load.key}, {load.requests} requests; "
                        f"{seconds(left)} of {seconds(plan.budget_s)} left at most")  # fmt: skip
                session = serving.play(plan, place, state.endpoint, index=index,
                                       limit_s=state.limit_s)  # fmt: skip
                ended = clock()
                yield Sampled(session=session, wall_s=ended - began)
                began = ended
    except CrossgradeError as error:
        if not state.sessions:
            raise
        yield Lost(index=index, reason="error", detail=error.message, wall_s=clock() - began)
