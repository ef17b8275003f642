"""How full a table of ones is, where that is known although its contents are not.

Routers make one-hot tables of chosen experts and look for the ones later: how many there are
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
_COUNTS = frozenset({aten.arange.default, aten.arange.start, aten.arange.start_step})
_EQUAL = aten.eq.Tensor
_FOLLOWED = _WRITES_ONES | _KEEPS | _SUMS | _ABOVE | _COUNTS | {_EQUAL}


def mean_of(tensor: torch.Tensor) -> float | None:
    """Return the mean of a tensor's entries, None where it is not known."""
    mean: float | None = getattr(tensor, "_crossgrade_mean", None)
    return mean


def follow(func: Any, args: tuple[Any, ...], result: Any) -> None:
    """Note the mean of a result where it follows from an argument's, after the call was made."""
    if func not in _FOLLOWED:
        return
    if func in _COUNTS:
        result._crossgrade_counts = True
        return
    first = args[0]
    mean = mean_of(first)
    if func is _EQUAL:
        mean = _one_of(first, args[1])
    elif func in _WRITES_ONES:
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


def _one_of(numbers: torch.Tensor, row: torch.Tensor) -> float | None:
    """Return the mean of a one-hot table: numbers beside each other compared to 0, 1, 2, ..."""
    counts = getattr(row, "_crossgrade_counts", False) and row.dim() == 1
    whole = not numbers.is_floating_point() and numbers.dim() > 0 and numbers.shape[-1] == 1
    return 1 / row.numel() if counts and whole and row.numel() else None
