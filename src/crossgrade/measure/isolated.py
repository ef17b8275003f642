"""Events from workers of their own: a crash or a hang costs one case, not the run.

Sessions on targets that allow it are forked from a parent that has only imported the libraries.
Must not know what a worker does, nor what is made of its events.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

from crossgrade.jobs.ending import Ended
from crossgrade.jobs.forking import SUPPORTED, Nursery, NurseryFailed
from crossgrade.jobs.run import Job, JobRun, run
from crossgrade.measure.events import (
    EVENTS,
    Absent,
    Event,
    Lost,
    ObserveRequest,
    ProbeRequest,
    Ready,
    Referred,
    ReferRequest,
    Refused,
    Sampled,
    SessionRequest,
    Trying,
)
from crossgrade.records.codec import to_json
from crossgrade.records.typed import from_json
from crossgrade.values.bench import SessionStart

WORKER = "crossgrade.measure.workers"
"""Module whose `probe_job` and `take_job` do the work."""
SILENCE_S = 120.0
"""A worker that gives no sign for that long, and the budget of its case, is ended."""


def event_of(message: Any) -> Event:
    """Return the event that a worker told as JSON.

    Raises:
        BadRecord: it is none.
    """
    fields = dict(message)
    return from_json(EVENTS[fields.pop("event")], fields)


class Isolated:
    """A source that runs each probe and each round of sessions in a worker."""

    def __init__(
        self,
        *,
        preload: tuple[str, ...] = (),
        memory_bytes: float | None = None,
        silence_s: float = SILENCE_S,
        worker: str = WORKER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            preload: modules that the parent of forked sessions imports.
            memory_bytes: memory that a worker may use on top of what it starts with; None: all.
            silence_s: silence after which a worker is ended, on top of the budget of its
                case, s.
            worker: module with another `probe_job` and `take_job`, such as for other targets.
            clock: the host's clock, s.
        """
        self._preload = preload
        self._memory = memory_bytes
        self._silence_s = silence_s
        self._worker = worker
        self._clock = clock
        self._nursery: Nursery | None = None
        self._unfit = False

    def __enter__(self) -> Isolated:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the parent of forked sessions."""
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None

    def start(self, wanted: SessionStart, forkable: bool) -> SessionStart:
        """Return `forked` where it is wanted and every target and the system allow it."""
        if wanted == "forked" and forkable and SUPPORTED and self._warm() is not None:
            return "forked"
        return "fresh"

    def probe(self, request: ProbeRequest) -> Iterator[Event]:
        """Yield audits and what can run; a variant that kills the worker is absent."""
        while True:
            trying: Trying | None = None
            told: list[Event] = []
            silence = self._silence_s + max((c.plan.budget_s for c in request.cases), default=0.0)
            job = self._job("probe_job", request, silence)
            for event, ended in self._events(job, None):
                if ended is None and event is not None:
                    trying = event if isinstance(event, Trying) else None
                    told.append(event)
                    yield event
                elif ended is not None and ended.kind != "done":
                    if trying is None:
                        yield _broken(ended)
                        return
                    absent = _absent(trying, ended)
                    told.append(absent)
                    yield absent
            if trying is None:
                return
            request = _rest_of_probe(request, told)

    def refer(self, request: ReferRequest) -> Iterator[Event]:
        """Yield trusted runs; of a case that ends the worker why there is none."""
        for case in request.cases:
            one = dataclasses.replace(request, cases=(case,))
            job = self._job("refer_job", one, self._silence_s + case.plan.budget_s)
            told = False
            for event, ended in self._events(job, None):
                if event is not None:
                    told = True
                    yield event
                elif ended is not None and not told:
                    yield Referred(key=case.key, about="", sample=None, plain_error=None,
                                   detail=f"{ended.kind}: {ended.detail}")  # fmt: skip

    def observe(self, request: ObserveRequest) -> Iterator[Event]:
        """Yield what is seen of a variant; one that ends the worker is absent."""
        silence = self._silence_s + request.case.plan.budget_s
        told = False
        for event, ended in self._events(self._job("observe_job", request, silence), None):
            if event is not None:
                told = True
                yield event
            elif ended is not None and not told:
                trying = Trying(key=request.case.key, variant=request.variant)
                yield _absent(trying, ended)

    def take(self, request: SessionRequest) -> Iterator[Event]:
        """Yield a session or its loss per case; after a loss the rest goes to a new worker."""
        cases = list(request.cases)
        while cases:
            silence = self._silence_s + max(c.plan.budget_s for c in cases)
            rest = dataclasses.replace(request, cases=tuple(cases))
            job = self._job("take_job", rest, silence)
            nursery = self._warm() if request.start == "forked" else None
            last = self._clock()
            for event, ended in self._events(job, nursery):
                now = self._clock()
                if isinstance(event, (Sampled, Lost)):
                    yield dataclasses.replace(event, wall_s=now - last)
                    last = now
                    cases.pop(0)
                elif event is not None:
                    yield event
                elif ended is not None and cases:
                    # A worker that is done has told of every case; one that has not is broken.
                    yield _lost(cases.pop(0), ended, now - last)

    def _job(self, function: str, request: Any, silence_s: float) -> Job:
        return Job(
            function=f"{self._worker}:{function}",
            arguments={"request": to_json(request)},
            silence_s=silence_s,
            memory_bytes=int(self._memory) if self._memory else None,
        )

    def _warm(self) -> Nursery | None:
        """Return the parent of forked sessions; None where a library does not allow one."""
        if self._nursery is not None and not self._nursery.alive:
            self.close()
        if self._nursery is None and not self._unfit:
            try:
                self._nursery = Nursery(self._preload)
            except NurseryFailed:
                self._unfit = True
        return self._nursery

    def _events(
        self, job: Job, nursery: Nursery | None
    ) -> Iterator[tuple[Event | None, Ended | None]]:
        """Yield the events of a job, and how it ended as the last pair."""
        with self._started(job, nursery) as working:
            for message in working:
                yield event_of(message), None
            yield None, working.ended

    def _started(self, job: Job, nursery: Nursery | None) -> JobRun:
        """Return the job, started; a nursery that died since is no fault of the case."""
        working = run(job, nursery=nursery)
        if nursery is None or working.pid:
            return working
        working.close()
        self.close()
        return run(job, nursery=self._warm())


def _rest_of_probe(request: ProbeRequest, told: list[Event]) -> ProbeRequest:
    """Return what is left to probe after the worker died."""
    from crossgrade.measure.events import Audited

    reports = tuple(e.report for e in told if isinstance(e, Audited))
    known = tuple((e.key, e.variant) for e in told if isinstance(e, (Ready, Absent)))
    audited = {r.target for r in reports}
    return dataclasses.replace(
        request,
        targets=tuple(t for t in request.targets if t not in audited),
        audits=(*request.audits, *reports),
        skip=(*request.skip, *known),
    )


def _absent(trying: Trying, ended: Ended) -> Absent:
    reason: Any = "error" if ended.kind == "failed" else ended.kind
    return Absent(key=trying.key, variant=trying.variant, reason=reason, detail=ended.detail)


def _lost(case: Any, ended: Ended, wall_s: float) -> Lost:
    reason: Any = "error" if ended.kind in ("failed", "done") else ended.kind
    return Lost(key=case.key, index=case.index, reason=reason, detail=ended.detail, wall_s=wall_s)


def _broken(ended: Ended) -> Refused:
    """Return the end of a run whose worker died before it tried any case."""
    return Refused(
        error="TargetBroken",
        message=f"the timer audit did not end: {ended.detail}",
        where="",
        hint="`crossgrade doctor` tells whether the runtime can be imported",
    )
