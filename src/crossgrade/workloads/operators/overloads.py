"""Builder of single overloads, such as `aten.mm.default`, with the arguments of a captured call.

`call` is JSON `[args, kwargs]`: a tensor is `{"t": i}`, the i-th input; formats, layouts and memory
formats are torch's names; devices are replaced by the one it runs on. `inputs` describes the
tensors. The call is tried on meta tensors first, which costs no memory and tells what it gives.
Must not know targets.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from crossgrade.values.operator_case import CannotRun, OperatorCase
from crossgrade.workloads.operators.built import BuiltOperator
from crossgrade.workloads.operators.overload_inputs import (
    Grouped,
    InputInfo,
    filled,
    grouped_of,
    index_bounds,
    inputs_of,
)
from crossgrade.workloads.operators.request import bad

_NAME = re.compile(r"aten\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)")
_REFUSED = frozenset({"from_file"})
"""Operators that touch files."""
_PARTLY_READ = frozenset(
    ("embedding", "index", "index_select", "gather", "scatter", "scatter_add", "scatter_reduce",
     "index_add", "index_copy", "index_put", "index_fill", "_index_put_impl", "_unsafe_index",
     "take", "masked_select", "nll_loss_forward", "nll_loss_backward", "slice_backward",
     "select_backward", "embedding_dense_backward")
)  # fmt: skip
"""Operators whose least traffic depends on values, or is not all of their inputs."""
_WRITTEN_ONLY = frozenset({"copy_", "zero_", "fill_"})
_ATTENTION = "_scaled_dot_product_fused_attention_overrideable"
_TYPES = (torch.dtype, torch.layout, torch.memory_format)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The place of a tensor among the arguments."""

    index: int
    """Which input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Device:
    """The place of the device among the arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of an overload, decoded."""

    name: str
    """Operator without overload, such as `add_`."""
    function: Callable[..., Any]
    """What is called."""
    args: list[Any]
    """Positional arguments with slots for tensors and devices."""
    kwargs: dict[str, Any]
    """Named arguments."""
    inputs: tuple[InputInfo, ...]
    """Tensor inputs."""

    @property
    def base(self) -> str:
        """Operator without the `_` of its in-place form."""
        return self.name.rstrip("_") or self.name

    @property
    def placeless(self) -> bool:
        """Whether no input lies on the device, so that one more has to tell it."""
        return all(info.host for info in self.inputs)

    @property
    def in_place(self) -> bool:
        """Whether it writes its first argument, or one called `out`."""
        return (self.name.endswith("_") and not self.name.endswith("__")) or "out" in self.kwargs

    @property
    def grouped(self) -> Grouped | None:
        """How it is divided, where it is a grouped product."""
        return grouped_of(self.base, self.args, self.kwargs, self.inputs, Slot)

    def __call__(self, *tensors: torch.Tensor) -> Any:
        """Return what the overload gives; the first written tensor where it gives nothing."""
        placed = zip(tensors, self.inputs, strict=False)
        device = next((t.device for t, info in placed if not info.host), tensors[-1].device)
        args = _put(self.args, tensors, device)
        kwargs = {name: _put(value, tensors, device) for name, value in self.kwargs.items()}
        result = self.function(*args, **kwargs)
        if isinstance(result, list):
            result = tuple(result)
        return tensors[0] if result is None or result == () else result


def build(case: OperatorCase) -> BuiltOperator:
    """Return a call of an overload as a function with inputs.

    Operations are known for products and convolutions: 2 m k n of mm and addmm (and m n for the
    sum), b times that of bmm and baddbmm, 2 m k n over all groups of a grouped product. Least
    traffic: every distinct element of the inputs is read once, but for the weights of groups that
    have no row; every result is written once; unknown where an operator reads a part.

    Raises:
        CannotRun: `unsupported-operator`: this torch does not have the overload, or it is a view.
            `bad-arguments`: the call does not fit its inputs.
    """
    call = _decoded(case)
    gives = _tried(call)
    given = sum(t.nbytes for t in gives or ()) * (not call.in_place)
    held = sum(info.span * info.dtype.itemsize for info in call.inputs) + given
    return BuiltOperator(
        run=call, make_inputs=_maker(call), flop=_flop(call, gives), bytes=_traffic(call, gives),
        buffer_bytes=float(held), exportable=not call.in_place,
        note="torch's attention chooses the kernel" if call.name == _ATTENTION else "",
    )  # fmt: skip


def _maker(call: Call) -> Callable[[torch.Generator, torch.device], tuple[torch.Tensor, ...]]:
    """Return what makes the inputs of a call."""
    bounds = index_bounds(call.base, call.args, call.inputs, Slot)
    grouped = call.grouped

    def made(i: int, info: InputInfo, rng: torch.Generator, device: torch.device) -> torch.Tensor:
        if grouped is not None and i == grouped.ends:
            return info.like(grouped.values(), device)
        return info.like(filled(info, call.base, bounds.get(i), rng), device)

    def make(rng: torch.Generator, device: torch.device) -> tuple[torch.Tensor, ...]:
        if device.type == "cpu" and call.name.startswith(_ATTENTION) and call.name != _ATTENTION:
            raise CannotRun(
                "unsupported-operator",
                f"aten.{call.name} is for backends that bring their own; "
                "`flash_attention_backward` runs everywhere",
            )
        tensors = [made(i, info, rng, device) for i, info in enumerate(call.inputs)]
        return tuple(tensors + [torch.empty(0, device=device)] * call.placeless)

    return make


# decoding --------------------------------------------------------------------------------------
def _decoded(case: OperatorCase) -> Call:
    function, name = _overload(case.op)
    given = dict(case.arguments)
    inputs = inputs_of(given.pop("inputs", []))
    given.pop("outputs", None)
    text = given.pop("call", None)
    if given:
        raise bad(next(iter(given)), "an overload has `call`, `inputs` and `outputs`")
    try:
        args, kwargs = json.loads(text) if isinstance(text, str) else text
        args = [_value(v, len(inputs)) for v in args]
        kwargs = {
            name: _Device() if name == "device" and value is not None
            else None if name == "generator" else _value(value, len(inputs))
            for name, value in kwargs.items()
        }  # fmt: skip
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise bad("call", f"not JSON of [args, kwargs]: {error}") from error
    return Call(name=name, function=function, args=args, kwargs=kwargs, inputs=inputs)


def _overload(op: str) -> tuple[Callable[..., Any], str]:
    """Return what to call, and the operator's name without overload."""
    found = _NAME.fullmatch(op)
    if not found or found[1] in _REFUSED:
        raise CannotRun("unsupported-operator", f"`{op[:80]}` is no overload of aten that is timed")
    name, overload = found.groups()
    if name == _ATTENTION:
        return _attention, name
    function = getattr(getattr(torch.ops.aten, name, None), overload, None)
    if type(function) is not type(torch.ops.aten.mm.default):
        raise CannotRun("unsupported-operator", f"torch {torch.__version__} has no {op}")
    if getattr(function, "is_view", False):
        raise CannotRun("unsupported-operator", f"{op} makes a view; it launches nothing")
    return function, name


