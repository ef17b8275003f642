"""How the samples of one variant lie: what a drawing of them needs, and no single sample.

Must not know how it is worked out or drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

QUANTILES: Final = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Shares of the batch medians that lie below each of `Strip.batch_s`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """The samples of one variant."""

    variant: str
    """Its name."""
    sessions_s: tuple[float, ...]
    """Value of each session in order: the median of its batch medians, s per call (measured)."""
    batches: int
    """Batch medians of all sessions."""
    batch_s: tuple[float, ...]
    """Their quantiles at QUANTILES, s per call (measured)."""
