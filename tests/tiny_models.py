"""Models small enough to run for real in a test: configurations cut down in every size."""

from __future__ import annotations

from crossgrade.values.model_case import ModelCase
from crossgrade.values.workload import ModelRef
from crossgrade.workloads.resolve import find_model

_SMALL = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 256, "max_window_layers": 2,
    "layer_types": ["full_attention"] * 2, "tie_word_embeddings": True,
    "max_position_embeddings": 512,
}  # fmt: skip


def tiny_config(preset: str = "qwen3-0.6b", **changes) -> dict:
    """Return the configuration of a preset with two small layers."""
    config = find_model(preset).config
    assert config is not None
    return config | _SMALL | changes


def tiny_case(preset: str = "qwen3-0.6b", config: dict | None = None, **fields) -> ModelCase:
    """Return a case of it: by default one decode step of two sequences beside 8 cached tokens."""
    ref = ModelRef(passed=preset, name=preset, kind="preset", runs_code=False)
    sizes = {"phase": "decode", "batch": 2, "tokens": 1, "context": 8, "dtype": "float32"}
    if fields.get("phase", "decode") != "decode":
        sizes |= {"tokens": 8, "context": 0}
    return ModelCase(model=ref, config=config or tiny_config(preset), **{**sizes, **fields})
