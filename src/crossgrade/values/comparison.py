"""Two measurements side by side: what differs, by how much, and how sure that is.

A ratio is always the second over the first: 0.9 means that the second takes nine tenths of the
time. Must not know how it is worked out or shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from crossgrade.values.bench import Interval

ComparisonVerdict = Literal["FASTER", "SLOWER", "SAME", "INCONCLUSIVE"]
"""FASTER, SLOWER: the second is, by more than the margin, and the interval excludes 1. SAME: the
whole interval lies inside the margin. INCONCLUSIVE: neither can be said."""
COMPARISON_VERDICTS: tuple[ComparisonVerdict, ...] = ("SLOWER", "INCONCLUSIVE", "FASTER", "SAME")
"""What wants attention first."""
Basis = Literal["by-round", "over-anchor", "absolute"]
"""by-round: both were timed in the same rounds of one run. over-anchor: each time over that of the
anchor beside it, then over each other. absolute: times of two runs as they are."""
SameDevice = Literal["same", "other", "unknown"]
"""Whether both were measured on a device of the same name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A fact about the environment that is not the same."""

    key: str
    """What it is about."""
    before: str
    """As it was for the first; empty: not there."""
    after: str
    """As it was for the second; empty: not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseComparison:
    """One case, measured twice."""

    title: str
    """The case, for a person."""
    before: str
    """What the first is: variant and target."""
    after: str
    """What the second is."""
    verdict: ComparisonVerdict
    """What can be said."""
    basis: Basis | None
    """What the ratio is of; None where there is none."""
    device: SameDevice
    """Whether the devices have the same name."""
    ratio: Interval | None
    """Second over first with its 95 % interval; None where one has no number."""
    absolute: Interval | None
    """Ratio of the times as they are, where `ratio` is over the anchor."""
    before_s: Interval | None
    """Time per call of the first, s (measured)."""
    after_s: Interval | None
    """Time per call of the second, s (measured)."""
    p_value: float | None
    """Probability of such a ratio or a farther one if there is no difference, two-sided."""
    sessions: tuple[int, int]
    """Sessions of the first and of the second."""
    sessions_needed: int | None
    """How many more sessions of each would probably settle it; None: settled, or unknown."""
    remarks: tuple[str, ...] = ()
    """What to mind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All cases of a comparison."""

    margin: float
    """Differences up to this share are taken for none."""
    false_discovery: float
    """Expected share of wrong ones among FASTER and SLOWER, at most."""
    environment: tuple[Difference, ...]
    """What else is not the same: read this first."""
    cases: tuple[CaseComparison, ...]
    """In the order in which they were given."""
    remarks: tuple[str, ...] = ()
    """What could not be compared, and why."""

    def count(self, verdict: ComparisonVerdict) -> int:
        """Return how many cases have that verdict."""
        return sum(case.verdict == verdict for case in self.cases)

    @property
    def exit_code(self) -> int:
        """0 nothing slower, all settled; 1 something is slower; 3 something is not settled."""
        if self.count("SLOWER"):
            return 1
        return 3 if self.count("INCONCLUSIVE") or not self.cases else 0
