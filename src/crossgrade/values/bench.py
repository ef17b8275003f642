"""A measurement: what was planned, every sample in order, and what follows from them.

Must not know how samples are taken, nor how statistics are worked out. Times in seconds where a
name ends in `_s`, nanoseconds where it ends in `_ns`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from crossgrade.values.audit import AuditReport, TimerKind
from crossgrade.values.beside import Beside, CeilingsUsed
from crossgrade.values.case import Case
from crossgrade.values.observation import Observation
from crossgrade.values.operator_case import AbsentReason, OperatorCase

SEMANTICS: Final = 1
"""Generation of the meaning of the numbers; raised when the same field comes to mean another thing.
"""
ANCHOR: Final = "anchor"
"""Name under which the anchor kernel stands among the variants of a session."""

CacheState = Literal["hot", "cold"]
"""hot: the same buffers again and again. cold: caches are flushed before each sample, outside the
span, and buffers take turns. Two metrics; they are never merged."""
SessionStart = Literal["fresh", "forked", "in-process"]
"""fresh: a process of its own from the start. forked: from a parent that has only imported the
libraries. in-process: no process of its own; simulated targets only."""
CensorReason = Literal["throttled", "clock-low"]
"""Why a sample does not count: something outside the sample itself witnessed it."""
BenchVerdict = Literal["measured", "noisy", "unmeasured"]
"""measured: the interval is as narrow as was asked. noisy: numbers are there, the interval is
wider than asked or sessions are too few. unmeasured: no number, and the reason."""

RunVerdict = Literal["measured", "noisy", "incomplete", "unmeasured"]
"""measured: every case that the targets can run is. noisy: an interval is wider than asked.
incomplete: a case that should have a number has none. unmeasured: no case has one."""
EXCUSED: Final = ("unsupported-operator", "unsupported-format", "needs-devices", "too-large")
"""Reasons that say that a target cannot run a case, not that something went wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One thing that is timed: a case on a target."""

    name: str
    """Unique in the plan; `anchor` is taken."""
    target: str
    """Specification of the target, such as `cpu`."""
    case: Case
    """What runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan:
    """Everything that decides which samples are taken."""

    variants: tuple[Variant, ...]
    """What is timed, interleaved; the first one is the baseline."""
    anchor: OperatorCase
    """Fixed kernel that is timed beside them, on the target of the baseline."""
    cache: CacheState = "hot"
    """State of the caches."""
    half_width: float = 0.01
    """Wanted half width of the 95 % interval, as a share."""
    looks: tuple[int, ...] = (5, 8, 12, 18, 27, 40)
    """Session counts after which it may stop."""
    least_sessions: int = 8
    """It does not stop as done before that many."""
    budget_s: float = 30.0
    """Time for the case, s of wall clock; the audit not counted."""
    rounds: int = 60
    """Rounds per session, a multiple of `batch`, until the third session has told better."""
    batch: int = 6
    """Rounds per batch median."""
    block_s: float = 1e-4
    """Least length of a block, s; the timer may ask for more (device events: 2 ms). What disturbs
    a machine hits fewer short blocks than long ones, and a median bears it while less than half are
    hit."""
    prime_s: float = 0.2
    """Work before a session's first sample, for clock governors, s."""
    settle_s: float = 1.0
    """Limit of the wait for a steady state, s."""
    seed: int = 0
    """Seed of the random orders."""
    start: SessionStart = "forked"
    """How sessions are wanted; where a target cannot be forked it is `fresh`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Samples of one session, in order."""

    index: int
    """0 is the first."""
    start: SessionStart
    """What the process was."""
    timers: tuple[TimerKind | None, ...]
    """Timer per variant of the plan, the anchor last; None for one that cannot run."""
    counts: tuple[int, ...]
    """Calls per block, per variant of the plan, the anchor last; 0 for one that cannot run."""
    fixed_ns: tuple[float, ...] = ()
    """What a block without calls takes, per variant of the plan, the anchor last, ns (measured):
    the timer's own cost, taken off every block before anything is worked out. Empty: nothing."""
    order: tuple[int, ...]
    """Variant of each block by its place in the plan, the anchor after the last, in the order in
    which they ran."""
    spans_ns: tuple[float, ...]
    """Span of each block as the timer gave it, ns (measured)."""
    censored: tuple[tuple[int, CensorReason], ...]
    """Blocks that do not count, with the witness; they stay in `spans_ns`."""
    steady: bool
    """Whether a steady state was seen before the first sample."""
    primed_s: float
    """Time spent on priming and settling, s."""
    spent_s: float
    """Time of the whole session, s."""
    telemetry: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Reading per name (`clock_hz`, `temperature_c`, `power_w`, `load`), before and after."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Reading that the platform does not give -> why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value with its 95 % confidence interval."""

    value: float
    """Point estimate."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""

    @property
    def half_width(self) -> float:
        """Return half the interval as a share of the value."""
        return (self.high - self.low) / (2 * self.value) if self.value else float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How single samples scatter; dispersion, not the error of the estimate."""

    samples: int
    """Samples that count."""
    median_s: float
    """Median, s per call."""
    mad_s: float
    """Median absolute deviation, s."""
    p5_s: float
    """5th percentile, s."""
    p95_s: float
    """95th percentile, s."""
    cv: float
    """Standard deviation over mean."""
    autocorrelation: float
    """Lag-1 autocorrelation within sessions."""
    bimodal: bool
    """Whether two separate modes are likely."""


