"""Low-rank adapters on a built module: the weights are frozen, the adapters alone are trained.

LoRA (Hu et al., 2021, arXiv 2106.09685, section 4.1): y = W x + (alpha / r) B A x. Must not know
how execution is recorded.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import nn

from crossgrade.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crossgrade.workloads.built import BuiltModel

_NOT_ADAPTED = ("router", "gate", "lm_head", "classifier")
"""Last names of linear layers that decide or classify; adapters leave them alone."""


class Adapted(nn.Module):
    """A frozen linear layer with an adapter beside it."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Parameter(base.weight.new_empty((rank, base.in_features)))
        self.up = nn.Parameter(base.weight.new_empty((base.out_features, rank)))
        self.scale = 2.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's result plus the adapter's."""
        inner = nn.functional.linear(x, self.down)
        out: torch.Tensor = self.base(x) + nn.functional.linear(inner, self.up) * self.scale
        return out

    @property
    def weight(self) -> torch.Tensor:
        """The frozen weight, for models that look at it."""
        return self.base.weight

    @property
    def bias(self) -> torch.Tensor | None:
        """The frozen bias."""
        return self.base.bias

    @property
    def in_features(self) -> int:
        """Features in."""
        return self.base.in_features

    @property
    def out_features(self) -> int:
        """Features out."""
        return self.base.out_features


def with_adapters(
    built: BuiltModel, *, rank: int, targets: tuple[str, ...], name: str
) -> BuiltModel:
    """Return the model with adapters on its linear layers; its module is changed in place.

    Args:
        built: the model, before it is captured.
        rank: features between the two matrices of an adapter.
        targets: last names of layers, such as `q_proj`; empty: all in repeated blocks but routers.
        name: what to call the model in messages.

    Raises:
        BadOption: there is no such layer, or no linear layer at all.
    """
    layers = dict(_linear_layers(built.module))
    usual = {path for path in layers if _in_block(path) and _last(path) not in _NOT_ADAPTED}
    known = sorted({_last(path) for path in layers})
    for target in targets:
        if target not in known:
            raise BadOption(
                f"--lora-targets {target}: {name} has no linear layer of that name",
                hint=f"one or more of {', '.join(known)}" if known else "it has none at all",
            )
    chosen = {path for path in layers if _last(path) in targets} if targets else usual
    if not chosen:
        raise BadOption(
            f"--lora-rank {rank}: {name} has no linear layers in its blocks",
            hint=f"--lora-targets names others: {', '.join(known)}" if known else "",
        )
    smallest = min(min(layers[p].in_features, layers[p].out_features) for p in chosen)
    if rank > smallest:
        raise BadOption(
            f"--lora-rank {rank}: a layer of {name} has {smallest} features",
            hint=f"a whole number from 1 to {smallest}",
        )
    built.module.requires_grad_(False)
    for path in sorted(chosen):
        parent, _, last = path.rpartition(".")
        setattr(built.module.get_submodule(parent), last, Adapted(layers[path], rank))
    return dataclasses.replace(built, notes=(*built.notes, *_notes(built, chosen, rank)))


def _linear_layers(module: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """Yield plain linear layers with their paths; classes derived from them do more than that."""
    for path, child in module.named_modules():
        if type(child) is nn.Linear and path:
            yield path, child


def _last(path: str) -> str:
    """Return the last word of a path; a number in a sequence keeps the word before it."""
    parts = path.split(".")
    return ".".join(parts[-2:]) if parts[-1].isdigit() and len(parts) > 1 else parts[-1]


def _in_block(path: str) -> bool:
    return any(part.isdigit() for part in path.split(".")[:-1])


def _notes(built: BuiltModel, chosen: set[str], rank: int) -> Iterator[str]:
    """Yield what was adapted, and what was not."""
    names = ", ".join(sorted({_last(path) for path in chosen}))
    yield f"LoRA: adapters of rank {rank} on {len(chosen):,} linear layers ({names})"
    fused = {type(m).__name__ for m in built.module.modules() if "Experts" in type(m).__name__}
    if fused:
        yield f"LoRA: fused experts ({', '.join(sorted(fused))}) are frozen and have no adapters"
    if built.weights.rules:
        yield (
            f"LoRA: frozen weights stay stored as {built.weights.title} and are computed with as "
            "the module has them, layer by layer; adapters are in the module's format"
        )
