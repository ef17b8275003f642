"""What a search over layouts found: points that meet the aims, and why others do not.

Must not know how times are predicted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crossgrade.values.assessment import Tier
from crossgrade.values.evidence import Band
from crossgrade.values.layout import Layout

LAYOUT_SEARCH_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePoint:
    """One layout at one batch, all of it predicted."""

    layout: Layout
    """Of one instance."""
    instances: int
    """Instances on the chips asked for, each with requests of its own."""
    batch: int
    """Sequences of one instance that are open at once."""
    tpot_s: Band
    """Time per output token, s: P10 to P90; steps that also read prompts included."""
    tpot_mid_s: float
    """P50, s."""
    ttft_s: Band
    """Time to the first token, s: the step in progress and the prompt; without a queue."""
    ttft_mid_s: float
    """P50, s."""
    tokens_per_s: float
    """Generated tokens over all chips, 1/s, at P50."""
    tokens_per_s_per_chip: float
    """The same for one chip."""
    tokens_per_price: float | None
    """Generated tokens per unit of the user's currency; None without a price."""
    rank_bytes: float
    """Memory of the fullest rank, bytes."""
    tiers: Mapping[Tier, float]
    """Share of a decode step's kernel time by what it rests on, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A layout of which no batch will do."""

    layout: Layout
    """Of one instance."""
    reason: str
    """The first thing that is in the way, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutSearch:
    """The answer of `layout search`."""

    schema: int = LAYOUT_SEARCH_SCHEMA
    """Version of this layout."""
    model: str
    """The model."""
    weights: str
    """Format of its weights, in words."""
    chip: str
    """The chip."""
    chips: int
    """How many of them."""
    stack: str
    """The stack whose launches are timed."""
    prompt: int
    """Tokens of every prompt."""
    output: int
    """Tokens that every request generates."""
    cached: float
    """Share of every prompt that a prefix cache holds, 0 to below 1."""
    drafts: int
    """Tokens that are drafted per step; 0: none."""
    accepted: float
    """Drafts per step that are right, on average."""
    ttft_aim_s: float | None
    """Most time to the first token at P50, s; None: any."""
    tpot_aim_s: float | None
    """Most time per token at P50, s; None: any."""
    usable_bytes: float
    """Memory that the stack may take of a chip."""
    considered: int
    """Layouts and batches that were priced."""
    front: tuple[ServicePoint, ...]
    """Points that no other one beats in both TPOT and throughput, the fastest tokens first."""
    best: tuple[ServicePoint, ...]
    """The best batch of every layout that meets the aims, the most tokens per chip first."""
    rejected: tuple[Rejected, ...]
    """Layouts of which no batch will do."""

    @property
    def verdict(self) -> str:
        """Return `found` or `none`."""
        return "found" if self.front else "none"

    @property
    def exit_code(self) -> int:
        """Return 0 where something was found, else 1."""
        return 0 if self.front else 1
