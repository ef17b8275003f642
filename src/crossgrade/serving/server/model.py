"""What is to be served -> a model with values on its device, and what is known of it.

Refuses what cannot be served, in words. Must not know requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from crossgrade.chips.probe import free_memory_bytes
from crossgrade.errors import BadOption, TargetAbsent
from crossgrade.values.operator_case import CannotRun
from crossgrade.values.workload import ModelRef
from crossgrade.workloads.built import BuiltModel
from crossgrade.workloads.resolve import FoundModel
from crossgrade.workloads.running import materialised

_KEPT_LAYERS = frozenset({"full_attention", "sliding_attention"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model to serve; JSON values."""

    name: str
    """Its name, which requests give."""
    config: Mapping[str, Any]
    """Its configuration."""
    weights: str
    """Folder of a checkpoint; empty: random values by the seed."""
    seed: int
    """Seed of random values."""
    dtype: str | None
    """Format, as `--dtype` takes it; None: that of the checkpoint."""
    device: str
    """torch's name of the device."""
    threads: int | None
    """Threads of torch on the host; None: as many as torch takes by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model that is ready to run."""

    module: Any
    """The model of transformers, in evaluation mode."""
    vocabulary: int
    """Number of token ids."""
    ends: tuple[int, ...]
    """Token ids that end an answer."""
    most_positions: int | None
    """Longest sequence that the configuration allows, None where it does not say."""
    facts: Mapping[str, str]
    """What a reader of measurements should know."""


def loaded(spec: ModelSpec) -> LoadedModel:
    """Return the model with values on its device.

    Raises:
        CrossgradeError: it cannot be built, read, held or served.
    """
    if spec.threads is not None:
        torch.set_num_threads(spec.threads)
    device = _device(spec.device)
    ref = ModelRef(passed=spec.name, name=spec.name, kind="config", runs_code=False)
    built = FoundModel(ref=ref, config=dict(spec.config), path=None).build(spec.dtype)
    _check_kept(built.module, spec.name)
    _check_room(built.module, spec.name)
    try:
        module: Any = materialised(built, seed=spec.seed, device=device, folder=spec.weights)
    except CannotRun as error:
        raise BadOption(
            f"{spec.name} cannot be served: {error.detail}", hint="serve a causal language model"
        ) from error
    config = module.config.get_text_config()
    vocabulary = int(module.get_input_embeddings().num_embeddings)
    return LoadedModel(
        module=module,
        vocabulary=vocabulary,
        ends=_ends(module, vocabulary),
        most_positions=getattr(config, "max_position_embeddings", None),
        facts=_facts(spec, built, module, device),
    )


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadOption(f"'{name}' is no device of torch", hint="such as cpu or cuda:0") from error
    try:
        torch.zeros(1, device=device)
    except Exception as error:  # each backend has its own
        raise TargetAbsent(
            f"{name} is not here: {' '.join(str(error).split())[:200]}",
            hint="`crossgrade bench targets` lists what is",
        ) from error
    return device


def _check_kept(module: Any, name: str) -> None:
    """Refuse a model whose state between tokens is more than keys and values."""
    config = module.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    other = sorted(kinds - _KEPT_LAYERS)
    if module.get_output_embeddings() is None:
        what = "it has no language head"
    elif other:
        what = f"it has layers of the kind {', '.join(other)}"
    elif getattr(module, "_is_stateful", False):
        what = "it keeps a recurrent state"
    else:
        return
    raise BadOption(
        f"{name} cannot be served by the local server: {what}",
        hint="it serves causal language models with full or sliding attention; start another "
        "server with this model and measure that",
    )


def _check_room(module: torch.nn.Module, name: str) -> None:
    needed = sum(p.numel() * p.element_size() for p in module.parameters())
    free = free_memory_bytes()
    if free is not None and needed > free:
        raise BadOption(
            f"{name} needs {needed / 1e9:.1f} GB for its weights, and {free / 1e9:.1f} GB are free",
            hint="serve a smaller model, or a smaller --dtype",
        )


def _ends(module: Any, vocabulary: int) -> tuple[int, ...]:
    """Return the ids that end an answer; one cut down may name some that it lacks."""
    given = getattr(module.config.get_text_config(), "eos_token_id", None)
    ids = given if isinstance(given, list) else [given]
    return tuple(i for i in ids if isinstance(i, int) and 0 <= i < vocabulary)


def _facts(spec: ModelSpec, built: BuiltModel, module: Any, device: torch.device) -> dict[str, str]:
    import transformers

    parameters = sum(p.numel() for p in module.parameters())
    experts = built.environment.get("experts", "")
    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "dtype": str(module.dtype).removeprefix("torch."),
        "device": str(device),
        "threads": str(torch.get_num_threads()),
        "parameters": str(parameters),
        "weights": spec.weights or f"random, seed {spec.seed}",
        **({"experts": experts} if experts else {}),
    }
