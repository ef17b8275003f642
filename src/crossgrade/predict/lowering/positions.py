"""Operators that masks are made of, on numpy arrays.

Each has the meaning of its aten namesake, for arrays that may be cut to some indices of some
dimensions. Must not know captures beyond one call, nor what a mask is for.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossgrade.values.capture import TensorMeta

Array = NDArray[Any]
Cut = Mapping[int, Array]
"""Dimension -> the indices that are worked out there; other dimensions are whole."""


class Unknown(Exception):
    """The value rests on data that a capture does not have."""


@dataclass(frozen=True, slots=True)
class Known:
    """An array, and what some of its elements are in its place."""

    rest: Array
    """Value of every element that the model's data does not pick."""
    picked: Array | None = None
    """Value of the elements that it picks; None where nothing depends on data."""
    most: int = 0
    """How many elements of each last dimension are picked at most."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call that is repeated."""

    name: str
    arguments: list[Any]
    named: dict[str, Any]
    inputs: list[int]
    shape: tuple[int, ...]
    meta: TensorMeta
    cut: Cut


def each(function: Callable[..., Array], parts: list[Known]) -> Known:
    """Return a function of the rests, and of the picked where there are any.

    Raises:
        Unknown: two parts are picked from apart, so that what is picked of both is unknown.
    """
    limits = {p.most for p in parts if p.picked is not None}
    rest = function(*(p.rest for p in parts))
    if not limits:
        return Known(rest)
    if sum(p.picked is not None for p in parts) > 1:
        raise Unknown
    picked = function(*(p.rest if p.picked is None else p.picked for p in parts))
    return Known(rest, picked, limits.pop())


def number(value: Any) -> Any:
    """Return an argument as a number; infinities come as text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError as error:
            raise Unknown from error
    if value is None or isinstance(value, (list, dict)):
        raise Unknown
    return value


def numpy_type(meta: TensorMeta) -> type:
    """Return the numpy type that holds a torch type; floats are narrowed to single precision."""
    if meta.dtype == "bool":
        return np.bool_
    return np.float32 if "float" in meta.dtype else np.int64


def truncated(a: Array, b: Array) -> Array:
    """Return a quotient rounded towards zero."""
    result: Array = np.trunc(a / b)
    return result


def axes_of(step: Step, shape: tuple[int, ...]) -> list[int | None] | None:
    """Return for each dimension of the result the one it comes from, None for a repeated one."""
    out = step.shape
    if step.name in ("transpose", "t"):
        order = list(range(len(shape)))
        a, b = step.arguments[1:3] if step.name == "transpose" else (0, -1)
        if order:
            order[a], order[b] = order[b], order[a]
        return list(order)
    if step.name == "permute":
        return [d % len(shape) for d in step.arguments[1]]
    if step.name == "expand":
        shift = len(out) - len(shape)
        return [
            None if i < shift or (shape[i - shift] == 1 and n != 1) else i - shift
            for i, n in enumerate(out)
        ]
    sources = [i for i, n in enumerate(shape) if n != 1]
    goals = [i for i, n in enumerate(out) if n != 1]
    if [shape[i] for i in sources] != [out[i] for i in goals]:
        return None
    axes: list[int | None] = [None] * len(out)
    for source, goal in zip(sources, goals, strict=True):
        axes[goal] = source
    return axes


HARMLESS = frozenset({"alpha", "rounding_mode", "dtype", "layout", "device", "pin_memory",
                      "memory_format", "non_blocking"})  # fmt: skip
"""Named arguments that the rules follow, or that change no value; any other stays unknown."""
RESHAPES = frozenset({
    "view", "_unsafe_view", "unsqueeze", "squeeze", "expand", "alias", "detach", "transpose", "t",
    "permute", "clone", "reshape", "_reshape_alias", "lift_fresh", "contiguous",
})  # fmt: skip
FILLS = {
    "zeros": -1, "ones": -1, "new_zeros": -1, "new_ones": -1, "zeros_like": -1, "ones_like": -1,
    "full": 1, "full_like": 1, "new_full": 2, "scalar_tensor": 0, "fill": 1,
}  # fmt: skip
"""Operator -> position of the value; -1: the name says it."""
POINTWISE: dict[str, Callable[..., Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv,
    "rsub": lambda a, b: b - a, "floor_divide": operator.floordiv, "remainder": operator.mod,
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le,
    "gt": operator.gt, "ge": operator.ge, "neg": operator.neg, "abs": abs,
    "bitwise_and": operator.and_, "bitwise_or": operator.or_, "bitwise_not": operator.invert,
    "logical_and": np.logical_and, "logical_or": np.logical_or, "logical_not": np.logical_not,
    "bitwise_xor": operator.xor,
    "__and": operator.and_, "__or": operator.or_, "minimum": np.minimum, "maximum": np.maximum,
    "where": np.where, "_to_copy": lambda a: a,
    "masked_fill": lambda a, mask, fill: np.where(mask, fill, a),
}  # fmt: skip
ARITY = {"neg": 1, "abs": 1, "bitwise_not": 1, "logical_not": 1, "_to_copy": 1, "where": 3,
          "masked_fill": 3}  # fmt: skip


def _arange(step: Step, inputs: list[Array]) -> Array:
    numbers = [number(a) for a in step.arguments if not isinstance(a, dict)]
    return np.arange(*numbers).astype(numpy_type(step.meta))


def range_of(step: Step, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return dimension, start, stop and stride of `aten.slice`, with their defaults filled in."""
    dim, start, stop, stride = [*step.arguments[1:], *[None] * 4][:4]
    dim = (dim or 0) % len(shape)
    first, last, by = slice(start, stop, stride).indices(shape[dim])
    return dim, first, last, by


def _select(step: Step, inputs: list[Array]) -> Array:
    result: Array = inputs[0].take(step.arguments[2], axis=step.arguments[1])
    return result


def _index(step: Step, inputs: list[Array]) -> Array:
    """Return `aten.index`: a list of index tensors, None for a whole dimension."""
    where = [slice(None) if a is None else inputs[a["t"]] for a in step.arguments[1]]
    if any(not isinstance(w, slice) and w.dtype == np.bool_ for w in where):
        raise Unknown
    if any(isinstance(w, slice) for w in where[:-1]):
        raise Unknown  # numpy and torch order such dimensions alike only in part
    result: Array = inputs[0][tuple(where)]
    return result


WHOLE: dict[str, Callable[[Step, list[Array]], Array]] = {
    "arange": _arange, "select": _select, "index": _index,
    "cumsum": lambda step, inputs: inputs[0].cumsum(step.arguments[1]),
    "view": lambda step, inputs: inputs[0].reshape(step.shape),
    "_unsafe_view": lambda step, inputs: inputs[0].reshape(step.shape),
    "tril": lambda step, inputs: np.tril(inputs[0], *step.arguments[1:2]),
    "triu": lambda step, inputs: np.triu(inputs[0], *step.arguments[1:2]),
    "flip": lambda step, inputs: np.flip(inputs[0], step.arguments[1]),
}  # fmt: skip
ANY_INPUT = frozenset({*FILLS, "arange"}) - {"fill"}
"""Operators whose result does not depend on the values of their inputs."""
RULES = frozenset({*FILLS, *POINTWISE, *RESHAPES, *WHOLE, "scatter", "cat", "slice"})
"""Operators that are repeated here."""
