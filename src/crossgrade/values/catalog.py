"""What is known of one chip, as rows; and the list of all chips.

Must not know where descriptions lie, nor how they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from crossgrade.values.chip import Chip, Undescribed
from crossgrade.values.evidence import NumberClass, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantRow:
    """One constant with the source that states it."""

    constant: str
    """Key, such as `peaks[matrix/bf16]`."""
    value: float
    """In `unit`."""
    unit: str
    """`FLOP/s`, `byte`, `byte/s`, `W`, `Hz`, `1`."""
    scope: str
    """What it counts for: `die`, `package`, `card` or `node`."""
    kind: NumberClass
    """`claimed` where a document says it, `measured` on the probed CPU."""
    source: Source
    """Who says so."""
    note: str
    """Condition or derivation, empty where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisagreementRow:
    """What another source says of a constant."""

    constant: str
    """Key of the constant."""
    used: float
    """Value of the description."""
    other: float
    """Value of the other source, same unit."""
    unit: str
    """Unit of both."""
    percent: float
    """How far the other value lies above (+) or below (-) the used one, per cent of it."""
    source: Source
    """Who says so."""
    note: str
    """Condition, empty where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipPage:
    """Everything that is known of one chip, and what is not."""

    passed: str
    """As the user typed it, or the name where nobody typed one."""
    chip: Chip
    """The description."""
    via_alias: str | None
    """The alias that matched, None where the name itself did."""
    file: str | None
    """Where the description lies; None for the probed CPU."""
    constants: tuple[ConstantRow, ...]
    """In the order of the description."""
    disagreements: tuple[DisagreementRow, ...]
    """What other sources say."""
    total_processing_performance: float | None
    """TPP, derived from the matrix peaks; None without one."""
    unknown: tuple[str, ...]
    """What the description does not have, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipList:
    """The chips that `--on` knows, and those that it refuses with a reason."""

    chips: tuple[Chip, ...]
    """Described chips, by name; those of the user's files first."""
    undescribed: tuple[Undescribed, ...]
    """Known by name only."""
