"""How a model is spread over chips.

Must not know costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Degrees of parallelism; `chips` is what they need together."""

    chips: int
    """Number of chips."""
    kind: Literal["single", "ideal-shards"] = "single"
    """`ideal-shards`: weights, cache, arithmetic divided evenly; a bound, not a plan."""
    tp: int = 1
    """Tensor parallel degree."""
    ep: int = 1
    """Expert parallel degree."""
    pp: int = 1
    """Pipeline parallel degree."""
    dp: int = 1
    """Data parallel degree."""

    def __post_init__(self) -> None:
        if self.chips < 1:
            raise ValueError("a layout has at least one chip")
