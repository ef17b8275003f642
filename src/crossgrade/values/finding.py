"""Something a person should act on.

Must not know how findings are made or shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["blocker", "warning", "note"]
"""blocker: it does not run. warning: it runs, and costs or differs. note: worth knowing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding of a check."""

    id: str
    """Stable id, such as `CG-F101`; docs/reference/findings.md has its entry."""
    severity: Severity
    """How bad it is."""
    chip: str
    """Name of the chip it is about."""
    phase: str
    """Phase of the workload, or `` where it concerns all."""
    title: str
    """One line: what is so."""
    place: tuple[str, ...]
    """Operators, modules and source lines, most weighty first."""
    evidence: tuple[str, ...]
    """What it rests on: table rows, constants with source, counts."""
    hint: str
    """What to do."""
    calls: int = 0
    """How many captured calls it touches."""
    call_share: float | None = None
    """Share of kernel-launching calls of the phase, 0 to 1."""
    time_share: float | None = None
    """Share of the predicted fused time of the phase, 0 to 1; None without a prediction."""
    data: dict[str, float | int | str] = field(default_factory=dict)
    """Figures behind the title, SI units in the key's name."""
