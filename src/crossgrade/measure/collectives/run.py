"""A run: look for devices, then process groups until every row is narrow or the budget is used.

Must not know processes, files or renderers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from crossgrade import errors
from crossgrade.measure.collectives.events import (
    CellAbsent,
    CommEvent,
    Looked,
    Lost,
    Sampled,
)
from crossgrade.measure.collectives.numbers import Absent, is_narrow, row_of
from crossgrade.measure.collectives.result import comm_result_of
from crossgrade.measure.events import Refused
from crossgrade.units import seconds, things
from crossgrade.values.bench import LostSession
from crossgrade.values.collective import CommPlan, CommResult, CommSession, Rank

MOST_LOST = 3
"""Sessions that may be lost; a group that broke so often is not tried again."""
_CAUTION = 0.9
"""Share of the time for samples that is given out: a round is finished that has begun."""
Narrate = Callable[[str], None]


class GroupSource(Protocol):
    """What takes sessions; `crossgrade.measure.collectives.group.RankGroups` is one."""

    def look(self, plan: CommPlan) -> CommEvent:
        """Return what ranks can be had, or the refusal."""

    def take(
        self, plan: CommPlan, looked: Looked, *, index: int, absent: frozenset[int], limit_s: float
    ) -> Iterator[CommEvent]:
        """Yield what a session tells."""


class EventStore(Protocol):
    """Where events are kept, so that a killed run is taken up."""

    def events(self) -> Iterator[CommEvent]:
        """Yield what an earlier process has kept."""

    def keep(self, event: CommEvent) -> None:
        """Keep an event; it is safe when this returns."""


@dataclass(slots=True)
class _State:
    """A run; the fold over its events."""

    plan: CommPlan
    looked: Looked | None = None
    ranks: tuple[Rank, ...] = ()
    sessions: list[CommSession] = field(default_factory=list)
    lost: list[LostSession] = field(default_factory=list)
    absent: dict[int, Absent] = field(default_factory=dict)
    broke: int = 0
    spent_s: float = 0.0
    wall_s: list[float] = field(default_factory=list)

    def apply(self, event: CommEvent) -> None:
        """Take an event in."""
        match event:
            case Looked():
                self.looked = event
            case CellAbsent():
                self.absent[event.cell] = (event.reason, event.detail)
            case Sampled():
                self.sessions.append(event.session)
                self.ranks = self.ranks or event.ranks
                self._spend(event.wall_s)
            case Lost():
                self._lose(event)
            case _:
                pass

    def _lose(self, event: Lost) -> None:
        """Take in a broken group; a cell that broke it when first tried is not tried again."""
        self.lost.append(LostSession(index=event.index, reason=event.reason, detail=event.detail))
        self._spend(event.wall_s)
        if event.cell is not None and not self.sessions:
            self.absent[event.cell] = (event.reason, event.detail)
        else:
            self.broke += 1

    def _spend(self, wall_s: float) -> None:
        self.wall_s.append(wall_s)
        self.spent_s += wall_s

    @property
    def next_index(self) -> int:
        """Return the number of the next session."""
        return len(self.sessions) + len(self.lost)

    @property
    def done(self) -> bool:
        """Return whether no further session is wanted."""
        plan, count = self.plan, len(self.sessions)
        present = [i for i in range(len(plan.cells)) if i not in self.absent]
        if not present or self.broke >= MOST_LOST or count >= plan.looks[-1]:
            return True
        if count in plan.looks and count >= plan.least_sessions:
            rows = (row_of(plan, self.sessions, cell, None) for cell in present)
            if all(is_narrow(row, plan) for row in rows):
                return True
        return bool(self.wall_s) and self.spent_s + self.wall_s[-1] > plan.budget_s

    @property
    def limit_s(self) -> float:
        """Return the time for samples of the next session: its share of what is left, less what
        the last one took for getting ready, and at least a quarter of the share."""
        plan, count = self.plan, len(self.sessions)
        share = (plan.budget_s - self.spent_s) / max(1, plan.least_sessions - count)
        if count >= plan.least_sessions:
            share = plan.budget_s / plan.least_sessions
        ready = share / 4
        if self.sessions:
            last = self.sessions[-1]
            ready = last.spent_s - _sampling_s(last)
        return max(share - ready, share / 4) * _CAUTION

    def result(self) -> CommResult:
        """Return what follows from the samples so far."""
        absent = dict(self.absent)
        if self.lost and not self.sessions:
            last = self.lost[-1]
            absent = {**dict.fromkeys(range(len(self.plan.cells)), (last.reason, last.detail)),
                      **absent}  # fmt: skip
        backend = self.looked.backend if self.looked else ""
        result = comm_result_of(self.plan, backend, self.ranks, self.sessions, absent, self.spent_s)
        return replace(result, lost=tuple(self.lost))


def _sampling_s(session: CommSession) -> float:
    """Return how long a session took samples, s."""
    first = session.started_ns[0]
    return (first[-1] + session.spans_ns[0][-1] - first[0]) * 1e-9


def run_comm(
    plan: CommPlan,
    source: GroupSource,
    store: EventStore | None = None,
    narrate: Narrate = lambda text: None,
) -> CommResult:
    """Return what was measured.

    Args:
        plan: what is measured, and how well.
        source: what takes sessions.
        store: where events are kept; what it holds already is not measured again.
        narrate: told what happens.

    Raises:
        CrossgradeError: what a process was refused, such as TargetAbsent.
    """
    state = _State(plan)
    for event in store.events() if store else ():
        state.apply(event)

    if state.looked is None:
        narrate(f"looking for {things(plan.ranks, 'rank')} on {plan.target}")
        _take_in(source.look(plan), state, store)
    while not state.done:
        assert state.looked is not None
        left = max(0.0, plan.budget_s - state.spent_s)
        narrate(f"session {state.next_index + 1} of {things(plan.ranks, 'rank')}, at most "
                f"{seconds(left)} left")  # fmt: skip
        absent = frozenset(state.absent)
        for event in source.take(plan, state.looked, index=state.next_index, absent=absent,
                                 limit_s=state.limit_s):  # fmt: skip
            _take_in(event, state, store)
    return state.result()


def _take_in(event: CommEvent, state: _State, store: EventStore | None) -> None:
    """Keep an event and take it in; one that a process was refused for is raised."""
    if isinstance(event, Refused):
        kind: type[errors.CrossgradeError] = getattr(errors, event.error)
        raise kind(event.message, where=event.where, hint=event.hint)
    if store is not None:
        store.keep(event)
    state.apply(event)
