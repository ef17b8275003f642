"""How a model is spread over chips.

Must not know costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Shard = Literal["none", "optimizer", "gradients", "full"]
"""What data-parallel chips share out instead of each keeping a copy: the optimizer state; gradients
too; weights too. Stages 1, 2 and 3 of ZeRO (Rajbhandari et al., 2020, arXiv 1910.02054)."""
SHARDS: tuple[Shard, ...] = ("none", "optimizer", "gradients", "full")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Degrees of parallelism; `chips` is what they need together."""

    chips: int
    """Number of chips."""
    kind: Literal["single", "ideal-shards", "data-parallel-sharded"] = "single"
    """`ideal-shards`: weights, cache, arithmetic divided evenly; a bound, not a plan.
    `data-parallel-sharded`: every chip runs the step on sequences of its own and keeps its share
    of what `shard` names."""
    tp: int = 1
    """Tensor parallel degree."""
    ep: int = 1
    """Expert parallel degree."""
    pp: int = 1
    """Pipeline parallel degree."""
    dp: int = 1
    """Data parallel degree."""
    shard: Shard = "none"
    """What data-parallel chips share out."""

    def __post_init__(self) -> None:
        if self.chips < 1:
            raise ValueError("a layout has at least one chip")

    @property
    def split(self) -> int:
        """How many chips one execution is divided over."""
        return 1 if self.kind == "data-parallel-sharded" else self.chips

    @property
    def copies(self) -> int:
        """How many executions run at the same time, each on a batch of its own."""
        return self.dp if self.kind == "data-parallel-sharded" else 1
