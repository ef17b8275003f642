"""A run: audit, probe, then sessions until every case is narrow enough or out of budget.

Cases take their sessions side by side: one process takes the next session of every open case, so
that the start of a process is paid once for all and a slow hour falls on no case alone. Must not
know processes, files or renderers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from crossgrade import errors
from crossgrade.measure.events import (
    CasePlan,
    Event,
    Lost,
    Refused,
    Sampled,
    SessionRequest,
    Trying,
)
from crossgrade.measure.source import Source
from crossgrade.measure.state import CaseState, RunState
from crossgrade.values.bench import BenchResult

BATCH = 200
"""Most cases that share a process: what one leaks, the next one pays."""
Narrate = Callable[[str], None]


class Store(Protocol):
    """Where events are kept, so that a killed run is taken up."""

    def events(self) -> Iterator[Event]:
        """Yield what an earlier process has kept."""

    def keep(self, event: Event) -> None:
        """Keep an event; it is safe when this returns."""


class NoStore:
    """Keeps nothing."""

    def events(self) -> Iterator[Event]:
        """Yield nothing."""
        return iter(())

    def keep(self, event: Event) -> None:
        """Forget it."""


def run(
    plans: Sequence[CasePlan],
    source: Source,
    *,
    store: Store | None = None,
    seed: int = 0,
    scratch: str = "",
    narrate: Narrate = lambda text: None,
) -> Iterator[tuple[str, BenchResult]]:
    """Yield each case's key and result as soon as it is final.

    Args:
        plans: cases under unique keys.
        source: what takes sessions.
        store: where events are kept; what it holds already is not measured again.
        seed: seed of simulated noise and of the order of cases.
        scratch: folder in which targets keep what takes long to make; empty: none.
        narrate: told what happens.

    Raises:
        CrossgradeError: what a worker was refused, such as TargetAbsent.
    """
    store = store or NoStore()
    state = RunState.of(plans, scratch)
    for event in store.events():
        state.apply(event)
    _probe(state, source, store, seed, narrate)
    _look(state, source, store, narrate)
    given: set[str] = set()
    for case in state.cases.values():
        yield from _final(case, state, given)
    rng = random.Random(f"order/{seed}")
    while cases := list(state.open_cases()):
        rng.shuffle(cases)
        for event in source.take(_request(state, source, cases[:BATCH], seed)):
            _take_in(event, state, store)
            if isinstance(event, (Sampled, Lost)):
                case = state.cases[event.key]
                narrate(_progress(case, state, given))
                yield from _final(case, state, given)


def _probe(state: RunState, source: Source, store: Store, seed: int, narrate: Narrate) -> None:
    """Learn which timers hold and which variants can run."""
    request = state.to_probe(seed)
    if request is None:
        return
    for target in request.targets:
        narrate(f"auditing the timers of {target}")
    if any(case.of_model for case in state.cases.values()):
        narrate("getting the model ready on every target")
    for event in source.probe(request):
        _take_in(event, state, store)


def _look(state: RunState, source: Source, store: Store, narrate: Narrate) -> None:
    """Learn what models give where they are trusted, then what each variant gives and takes."""
    request = state.to_refer()
    if request is not None:
        narrate("running the model where its result is trusted")
        for event in source.refer(request):
            _take_in(event, state, store)
    for looked in list(state.to_observe()):
        narrate(f"looking at {looked.variant}: accuracy, memory, energy")
        for event in source.observe(looked):
            _take_in(event, state, store)


def _request(
    state: RunState, source: Source, cases: Sequence[CaseState], seed: int
) -> SessionRequest:
    targets = {v.target for c in cases for v in c.plan.variants}
    forkable = all(state.audits[t].forkable for t in targets if t in state.audits)
    return SessionRequest(
        cases=tuple(c.next_session() for c in cases),
        audits=state.reports,
        start=source.start(cases[0].plan.start, forkable),
        seed=seed,
        scratch=state.scratch,
    )


def _take_in(event: Event, state: RunState, store: Store) -> None:
    if isinstance(event, Refused):
        kind: type[errors.CrossgradeError] = getattr(errors, event.error)
        raise kind(event.message, where=event.where, hint=event.hint)
    if not isinstance(event, Trying):
        store.keep(event)
    state.apply(event)


def _final(case: CaseState, state: RunState, given: set[str]) -> Iterator[tuple[str, BenchResult]]:
    """Yield the result of a case that has just become final."""
    if case.key not in given and case.done:
        given.add(case.key)
        yield case.key, case.result(state.reports)


def _progress(case: CaseState, state: RunState, given: set[str]) -> str:
    """Return a line on where the run is, and what its budgets leave at most."""
    at = f"session {len(case.sessions)}{f', {len(case.lost)} lost' if case.lost else ''}"
    title = case.plan.variants[0].case.title
    left = sum(max(0.0, c.plan.budget_s - c.spent_s)
               for c in state.cases.values() if c.key not in given)  # fmt: skip
    rest = f"at most {left:.0f} s left" if left < 120 else f"at most {left / 60:.0f} min left"
    if len(state.cases) == 1:
        return f"{title}: {at}, {rest}"
    # A line on a screen is cut at its end, so what is said of the whole run comes first.
    return f"{len(given)} of {len(state.cases)} cases done, {rest}; {title}: {at}"
