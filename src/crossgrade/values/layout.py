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
    kind: Literal["single", "ideal-shards", "data-parallel-sharded", "sharded"] = "single"
    """`ideal-shards`: weights, cache, arithmetic divided evenly; a bound, not a plan.
    `data-parallel-sharded`: every chip runs the step on sequences of its own and keeps its share
    of what `shard` names. `sharded`: the degrees below, which make `chips` together."""
    tp: int = 1
    """Tensor parallel degree, of attention and of dense layers."""
    ep: int = 1
    """Expert parallel degree: ranks that share out routed experts. They are among the
    `tp * dp * cp` ranks of a pipeline stage; as many as are left over share out one expert."""
    pp: int = 1
    """Pipeline parallel degree."""
    dp: int = 1
    """Data parallel degree: replicas of attention, each with sequences of its own. Routed experts
    are shared by all of them."""
    shard: Shard = "none"
    """What data-parallel chips share out."""
    cp: int = 1
    """Context parallel degree: ranks that share out the tokens of each prompt, and the cached keys
    of each sequence. They share out routed experts like replicas do."""
    two_batch: bool = False
    """Whether the sequences of a rank are worked on as two batches in turn, so that collectives of
    the one run beside kernels of the other (two-batch overlap)."""
    redundant: int = 0
    """Copies of routed experts beside the first of each, over the `ep` ranks: those with the most
    rows have them, and copies are placed by their load (expert-parallel load balancing)."""

    def __post_init__(self) -> None:
        """Check the degrees.

        Raises:
            ValueError: no chip, or degrees that do not make the number of chips.
        """
        if min(self.chips, self.tp, self.ep, self.pp, self.dp, self.cp) < 1:
            raise ValueError("a layout has at least one chip")
        if self.kind == "sharded":
            if self.stage * self.pp != self.chips:
                raise ValueError(f"tp {self.tp} x dp {self.dp} x cp {self.cp} x pp {self.pp} is "
                                 f"not {self.chips}")  # fmt: skip
            if self.redundant < 0 or (self.redundant and self.ep == 1):
                raise ValueError("copies of experts are shared out by ranks of expert parallelism")
            if self.stage % self.ep:
                raise ValueError(f"ep {self.ep} does not divide tp x dp x cp = {self.stage}")

    @property
    def stage(self) -> int:
        """Ranks of one pipeline stage."""
        return self.tp * self.dp * self.cp

    @property
    def expert_tp(self) -> int:
        """Ranks that share out one routed expert."""
        return self.stage // self.ep

    @property
    def words(self) -> str:
        """Return the degrees as they are given on a command line, those of 1 left out."""
        given = (("tp", self.tp), ("dp", self.dp), ("cp", self.cp), ("pp", self.pp),
                 ("ep", self.ep))  # fmt: skip
        words = [f"{name} {n}" for name, n in given if n > 1]
        words += ["two-batch overlap"] * self.two_batch
        words += [f"{self.redundant} redundant experts"] * (self.redundant > 0)
        return ", ".join(words) or "tp 1"

    @property
    def split(self) -> int:
        """How many chips one execution is divided over."""
        return 1 if self.kind == "data-parallel-sharded" else self.chips

    @property
    def copies(self) -> int:
        """How many executions run at the same time, each on a batch of its own."""
        return self.dp if self.kind == "data-parallel-sharded" else 1
