"""Collectives of a group of ranks: what was planned, every sample in order, what follows from them.

Sizes and bandwidths are those of nccl-tests (doc/PERFORMANCE.md there), so that tables can be laid
side by side. Must not know how ranks are run, nor how statistics are worked out. Times in seconds
where a name ends in `_s`, nanoseconds where it ends in `_ns`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from crossgrade.values.bench import (
    EXCUSED,
    Interval,
    LostSession,
    RunVerdict,
    SessionStart,
    Spread,
)

COMM_SEMANTICS: Final = 1
"""Generation of the meaning of the numbers; raised when the same field comes to mean another thing.
"""
CollectiveOp = Literal[
    "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "broadcast", "send-recv"
]
"""all-reduce: the sum over the ranks, on every rank. all-gather: the shares of all ranks, on every
rank. reduce-scatter: the sum over the ranks, a share on each. all-to-all: a share from every rank
to every rank. broadcast: the buffer of rank 0, on every rank. send-recv: every rank sends its
buffer to the next rank and receives that of the one before, at the same time."""
OPS: Final[tuple[CollectiveOp, ...]] = (
    "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "broadcast", "send-recv",
)  # fmt: skip
MOST_RANKS: Final = 127
"""Ranks up to which a sum of ones is exact in every format that is offered."""

CommReason = Literal[
    "wrong-result", "unsupported-operator", "unsupported-format", "too-large", "out-of-memory",
    "no-timer", "error", "crashed", "timed-out", "no-samples",
]  # fmt: skip
"""Why a collective of a size has no number; a closed list.

