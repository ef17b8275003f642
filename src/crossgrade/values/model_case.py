"""One phase of one model with sizes, format and seed: what `bench model` times.

Self-contained: a configuration lies in it, so that a record can be measured again elsewhere. Must
not know how a model is built or run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crossgrade.values.precision import USER_NAMES
from crossgrade.values.workload import ModelRef, Optimizer, Phase, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCase:
    """One execution of a phase of a model."""

    model: ModelRef
    """The model."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Its configuration; empty for what is built by code, an archive or a factory."""
    weights: str = ""
    """Folder of a checkpoint, as it was passed; empty: random values by the seed."""
    phase: Phase
    """What it does."""
    batch: int
    """Sequences."""
    tokens: int
    """prefill: prompt length; decode: new tokens per step; train: sequence length."""
    context: int = 0
    """Tokens in the cache before the execution, per sequence."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Sizes that only this model has, by name."""
    dtype: str
    """Format of weights and arithmetic, torch's name, such as `bfloat16`."""
    compute: str = ""
    """Format in which the weights, rounded to `dtype`, are computed with; empty: `dtype` itself.
    The trusted run takes `float64`."""
    optimizer: Optimizer = "adamw"
    """What a training step updates parameters with."""
    seed: int = 0
    """Seed of random weights and inputs."""

    @property
    def op(self) -> str:
        """Return model and phase, where messages name an operator."""
        return f"{self.model.name} {self.phase}"

    @property
    def calls(self) -> int:
        """Return 1: nothing calls it."""
        return 1

    @property
    def key(self) -> str:
        """Return what makes two cases one, such as `qwen3-0.6b-decode-1f3a9c02d4`."""
        body = [self.model.name, self.config, self.weights, self.phase, self.batch, self.tokens,
                self.context, self.sizes, self.dtype, self.compute, self.optimizer,
                self.seed]  # fmt: skip
        text = json.dumps(body, sort_keys=True)
        name = "".join(c if c.isalnum() or c in "_.-" else "_" for c in self.model.name)
        return f"{name}-{self.phase}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    @property
    def title(self) -> str:
        """Return it for a person, such as `qwen3-0.6b decode float32 batch=1 tokens=1`."""
        sizes = {"batch": self.batch, "tokens": self.tokens}
        if self.context:
            sizes["context"] = self.context
        told = " ".join(f"{k}={v}" for k, v in {**sizes, **self.sizes}.items())
        return f"{self.op} {self.dtype} {told}"

    @property
    def workload(self) -> Workload:
        """Return it as the workload that `assess` knows."""
        return Workload(
            model=self.model,
            phase=self.phase,
            batch=self.batch,
            tokens=self.tokens,
            context=self.context,
            dtype=USER_NAMES.get(self.dtype, self.dtype),
            sizes=tuple(self.sizes.items()),
            optimizer=self.optimizer,
        )
