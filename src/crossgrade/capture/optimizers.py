"""Optimizers as they are after their first step: their state exists.

Must not know what is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.optim.adamw import adamw

from crossgrade.values.workload import Optimizer

_RATE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """An optimizer with its state."""

    state: tuple[tuple[torch.Tensor, str], ...]
    """Tensors that it keeps from step to step, and what they are."""
    step: Callable[[], object]
    """Updates the parameters from their gradients."""


def steady(kind: Optimizer, parameters: Sequence[torch.nn.Parameter]) -> Steady:
    """Return an optimizer for parameters on the fake device."""
    if kind == "sgd":
        # Foreach is what PyTorch picks by itself on accelerators; fake tensors hide that they are.
        return Steady(state=(), step=torch.optim.SGD(parameters, lr=_RATE, foreach=True).step)
    return _adamw(parameters) if kind == "adamw" else _adamw_fp32(parameters)


def _adamw(parameters: Sequence[torch.nn.Parameter]) -> Steady:
    """Return torch's AdamW: two moments in the format of each parameter."""
    optimizer = torch.optim.AdamW(parameters, lr=_RATE, foreach=True)
    kept: list[tuple[torch.Tensor, str]] = []
    for parameter in parameters:
        state = {
            "step": torch.tensor(1.0),
            "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
        }
        optimizer.state[parameter] = state
        kept += [(tensor, name) for name, tensor in state.items()]
    return Steady(state=tuple(kept), step=optimizer.step)


def _adamw_fp32(parameters: Sequence[torch.nn.Parameter]) -> Steady:
    """Return AdamW on fp32 copies of the weights, with fp32 moments: 12 bytes per parameter.

    Mixed-precision training after Micikevicius et al., 2018, arXiv 1710.03740, section 3.1. One
    parameter after another, so that no second set of gradients exists. A parameter that is fp32
    already is its own copy.
    """
    rows = []
    kept: list[tuple[torch.Tensor, str]] = []
    for parameter in parameters:
        data = parameter.detach()
        master = data if data.dtype == torch.float32 else data.float()
        moments = torch.zeros_like(master), torch.zeros_like(master)
        rows.append((parameter, master, moments, torch.tensor(1.0)))
        if master is not data:
            kept.append((master, "master"))
        kept += [(moments[0], "exp_avg"), (moments[1], "exp_avg_sq")]

    @torch.no_grad()
    def step() -> None:
        for parameter, master, (first, second), count in rows:
            if parameter.grad is None:
                continue
            adamw(
                [master], [parameter.grad.float()], [first], [second], [], [count],
                foreach=True, amsgrad=False, beta1=0.9, beta2=0.999, lr=_RATE, weight_decay=0.01,
                eps=1e-8, maximize=False,
            )  # fmt: skip
            if master.dtype != parameter.dtype:
                parameter.copy_(master)

    return Steady(state=tuple(kept), step=step)