wrong-result: a rank held other values than arithmetic gives. unsupported-operator: the backend has
no such collective. unsupported-format: it does not take that dtype. too-large: its buffers exceed
the memory that may be used. out-of-memory: the allocation failed. no-timer: the device's
synchronisation returns before the collective has run, so nothing can be timed by it. error: it
raised. crashed: a rank died. timed-out: a rank gave no sign for longer than its limit. no-samples:
no session has any.
"""


def bus_factor(op: CollectiveOp, ranks: int) -> float:
    """Return bus bandwidth over algorithm bandwidth, as nccl-tests defines it.

    It is the share of the size that has to pass the busiest link of a rank at least: 2 (n-1) / n
    for an all-reduce, (n-1) / n for all-gather, reduce-scatter and all-to-all, 1 for the others.
    """
    share = (ranks - 1) / ranks
    return {"all-reduce": 2 * share, "broadcast": 1.0, "send-recv": 1.0}.get(op, share)


def whole_elements(op: CollectiveOp, size_bytes: int, ranks: int, element_bytes: int) -> int:
    """Return how many elements the buffer has that `size` is about; 0: the size is too small.

    As in nccl-tests the size is that of the larger buffer of a rank: what every rank receives for
    an all-gather, what every rank gives for reduce-scatter and all-to-all, and the one buffer else.
    Where it is cut into a share per rank, a share has a multiple of 16 bytes.
    """
    if op in ("all-gather", "reduce-scatter", "all-to-all"):
        share = size_bytes // ranks // 16 * 16 // element_bytes
        return share * ranks
    return size_bytes // element_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CommCell:
    """One collective of one size."""

    op: CollectiveOp
    """Which."""
    elements: int
    """Elements of the larger buffer of a rank; see `whole_elements`."""
    size_bytes: int
    """The same in bytes: `size` of nccl-tests."""

    @property
    def key(self) -> str:
        """Return it as one word, such as `all-reduce/65536`."""
        return f"{self.op}/{self.size_bytes}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommPlan:
    """Everything that decides which samples are taken."""

    target: str
    """Device type of torch whose devices the ranks have, such as `cpu`."""
    ranks: int
    """Ranks, each a process with a device of its own; on `cpu` they share the machine."""
    dtype: str
    """Format of the elements, torch's name."""
    cells: tuple[CommCell, ...]
    """What is timed, interleaved."""
    half_width: float = 0.05
    """Wanted half width of the 95 % interval, as a share."""
    looks: tuple[int, ...] = (5, 8, 12, 18, 27, 40)
    """Session counts after which it may stop."""
    least_sessions: int = 5
    """It does not stop as done before that many."""
    budget_s: float = 60.0
    """Time for all of it, s of wall clock."""
    rounds: int = 120
    """Most rounds of a session."""
    least_rounds: int = 3
    """Rounds of a session however long they take."""
    block_s: float = 2e-3
    """Least length of a block of calls, s."""
    warm_s: float = 0.2
    """Rounds that are not kept, s; one at least."""
    timeout_s: float = 60.0
    """Longest time that a rank waits for the others, s."""
    seed: int = 0
    """Seed of contents and orders."""
    start: SessionStart = "forked"
    """How ranks are started; where a device cannot be forked it is `fresh`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """One rank of the group."""

    rank: int
    """Its number."""
    device: str
    """Device as torch writes it, such as `cuda:1`."""
    facts: Mapping[str, str]
    """Name of the device, versions, threads; identities are hashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommSession:
    """Samples of one process group, in order.

    A round has one block of every cell in random order, the same on all ranks, each after a
    barrier; then every rank does fixed work of its own and meets the others in a small all-reduce;
    then pairs of ranks exchange a message to and fro while the others wait.
    """

    index: int
    """0 is the first."""
    start: SessionStart
    """What the processes were."""
    calls: tuple[int, ...]
    """Calls per block, per cell of the plan; 0 for one that is absent."""
    order: tuple[int, ...]
    """Cell of each block by its place in the plan, in the order in which they ran."""
    started_ns: tuple[tuple[float, ...], ...]
    """[ranks][blocks] when a rank left the barrier, ns on the host's clock (measured)."""
    spans_ns: tuple[tuple[float, ...], ...]
    """[ranks][blocks] how long the calls took on a rank, ns (measured)."""
    released_ns: tuple[tuple[float, ...], ...]
    """[ranks][rounds] when a rank began its own work, ns on the host's clock (measured)."""
    work_ns: tuple[tuple[float, ...], ...]
    """[ranks][rounds] how long its own work took, ns (measured)."""
    wait_ns: tuple[tuple[float, ...], ...]
    """[ranks][rounds] how long it then was in the small all-reduce, ns (measured)."""
    pairs: tuple[tuple[int, int], ...]
    """Pairs of ranks that exchanged messages; empty where none did."""
    pair_ns: tuple[tuple[float, ...], ...]
    """[pairs][rounds] to and fro, as the lower rank saw it, ns (measured)."""
    primed_s: float
    """Time from the start of the processes to the first sample, s."""
    spent_s: float
    """Time of the whole session, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommRow:
    """What was found of one collective of one size; a failure is a row too."""

    op: CollectiveOp
    """Which."""
    size_bytes: int
    """Size, bytes."""
    status: Literal["ok", "absent"]
    """Whether there is a number."""
    reason: CommReason | None = None
    """Why there is none."""
    detail: str = ""
    """What happened, for a person."""
    sessions: int = 0
    """Sessions with samples of it."""
    time_s: Interval | None = None
    """Time per call, s (measured): geometric mean over sessions of the median over rounds of the
    time on the rank that took longest."""
    algorithm_bytes_per_s: Interval | None = None
    """Algorithm bandwidth: size over time, bytes per s."""
    bus_bytes_per_s: Interval | None = None
    """Bus bandwidth: algorithm bandwidth times `bus_factor`, bytes per s."""
    spread: Spread | None = None
    """How the times of single rounds scatter."""
    ranks_s: tuple[float, ...] = ()
    """Median time per call on each rank, s: how long it was inside, waiting for others included."""


RankSignal = Literal["work", "arrival", "link"]
"""work: how long fixed work of its own takes. arrival: how long after the first rank was released
it has done that work and reaches the others. link: how long messages to and from it take."""
SIGNALS: Final[tuple[RankSignal, ...]] = ("work", "arrival", "link")
SignalReason = Literal["too-few-ranks", "too-many-ranks", "too-few-sessions"]
"""too-few-ranks: of two ranks one link cannot be told from the other's. too-many-ranks: there are
too many pairs. too-few-sessions: one session tells nothing of its noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankReading:
    """One signal of one rank, over the median of the other ranks'."""

    rank: int
    """Which."""
    ratio: float
    """How many times as long it takes; 1 is like the others."""
    limit: float
    """Ratio above which it is called slow; it follows from the noise between sessions."""

    @property
    def slow(self) -> bool:
        """Return whether the rank is slow by this signal."""
        return self.ratio > self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalReport:
    """One signal over all ranks."""

    signal: RankSignal
    """Which."""
    reason: SignalReason | None = None
    """Why there are no readings."""
    readings: tuple[RankReading, ...] = ()
    """One per rank, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowRank:
    """A rank that holds up the others."""

    rank: int
    """Which."""
    device: str
    """Its device."""
    signals: tuple[RankSignal, ...]
    """By which signals."""
    ratio: float
    """The largest ratio of these."""
    limit: float
    """The limit of that one."""
    wait_share: float
    """Its median wait in the small all-reduce over that of the other ranks: a slow rank comes last
    and waits least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommResult:
    """One measurement of a group with all its samples."""

    semantics: int = COMM_SEMANTICS
    """Generation of the meaning of the fields."""
    plan: CommPlan
    """What was planned."""
    backend: str
    """Backend of the process group, such as `gloo`; empty where no group was made."""
    verdict: RunVerdict
    """How it ended."""
    why: str = ""
    """Why it is not `measured`, and what to do; empty where it is."""
    ranks: tuple[Rank, ...]
    """The ranks of the first session."""
    sessions: tuple[CommSession, ...]
    """Sessions in order."""
    rows: tuple[CommRow, ...]
    """What follows, per cell in the order of the plan."""
    signals: tuple[SignalReport, ...]
    """Whether ranks are alike, by each signal."""
    slow: tuple[SlowRank, ...]
    """Ranks that hold up the others."""
    lost: tuple[LostSession, ...] = ()
    """Sessions that gave nothing."""
    notes: tuple[str, ...] = ()
    """What a reader of the times should know."""
    spent_s: float
    """Wall clock of all sessions, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommRun:
    """Everything that one call of `bench comm` measured."""

    result: CommResult
    """What was found."""
    record: str
    """File of its record; empty: none was written."""
    folder: str
    """Where record and journal lie; empty: nothing was written."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Facts of this machine that the numbers depend on."""
    taken_up: int = 0
    """Sessions that an earlier, interrupted run had taken."""

    @property
    def verdict(self) -> RunVerdict:
        """Return the verdict of its result."""
        return self.result.verdict

    @property
    def exit_code(self) -> int:
        """0 every collective that the backend has is measured; 3 anything else."""
        return 0 if self.verdict == "measured" else 3


def verdict_of(rows: tuple[CommRow, ...], narrow: tuple[bool, ...]) -> RunVerdict:
    """Return the worst that can be said of the rows; see RunVerdict.

    Args:
        rows: all rows.
        narrow: of each, whether its interval is as asked.
    """
    present = [ok for row, ok in zip(rows, narrow, strict=True) if row.status == "ok"]
    if not present:
        return "unmeasured"
    if any(row.reason is not None and row.reason not in EXCUSED for row in rows):
        return "incomplete"
    return "measured" if all(present) else "noisy"
