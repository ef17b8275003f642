"""Lines for whole batches of Argonne's LLM-Inference-Bench, beside one scalar per chip and stack.

A batch of equal prompts is asked at once and simulated to its last token, on tensor parallelism
over the row's devices; llama.cpp reads and answers one sequence, on blocks of layers one behind the
other. The stacks are two years older than those whose kernels were fitted: what a framework takes
over a prediction is one scalar per chip and framework, and each model's is the median over the rows
of all *other* models. No parameter of a kernel was fitted to these rows.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crossgrade.api.scorecard.desk import Desk
from crossgrade.api.scorecard.device import like
from crossgrade.api.scorecard.whole import NONE, Times, whole_line
from crossgrade.api.steps import ModelSteps, model_steps, steps_of
from crossgrade.predict.scorecard.line import Anchor, Goal, Line, Tier
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.predict.silicon.score import score
from crossgrade.predict.sources.argonne import ONE_BY_ONE, BatchRow, batch_rows
from crossgrade.values.chip import Chip
from crossgrade.values.layout import Layout
from crossgrade.values.workload import ModelRef

if TYPE_CHECKING:
    from crossgrade.predict.layouts.service import Instance

CHIPS: Mapping[str, tuple[str, dict[str, float]]] = {
    "Nvidia A100 GPU": ("a100", {"memory_bandwidth": 1.555e12, "memory_capacity": 40 * 2.0**30}),
    "Nvidia H100 GPU": ("h100", {}),
    "Nvidia GH200 GPU": ("gh200", {}),
    "AMD MI300X GPU": ("mi300x", {}),
}  # fmt: skip
"""Device -> chip, and what differs: the A100 is that of Polaris, of 40 GiB (NVIDIA, A100 data
sheet, 2021). Not described: SN40L."""
STACKS = {"vLLM": "vllm", "TensorRT-LLM": "trtllm", "Deepspeed-MII": "vllm", "llama.cpp": "vllm"}
"""Framework -> the nearest stack that is described."""
ALIKE = frozenset({"TensorRT-LLM", "Deepspeed-MII"})
"""Frameworks whose script asks the same prompt in every place of a batch: all of its tokens go to
the same experts."""
LEAST_BATCH = 16
"""What was asked is asked of batches from this on."""
ENDS = ("low", "mid", "high")
CONTEXTS = (128, 1024, 4096)
"""Contexts whose decode steps are priced."""
_POSITIONS = 8192
_LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
_QWEN2 = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}


def _decoder(kind: dict[str, Any], *sizes: int, **other: Any) -> dict[str, Any]:
    hidden, inner, layers, heads, pairs, words = sizes
    return kind | {
        "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": pairs, "vocab_size": words,
        "max_position_embeddings": _POSITIONS, "tie_word_embeddings": False, **other,
    }  # fmt: skip


MODELS: Mapping[str, str | dict[str, Any]] = {
    "Meta-Llama-3-8B": "meta-llama-3.1-8b", "Meta-Llama-3-70B": "meta-llama-3.1-70b",
    "Mixtral-8x7B-v0.1": "mixtral-8x7b-v0.1",
    "llama-7b": _decoder(_LLAMA, 4096, 11008, 32, 32, 32, 32000),
    "Llama-2-7b-hf": _decoder(_LLAMA, 4096, 11008, 32, 32, 32, 32000),
    "Llama-2-70b-hf": _decoder(_LLAMA, 8192, 28672, 80, 64, 8, 32000),
    "Aquila-7B": _decoder(_LLAMA, 4096, 11008, 32, 32, 32, 100008),
    "Mistral-7B-v0.1": _decoder(
        {"architectures": ["MistralForCausalLM"], "model_type": "mistral"},
        4096, 14336, 32, 32, 8, 32000, sliding_window=None,
    ),
    "Qwen1.5-7B": _decoder(_QWEN2, 4096, 11008, 32, 32, 32, 151936),
    "Qwen2-7B": _decoder(_QWEN2, 3584, 18944, 28, 28, 4, 152064),
    "Qwen2-72B": _decoder(_QWEN2, 8192, 29568, 80, 64, 8, 152064),
    "opt-6.7b": {
        "architectures": ["OPTForCausalLM"], "model_type": "opt", "hidden_size": 4096,
        "ffn_dim": 16384, "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 50272,
        "word_embed_proj_dim": 4096, "max_position_embeddings": _POSITIONS,
    },
    "bloom-7b1": {
        "architectures": ["BloomForCausalLM"], "model_type": "bloom", "hidden_size": 4096,
        "n_layer": 30, "n_head": 32, "vocab_size": 250880,
    },
    "gpt-j-6b": {
        "architectures": ["GPTJForCausalLM"], "model_type": "gptj", "n_embd": 4096, "n_layer": 28,
        "n_head": 16, "vocab_size": 50400, "rotary_dim": 64, "n_positions": _POSITIONS,
    },
}  # fmt: skip
"""Last part of a row's model -> preset with the same shapes, or sizes of its published
configuration with room for the longest row. Not covered: DeciLM-7B, whose layers have different
numbers of heads of keys and come as code."""
CHOSEN: Mapping[str, dict[str, Any]] = {
    "Mixtral-8x7B-v0.1": _decoder(
        {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral"},
        4096, 14336, 32, 32, 8, 32000, num_local_experts=2, num_experts_per_tok=2,
        sliding_window=None, torch_dtype="bfloat16",
    ),
}  # fmt: skip
"""Mixture -> itself with the experts of one token alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One row with the time that was predicted before any scalar."""

    row: BatchRow
    predicted: Times
    least_s: float
    """Time to read the weights of one token once for each further one at the full bandwidth, s."""


def lines(data: Path) -> Iterator[Line]:
    """Yield what was asked, then each chip and framework.

    Args:
        data: the folder of the large data sets.
    """
    rows = [row for row in batch_rows(data)
            if row.device in CHIPS and row.batch >= LEAST_BATCH]  # fmt: skip
    plain, cut = [], 0
    for one in outcomes(rows):
        if one.row.measured_s < one.least_s:
            cut += 1
        else:
            plain.append(one)
    scaled = rescaled(plain)
    yield _line(f"all but {cut} cut short", "all", scaled, plain,
                (Goal(measure="mape", most=0.25),))  # fmt: skip
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, one in enumerate(scaled):
        groups[CHIPS[one.row.device][0], one.row.framework].append(i)
    for (chip, framework), places in sorted(groups.items()):
        some = [scaled[i] for i in places]
        by = [scaled[i].predicted[1] / plain[i].predicted[1] for i in places]
        if np.isfinite(by).any():
            name = f"{framework}, {np.nanmedian(by):.2f} times as long"
            yield _line(name, chip, some, [plain[i] for i in places])


def _line(
    name: str, chip: str, scaled: list[Outcome], plain: list[Outcome], goals: tuple[Goal, ...] = ()
) -> Line:
    measured = np.array([o.row.measured_s for o in scaled])
    middle = np.array([o.predicted[1] for o in plain])
    fitted = {fit.chip for fit in shipped().fits}
    known = np.mean([CHIPS[o.row.device][0] in fitted for o in plain])
    tier: Tier = "T2" if known >= 0.5 else "T1"
    anchor = Anchor(who="the same without a scalar", figure="", source="",
                    score=score(middle, measured))  # fmt: skip
    return whole_line(
        "batch", f"batches of {LEAST_BATCH} and more, {name}", [o.predicted for o in scaled],
        measured, chip=chip, tier=tier, goals=goals, anchors=(anchor,),
        split="a scalar per chip and framework, from all other models",
    )  # fmt: skip


def rescaled(found: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes times the median of measured over predicted of all other models.

    Of the same chip and framework. NaN where no other model is.
    """
    ratios: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    for one in found:
        ratio = one.row.measured_s / one.predicted[1]
        if np.isfinite(ratio):
            ratios[one.row.device, one.row.framework].append((one.row.model, ratio))

    def scaled(one: Outcome) -> Outcome:
        others = [r for model, r in ratios[one.row.device, one.row.framework]
                  if model != one.row.model]  # fmt: skip
        by = float(np.median(others)) if others else np.nan
        low, mid, high = one.predicted
        return dataclasses.replace(one, predicted=(low * by, mid * by, high * by))

    return [scaled(one) for one in found]


