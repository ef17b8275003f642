"""What a rank does in one session: check every collective, then time them round by round.

Ranks agree through the store of the group, never through the collectives under test. Must not know
who started the ranks, nor what is made of the samples.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from crossgrade.measure.collectives.events import RankRequest
from crossgrade.targets.protocol import Kernel
from crossgrade.units import seconds
from crossgrade.values.collective import CommCell, CommReason
from crossgrade.values.operator_case import CannotRun

MOST_CALLS = 1000
"""Calls of a block at most."""
WORK_S = 12e-3
"""Least length of a rank's own work, s: longer than a turn on a busy core, and long beside what a
barrier lets one rank go earlier than another."""
PAIR_CALLS = 4
"""Exchanges of a pair in a block."""
MOST_PAIRED = 16
"""Ranks up to which every pair is timed: 120 pairs."""
READ_NS = 1e6
"""Time that reading an element may take in any case, ns."""
_NS = 1e9
_MOST_WARM = 3
_TRIES = 3


class CollectiveLike(Protocol):
    """A collective of one size."""

    def refill(self) -> None:
        """Put back what it changed."""

    def launch(self) -> None:
        """Start one call."""

    def read(self) -> float:
        """Return one element of the newest result on the host."""

    def wrong(self) -> str:
        """Run it once; return what is wrong with the result, or raise CannotRun."""


class BuffersLike(Protocol):
    """What collectives run on."""

    def collective(self, cell: CommCell) -> CollectiveLike:
        """Return a collective of one size."""


class GroupLike(Protocol):
    """A rank that has joined; `crossgrade.targets.process_group.ProcessGroup` is one."""

    rank: int
    ranks: int
    backend: str

    def facts(self) -> Any:
        """Return what its device is."""

    def clock_ns(self) -> int:
        """Return the clock that the ranks share, ns."""

    def synchronize(self) -> None:
        """Wait until all that was launched here has run."""

    def barrier(self) -> None:
        """Wait for the others."""

    def meet(self) -> None:
        """Run a small all-reduce."""

    def agree(self, key: str, value: Any) -> list[Any]:
        """Return what every rank says."""

    def exchange(self, peer: int, *, first: bool) -> None:
        """Exchange a message with another rank."""

    def own_work(self) -> Kernel:
        """Return work that needs no other rank."""

    def buffers(self, cells: tuple[CommCell, ...], dtype: str, seed: int) -> BuffersLike:
        """Return the buffers, or raise CannotRun."""

    def leave(self) -> None:
        """Part from the others."""


@dataclass(slots=True)
class _Member:
    """A rank with what it has learned."""

    group: GroupLike
    request: RankRequest
    ready: dict[int, CollectiveLike] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)
    work: Kernel | None = None
    work_calls: int = 1
    doing: str = "getting ready"
    since_ns: int = 0

    def now(self, doing: str) -> None:
        """Take note of what is done, from now on."""
        self.doing = doing
        self.since_ns = self.group.clock_ns()


class RankFailed(Exception):
    """A rank raised; says what it was doing."""


def session(group: GroupLike, request: RankRequest) -> Iterator[dict[str, Any]]:
    """Yield what this rank has to tell, JSON values; every rank walks through the same steps.

    `{"at": cell}` before a cell is tried, `{"absent": ...}` from rank 0, `{"ready": ...}` before
    the first sample, `{"round": ...}` with the samples of a round, `{"failed": ...}` with the time
    that it was in what then failed and when that was, `{"done": True}`.

    Raises:
        RankFailed: what went wrong, and in which collective.
    """
    member = _Member(group, request)
    began = member.since_ns = group.clock_ns()
    try:
        yield from _prepared(member)
        if member.ready:
            _warm(member)
            yield {
                "ready": {"calls": _listed(member), "primed_s": (group.clock_ns() - began) / _NS}
            }
            yield from _rounds(member)
        group.leave()
    except Exception as error:
        now = group.clock_ns()
        yield {"failed": {"waited_s": (now - member.since_ns) / _NS, "at_ns": now}}
        raise RankFailed(f"in {member.doing}: {type(error).__name__}: {error}") from error
    yield {"done": True}


def _prepared(member: _Member) -> Iterator[dict[str, Any]]:
    """Check every cell and learn how many calls a block takes."""
    group, request = member.group, member.request
    plan = request.plan
    cells = [i for i in range(len(plan.cells)) if i not in request.absent]
    wanted = tuple(plan.cells[i] for i in cells)
    if not wanted:
        return
    buffers: BuffersLike | None = None
    trouble: tuple[CommReason, str] | None = None
    try:
        buffers = group.buffers(wanted, plan.dtype, plan.seed)
    except CannotRun as cannot:
        trouble = (_reason(cannot), cannot.detail)
    told = _first_trouble(group.agree("buffers", trouble))
    if told is not None or buffers is None:
        # All share the buffers of the largest; without it the rest may fit.
        largest = max(cells, key=lambda i: plan.cells[i].elements)
        if group.rank == 0:
            yield _absent(largest, told or ("error", "no buffers"))
        return
    random.Random(f"check/{plan.seed}/{request.index}").shuffle(cells)
    for cell in cells:
        yield {"at": cell}
        yield from _checked(member, cell, buffers.collective(plan.cells[cell]))
    _measure_work(member)


def _checked(member: _Member, cell: int, one: CollectiveLike) -> Iterator[dict[str, Any]]:
    """Run a cell once on every rank; keep it where all got what they must get."""
    group, plan = member.group, member.request.plan
    member.now(plan.cells[cell].key)
    trouble: tuple[CommReason, str] | None = None
    try:
        wrong = one.wrong()
        trouble = ("wrong-result", wrong) if wrong else None
    except CannotRun as cannot:
        trouble = (_reason(cannot), cannot.detail)
    told = _first_trouble(group.agree(f"checked/{cell}", trouble))
    if told is not None:
        if group.rank == 0:
            yield _absent(cell, told)
        return
    span, late = _tried(member, one)
    told = _first_trouble(group.agree(f"timer/{cell}", late))
    if told is not None:
        if group.rank == 0:
            yield _absent(cell, told)
        return
    took = max(1.0, *group.agree(f"took/{cell}", span))
    member.calls[cell] = min(MOST_CALLS, math.ceil(plan.block_s * _NS / took))
    member.ready[cell] = one


def _tried(member: _Member, one: CollectiveLike) -> tuple[float, tuple[CommReason, str] | None]:
    """Return how long a call takes, ns, and whether synchronisation lies about it.

    After an honest one the result is there, and reading an element of it costs next to nothing.
    """
    clock = member.group.clock_ns
    spans, reads = [], []
    for _ in range(_TRIES):
        one.refill()
        spans.append(_span(member, one, 1)[1])
        start = clock()
        one.read()
        reads.append(float(clock() - start))
    span, read = min(spans), min(reads)
    if read <= max(READ_NS, span / 2):
        return span, None
    return span, ("no-timer", f"reading a result took {seconds(read / _NS)} after a synchronised "
                  f"call of {seconds(span / _NS)}: synchronisation did not wait")  # fmt: skip


def _reason(cannot: CannotRun) -> CommReason:
    known: dict[str, CommReason] = {
        "unsupported-operator": "unsupported-operator",
        "unsupported-format": "unsupported-format",
        "too-large": "too-large",
        "out-of-memory": "out-of-memory",
    }
    return known.get(cannot.reason, "error")


def _first_trouble(told: Sequence[Any]) -> tuple[CommReason, str] | None:
    """Return the reason that the first rank in trouble gives, and who else is."""
    ranks = [rank for rank, trouble in enumerate(told) if trouble is not None]
    if not ranks:
        return None
    reason, detail = told[ranks[0]]
    who = f"rank {ranks[0]}" if len(ranks) < len(told) or len(told) == 1 else "all ranks"
    others = f" (also rank {', '.join(map(str, ranks[1:]))})" if 1 < len(ranks) < len(told) else ""
    return reason, f"{who}: {detail}{others}"


def _absent(cell: int, told: tuple[CommReason, str]) -> dict[str, Any]:
    return {"absent": {"cell": cell, "reason": told[0], "detail": told[1]}}


def _measure_work(member: _Member) -> None:
    """Learn how often the own work is repeated; all ranks do it equally often."""
    member.now("own work")
    group = member.group
    kernel = member.work = group.own_work()
    kernel.launch()
    group.synchronize()
    start = group.clock_ns()
    kernel.launch()
    group.synchronize()
    wanted = math.ceil(WORK_S * _NS / max(1.0, float(group.clock_ns() - start)))
    member.work_calls = min(MOST_CALLS, max(group.agree("work", wanted)))


def _span(member: _Member, one: CollectiveLike, calls: int) -> tuple[float, float]:
    """Return when this rank left the barrier, and how long the calls then took, ns."""
    group = member.group
    group.synchronize()
    group.barrier()
    start = group.clock_ns()
    for _ in range(calls):
        one.launch()
    group.synchronize()
    return float(start), float(group.clock_ns() - start)


def _listed(member: _Member) -> list[int]:
    return [member.calls.get(i, 0) for i in range(len(member.request.plan.cells))]


def _warm(member: _Member) -> None:
    """Run whole rounds that nobody keeps."""
    group, plan = member.group, member.request.plan
    end = group.clock_ns() + plan.warm_s * _NS
    for number in range(_MOST_WARM):
        _round(member, f"warm/{number}")
        if not group.agree(f"warmed/{number}", group.clock_ns() < end)[0]:
            break


def _rounds(member: _Member) -> Iterator[dict[str, Any]]:
    """Yield rounds until rank 0's clock says that it is enough."""
    group, request = member.group, member.request
    plan = request.plan
    end = group.clock_ns() + request.limit_s * _NS
    for number in range(plan.rounds):
        yield {"round": _round(member, f"round/{number}")}
        more = number + 1 < plan.least_rounds or group.clock_ns() < end
        if not group.agree(f"more/{number}", more)[0]:
            break


