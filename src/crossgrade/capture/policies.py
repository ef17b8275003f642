"""Values that depend on data which is not there, and what is put in their place.

Each use is marked in the capture with the policy that was applied. Must not know the recorder.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from crossgrade.capture.shares import mean_of

aten = torch.ops.aten


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How one data-dependent operator is answered."""

    text: str
    """What is assumed, for the capture's table of marks."""
    answer: Callable[..., Any]
    """Gives the result from the call's arguments."""


def _scalar(tensor: torch.Tensor) -> Any:
    """Return True, 1 or 1.0: masks are full, counts are one."""
    if tensor.dtype == torch.bool:
        return True
    return 1.0 if tensor.dtype.is_floating_point else 1


def _set(mask: torch.Tensor) -> int:
    """Return how many elements of a mask are set: its known share, else every one."""
    mean = mean_of(mask)
    return mask.numel() if mean is None else math.ceil(mask.numel() * min(1.0, mean))


def _nonzero(tensor: torch.Tensor) -> torch.Tensor:
    """Return indices of shape [set elements, dimensions]."""
    return tensor.new_empty((_set(tensor), tensor.dim()), dtype=torch.int64)


def _masked_select(tensor: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the elements that are set."""
    shape = torch.broadcast_shapes(tuple(tensor.shape), tuple(mask.shape))
    share = _set(mask) / max(mask.numel(), 1)
    return tensor.new_empty((math.ceil(math.prod(shape) * share),))


def _split(tensor: torch.Tensor, sizes: list[int], dim: int = 0) -> Any:
    """Return parts as even as whole numbers allow, as many as were asked for."""
    whole, rest = divmod(tensor.shape[dim], len(sizes))
    even = [whole + (i < rest) for i in range(len(sizes))]
    return aten.split_with_sizes.default(tensor, even, dim)


def _index(tensor: torch.Tensor, indices: Any) -> torch.Tensor:
    """Return the selection of boolean masks: the masked dimensions become one."""
    shape: list[int] = []
    dim = 0
    for index in indices:
        if index is None:
            shape.append(tensor.shape[dim])
            dim += 1
        elif index.dtype in (torch.bool, torch.uint8):
            shape.append(_set(index))
            dim += index.dim()
        else:
            shape.extend(index.shape)
            dim += 1
    return tensor.new_empty((*shape, *tensor.shape[dim:]))


def _grouped(a: torch.Tensor, b: torch.Tensor, offs: Any = None, *_: Any, **__: Any) -> Any:
    """Return the product of groups of rows with a matrix each; torch.nn.functional.grouped_mm."""
    outer = [a.shape[-2], b.shape[-1]]
    if a.dim() == b.dim():
        outer.insert(0, a.shape[0] if a.dim() == 3 else offs.numel())
    return a.new_empty(outer)


_FULL = "every element is set; of a one-hot table as many as it has"
POLICIES: dict[Any, Policy] = {
    aten._local_scalar_dense.default: Policy(
        text="host read: booleans are true, integers 1, floats 1.0", answer=_scalar
    ),
    aten.nonzero.default: Policy(text=f"nonzero: {_FULL}", answer=_nonzero),
    aten.masked_select.default: Policy(text=f"mask: {_FULL}", answer=_masked_select),
}
MASKED_INDEX = Policy(text=f"boolean index: {_FULL}", answer=_index)
UNALIGNED = Policy(
    text="grouped product of rows at no multiple of 16 bytes: by its shapes", answer=_grouped
)
EVEN_SPLIT = Policy(text="parts whose sizes the data decides: even", answer=_split)


def policy_for(func: Any, args: tuple[Any, ...]) -> Policy | None:
    """Return the policy that answers this call, or None where shapes and values are known."""
    policy = POLICIES.get(func)
    if policy is not None:
        # A fake tensor made from a Python number remembers the number.
        known = getattr(args[0], "constant", None) is not None
        return None if known else policy
    if func is aten.index.Tensor and any(
        index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
    ):
        return MASKED_INDEX
    if func is aten.split_with_sizes.default and not _adds_up(*args):
        return EVEN_SPLIT
    if func is aten._grouped_mm.default and not all(map(_aligned, args[:2])):
        return UNALIGNED
    return None


def _aligned(tensor: torch.Tensor) -> bool:
    """Return whether rows begin at multiples of 16 bytes, as CUDA's grouped products need."""
    return not any(s > 1 and s * tensor.element_size() % 16 for s in tensor.stride())


def _adds_up(tensor: torch.Tensor, sizes: list[int], dim: int = 0) -> bool:
    return not sizes or sum(sizes) == tensor.shape[dim]
