"""What is told of a group of ranks; the state of a run is the fold over these.

They lie in the journal as JSON. Must not know what is made of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from crossgrade.measure.events import Refused
from crossgrade.values.bench import LostReason
from crossgrade.values.collective import CommPlan, CommReason, CommSession, Rank


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRequest:
    """What one rank is asked to do for one session."""

    plan: CommPlan
    """What is measured."""
    rank: int
    """Which rank it is."""
    device: str
    """Its device."""
    index: int
    """Number of the session."""
    absent: tuple[int, ...]
    """Cells, by place in the plan, that have no number."""
    limit_s: float
    """Time for the samples, s."""
    folder: str
    """Where rank 0 tells the others its port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What ranks can be had here."""

    devices: tuple[str, ...]
    """Device of each rank."""
    backend: str
    """Backend of the group."""
    forkable: bool
    """Whether ranks may be forked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellAbsent:
    """A collective of a size has no number."""

    cell: int
    """Place in the plan."""
    reason: CommReason
    """Why."""
    detail: str
    """What happened, with the rank that it happened to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """A session was taken."""

    session: CommSession
    """Its samples."""
    ranks: tuple[Rank, ...]
    """Who took part."""
    wall_s: float
    """What it cost with the start of the processes, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A session gave nothing."""

    index: int
    """Number of the session."""
    reason: LostReason
    """How it ended."""
    detail: str
    """What is known, with the rank that ended the group."""
    cell: int | None = None
    """Cell, by place in the plan, that was tried for the first time when it ended."""
    wall_s: float = 0.0
    """What it cost, s."""


CommEvent = Looked | CellAbsent | Sampled | Lost | Refused
COMM_EVENTS: dict[str, type[CommEvent]] = {
    c.__name__: c for c in (Looked, CellAbsent, Sampled, Lost, Refused)
}
"""Events by the name under which they are written."""
