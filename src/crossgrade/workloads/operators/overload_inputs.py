"""Inputs of single overloads: valid values by rule, strides as they are asked for.

Floating-point inputs are normal, or positive where the operator needs that, and repeat after
`MOST_DRAWN` elements; bool is true; indices run over what they index; ends of groups share the rows
evenly; other whole numbers are 0, or 1 where the operator divides. Must not know how an operator is
called.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from crossgrade.workloads.operators.info import LARGEST
from crossgrade.workloads.operators.request import bad
from crossgrade.workloads.operators.tensors import MOST_DRAWN, torch_dtype

_POSITIVE = ("sqrt", "rsqrt", "log", "log2", "log10", "log1p", "pow", "reciprocal")
_DIVIDING = ("div", "floor_divide", "remainder", "fmod", "__rshift__", "__lshift__")
_BY_DIMENSION = frozenset(
    ("index_select", "gather", "scatter", "scatter_add", "scatter_reduce", "index_add",
     "index_copy", "index_fill")
)  # fmt: skip
_BY_LIST = frozenset(
    ("index", "index_put", "_index_put_impl", "_unsafe_index", "_unsafe_index_put")
)


_ENDS_AT = {"_grouped_mm": 2, "_scaled_grouped_mm": 4}
"""Grouped product -> position of the ends of its groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputInfo:
    """One tensor input, described."""

    shape: tuple[int, ...]
    """Elements per dimension."""
    strides: tuple[int, ...]
    """Step per dimension, elements."""
    dtype: torch.dtype
    """Format."""
    host: bool
    """Whether it lies on the host wherever the operator runs."""

    @property
    def span(self) -> int:
        """Elements of memory from the first to the last."""
        if 0 in self.shape:
            return 0
        return 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))

    @property
    def distinct_bytes(self) -> int:
        """Bytes of the elements; a dimension with step 0 has one."""
        pairs = zip(self.shape, self.strides, strict=True)
        return math.prod(n if s or not n else 1 for n, s in pairs) * self.dtype.itemsize

    def like(self, values: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Return values [span] with this shape and these strides, on a device."""
        where = torch.device("cpu") if self.host else device
        return values.to(self.dtype).to(where).as_strided(self.shape, self.strides)


def inputs_of(described: Any, argument: str = "inputs") -> tuple[InputInfo, ...]:
    """Return the descriptions of tensors out of JSON.

    Raises:
        CannotRun: `bad-arguments` or `unsupported-format`.
    """
    if not isinstance(described, (list, tuple)):
        raise bad(argument, "not a list of tensors")
    return tuple(_input(f"{argument}[{i}]", entry) for i, entry in enumerate(described))


def _input(place: str, entry: Any) -> InputInfo:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("dtype"), str):
        raise bad(place, "not an object with `shape` and `dtype`")
    shape = _whole(f"{place}.shape", entry.get("shape"))
    strides = _whole(f"{place}.strides", entry.get("strides", _contiguous(shape)))
    if len(shape) != len(strides):
        raise bad(f"{place}.strides", f"{len(strides)} for {len(shape)} dimensions")
    return InputInfo(
        shape=shape, strides=strides, dtype=torch_dtype(entry["dtype"]),
        host=entry.get("host") is True,
    )  # fmt: skip


def _contiguous(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[i + 1 :]) for i in range(len(shape))]


def _whole(place: str, values: Any) -> tuple[int, ...]:
    if not isinstance(values, (list, tuple)) or len(values) > 32:
        raise bad(place, "not a list of sizes")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
            raise bad(place, f"{str(value)[:40]} is not a size")
    return tuple(values)


def filled(info: InputInfo, base: str, bound: int | None, rng: torch.Generator) -> torch.Tensor:
    """Return the values of an input [span], on the CPU.

    Args:
        base: name of the operator, without overload and without the `_` of the in-place form.
        bound: how many rows an index may name; None: it is no index.
    """
    name = base.removeprefix("_foreach_")
    if info.dtype.is_complex or info.dtype.is_floating_point:
        drawn = min(info.span, MOST_DRAWN)
        values = torch.randn(drawn, generator=rng) if name not in _POSITIVE else (
            torch.rand(drawn, generator=rng) + 0.5
        )  # fmt: skip
        if drawn == info.span:
            return values
        return values.to(info.dtype).repeat(-(-info.span // drawn))[: info.span]
    if info.dtype is torch.bool:
        return torch.ones(info.span, dtype=torch.bool)
    if bound is not None:
        return torch.arange(info.span) % max(bound, 1)
    return torch.full((info.span,), int(name in _DIVIDING))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """How a grouped product, such as the experts of a layer, is divided."""

    ends: int
    """Input that says where each group ends."""
    rows: int
    """Rows (or columns, or the summed length) that the groups share."""
    groups: int
    """How many there are."""
    weights: int | None
    """Input that has a matrix per group, of which empty groups read none; None: none has."""

    def values(self) -> torch.Tensor:
        """Return the ends [groups]: rows shared as evenly as they go, each row in one group."""
        return torch.arange(1, self.groups + 1) * self.rows // max(self.groups, 1)

    @property
    def share(self) -> float:
        """Return the share of groups that have a row."""
        return min(1.0, self.rows / self.groups) if self.groups else 0.0


def index_bounds(
    base: str, args: Sequence[Any], inputs: Sequence[InputInfo], slot: Any
) -> dict[int, int]:
    """Return input -> how many rows it may name, for the inputs that are indices.

    Args:
        args: positional arguments; a tensor stands as an object of the type `slot` with `index`.
    """

    def tensor(position: int) -> Any:
        found = args[position] if position < len(args) else None
        return found.index if isinstance(found, slot) else None

    first = tensor(0)
    if first is None:
        return {}
    shape = inputs[first].shape
    if base in _BY_LIST and isinstance(args[1], list):
        pairs = zip(args[1], shape, strict=False)
        return {entry.index: n for entry, n in pairs if isinstance(entry, slot)}
    if base in _BY_DIMENSION and tensor(2) is not None and isinstance(args[1], int) and shape:
        return {tensor(2): shape[args[1] % len(shape)]}
    if base == "embedding" and tensor(1) is not None and shape:
        return {tensor(1): shape[0]}
    if base == "embedding_dense_backward" and tensor(1) is not None:
        return {tensor(1): int(args[2])}
    if base.startswith("nll_loss"):
        scores, target = (first, tensor(1)) if "forward" in base else (tensor(1), tensor(2))
        if scores is not None and target is not None:
            classes = inputs[scores].shape
            return {target: classes[1 if len(classes) > 1 else 0]}
    return {}


def grouped_of(
    base: str, args: Sequence[Any], kwargs: Mapping[str, Any], inputs: Sequence[InputInfo],
    slot: Any,
) -> Grouped | None:  # fmt: skip
    """Return how a grouped product is divided; None: it is none, or has no ends of groups."""
    place = _ENDS_AT.get(base)
    if place is None or len(args) < 2:
        return None
    ends = kwargs.get("offs", args[place] if place < len(args) else None)
    if not (isinstance(ends, slot) and isinstance(args[0], slot) and isinstance(args[1], slot)):
        return None
    first, second = inputs[args[0].index].shape, inputs[args[1].index].shape
    if len(first) == len(second) == 2:
        rows, weights = first[1], None
    elif len(first) == 2:
        rows, weights = first[0], args[1].index
    else:
        rows, weights = second[-1], args[0].index
    groups = math.prod(inputs[ends.index].shape)
    return Grouped(ends=ends.index, rows=rows, groups=groups, weights=weights)
