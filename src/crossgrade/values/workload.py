"""What is run: a model and a phase, with sizes and format.

Must not know how to build it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Phase = Literal["prefill", "decode", "train"]
"""prefill: a prompt is read. decode: one generation step. train: forward, backward, optimiser."""
PHASES: tuple[Phase, ...] = ("prefill", "decode", "train")
Item = Literal["tokens", "images", "executions"]
"""What rates count. An execution is one run on one input of the batch, or on the whole inputs."""
Optimizer = Literal["adamw", "adamw-fp32", "sgd"]
"""adamw: two moments in the format of the parameters. adamw-fp32: two moments and master weights
in fp32. sgd: no state."""
OPTIMIZERS: tuple[Optimizer, ...] = ("adamw", "adamw-fp32", "sgd")
CacheFormat = Literal["fp8", "int8"]
"""Formats that keys and values can be kept in, of 8 bits and with a scale per tensor."""
CACHE_FORMATS: tuple[CacheFormat, ...] = ("fp8", "int8")
CACHED_BYTES = 1.0
"""Bytes of an element in any of them."""
ModelKind = Literal["preset", "config", "factory", "pt2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """Which model, as the user named it and as it was found."""

    passed: str
    """What the user typed."""
    name: str
    """Name to show: preset, file stem or factory."""
    kind: ModelKind
    """Where it comes from."""
    runs_code: bool
    """Whether building it executes the user's code (`module:factory`, `.pt2`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One phase of one model with its sizes."""

    model: ModelRef
    """The model."""
    phase: Phase
    """What it does."""
    batch: int
    """Sequences."""
    tokens: int
    """prefill: prompt length; decode: new tokens per step; train: sequence length."""
    context: int
    """Tokens already in the cache, per sequence."""
    dtype: str | None
    """Weight format that the user asked for (`bf16`, `fp8`, ...), None: the checkpoint's own."""
    kv: CacheFormat | None = None
    """What keys and values are cached in, None: as the module keeps them."""
    skew: float | None = None
    """How unlike the loads of routed experts are: exponent of a power law, 0 for all alike, None
    where each token chooses by itself and without preference."""
    item: Item = "tokens"
    """What rates count: tokens, images, or executions where the inputs are the builder's own."""
    sizes: tuple[tuple[str, int], ...] = ()
    """Sizes that only this model has, by name, such as `image` in pixels per side."""

    optimizer: Optimizer = "adamw"
    """What a training step updates parameters with."""
    lora_rank: int = 0
    """Rank of adapters that alone are trained; 0: every parameter is."""

    @property
    def items(self) -> int:
        """Tokens over the batch, images or executions that one run of the capture stands for."""
        return self.batch * self.tokens if self.item == "tokens" else self.batch

    def size(self, name: str) -> int:
        """Return a size that only this model has.

        Raises:
            KeyError: the workload does not have it.
        """
        return dict(self.sizes)[name]