def _round(member: _Member, name: str) -> dict[str, Any]:
    """Return one block of every cell, then what tells slow ranks."""
    plan = member.request.plan
    order = sorted(member.ready)
    random.Random(f"{plan.seed}/{member.request.index}/{name}").shuffle(order)
    started, spans = [], []
    for cell in order:
        member.now(plan.cells[cell].key)
        one = member.ready[cell]
        one.refill()
        start, span = _span(member, one, member.calls[cell])
        started.append(start)
        spans.append(span)
    return {"order": order, "started": started, "spans": spans, **_own(member),
            "pairs": _paired(member)}  # fmt: skip


def _own(member: _Member) -> dict[str, float]:
    """Return when this rank was released, how long it worked alone, and how long it then waited."""
    member.now("own work")
    group, kernel = member.group, member.work
    assert kernel is not None
    group.barrier()
    released = group.clock_ns()
    for _ in range(member.work_calls):
        kernel.launch()
    group.synchronize()
    worked = group.clock_ns()
    group.meet()
    return {"released": float(released), "work": float(worked - released),
            "wait": float(group.clock_ns() - worked)}  # fmt: skip


def pairs_of(ranks: int) -> tuple[tuple[int, int], ...]:
    """Return the pairs that exchange messages; none where one could not be told from another."""
    if not 3 <= ranks <= MOST_PAIRED:
        return ()
    return tuple(itertools.combinations(range(ranks), 2))


def _paired(member: _Member) -> list[float]:
    """Return per pair how long its exchanges took as its lower rank saw it, ns; 0 on the others."""
    group = member.group
    spans = []
    for low, high in pairs_of(group.ranks):
        member.now(f"messages of ranks {low} and {high}")
        group.barrier()
        start = group.clock_ns()
        if group.rank in (low, high):
            for _ in range(PAIR_CALLS):
                group.exchange(high if group.rank == low else low, first=group.rank == low)
        spans.append(float(group.clock_ns() - start) if group.rank == low else 0.0)
    return spans
