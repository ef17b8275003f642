"""Rates that no data sheet gives, with their two ends and their source.

Must not know chips; a later calibration replaces these by measured values per chip.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Literal

End = Literal["optimistic", "pessimistic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """One rate."""

    name: str
    """Such as `matrix_efficiency`."""
    unit: str
    """`1` or `s`."""
    optimistic: float
    """Used at the `fused+graph` end."""
    pessimistic: float
    """Used at the `eager` end."""
    source: str
    """Why these values."""
    url: str = ""
    """The repository that the source names; empty where the value is ours alone."""

    @property
    def middle(self) -> float:
        """Return the value halfway between the ends, for what has a P50."""
        return (self.optimistic + self.pessimistic) / 2

    def at(self, end: End) -> float:
        """Return the value at one end of the band."""
        return self.optimistic if end == "optimistic" else self.pessimistic


@functools.cache
def assumptions() -> Mapping[str, Assumption]:
    """Return the shipped rates by name."""
    text = resources.files("crossgrade.predict").joinpath("assumptions.toml").read_text()
    tables = tomllib.loads(text)
    return {name: Assumption(name=name, **row) for name, row in tables.items() if name != "schema"}
