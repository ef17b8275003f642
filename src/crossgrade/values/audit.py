"""Whether a timer tells the truth: the checks that come before any number.

Must not know how a check is made (`crossgrade.measure.audit`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TimerKind = Literal["device-event", "wall-synchronize", "wall-read"]
"""device-event: two events on the device's own clock. wall-synchronize: the host's clock between
two synchronisations. wall-read: the host's clock until one element of the output has been read."""
TIMER_KINDS: tuple[TimerKind, ...] = ("device-event", "wall-synchronize", "wall-read")

CheckName = Literal[
    "finite", "positive", "resolution", "linear", "agrees", "synchronizes", "no-leak", "a-a",
]  # fmt: skip
"""What is asked of a timer.

finite: no span is NaN or infinite. positive: no span of real work is zero or negative.
resolution: the least step is fine enough for the blocks that are timed. linear: twice the work
takes twice the time. agrees: it agrees with the host's clock on a long block that ends in a read.
synchronizes: after the span, reading an output costs next to nothing. no-leak: an empty operator
after a heavy one inherits none of its time. a-a: one kernel under two names does not differ.
"""
CHECK_NAMES: tuple[CheckName, ...] = (
    "finite", "positive", "resolution", "linear", "agrees", "synchronizes", "no-leak", "a-a",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCheck:
    """What one check found."""

    name: CheckName
    """Which."""
    passed: bool
    """Whether the timer may be believed in this."""
    value: float | None
    """What was seen; None where it could not be taken. Unit and meaning stand in `limit`."""
    limit: str
    """What is allowed, in words and numbers, such as `ratio 1.97 to 2.03`."""
    detail: str = ""
    """What went wrong, for a person; empty where nothing did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerAudit:
    """One timer of one target under all checks."""

    kind: TimerKind
    """Which timer."""
    resolution_s: float | None
    """Least step seen between two readings, s (measured); None unknown."""
    overhead_s: float | None
    """What an empty block costs, s (measured); None unknown."""
    checks: tuple[AuditCheck, ...]
    """What was found, in the order of CHECK_NAMES; checks after a broken one may be missing."""

    @property
    def survived(self) -> bool:
        """Return whether every check was made and passed."""
        return len(self.checks) == len(CHECK_NAMES) and all(c.passed for c in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """The timers of one target, and the one that is used."""

    target: str
    """Specification of the target."""
    chosen: TimerKind | None
    """Best timer that survived; None: no number is printed."""
    timers: tuple[TimerAudit, ...]
    """Every timer that was tried, best first."""
    seconds: float
    """Time the audit took on the target's host clock, s (measured)."""
    tries: int = 1
    """Audits that were made until a timer survived; what the others found is not kept."""
    facts: tuple[tuple[str, str], ...] = ()
    """What the target says of itself: device name, runtime, versions."""
