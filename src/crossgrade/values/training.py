"""How a training step is run on many chips, and what is said of it.

Must not know costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from crossgrade.values.layout import Layout

Recompute = Literal["none", "selective", "full"]
"""What the backward pass works out again instead of keeping it: nothing; what lies between the
products of attention; all of every block (Korthikanti et al., 2022, arXiv 2205.05198)."""
RECOMPUTES: tuple[Recompute, ...] = ("none", "selective", "full")
Offload = Literal["none", "optimizer"]
"""What lies in the memory of the host and passes through the chip when it is used."""
OFFLOADS: tuple[Offload, ...] = ("none", "optimizer")


Products = Literal["as-computed", "fp8", "fp8_block", "mxfp8", "int8"]
"""Format of products by weights and of their gradients in blocks: that of the module, one scale per
tensor, one per block, or the microscaling one."""
PRODUCTS: tuple[Products, ...] = ("as-computed", "fp8", "fp8_block", "mxfp8", "int8")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """What a training step does beside the degrees of its layout."""

    batch: int
    """Sequences of one step over all chips."""
    micro_batch: int = 1
    """Sequences that a replica works on at a time."""
    interleave: int = 1
    """Chunks of blocks that a pipeline stage has; more than 1: the interleaved schedule."""
    recompute: Recompute = "none"
    """What the backward pass works out again."""
    sequence_parallel: bool = False
    """Whether tensor-parallel ranks share out tokens where they would all do the same."""
    overlap: bool = True
    """Whether collectives of data-parallel replicas run beside the computation."""
    offload: Offload = "none"
    """What lies in the memory of the host."""

    products: Products = "as-computed"
    """Format of products by weights and of their gradients."""

    def micro_batches(self, layout: Layout) -> int:
        """Return how many micro-batches each replica works on in one step."""
        return self.batch // (layout.dp * self.micro_batch)


PartName = Literal["forward", "backward", "recompute", "tensor-parallel collectives",
                   "hand-over between stages", "pipeline bubble", "weights gathered",
                   "gradients added up", "gradients reduced", "optimizer", "offload",
                   "host"]  # fmt: skip


COLLECTIVES: tuple[PartName, ...] = (
    "tensor-parallel collectives", "hand-over between stages", "weights gathered",
    "gradients reduced",
)  # fmt: skip
"""Parts that ranks talk in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPart:
    """A part of the time of a step; they add up to it."""

    name: PartName
    """What is done; collectives: as far as nothing hides them."""
    seconds: float
    """P50, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFigures:
    """A training step on a layout; predicted."""

    plan: TrainingPlan
    """How it is run."""
    micro_batches: int
    """Micro-batches that a replica works on, one after another."""
    parts: tuple[TrainingPart, ...]
    """What the time is made of."""
    mfu: float | None
    """Model FLOPs utilisation, 0 to 1: three times the matrix operations of the forward pass, over
    the time and the dense peak of all chips (Chowdhery et al., 2022, arXiv 2204.02311, B). None
    where the peak is not published."""
    hfu: float | None
    """The same with what is recomputed."""
    gradients: float
    """Gradients on the fullest rank, bytes."""
    optimizer: float
    """Optimizer state on the fullest rank, bytes."""
