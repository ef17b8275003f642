"""Small training steps with the shapes of big ones: captured once per session of tests."""

from __future__ import annotations

import functools
from typing import Any

from tests.conftest import small_config
from truthlib import from_config

from crossgrade.capture.run import CaptureSession
from crossgrade.chips.loader import load_chip
from crossgrade.predict.phase import Prepared, prepare
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.predict.training.passes import TrainingPasses, passes_of
from crossgrade.predict.training.step import TrainingPricer
from crossgrade.values.layout import Layout, Shard
from crossgrade.values.workload import ModelRef, Optimizer, Workload

REF = ModelRef(passed="m", name="m", kind="config", runs_code=False)
GPT = {
    "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 512, "n_head": 8,
    "n_layer": 4, "n_positions": 256, "vocab_size": 1024, "torch_dtype": "float16",
    "attn_implementation": "eager", "activation_function": "gelu_pytorch_tanh",
    "use_cache": False,
}  # fmt: skip
"""What Megatron-LM trained in 2022: attention that is not fused, dropout of 0.1."""


@functools.cache
def prepared(
    model: str, tokens: int = 128, batch: int = 1, optimizer: Optimizer = "adamw"
) -> Prepared:
    config: dict[str, Any] = GPT if model == "gpt" else small_config(model, num_hidden_layers=4)
    session = CaptureSession(from_config(config))
    workload = Workload(model=REF, phase="train", batch=batch, tokens=tokens, context=0, dtype=None,
                        optimizer=optimizer)  # fmt: skip
    return prepare(session.capture(workload))


def passes(model: str, stack: str = "compile", **sizes: Any) -> TrainingPasses:
    return passes_of(prepared(model, **sizes), stack)


def pricer(model: str, chip: str = "h100", stack: str = "compile", **sizes: Any) -> TrainingPricer:
    step = prepared(model, **sizes)
    return TrainingPricer(passes=passes_of(step, stack), need=step.memory, chip=load_chip(chip),
                          stack=stack, knowledge=shipped())  # fmt: skip


def layout(tp: int = 1, dp: int = 1, pp: int = 1, shard: Shard = "none") -> Layout:
    return Layout(chips=tp * dp * pp, kind="sharded", tp=tp, dp=dp, pp=pp, shard=shard)
