"""A statement that somebody published about a model on a chip.

Must not know whether it is believed.
"""

from __future__ import annotations

from dataclasses import dataclass

from crossgrade.values.evidence import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One published result, with the conditions under which it was said to hold."""

    id: str
    """Stable id, such as `cann-recipes-v4-pro-950dt-b128`."""
    model: str
    """Preset name."""
    chip: str
    """Chip name."""
    phase: str
    """`prefill`, `decode` or `train`."""
    chips: int
    """How many chips took part."""
    batch: int
    """Sequences over all chips."""
    context: int
    """Tokens already in the cache per sequence (decode), or prompt length (prefill)."""
    metric: str
    """`tpot_s` (s), `tokens_per_s_per_chip` (1/s) or `step_s` (s)."""
    value: float
    """In the unit of the metric."""
    weights: str
    """Weight format as published, such as `MXFP8+MXFP4`."""
    conditions: str
    """Everything else that was said: layout, speculation, caveats."""
    said_by: str
    """Who published it; whether they measured it themselves."""
    source: Source
    """Where."""
    tokens_per_step: float = 1.0
    """Mean tokens a sequence gains per step (speculation), 1 without."""
    step_tokens: int = 1
    """Tokens per sequence that one step computes: 1, and one for each draft."""