def outcomes(rows: Sequence[BatchRow]) -> list[Outcome]:
    """Return every row with its predicted time; NaN where the model is not covered or has no room.

    Args:
        rows: of devices that are described.
    """
    by_model: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        model = row.model.rpartition("/")[2]
        by_model[model, model in CHOSEN and row.framework in ALIKE].append(i)
    found: dict[int, Outcome] = {}
    for (model, alike), places in sorted(by_model.items()):
        print(f"{model}: {len(places)} rows", file=sys.stderr)
        if model not in MODELS:
            found |= {i: Outcome(row=rows[i], predicted=NONE, least_s=0.0) for i in places}
            continue
        desk = Desk(steps=_steps((CHOSEN if alike else MODELS)[model], model), contexts=CONTEXTS)
        size = _read_per_token(_steps(CHOSEN[model], model) if model in CHOSEN else desk.steps)
        for i in places:
            found[i] = _outcome(desk, rows[i], size)
    return [found[i] for i in range(len(rows))]


def _steps(config: str | Mapping[str, Any], model: str) -> ModelSteps:
    """Return the steps of a model of the table."""
    if isinstance(config, str):
        return model_steps(config)
    from crossgrade.workloads import huggingface

    ref = ModelRef(passed=model, name=model, kind="config", runs_code=False)
    built = huggingface.build({"torch_dtype": "float16", **config}, name=model, dtype=None)
    return steps_of(built, ref)