LostReason = Literal["crashed", "timed-out", "out-of-memory", "error"]
"""Why a session gave no samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostSession:
    """A session that ended without samples."""

    index: int
    """Its number; the next session has the next one."""
    reason: LostReason
    """How it ended."""
    detail: str
    """What is known, for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantResult:
    """What was found of one variant; a failure is a row too."""

    name: str
    """Name of the variant."""
    status: Literal["ok", "absent"]
    """Whether there is a number."""
    reason: AbsentReason | None = None
    """Why there is none."""
    detail: str = ""
    """What happened, for a person."""
    time_s: Interval | None = None
    """Time per call, s (measured): geometric mean over sessions of the median of batch medians."""
    bootstrap_s: Interval | None = None
    """The same by a hierarchical bootstrap, where there are eight sessions or more."""
    per_anchor: Interval | None = None
    """Time over the anchor's, paired by round; carries over days of one device."""
    per_baseline: Interval | None = None
    """Time over the baseline's, paired by round; None for the baseline itself."""
    spread: Spread | None = None
    """How its samples scatter."""
    censored: Mapping[str, int] = field(default_factory=dict)
    """Samples that do not count, by reason."""
    flop: float | None = None
    """Floating-point operations per call (exact); None unknown."""
    bytes: float | None = None
    """Bytes that a call reads and writes at least (exact); None unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """One measurement with all its samples."""

    semantics: int = SEMANTICS
    """Generation of the meaning of the fields."""
    plan: BenchPlan
    """What was planned."""
    verdict: BenchVerdict
    """How it ended."""
    why: str = ""
    """Why it is not `measured`, and what to do; empty where it is."""
    audits: tuple[AuditReport, ...]
    """Timer audit of each target."""
    sessions: tuple[Session, ...]
    """Sessions in order."""
    variants: tuple[VariantResult, ...]
    """What follows, per variant in the order of the plan, the anchor last."""
    lost: tuple[LostSession, ...] = ()
    """Sessions that gave nothing."""
    remarks: tuple[str, ...] = ()
    """What the samples say against the numbers, such as sessions that did not become steady."""
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Variant -> what a reader of its time should know, such as that fp16 is computed in fp32."""
    observed: Mapping[str, Observation] = field(default_factory=dict)
    """Variant of a model -> its accuracy, memory and energy."""
    spent_s: float
    """Wall clock of all sessions, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRow:
    """One case of a run."""

    key: str
    """Key of the case."""
    result: BenchResult
    """What was found."""
    record: str = ""
    """File of its record; empty: none was written."""
    beside: tuple[Beside, ...] = ()
    """What stands beside the time of each variant; worked out when it is shown, not recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRun:
    """Everything that one call of `bench op` measured."""

    name: str
    """Operator, suite or capture."""
    rows: tuple[BenchRow, ...]
    """Cases, in order of the suite."""
    notes: tuple[str, ...]
    """What was left out, and why."""
    folder: str
    """Where records and journal lie; empty: nothing was written."""
    environment: Mapping[str, str]
    """Facts of this machine that the numbers depend on."""
    taken_up: int = 0
    """Sessions that an earlier, interrupted run had taken."""
    ceilings: tuple[CeilingsUsed, ...] = ()
    """Calibration behind the shares, per target."""

    @property
    def verdict(self) -> RunVerdict:
        """Return the worst that can be said of its cases; see RunVerdict."""
        verdicts = {r.result.verdict for r in self.rows}
        if not verdicts or verdicts == {"unmeasured"}:
            return "unmeasured"
        missing = (v.reason for r in self.rows for v in r.result.variants if v.name != ANCHOR)
        if any(reason is not None and reason not in EXCUSED for reason in missing):
            return "incomplete"
        return "noisy" if "noisy" in verdicts else "measured"

    @property
    def exit_code(self) -> int:
        """0 every case that the targets can run is measured; 3 anything else."""
        return 0 if self.verdict == "measured" else 3
