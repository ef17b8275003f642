"""Lines for training steps: Megatron-LM on Selene, MaxText on TPU v5p and B200.

Each step as `compile` launches it, on the layout that its source names. Nothing is fitted to them.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crossgrade.api.scorecard.whole import NONE, Times, whole_line
from crossgrade.chips.loader import load_chip
from crossgrade.predict.scorecard.line import Anchor, Goal, Line
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.predict.sources.training_steps import recipes, selene
from crossgrade.values.layout import Layout
from crossgrade.values.training import Recompute, TrainingPlan
from crossgrade.values.workload import ModelRef, Workload

if TYPE_CHECKING:
    from crossgrade.predict.training.step import TrainingStep

STACK = "compile"
GPT = {
    "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_positions": 2048,
    "vocab_size": 51200, "activation_function": "gelu_pytorch_tanh", "use_cache": False,
}  # fmt: skip
"""What all GPT models of the rows have."""
MEGATRON = {**GPT, "torch_dtype": "float16", "attn_implementation": "eager"}
"""As Megatron-LM trained them then: dropout of 0.1 is the class's default."""
MAXTEXT = {**GPT, "torch_dtype": "bfloat16", "attn_pdrop": 0.0, "embd_pdrop": 0.0,
           "resid_pdrop": 0.0}  # fmt: skip
MODES: Mapping[str, tuple[Recompute, bool]] = {
    "full recompute": ("full", False), "seq-parallel+selective": ("selective", True),
}  # fmt: skip
"""What a mode recomputes, and whether tokens are shared out."""
CALCULON = Anchor(who="Calculon", figure="3.65 % mean, 8.87 % at most over the 8 steps",
                  source="own run at caa4b11")  # fmt: skip


def lines(data: Path) -> Iterator[Line]:
    """Yield the steps of each source together and one by one.

    Args:
        data: the folder of the large data sets.
    """
    described = steps_described()
    yield from _lines("Megatron-LM on Selene", list(selene(data)), _selene(described), "a100",
                      0.05, (CALCULON,))  # fmt: skip
    yield from _lines("MaxText recipes", list(recipes(data)), _recipes(described), "tpu-v5p, b200",
                      0.12, ())  # fmt: skip


def _lines(
    name: str, rows: list[tuple[str, float]], predicted: Callable[[str], Times], chip: str,
    most: float, anchors: tuple[Anchor, ...],
) -> Iterator[Line]:  # fmt: skip
    chips = {row["path"]: row["chip"] for row in steps_described()["recipes"]}
    found = [predicted(key) for key, _ in rows]
    measured = np.array([seconds for _, seconds in rows])
    yield _line(name, found, measured, chip, (Goal(measure="mape", most=most),), anchors)
    for (key, seconds), one in zip(rows, found, strict=True):
        if np.isfinite(one[1]):
            yield _line(f"a step, {key}", [one], np.array([seconds]), chips.get(key, chip))


def _line(
    name: str, found: list[Times], measured: np.ndarray, chip: str,
    goals: tuple[Goal, ...] = (), anchors: tuple[Anchor, ...] = (),
) -> Line:  # fmt: skip
    return whole_line("training", name, found, measured, chip=chip, goals=goals, anchors=anchors,
                      tier="T1" if "tpu" in chip else "T2")  # fmt: skip


def steps_described() -> dict[str, Any]:
    """Return how each step was run, with its sources."""
    text = resources.files(__package__).joinpath("training.toml").read_text("utf-8")
    return tomllib.loads(text)


def _selene(described: Mapping[str, Any]) -> Callable[[str], Times]:
    """Return what predicts a step of Selene by its key."""
    by_name = {row["name"]: row for row in described["selene"]}

    def predicted(key: str) -> Times:
        name, mode = key.split(", ")
        row, (recompute, together) = by_name[name], MODES[mode]
        layout = Layout(chips=8 * row["pp"], kind="sharded", tp=8, pp=row["pp"])
        plan = TrainingPlan(
            batch=row["batch"], micro_batch=row["micro_batch"], interleave=row["interleave"],
            recompute=recompute, sequence_parallel=together,
        )  # fmt: skip
        config = tuple((MEGATRON | row["sizes"]).items())
        return _predicted(config, None, "a100", layout, plan, 2048)

    return predicted


def _recipes(described: Mapping[str, Any]) -> Callable[[str], Times]:
    """Return what predicts a step of a recipe by its path; what is not described is not covered."""
    by_path = {row["path"]: row for row in described["recipes"]}

    def predicted(path: str) -> Times:
        row = by_path.get(path)
        if row is None:
            return NONE
        degrees = {"tp": 1, "dp": 1, **row["layout"]}
        layout = Layout(chips=degrees["tp"] * degrees["dp"], kind="sharded", shard="full",
                        **degrees)  # fmt: skip
        plan = TrainingPlan(batch=row["batch"], micro_batch=row["micro_batch"], recompute="full",
                            products=row["products"])  # fmt: skip
        config = tuple((MAXTEXT | row["sizes"]).items()) if "sizes" in row else ()
        return _predicted(config, row.get("model"), row["chip"], layout, plan, row["tokens"])

    return predicted


def _predicted(
    config: tuple[tuple[str, Any], ...], preset: str | None, chip: str, layout: Layout,
    plan: TrainingPlan, tokens: int,
) -> Times:  # fmt: skip
    """Return P10, P50 and P90 of a step, s."""
    from crossgrade.predict.training.passes import passes_of
    from crossgrade.predict.training.step import TrainingPricer

    print(f"{preset or dict(config)['n_layer']}, {layout.words}, {plan.recompute}", file=sys.stderr)
    session = _session(tuple((k, _frozen(v)) for k, v in config), preset)
    prepared = session(plan.micro_batch, tokens)
    pricer = TrainingPricer(passes=passes_of(prepared, STACK, plan.products), need=prepared.memory,
                            chip=load_chip(chip), stack=STACK, knowledge=shipped())  # fmt: skip
    step: TrainingStep = pricer.step(layout, plan)
    return step.low, step.mid, step.high


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@functools.lru_cache(maxsize=1)
def _session(config: tuple[tuple[str, Any], ...], preset: str | None) -> Callable[[int, int], Any]:
    """Return what captures a model's training step; the last one is kept."""
    from crossgrade.capture.run import CaptureSession
    from crossgrade.predict.phase import prepare
    from crossgrade.workloads import huggingface
    from crossgrade.workloads.resolve import find_model

    if preset is not None:
        found = find_model(preset)
        built, ref = found.build(None), found.ref
    else:
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in config}
        built = huggingface.build(plain, name="gpt", dtype=None)
        ref = ModelRef(passed="gpt", name="gpt", kind="config", runs_code=False)
    session = CaptureSession(built)
    workload = Workload(model=ref, phase="train", batch=1, tokens=1, context=0, dtype=None,
                        optimizer="adamw-fp32")  # fmt: skip

    @functools.lru_cache(maxsize=1)
    def prepared(batch: int, tokens: int) -> Any:
        return prepare(session.capture(dataclasses.replace(workload, batch=batch, tokens=tokens)))

    return prepared
