"""What a worker tells while it works; the state of a run is the fold over these.

They travel from the worker's process as JSON and lie in the journal as such. Must not know what is
made of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from crossgrade.values.audit import AuditReport
from crossgrade.values.bench import BenchPlan, LostReason, Session, SessionStart
from crossgrade.values.observation import Observation, OutputSample
from crossgrade.values.operator_case import AbsentReason, OperatorCase


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePlan:
    """A plan under the key of its case."""

    key: str
    """Unique in the run."""
    plan: BenchPlan
    """What is measured."""
    flop: float | None = None
    """Floating-point operations of a call (exact), where they are known beforehand; None: what the
    kernel says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRequest:
    """Audit these targets and try these cases once."""

    targets: tuple[str, ...]
    """Targets whose timers are audited."""
    audits: tuple[AuditReport, ...]
    """Audits that are known already, of other targets."""
    cases: tuple[CasePlan, ...]
    """Cases to try."""
    skip: tuple[tuple[str, str], ...] = ()
    """Case and variant that are not tried: known already."""
    seed: int = 0
    """Seed of simulated noise."""
    scratch: str = ""
    """Folder of what takes long to make; empty: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferRequest:
    """Run these cases of models once where the result is trusted."""

    cases: tuple[CasePlan, ...]
    """Cases, of which the first variant says what is run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveRequest:
    """Look at one variant in a process that does nothing else."""

    case: CasePlan
    """Case of a model."""
    variant: str
    """Name of the variant."""
    reference: Referred
    """What the trusted run gave."""
    scratch: str = ""
    """Folder of what takes long to make; empty: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSession:
    """One session of one case, to be taken."""

    key: str
    """Key of the case."""
    plan: BenchPlan
    """What is measured."""
    index: int
    """Number of the session."""
    rounds: int
    """Rounds that are wanted."""
    limit_s: float
    """Time for its samples, s."""
    absent: tuple[str, ...]
    """Variants that cannot run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """Take one session of each of these cases, in one process."""

    cases: tuple[CaseSession, ...]
    """What to take, in order."""
    audits: tuple[AuditReport, ...]
    """Audits of their targets."""
    start: SessionStart
    """What the process is."""
    seed: int = 0
    """Seed of simulated noise."""
    scratch: str = ""
    """Folder of what takes long to make; empty: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """The timers of a target were audited."""

    report: AuditReport
    """What was found."""
    forkable: bool
    """Whether sessions on it may be forked."""
    anchor: OperatorCase | None = None
    """The anchor kernel that the target wants; None: the plan's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trying:
    """A variant, or a session of a case, is begun: if the worker dies now, this is why."""

    key: str
    """Key of the case."""
    variant: str = ""
    """Variant; empty for a session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A variant can run."""

    key: str
    """Key of the case."""
    variant: str
    """Name of the variant."""
    flop: float | None
    """Floating-point operations per call (exact); None unknown."""
    bytes: float | None
    """Least traffic per call, bytes (exact); None unknown."""
    notes: tuple[str, ...] = ()
    """What a reader of its time should know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A variant has no number."""

    key: str
    """Key of the case."""
    variant: str
    """Name of the variant."""
    reason: AbsentReason
    """Why, from the closed list."""
    detail: str
    """What happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Referred:
    """The trusted run of a case of a model."""

    key: str
    """Key of the case."""
    about: str
    """What it was, for a person."""
    sample: OutputSample | None
    """What it gave; None where it could not run."""
    plain_error: float | None
    """Relative error beside it of plain torch on the CPU in the format of the case: what the format
    alone explains; None where that could not run."""
    detail: str = ""
    """Why one of both is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A variant was looked at in a process of its own."""

    key: str
    """Key of the case."""
    variant: str
    """Name of the variant."""
    observation: Observation
    """What was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """A session of a case was taken."""

    key: str
    """Key of the case."""
    session: Session
    """Its samples."""
    wall_s: float = 0.0
    """What it cost with the start of its process, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A session of a case gave nothing."""

    key: str
    """Key of the case."""
    index: int
    """Number of the session."""
    reason: LostReason
    """How it ended."""
    detail: str
    """What is known."""
    wall_s: float = 0.0
    """What it cost, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The worker met an error of the user or of the environment; the run ends with it."""

    error: str
    """Class of the error in `crossgrade.errors`."""
    message: str
    """What."""
    where: str
    """Where."""
    hint: str
    """What to do."""


Event = Audited | Trying | Ready | Absent | Referred | Observed | Sampled | Lost | Refused
EVENTS: dict[str, type[Event]] = {
    c.__name__: c
    for c in (Audited, Trying, Ready, Absent, Referred, Observed, Sampled, Lost, Refused)
}
"""Events by the name under which they are written."""
