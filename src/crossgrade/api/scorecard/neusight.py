"""Lines for forward and backward passes in fp32, beside NeuSight's predictions of the same rows.

As PyTorch launches them call by call, as `compile` does where torch.compile ran, and where tensors
are divided. Products in fp32 were fitted on operators of the same devices (not on steps), all other
launches on those of two of them.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crossgrade.api.scorecard.device import like
from crossgrade.api.scorecard.whole import NONE, Times, whole_line
from crossgrade.predict.scorecard.line import Anchor, Goal, Line
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.predict.silicon.score import score
from crossgrade.predict.sources.neusight_steps import FloatStep, float_steps
from crossgrade.values.chip import Chip
from crossgrade.values.layout import Layout
from crossgrade.values.training import TrainingPlan
from crossgrade.values.workload import ModelRef, Workload

if TYPE_CHECKING:
    from crossgrade.predict.phase import Prepared
    from crossgrade.predict.training.step import TrainingPricer

CHIPS: Mapping[str, tuple[str, dict[str, float]]] = {
    "NVIDIA_A100_80GB_PCIe": ("a100-pcie", {}),
    "NVIDIA_A100-PCIE-40GB": ("a100-pcie", {"memory_bandwidth": 1.555e12}),
    "NVIDIA_A100-SXM4-40GB": ("a100", {"memory_bandwidth": 1.555e12}),
    "NVIDIA_H100_80GB_HBM3": ("h100", {}),
    "NVIDIA_L4": ("l4", {}),
    "Tesla_V100-PCIE-32GB": ("v100", {}),
    "AMD_Instinct_MI210": ("mi210", {}),
    "AMD_Instinct_MI250": ("mi250-die", {}),
}  # fmt: skip
"""Device -> chip, and what differs (NVIDIA, A100 data sheet, 2021). Not described: P100, P4, T4,
MI100."""
_GPT = {
    "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new",
    "vocab_size": 50257, "use_cache": False,
}  # fmt: skip
MODELS: Mapping[str, dict[str, Any]] = {
    "gpt2_large": _GPT | {"n_embd": 1280, "n_head": 20, "n_layer": 36, "n_positions": 1024},
    "gpt3_xl": _GPT | {"n_embd": 3072, "n_head": 24, "n_layer": 24, "n_positions": 2048},
    "gpt3_27": _GPT | {"n_embd": 2560, "n_head": 32, "n_layer": 32, "n_positions": 2048},
    "opt_13": {
        "architectures": ["OPTForCausalLM"], "model_type": "opt", "hidden_size": 2048,
        "ffn_dim": 8192, "num_hidden_layers": 24, "num_attention_heads": 32, "vocab_size": 50272,
        "word_embed_proj_dim": 2048, "max_position_embeddings": 2048, "use_cache": False,
    },
    "bert_large": {
        "architectures": ["BertForSequenceClassification"], "model_type": "bert",
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
        "num_attention_heads": 16, "vocab_size": 30522, "max_position_embeddings": 512,
    },
}  # fmt: skip
"""Sizes of the configurations in scripts/asplos/data/DLmodel_configs. Not covered: switchxl4, whose
module the measurement replaced by one of its own."""
NO_DROPOUT = ("attn_pdrop", "embd_pdrop", "resid_pdrop", "dropout", "attention_dropout")
"""Rates of dropout that are 0 where no gradient is asked for."""
LOSS = ("_log_softmax", "nll_loss_forward")
"""Launches of the forward pass that the measurement leaves out."""
KINDS: Mapping[str, str] = {
    "": "call by call", "fusion": "torch.compile", "dp4": "on 4 devices", "tp4": "on 4 devices",
    "pp4_1": "on 4 devices",
}  # fmt: skip


def lines(data: Path) -> Iterator[Line]:
    """Yield all rows together, then by device and by how they ran.

    Args:
        data: the folder of the large data sets.
    """
    steps = sorted(float_steps(data), key=lambda s: (s.model, s.trains, s.batch))
    found = np.array([predicted(step) for step in steps])
    yield _line("all", "all", steps, found, (Goal(measure="mape", most=0.09),))
    for device in dict.fromkeys(s.device for s in steps if s.device in CHIPS):
        at = [i for i, s in enumerate(steps) if s.device == device]
        if not np.isfinite(found[at, 1]).any():
            continue
        yield _line("on this device", device, [steps[i] for i in at], found[at])
    ways = dict.fromkeys((s.trains, KINDS[s.option]) for s in steps)
    for trains, kind in ways:
        at = [i for i, s in enumerate(steps) if (s.trains, KINDS[s.option]) == (trains, kind)]
        if not np.isfinite(found[at, 1]).any():
            continue
        what = "forward and backward" if trains else "forward"
        yield _line(f"{what}, {kind}", "all", [steps[i] for i in at], found[at])


def _line(
    name: str, chip: str, steps: list[FloatStep], found: np.ndarray, goals: tuple[Goal, ...] = ()
) -> Line:
    measured = np.array([s.measured_s for s in steps])
    covered = np.isfinite(found[:, 1])
    theirs = np.where(covered, [s.neusight_s for s in steps], np.nan)
    anchor = Anchor(who="NeuSight", figure="", source="", score=score(theirs, measured))
    return whole_line(
        "training", f"NeuSight's passes in fp32, {name}", found.tolist(), measured, chip=chip,
        tier="T2", split="fp32 products fitted on operators; no step", goals=goals,
        anchors=(anchor,),
    )  # fmt: skip


def predicted(step: FloatStep) -> Times:
    """Return P10, P50 and P90 of a row, s; NaN where model or device are not covered."""
    if step.model not in MODELS or step.device not in CHIPS:
        return NONE
    print(f"{step.model}, {step.device}, batch {step.batch} {step.option}", file=sys.stderr)
    if step.option in ("", "fusion"):
        return _passes(step, "compile" if step.option else "eager")
    return _on_four(step)


def _passes(step: FloatStep, stack: str) -> Times:
    """Return the time of the passes on one device."""
    from crossgrade.predict.training.step import compute

    pricer = _pricer(step, step.batch, stack)
    found = pricer.passes
    pieces = [*found.forward.values(), *(found.backward.values() if step.trains else ())]
    kernels = [k for p in pieces for k in pricer.priced(p, 1) if k.rows.op not in LOSS]
    low, mid, high = (compute(kernels, end) for end in ("low", "mid", "high"))
    return low, mid, high


def _on_four(step: FloatStep) -> Times:
    """Return the time of both passes on four devices, with what replicas exchange."""
    degree = {name: 4 if step.option.startswith(name) else 1 for name in ("tp", "dp", "pp")}
    layout = Layout(chips=4, kind="sharded", tp=degree["tp"], dp=degree["dp"], pp=degree["pp"])
    plan = TrainingPlan(batch=step.batch, micro_batch=step.batch // layout.dp)
    pricer = _pricer(step, plan.micro_batch, "compile" if layout.tp > 1 else "eager")
    run = pricer.step(layout, plan)
    share = 1 - run.parts.get("optimizer", 0.0) / run.mid
    return run.low * share, run.mid * share, run.high * share


def _pricer(step: FloatStep, batch: int, stack: str) -> TrainingPricer:
    from crossgrade.predict.training.passes import passes_of
    from crossgrade.predict.training.step import TrainingPricer

    prepared = _prepared(step.model, step.trains, batch, step.tokens)
    return TrainingPricer(passes=passes_of(prepared, stack), need=prepared.memory,
                          chip=device(step.device), stack=stack, knowledge=shipped())  # fmt: skip


def device(name: str) -> Chip:
    """Return the chip of a device of the table."""
    return like(*CHIPS[name])


@functools.lru_cache(maxsize=2)
def _prepared(model: str, trains: bool, batch: int, tokens: int) -> Prepared:
    """Return a captured training step; without dropout where a forward pass alone is asked for."""
    from crossgrade.capture.run import CaptureSession
    from crossgrade.predict.phase import prepare
    from crossgrade.workloads import huggingface

    config = MODELS[model] | {"torch_dtype": "float32", "attn_implementation": "eager"}
    if model == "bert_large":
        config |= _bert(trains=trains)
    elif not trains:
        config |= dict.fromkeys(NO_DROPOUT, 0.0)
    session = CaptureSession(huggingface.build(config, name=model, dtype=None))
    ref = ModelRef(passed=model, name=model, kind="config", runs_code=False)
    workload = Workload(model=ref, phase="train", batch=batch, tokens=tokens, context=0, dtype=None)
    return prepare(session.capture(workload))


def _bert(*, trains: bool) -> dict[str, Any]:
    """Return what the measurement made of BERT: pre-training, or classification."""
    if trains:
        return {"architectures": ["BertForPreTraining"]}
    return {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
