"""What is known of a run so far: the fold over its events.

A run that was killed is taken up by folding the events of its journal again. Must not know where
events come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from crossgrade.measure.events import (
    Absent,
    Audited,
    CasePlan,
    CaseSession,
    Event,
    Lost,
    ProbeRequest,
    Ready,
    Sampled,
)
from crossgrade.measure.result import result_of
from crossgrade.measure.stopping import done, next_rounds
from crossgrade.targets.protocol import DEFAULT_ANCHOR
from crossgrade.values.audit import AuditReport
from crossgrade.values.bench import BenchPlan, BenchResult, LostSession, Session
from crossgrade.values.operator_case import AbsentReason

MOST_LOST = 3
"""A case that lost that many sessions is not tried again."""


@dataclass(slots=True)
class CaseState:
    """One case of a run."""

    key: str
    """Key of the case."""
    plan: BenchPlan
    """What is measured."""
    ready: dict[str, Ready] = field(default_factory=dict)
    """Variants that can run."""
    absent: dict[str, Absent] = field(default_factory=dict)
    """Variants that cannot."""
    sessions: list[Session] = field(default_factory=list)
    """Sessions, in order."""
    lost: list[LostSession] = field(default_factory=list)
    """Sessions that gave nothing."""
    spent_s: float = 0.0
    """Time of both, s."""

    @property
    def probed(self) -> bool:
        """Return whether it is known of every variant whether it can run."""
        return len(self.ready) + len(self.absent) == len(self.plan.variants)

    @property
    def done(self) -> bool:
        """Return whether no further session is wanted."""
        if not self.probed:
            return False
        if not self.ready or len(self.lost) >= MOST_LOST:
            return True
        return done(self.plan, self.sessions, self.spent_s, self._next_s).stop

    @property
    def _next_s(self) -> float:
        taken = len(self.sessions) + len(self.lost)
        return self.spent_s / taken if taken else 0.0

    def next_session(self) -> CaseSession:
        """Return what to take next."""
        return CaseSession(
            key=self.key,
            plan=self.plan,
            index=len(self.sessions) + len(self.lost),
            rounds=next_rounds(self.plan, self.sessions),
            limit_s=self._sampling_s(),
            absent=tuple(self.absent),
        )

    def _sampling_s(self) -> float:
        """Return the time for samples: what a session's share of the budget leaves after getting
        ready, and at least a quarter of it, because getting ready for few samples is a waste."""
        left = self.plan.budget_s - self.spent_s
        share = self.plan.budget_s / self.plan.least_sessions
        ready = [s.primed_s for s in self.sessions]
        early = len(self.sessions) < self.plan.least_sessions
        free = (min(left, share) if early else left) - (sum(ready) / len(ready) if ready else 0.0)
        return max(free, share / 4)

    def result(self, audits: Sequence[AuditReport]) -> BenchResult:
        """Return what follows from the samples so far."""
        used = {v.target for v in self.plan.variants}
        result = result_of(
            self.plan,
            tuple(a for a in audits if a.target in used),
            tuple(self.sessions),
            absent=self._reasons(),
            work={n: (r.flop, r.bytes) for n, r in self.ready.items()},
            spent_s=self.spent_s,
        )
        notes = {n: r.notes for n, r in self.ready.items() if r.notes}
        return replace(result, lost=tuple(self.lost), notes=notes)

    def _reasons(self) -> dict[str, tuple[AbsentReason, str]]:
        """Return why variants have no number: of all, where every session was lost."""
        reasons = {n: (a.reason, a.detail) for n, a in self.absent.items()}
        if self.lost and not self.sessions:
            last = self.lost[-1]
            return {**dict.fromkeys(self.ready, (last.reason, last.detail)), **reasons}
        return reasons


@dataclass(slots=True)
class RunState:
    """A run."""

    cases: dict[str, CaseState]
    """Cases by key, in order."""
    audits: dict[str, Audited] = field(default_factory=dict)
    """Audits by target."""

    @classmethod
    def of(cls, plans: Sequence[CasePlan]) -> RunState:
        """Return a run that has not begun."""
        return cls({p.key: CaseState(p.key, p.plan) for p in plans})

    def apply(self, event: Event) -> None:
        """Take an event in; one that says nothing new of a run changes nothing."""
        match event:
            case Audited():
                self.audits[event.report.target] = event
                self._take_anchor(event)
            case Ready():
                self.cases[event.key].ready[event.variant] = event
            case Absent():
                self.cases[event.key].absent[event.variant] = event
            case Sampled():
                case_ = self.cases[event.key]
                case_.sessions.append(event.session)
                case_.spent_s += event.wall_s
            case Lost():
                case_ = self.cases[event.key]
                lost = LostSession(index=event.index, reason=event.reason, detail=event.detail)
                case_.lost.append(lost)
                case_.spent_s += event.wall_s
            case _:
                pass

    def _take_anchor(self, audited: Audited) -> None:
        """Give cases that start on a target the anchor it wants; a plan's own choice stays."""
        for case in self.cases.values():
            baseline = case.plan.variants[0].target
            if baseline == audited.report.target and case.plan.anchor == DEFAULT_ANCHOR:
                case.plan = replace(case.plan, anchor=audited.anchor or DEFAULT_ANCHOR)

    @property
    def reports(self) -> tuple[AuditReport, ...]:
        """Return the audits."""
        return tuple(a.report for a in self.audits.values())

    def to_probe(self, seed: int) -> ProbeRequest | None:
        """Return what is not known yet of targets and variants; None where all is."""
        cases = [c for c in self.cases.values() if not c.probed]
        wanted = dict.fromkeys(v.target for c in self.cases.values() for v in c.plan.variants)
        targets = tuple(t for t in wanted if t not in self.audits)
        if not targets and not cases:
            return None
        return ProbeRequest(
            targets=targets,
            audits=self.reports,
            cases=tuple(CasePlan(key=c.key, plan=c.plan) for c in cases),
            skip=tuple((c.key, n) for c in cases for n in (*c.ready, *c.absent)),
            seed=seed,
        )

    def open_cases(self) -> Iterator[CaseState]:
        """Yield cases that want a further session."""
        return (c for c in self.cases.values() if not c.done)
