"""A shipped model configuration in one row. Must not know how it was found out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetSummary:
    """What a list of presets says about one of them."""

    name: str
    """Name that `assess` takes."""
    family: str
    """`model_type` of the configuration, such as `qwen3_moe`; empty unknown."""
    architecture: str
    """Class that the publisher names, such as `Qwen3MoeForCausalLM`; empty unknown."""
    kind: str
    """What it works on, such as `language`, `vision-language`; empty unknown."""
    parameters: int | None
    """Parameters of the module that `assess` builds, tied ones once (exact); None unknown."""
    weights: str
    """Format in which the checkpoint stores weights; empty unknown."""
    source: str
    """Where the configuration comes from; empty unknown."""