def _read_per_token(steps: ModelSteps) -> float:
    """Return the bytes of weights that a token cannot do without: all but the tables of words."""
    import torch

    module = steps.built.module
    tables = sum(part.weight.nbytes for part in module.modules()
                 if isinstance(part, torch.nn.Embedding))  # fmt: skip
    return float(sum(p.nbytes for p in module.parameters()) - tables)


def _outcome(desk: Desk, row: BatchRow, size: float) -> Outcome:
    at_once = 1 if row.framework == ONE_BY_ONE else row.devices
    described = device(row.device).memory_bandwidth
    assert described is not None  # by the descriptions of CHIPS
    low, mid, high = (_time(desk, row, end) for end in ENDS)
    return Outcome(row=row, predicted=(low, mid, high),
                   least_s=(row.tokens - 1) * size / (at_once * described.value))  # fmt: skip


def _time(desk: Desk, row: BatchRow, end: str) -> float:
    from crossgrade.predict.serving.loop import serve
    from crossgrade.predict.serving.request import NS, Load

    tokens = np.full(row.sequences, row.tokens)
    stack = STACKS[row.framework]
    chip = device(row.device)
    one = desk.instance(
        "vllm-rocm" if stack == "vllm" and chip.vendor == "AMD" else stack, chip, layout_of(row),
        longest=2 * row.tokens, users=row.sequences, end=end,
    )  # fmt: skip
    if one is None:
        return np.nan
    served = serve(Load(prompts=tokens, outputs=tokens, users=row.sequences), _policy(one, row),
                   one.prices)  # fmt: skip
    return float(served.end.max() / NS)


def _policy(one: Instance, row: BatchRow) -> Any:
    """Return how an instance schedules; llama.cpp reads a prompt in the row's parts."""
    if row.part is None:
        return one.policy
    return dataclasses.replace(one.policy, max_tokens=row.part, mixed=False, chunked=True)


def layout_of(row: BatchRow) -> Layout:
    """Return the layout of a row: llama.cpp splits by layers, all others by tensors."""
    if row.framework == ONE_BY_ONE:
        return Layout(chips=row.devices, kind="sharded", pp=row.devices)
    return Layout(chips=row.devices, kind="sharded", tp=row.devices)


def device(name: str) -> Chip:
    """Return the chip of a device of the table."""
    return like(*CHIPS[name])
