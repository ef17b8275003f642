"""How full a table of ones is, where that is known although its contents are not.

Routers write one-hot tables of chosen experts and look for the ones later: how many there are
follows from the shapes. The mean of the entries is carried from the table through views, sums and
comparisons to where it is asked for. Must not know the recorder.
"""

from __future__ import annotations

import math
from typing import Any

import torch

aten = torch.ops.aten
_WRITES_ONES = frozenset({aten.scatter_.value, aten.scatter.value})
_KEEPS = frozenset({
    aten.view.default, aten._unsafe_view.default, aten.permute.default, aten.transpose.int,
    aten.t.default, aten.select.int, aten.slice.Tensor, aten.squeeze.default, aten.squeeze.dim,
    aten.squeeze.dims, aten.unsqueeze.default, aten.expand.default, aten.clone.default,
    aten._to_copy.default, aten.alias.default, aten.detach.default, aten.index_select.default,
})  # fmt: skip
_SUMS = frozenset({aten.sum.dim_IntList, aten.sum.default})
_ABOVE = frozenset({aten.gt.Scalar, aten.ne.Scalar})
_FOLLOWED = _WRITES_ONES | _KEEPS | _SUMS | _ABOVE


def mean_of(tensor: torch.Tensor) -> float | None:
    """Return the mean of a tensor's entries, None where it is not known."""
    mean: float | None = getattr(tensor, "_crossgrade_mean", None)
    return mean


def follow(func: Any, args: tuple[Any, ...], result: Any) -> None:
    """Note the mean of a result where it follows from an argument's, after the call was made."""
    if func not in _FOLLOWED:
        return
    first = args[0]
    mean = mean_of(first)
    if func in _WRITES_ONES:
        # One entry per index becomes 1; the table held nothing before.
        index, value = args[2], args[3]
        mean = index.numel() / max(first.numel(), 1) if value == 1 else None
    elif mean is None:
        return
    elif func in _SUMS:
        mean *= first.numel() / max(math.prod(result.shape), 1)
    elif func in _ABOVE:
        mean = min(1.0, mean) if args[1] == 0 else None
    result._crossgrade_mean = mean
