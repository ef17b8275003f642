"""Operators of several backends side by side, and what changed from one to another.

A cell that says `unknown` is not a cell that says no. Must not know any backend or any file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from crossgrade.values.support import SupportLevel

Grain = Literal["base", "overload"]
"""What a row is: `base` joins the overloads of an operator, `overload` is one of them."""

ChangeKind = Literal["gained", "lost", "appeared", "disappeared", "changed", "limits"]
"""What happened to an operator from the first table to the second.

gained
    it did not run on the chip, and does now.
lost
    it ran on the chip, and does not any more.
appeared
    the first table does not know it, the second does.
disappeared
    the first table knows it, the second does not.
changed
    another level, or more or fewer overloads at it; on the chip both times, or neither time.
limits
    the level is the same, and the documented limits are others.
"""

LEVELS: tuple[SupportLevel, ...] = (
    "conflict", "native", "dtype-limited", "unverified", "composite", "cpu-fallback", "unknown",
    "missing",
)  # fmt: skip
"""Levels in the order in which they stand for a base operator: the first that an overload has.

A disagreement of sources comes first, because a person must see it. Then what is said of a kernel
on the chip, then what PyTorch brings along, then the host. `unknown` comes before `missing`: one
overload of which nothing is known keeps the operator from being a no.
"""

LEGEND: Mapping[SupportLevel, str] = {
    "native": "the backend has a kernel",
    "composite": "PyTorch's composite runs here and calls other operators",
    "cpu-fallback": "no kernel: copied to the host, run there, copied back",
    "missing": "no: neither kernel nor fallback, the call raises an error",
    "dtype-limited": "a kernel, and the vendor's page does not list a dtype of the call",
    "unverified": "a kernel, and the vendor's page does not mark it for this SoC",
    "conflict": "two public sources disagree; --evidence shows both",
    "unknown": "not known: no table, no row, or no statement; this is not a no",
}
"""What each level means, for a person."""

ON_CHIP: frozenset[SupportLevel] = frozenset({"native", "composite", "dtype-limited", "unverified"})
"""Levels at which the work is done on the chip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorColumn:
    """One backend in one version, as a column."""

    label: str
    """Head of the column, such as `npu@2.13` or `ascend-950dt`; unique in a matrix."""
    backend: str
    """Operator table, such as `npu`."""
    version: str
    """Version of the table; empty where there is no table."""
    title: str
    """Name for people."""
    soc: str = ""
    """SoC that the vendor's pages are asked for; empty: none."""
    source: str = ""
    """Where the table comes from, with commit and date; empty: there is none."""
    note: str = ""
    """What a reader must know of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelCount:
    """How many have a level."""

    level: SupportLevel
    """The level."""
    count: int
    """How many overloads or rows have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCell:
    """What one backend does with one operator."""

    level: SupportLevel
    """The level; of a base operator the first in the order of `LEVELS` that an overload has."""
    counts: tuple[LevelCount, ...]
    """Overloads by level, in the order of `LEVELS`."""
    via: str = ""
    """The operator that does the work, where it is another one."""
    limits: str = ""
    """What the documentation restricts, as facts."""
    evidence: tuple[str, ...] = ()
    """Table rows that led to the level; empty where they were not asked for."""

    @property
    def overloads(self) -> int:
        """How many overloads the cell speaks for."""
        return sum(entry.count for entry in self.counts)

    @property
    def text(self) -> str:
        """The level; with a share such as `native 3/5` where not all overloads have it."""
        mine = next((e.count for e in self.counts if e.level == self.level), 0)
        return self.level if mine == self.overloads else f"{self.level} {mine}/{self.overloads}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorLine:
    """One operator on all backends."""

    op: str
    """Base operator or overload, without namespace."""
    cells: tuple[OperatorCell, ...]
    """One per column, in that order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorMatrix:
    """Operators by backends."""

    namespace: str
    """`aten` or `onnx`."""
    grain: Grain
    """What a row is."""
    pattern: str
    """What was asked for; empty: all."""
    levels: tuple[SupportLevel, ...]
    """Rows have one of these somewhere; empty: all rows."""
    columns: tuple[OperatorColumn, ...]
    """Backends."""
    lines: tuple[OperatorLine, ...]
    """Operators in alphabetical order."""
    with_evidence: bool = False
    """Whether cells carry their evidence."""

    def count(self, column: int, level: SupportLevel) -> int:
        """How many rows have a level in a column."""
        return sum(line.cells[column].level == level for line in self.lines)

    @property
    def totals(self) -> tuple[tuple[LevelCount, ...], ...]:
        """Rows by level, in the order of `LEVELS`, for each column."""
        return tuple(
            tuple(LevelCount(level=level, count=self.count(i, level)) for level in LEVELS)
            for i in range(len(self.columns))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorChange:
    """One operator of which two tables say different things."""

    op: str
    """Base operator or overload."""
    kind: ChangeKind
    """What happened."""
    before: OperatorCell
    """In the first table."""
    after: OperatorCell
    """In the second table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorDiff:
    """What changed from one column to another."""

    namespace: str
    """`aten` or `onnx`."""
    grain: Grain
    """What an operator is here."""
    pattern: str
    """What was asked for; empty: all."""
    before: OperatorColumn
    """The first table."""
    after: OperatorColumn
    """The second table."""
    compared: int
    """How many operators were compared."""
    changes: tuple[OperatorChange, ...]
    """By kind, then by name."""
    with_evidence: bool = False
    """Whether cells carry their evidence."""

    def of_kind(self, kind: ChangeKind) -> tuple[OperatorChange, ...]:
        """The changes of one kind."""
        return tuple(change for change in self.changes if change.kind == kind)
