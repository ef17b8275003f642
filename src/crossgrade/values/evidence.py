"""How a number is known: its class, its source, and the band it lies in.

A number without a class is not shown to anybody. This module must not know what the numbers mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NumberClass = Literal["measured", "predicted", "claimed", "exact", "assumed"]
"""How a number is known.

measured
    a clock or a counter on the thing itself; says when and on what.
predicted
    the result of a model of ours; has a band.
claimed
    somebody published it (a data sheet is a claim of its vendor); has a source.
exact
    follows by arithmetic from shapes and a stated format alone.
assumed
    a choice of ours that no source fixes; listed with its reason.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A document that somebody else can open."""

    id: str
    """Short name, unique in the file that uses it."""
    title: str
    """Title of the document, with its publisher."""
    url: str
    """Where it is; a repository address carries its commit in `date` or `note`."""
    date: str
    """ISO date of publication, or of the commit read."""
    note: str = ""
    """What to know about it: licence, section, who transcribed it."""
    kind: NumberClass = "claimed"
    """What a number of it is: `claimed`, but `measured` where the source is a run of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """One constant of a chip, as a document states it."""

    value: float
    """In SI base units; the unit stands in `unit`."""
    unit: str
    """`FLOP/s`, `byte`, `byte/s`, `W`, `Hz`, `1`."""
    scope: str
    """What the number counts for: `die`, `package`, `card` or `node`."""
    source: str
    """Id of the `Source` in the same chip description."""
    note: str = ""
    """Condition, derivation, or what disagrees with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """An interval with named ends; `low <= high`."""

    low: float
    """The smaller value, SI units."""
    high: float
    """The larger value, SI units."""
    low_name: str
    """What the smaller value stands for, such as `fused+graph`."""
    high_name: str
    """What the larger value stands for, such as `eager`."""
    unit: str
    """Unit of both ends."""
    kind: NumberClass
    """How the ends are known."""

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"band ends are swapped: low={self.low!r} high={self.high!r}")

    def holds(self, value: float) -> bool:
        """Return whether `value` (same unit) lies inside, ends included."""
        return self.low <= value <= self.high
