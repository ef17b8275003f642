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
    Observed,
    ObserveRequest,
    ProbeRequest,
    Ready,
    Referred,
    ReferRequest,
    Sampled,
)
from crossgrade.measure.result import result_of
from crossgrade.measure.stopping import done, next_rounds
from crossgrade.targets.protocol import DEFAULT_ANCHOR
from crossgrade.values.audit import AuditReport
from crossgrade.values.bench import BenchPlan, BenchResult, LostSession, Session
from crossgrade.values.model_case import ModelCase
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
    flop: float | None = None
    """Floating-point operations of a call, where they are known beforehand."""
    ready: dict[str, Ready] = field(default_factory=dict)
    """Variants that can run."""
    absent: dict[str, Absent] = field(default_factory=dict)
    """Variants that cannot."""
    reference: Referred | None = None
    """The trusted run of a case of a model."""
    observed: dict[str, Observed] = field(default_factory=dict)
    """Variants of a model that were looked at."""
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
    def of_model(self) -> bool:
        """Return whether it is a phase of a model, which is looked at before it is timed."""
        return isinstance(self.plan.variants[0].case, ModelCase)

    @property
    def unseen(self) -> tuple[str, ...]:
        """Return variants of a model that can run and were not looked at yet."""
        if not self.of_model:
            return ()
        return tuple(name for name in self.ready if name not in self.observed)

    @property
    def done(self) -> bool:
        """Return whether no further session is wanted."""
        if not self.probed or self.unseen:
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
            work={n: (self._flop_of(r), r.bytes) for n, r in self.ready.items()},
            spent_s=self.spent_s,
        )
        notes = {n: r.notes for n, r in self.ready.items() if r.notes}
        observed = {n: o.observation for n, o in self.observed.items()}
        return replace(result, lost=tuple(self.lost), notes=notes, observed=observed)

    def _flop_of(self, ready: Ready) -> float | None:
        return ready.flop if self.flop is None else self.flop

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
    scratch: str = ""
    """Folder of what takes long to make; empty: none."""

    @classmethod
    def of(cls, plans: Sequence[CasePlan], scratch: str = "") -> RunState:
        """Return a run that has not begun."""
        return cls({p.key: CaseState(p.key, p.plan, p.flop) for p in plans}, scratch=scratch)

    def apply(self, event: Event) -> None:
        """Take an event in; one that says nothing new of a run changes nothing."""
        match event:
            case Audited():
                self.audits[event.report.target] = event
                self._take_anchor(event)
            case Ready():
                self.cases[event.key].ready[event.variant] = event
            case Absent():
                # One that could run may turn out to compute something else.
                self.cases[event.key].ready.pop(event.variant, None)
                self.cases[event.key].absent[event.variant] = event
            case Referred():
                self.cases[event.key].reference = event
            case Observed():
                self.cases[event.key].observed[event.variant] = event
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
            cases=tuple(map(_case_plan, cases)),
            skip=tuple((c.key, n) for c in cases for n in (*c.ready, *c.absent)),
            seed=seed,
            scratch=self.scratch,
        )

    def to_refer(self) -> ReferRequest | None:
        """Return the models without a trusted run that have a variant to compare; None: none."""
        cases = [c for c in self.cases.values() if c.unseen and c.reference is None]
        return ReferRequest(cases=tuple(map(_case_plan, cases))) if cases else None

    def to_observe(self) -> Iterator[ObserveRequest]:
        """Yield variants of models that are to be looked at."""
        for case in self.cases.values():
            for name in case.unseen:
                if case.reference is not None:
                    yield ObserveRequest(
                        case=_case_plan(case),
                        variant=name,
                        reference=case.reference,
                        scratch=self.scratch,
                    )

    def open_cases(self) -> Iterator[CaseState]:
        """Yield cases that want a further session."""
        return (c for c in self.cases.values() if not c.done)


def _case_plan(case: CaseState) -> CasePlan:
    return CasePlan(key=case.key, plan=case.plan, flop=case.flop)
