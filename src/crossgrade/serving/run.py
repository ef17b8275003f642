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

from crossgrade.errors import BadOption, BadRecord, TargetBroken
from crossgrade.records.typed import from_json
from crossgrade.serving.analysis import serving_result, wants_more
from crossgrade.units import seconds
from crossgrade.values.bench import LostReason, LostSession
from crossgrade.values.serving import Endpoint, ServePlan, ServeSession, ServingResult

MOST_LOST = 3
"""Sessions that may be lost; a server that failed so often is not started again."""
_LEAST_SHARE = 0.05
"""Share of the budget below which no session is begun though too few are there."""
_CAUTION = 0.8
"""Share of its time that a load may take for sending; answers still come after that."""
Narrate = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What the endpoint is."""

    endpoint: Endpoint
    """What is known of it."""
    spent_s: float
    """What the run had taken when it was told, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """A load was put on the endpoint."""

    session: ServeSession
    """Its requests."""
    spent_s: float
    """What the run had taken then, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A session gave nothing."""

    index: int
    """Number of the session."""
    reason: LostReason
    """How it ended."""
    detail: str
    """What happened, for a person."""
    spent_s: float
    """What the run had taken then, s."""


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
    """A run; the fold over its events, and the time since this process began."""

    plan: ServePlan
    clock: Callable[[], float]
    began_s: float = 0.0
    endpoint: Endpoint | None = None
    sessions: list[ServeSession] = field(default_factory=list)
    lost: list[LostSession] = field(default_factory=list)
    before_s: float = 0.0
    """What earlier processes have spent, s."""

    def apply(self, event: ServeEvent) -> None:
        """Take an event in."""
        match event:
            case Looked():
                self.endpoint = event.endpoint
            case Sampled():
                self.sessions.append(event.session)
            case Lost():
                self.lost.append(
                    LostSession(index=event.index, reason=event.reason, detail=event.detail)
                )

    @property
    def spent_s(self) -> float:
        """Return the time that the run has taken, s."""
        return self.before_s + self.clock() - self.began_s

    @property
    def left_s(self) -> float:
        """Return what is left of the budget, s."""
        return self.plan.budget_s - self.spent_s

    def missing(self, index: int) -> list[int]:
        """Return the loads that a session has not had, in its own random order."""
        had = {s.load for s in self.sessions if s.index == index}
        order = list(range(len(self.plan.loads)))
        random.Random(f"{self.plan.seed}/{index}").shuffle(order)
        return [place for place in order if place not in had]

    @property
    def next_index(self) -> int:
        """Return the first session that is neither complete nor lost."""
        lost = {one.index for one in self.lost}
        index = 0
        while index in lost or not self.missing(index):
            index += 1
        return index

    @property
    def complete(self) -> int:
        """Return how many sessions have every load."""
        lost = {one.index for one in self.lost}
        return len({s.index for s in self.sessions} - lost - {self.next_index})

    @property
    def done(self) -> bool:
        """Return whether no further session is wanted, or none fits."""
        count = self.complete
        if len(self.lost) >= MOST_LOST or count >= self.plan.looks[-1]:
            return True
        if not count or count < self.plan.least_sessions:
            return self.left_s < _LEAST_SHARE * self.plan.budget_s or self._dead()
        if not wants_more(self.result(), count):
            return True
        return self.left_s < self.spent_s / (count + len(self.lost))

    def _dead(self) -> bool:
        """Return whether no request of a whole session was answered: more teach nothing."""
        return self.complete > 0 and all(not f.outcomes.get("ok") for f in self.result().loads)

    @property
    def limit_s(self) -> float:
        """Return the time for sending the requests of the next load, s: an even share of what is
        left, less what a load took beside it so far."""
        plan = self.plan
        wanted = max(plan.least_sessions * len(plan.loads) - len(self.sessions), len(plan.loads))
        beside = self.spent_s - sum(s.spent_s for s in self.sessions)
        share = self.left_s / wanted - (beside / len(self.sessions) if self.sessions else 0.0)
        return max(_CAUTION * share, 1.0)

    def result(self) -> ServingResult:
        """Return what follows from the requests so far; those of lost sessions do not count."""
        assert self.endpoint is not None
        lost = {one.index for one in self.lost}
        return serving_result(
            plan=self.plan,
            endpoint=self.endpoint,
            sessions=[s for s in self.sessions if s.index not in lost],
            lost=self.lost,
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
        BadOption: what is kept was measured on another endpoint.
    """
    state = _State(plan=plan, clock=clock, began_s=clock())
    for event in store.events() if store else ():
        state.apply(event)
        state.before_s = getattr(event, "spent_s", state.before_s)

    def take_in(event: ServeEvent) -> None:
        if store is not None:
            store.keep(event)
        state.apply(event)

    if state.endpoint is None or not state.done:
        narrate(f"looking at {plan.endpoint}")
        found = source.look(plan)
        if state.endpoint is None:
            take_in(Looked(endpoint=found, spent_s=state.spent_s))
        else:
            _refuse_another(state.endpoint, found)
    while not state.done:
        for event in _session(state, source, narrate):
            take_in(event)
    return state.result()


def _refuse_another(before: Endpoint, now: Endpoint) -> None:
    """Refuse to go on with a run on an endpoint that says other things of itself.

    Raises:
        BadOption: it does.
    """
    facts = [f"{n}: {before.facts.get(n, 'none')} -> {now.facts.get(n, 'none')}"
             for n in sorted({*before.facts, *now.facts})
             if before.facts.get(n) != now.facts.get(n)]  # fmt: skip
    if before.model != now.model:
        facts.insert(0, f"model: {before.model} -> {now.model}")
    if facts:
        raise BadOption(
            f"the interrupted run was on another endpoint ({'; '.join(facts[:3])})",
            hint="name another --out; what was measured stays",
        )


def _session(state: _State, source: ServingSource, narrate: Narrate) -> Iterator[ServeEvent]:
    """Yield each load of the next session as it is taken, or the loss of the session.

    A session that the budget does not hold ends with the load before.
    """
    plan, index = state.plan, state.next_index
    assert state.endpoint is not None
    try:
        with source.session(index) as serving:
            for place in state.missing(index):
                if state.left_s <= 0:
                    return
                load = plan.loads[place]
                narrate(f"session {index + 1}: {load.key}, {load.requests} requests; "
                        f"at most {seconds(state.left_s)} left")  # fmt: skip
                session = serving.play(plan, place, state.endpoint, index=index,
                                       limit_s=state.limit_s)  # fmt: skip
                yield Sampled(session=session, spent_s=state.spent_s)
    except TargetBroken as error:
        if not state.sessions:
            raise
        yield Lost(index=index, reason="crashed", detail=error.message, spent_s=state.spent_s)
