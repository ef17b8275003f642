"""A module on no device -> the same with values: random ones by a seed, or those of a checkpoint.

Values are made on the host and then moved, so that every device gets the same. Code that lies
beside a checkpoint is never run, and only safetensors are read: a pickle can run anything. Must not
know phases.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from crossgrade.errors import BadModelFile
from crossgrade.values.operator_case import CannotRun

if TYPE_CHECKING:
    from crossgrade.workloads.built import BuiltModel


def materialised(
    built: BuiltModel, *, seed: int, device: torch.device | str = "cpu", folder: str = ""
) -> torch.nn.Module:
    """Return the built module with values, in evaluation mode, its parameters without gradients.

    Args:
        built: a model of transformers on the meta device; its module is used up.
        seed: of random values, which its class's own initialisation makes.
        device: where it is moved afterwards.
        folder: of a checkpoint whose values are taken instead.

    Raises:
        CannotRun: `unsupported-operator`, the class does not say how it is initialised.
        BadModelFile: the checkpoint has no safetensors, or does not fit the configuration.
    """
    module: Any = built.module
    if not hasattr(module, "init_weights") or not hasattr(module, "tie_weights"):
        raise CannotRun(
            "unsupported-operator", f"{type(module).__name__} is no model of transformers"
        )
    module = _from_folder(module, folder) if folder else _random(module, seed)
    ready: torch.nn.Module = module.eval().requires_grad_(False).to(device)
    return ready


def _random(module: Any, seed: int) -> Any:
    """Return the module with the values that its class gives a new model."""
    module = module.to_empty(device="cpu")
    module.tie_weights()
    before = torch.random.get_rng_state()
    try:
        torch.manual_seed(seed)
        module.init_weights()
    finally:
        torch.random.set_rng_state(before)
    return module


def _from_folder(module: Any, folder: str) -> Any:
    """Return a module of the same class and configuration with the values of a checkpoint."""
    if not any(Path(folder).glob("*.safetensors")):
        raise BadModelFile(
            f"no *.safetensors in '{folder}'",
            hint="pickled weights are never opened; leave --weights out for random ones",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, info = type(module).from_pretrained(
                folder, config=module.config, dtype=next(module.parameters()).dtype,
                local_files_only=True, use_safetensors=True, trust_remote_code=False,
                output_loading_info=True,
            )  # fmt: skip
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise BadModelFile(
            f"'{folder}' does not load: {type(error).__name__}: {text}",
            hint="do its weights belong to this configuration?",
        ) from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise BadModelFile(
            f"'{folder}' lacks {len(missing)} of the model's tensors, such as {missing[0]}",
            hint="do its weights belong to this configuration?",
        )
    return found
