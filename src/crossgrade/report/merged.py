"""Findings of several chips and phases that are one thing, together.

Must not know how findings are made or shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossgrade.values.assessment import Assessment
from crossgrade.values.finding import Finding

_FIGURE = re.compile(r"(?<![A-Za-z_])\d[\d.,]*( [kMGTPE]?B\b)?")
_ORDER: Mapping[str, int] = {"blocker": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedFinding:
    """Findings with equal id and equal title."""

    findings: tuple[Finding, ...]
    """In the order of chips and phases; at least one."""

    @property
    def first(self) -> Finding:
        """The finding whose words stand for all."""
        return self.findings[0]

    @property
    def gist(self) -> str:
        """What it is about, without figures: the same from run to run."""
        return _gist(self.first.title)

    @property
    def where(self) -> Mapping[str, tuple[str, ...]]:
        """Chip -> phases."""
        found: dict[str, dict[str, None]] = {}
        for f in self.findings:
            found.setdefault(f.chip, {})[f.phase] = None
        return {chip: tuple(phases) for chip, phases in found.items()}

    @property
    def time_share(self) -> float:
        """The largest share of predicted time among them, 0 without one."""
        return max(f.time_share or 0.0 for f in self.findings)


def _gist(title: str) -> str:
    """Return a title without its figures, and without the list that a counted title ends with."""
    short = title.partition(":")[0] if title[:1].isdecimal() else title
    return _FIGURE.sub("#", short)


def merged_findings(
    assessment: Assessment, *, figures_apart: bool = True
) -> Sequence[MergedFinding]:
    """Return findings by impact: the worst first, then the largest share of time.

    Args:
        assessment: the answer.
        figures_apart: whether titles that differ in figures alone are two entries.
    """
    merged: dict[tuple[str, str], list[Finding]] = {}
    for chip in assessment.chips:
        for phase in chip.phases:
            for f in phase.findings:
                title = f.title if figures_apart else _gist(f.title)
                merged.setdefault((f.id, title), []).append(f)
    entries = [MergedFinding(findings=tuple(found)) for found in merged.values()]
    return sorted(entries, key=lambda m: (_ORDER[m.first.severity], -m.time_share, m.first.id))