def _attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None = None,
    dropout: float = 0.0, causal: bool = False, mask: bool = False, *, scale: float | None = None,
) -> torch.Tensor:  # fmt: skip
    """Return what a backend's own fused attention gives, by torch's public attention."""
    return functional.scaled_dot_product_attention(
        q, k, v, attn_mask=bias, dropout_p=dropout, is_causal=causal, scale=scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )  # fmt: skip


def _value(value: Any, inputs: int) -> Any:
    """Return an argument out of JSON."""
    if isinstance(value, Mapping):
        index = value.get("t")
        if not isinstance(index, int) or not 0 <= index < inputs:
            raise bad("call", f"tensor {index} of {inputs} inputs")
        return Slot(index=index)
    if isinstance(value, list):
        return [_value(v, inputs) for v in value]
    if not isinstance(value, str):
        return value
    if value in ("inf", "-inf", "nan"):
        return float(value)
    if value.startswith("torch."):
        found = getattr(torch, value.removeprefix("torch."), None)
        if not isinstance(found, _TYPES):
            raise CannotRun("unsupported-format", f"torch {torch.__version__} has no {value}")
        return found
    return value


def _put(value: Any, tensors: Sequence[torch.Tensor], device: torch.device) -> Any:
    """Return an argument with its tensors and its device."""
    if isinstance(value, Slot):
        return tensors[value.index]
    if isinstance(value, _Device):
        return device
    return [_put(v, tensors, device) for v in value] if isinstance(value, list) else value


# what it gives and costs -----------------------------------------------------------------------
def _tried(call: Call) -> tuple[torch.Tensor, ...] | None:
    """Return the results on meta tensors; None where they depend on values.

    Raises:
        CannotRun: `bad-arguments`: the call does not fit its inputs.
    """
    meta = torch.device("meta")
    tensors = [
        torch.empty_strided(info.shape, info.strides, dtype=info.dtype, device=meta)
        for info in call.inputs
    ]
    try:
        result = call(*tensors, *[torch.empty(0, device=meta)] * call.placeless)
    except NotImplementedError:
        return None
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise bad("call", f"does not fit its inputs: {line[:200]}") from error
    found = (result,) if isinstance(result, torch.Tensor) else result
    if not isinstance(found, tuple) or not found or not isinstance(found[0], torch.Tensor):
        raise CannotRun("unsupported-operator", f"aten.{call.name} gives no tensor")
    return tuple(t for t in found if isinstance(t, torch.Tensor))


def _flop(call: Call, gives: tuple[torch.Tensor, ...] | None) -> float | None:
    shapes = [info.shape for info in call.inputs]
    if not gives or not shapes:
        return None
    if call.name in ("mm", "bmm"):
        return 2.0 * gives[0].numel() * shapes[0][-1]
    if call.grouped:  # whatever the division: each row of the first meets the columns of one group
        return 2.0 * math.prod(shapes[0][-2:]) * shapes[1][-1]
    if call.name == _ATTENTION:
        new, length = shapes[0][-2], shapes[1][-2]
        causal = len(call.args) > 5 and call.args[5] is True
        seen = sum(min(i + 1, length) for i in range(new)) if causal else new * length
        return 4.0 * math.prod(shapes[0][:-2]) * shapes[0][-1] * seen
    if call.name in ("addmm", "baddbmm") and len(shapes) == 3:
        return float(gives[0].numel() * (2 * shapes[1][-1] + 1))
    if call.name == "convolution" and len(call.args) > 6 and not call.args[6]:
        bias = gives[0].numel() * (len(shapes) > 2)
        return 2.0 * gives[0].numel() * math.prod(shapes[1][1:]) + bias
    return None


def _traffic(call: Call, gives: tuple[torch.Tensor, ...] | None) -> float | None:
    """Return the least traffic, bytes; None where it is not all of inputs and results."""
    if not gives or call.base in _PARTLY_READ or call.base.startswith("_foreach"):
        return None
    read: list[float] = [info.distinct_bytes for info in call.inputs]
    if call.grouped and call.grouped.weights is not None:
        read[call.grouped.weights] *= call.grouped.share
    if call.name in _WRITTEN_ONLY:
        read = read[1:]
    elif call.base.endswith("_like") or call.base.startswith("new_"):
        read = []
    return float(sum(read) + sum(t.numel() * t.dtype.itemsize for t in gives))
