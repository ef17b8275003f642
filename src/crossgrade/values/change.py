"""What differs between two assessments. Must not know how they are stored or shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from crossgrade.values.evidence import NumberClass

Area = Literal["asked", "versions", "constants", "assumptions", "operators", "findings", "memory",
               "speed", "verdict"]  # fmt: skip
"""Causes first, then what follows from them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is not as it was."""

    area: Area
    """What it belongs to."""
    place: str
    """Chip, phase, operator or version that it is about."""
    before: str
    """As it was; empty: it is new."""
    after: str
    """As it is; empty: it is gone."""
    kind: NumberClass | None = None
    """How the two numbers are known; None for words."""
    ratio: float | None = None
    """After over before, where both are numbers above 0."""
    evidence: tuple[str, ...] = ()
    """What the new state rests on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Everything that differs from an earlier record."""

    since: str
    """When the earlier record was written, ISO 8601."""
    record: str
    """First digits of its digest."""
    entries: tuple[Change, ...]
    """Causes first."""
    remarks: tuple[str, ...]
    """What could not be compared, and why."""
