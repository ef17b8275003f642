"""Sessions of a process group: ranks are started, their samples put together, their end explained.

Must not know statistics, nor when to stop.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from crossgrade.jobs.ending import EndKind
from crossgrade.jobs.forking import SUPPORTED, Nursery, NurseryFailed
from crossgrade.jobs.run import Job, run
from crossgrade.measure.collectives.events import (
    COMM_EVENTS,
    CellAbsent,
    CommEvent,
    Looked,
    Lost,
    RankRequest,
    Sampled,
)
from crossgrade.measure.collectives.member import pairs_of
from crossgrade.measure.collectives.ranks import GroupEnd, RankProcesses
from crossgrade.measure.events import Refused
from crossgrade.records.codec import to_json
from crossgrade.records.typed import from_json
from crossgrade.values.bench import LostReason, SessionStart
from crossgrade.values.collective import CommPlan, CommSession, Rank

WORKER = "crossgrade.measure.collectives.worker"
"""Module whose `look_job` and `rank_job` do the work."""
PRELOAD = ("crossgrade.targets.process_group", WORKER)
"""Modules that the parent of forked ranks imports."""
_START_S = 120.0
"""Time that imports may take on a busy machine, s."""


def comm_event_of(message: Any) -> CommEvent:
    """Return the event that JSON tells.

    Raises:
        BadRecord: it is none.
    """
    fields = dict(message)
    return from_json(COMM_EVENTS[fields.pop("event")], fields)


@dataclass(slots=True)
class _Heard:
    """What the ranks of one session have told."""

    ranks: dict[int, Rank] = field(default_factory=dict)
    at: int | None = None
    ready: Mapping[str, Any] | None = None
    rounds: dict[int, list[Mapping[str, Any]]] = field(default_factory=dict)


class RankGroups:
    """Takes sessions, a process group each."""

    def __init__(
        self,
        *,
        worker: str = WORKER,
        preload: tuple[str, ...] = PRELOAD,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            worker: module with another `look_job` and `rank_job`.
            preload: modules that the parent of forked ranks imports.
            clock: the host's clock, s.
        """
        self._worker, self._preload, self._clock = worker, preload, clock
        self._nursery: Nursery | None = None
        self._unfit = False

    def __enter__(self) -> RankGroups:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the parent of forked ranks."""
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None

    def look(self, plan: CommPlan) -> CommEvent:
        """Return what ranks can be had here, or the refusal."""
        arguments = {"target": plan.target, "ranks": plan.ranks, "dtype": plan.dtype}
        job = Job(function=f"{self._worker}:look_job", arguments=arguments, silence_s=_START_S)
        with run(job) as working:
            told = [comm_event_of(message) for message in working]
        if told:
            if plan.start == "forked" and isinstance(told[0], Looked) and told[0].forkable:
                self._warm()  # now, so that no session pays for it
            return told[0]
        return Refused(
            error="TargetBroken",
            message=f"looking for devices of `{plan.target}` did not end: {working.ended.detail}",
            where="",
            hint="`crossgrade doctor` tells whether the runtime can be imported",
        )

    def take(
        self, plan: CommPlan, looked: Looked, *, index: int, absent: frozenset[int], limit_s: float
    ) -> Iterator[CommEvent]:
        """Yield what a session tells: cells without a number, then its samples or its loss.

        A session in which no cell could be prepared yields neither.
        """
        began = self._clock()
        nursery = self._warm() if plan.start == "forked" and looked.forkable else None
        heard = _Heard()
        with tempfile.TemporaryDirectory(prefix="crossgrade-ranks-") as folder:
            jobs = [
                self._job(plan, RankRequest(
                    plan=plan, rank=rank, device=looked.devices[rank], index=index,
                    absent=tuple(sorted(absent)), limit_s=limit_s, folder=folder,
                ))
                for rank in range(plan.ranks)
            ]  # fmt: skip
            with RankProcesses(jobs, nursery, plan.timeout_s) as group:
                for rank, message in group.messages():
                    yield from _taken(heard, rank, message)
                end = group.end()
        wall_s = self._clock() - began
        if end.rank is not None:
            yield _lost(end, index, heard, wall_s)
        elif heard.ready is not None:
            start: SessionStart = "fresh" if nursery is None else "forked"
            session = _session(plan, index, start, heard, wall_s)
            ranks = tuple(heard.ranks[r] for r in sorted(heard.ranks))
            yield Sampled(session=session, ranks=ranks, wall_s=wall_s)

    def _job(self, plan: CommPlan, request: RankRequest) -> Job:
        return Job(
            function=f"{self._worker}:rank_job",
            arguments={"request": to_json(request)},
            # Longer than ranks wait for each other: who waits says more than who is silent.
            silence_s=_START_S + request.limit_s + 1.5 * plan.timeout_s,
        )

    def _warm(self) -> Nursery | None:
        """Return the parent of forked ranks; None where a library does not allow one."""
        if not SUPPORTED:
            return None
        if self._nursery is not None and not self._nursery.alive:
            self.close()
        if self._nursery is None and not self._unfit:
            try:
                self._nursery = Nursery(self._preload)
            except NurseryFailed:
                self._unfit = True
        return self._nursery


def _taken(heard: _Heard, rank: int, message: Mapping[str, Any]) -> Iterator[CommEvent]:
    """Take in what a rank told."""
    if "rank" in message:
        heard.ranks[rank] = from_json(Rank, message["rank"])
    elif "at" in message:
        heard.at = message["at"]
    elif "absent" in message:
        yield from_json(CellAbsent, message["absent"])
    elif "ready" in message:
        heard.at = None
        if rank == 0:
            heard.ready = message["ready"]
    elif "round" in message:
        heard.rounds.setdefault(rank, []).append(message["round"])


_REASONS: Mapping[EndKind, LostReason] = {
    "done": "error",
    "failed": "error",
    "crashed": "crashed",
    "timed-out": "timed-out",
    "out-of-memory": "out-of-memory",
}


def _lost(end: GroupEnd, index: int, heard: _Heard, wall_s: float) -> Lost:
    """Return the end of a group that was broken by one of its ranks."""
    assert end.rank is not None
    rank = heard.ranks.get(end.rank)
    device = f" ({rank.device})" if rank is not None else ""
    said = f"rank {end.rank}{device}: {end.ended.detail}"
    detail = "; ".join(filter(None, (said, end.seen)))
    return Lost(index=index, reason=_REASONS[end.ended.kind], detail=detail, cell=heard.at,
                wall_s=wall_s)  # fmt: skip


def _session(
    plan: CommPlan, index: int, start: SessionStart, heard: _Heard, wall_s: float
) -> CommSession:
    """Return the columns of a session from the rounds of all ranks."""
    assert heard.ready is not None
    ranks = [heard.rounds[rank] for rank in range(plan.ranks)]
    pairs = pairs_of(plan.ranks)

    def joined(name: str) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(x for r in rounds for x in r[name]) for rounds in ranks)

    def each(name: str) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(r[name] for r in rounds) for rounds in ranks)

    return CommSession(
        index=index,
        start=start,
        calls=tuple(heard.ready["calls"]),
        order=tuple(cell for r in ranks[0] for cell in r["order"]),
        started_ns=joined("started"),
        spans_ns=joined("spans"),
        released_ns=each("released"),
        work_ns=each("work"),
        wait_ns=each("wait"),
        pairs=pairs,
        pair_ns=tuple(
            tuple(r["pairs"][place] for r in ranks[low]) for place, (low, _) in enumerate(pairs)
        ),
        primed_s=float(heard.ready["primed_s"]),
        spent_s=wall_s,
    )
