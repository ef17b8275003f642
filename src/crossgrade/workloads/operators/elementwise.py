"""Builders of elementwise operators, reductions, softmax and norms.

Formulas for r rows of d elements; `s` and `t` are bytes per element of the input and of the result.
Must not know targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional

from crossgrade.workloads.operators.built import BuiltOperator
from crossgrade.workloads.operators.request import Request, bad
from crossgrade.workloads.operators.tensors import built, normal, positive, tensor, torch_dtype

Builder = Callable[[Request], BuiltOperator]
EPSILON = 1e-5
"""Added to the mean square or the variance, as xpu-perf has it."""
_CAST = {"float32": "bfloat16", "float16": "float32", "bfloat16": "float32"}


def _two(function: Callable[..., torch.Tensor]) -> Builder:
    """Return the builder of an operator of two equal matrices: r d flop, 3 r d s bytes."""

    def build(request: Request) -> BuiltOperator:
        dtype, shape = torch_dtype(request.dtype), request.sizes("batch_size", "dim_size")
        one = tensor(dtype, *shape)
        other = tensor(dtype, *shape, fill=positive) if request.op == "div" else one
        return built(function, (one, other), (one,), flop=one.numel)

    return build


def _unary(function: Callable[..., torch.Tensor], flop_per_element: int | None = None) -> Builder:
    """Return the builder of an operator of one matrix: 2 r d s bytes.

    Floating-point operations are known for sqrt alone (one each); the others are series or tables
    whose length is the device's own.
    """

    def build(request: Request) -> BuiltOperator:
        fill = positive if request.op in ("log", "sqrt") else normal
        shape = request.sizes("batch_size", "dim_size")
        one = tensor(torch_dtype(request.dtype), *shape, fill=fill)
        flop = None if flop_per_element is None else flop_per_element * one.numel
        return built(function, (one,), (one,), flop=flop)

    return build


def _cast(request: Request) -> BuiltOperator:
    """Return a change of format: 0 flop, r d (s + t) bytes."""
    shape = request.sizes("batch_size", "dim_size")
    result = torch_dtype(_CAST[request.dtype])
    return built(
        lambda x: x.to(result), (tensor(torch_dtype(request.dtype), *shape),),
        (tensor(result, *shape),), flop=0,
    )  # fmt: skip


def _reduce_sum(request: Request) -> BuiltOperator:
    """Return sums of rows: r (d - 1) flop, r (d + 1) s bytes."""
    rows, columns = request.sizes("batch_size", "dim_size")
    dtype = torch_dtype(request.dtype)
    return built(
        lambda x: torch.sum(x, dim=-1, keepdim=True), (tensor(dtype, rows, columns),),
        (tensor(dtype, rows, 1),), flop=rows * (columns - 1),
    )  # fmt: skip


def _extreme(function: Callable[..., Any]) -> Builder:
    """Return the builder of max or min with places: 0 flop (comparisons only), r (d + 1) s + 8 r
    bytes."""

    def build(request: Request) -> BuiltOperator:
        rows, columns = request.sizes("batch_size", "dim_size")
        dtype = torch_dtype(request.dtype)
        return built(
            lambda x: tuple(function(x, dim=-1, keepdim=True)), (tensor(dtype, rows, columns),),
            (tensor(dtype, rows, 1), tensor(torch.int64, rows, 1)), flop=0,
        )  # fmt: skip

    return build


def _topk(request: Request) -> BuiltOperator:
    """Return the k largest of rows: 0 flop (comparisons only), r d s + r k (s + 8) bytes."""
    rows, columns, k = request.sizes("batch_size", "dim_size", "k")
    if k > columns:
        raise bad("k", f"{k} of {columns} columns")
    dtype = torch_dtype(request.dtype)
    return built(
        lambda x: tuple(torch.topk(x, k, dim=-1, largest=True, sorted=False)),
        (tensor(dtype, rows, columns),), (tensor(dtype, rows, k), tensor(torch.int64, rows, k)),
        flop=0,
    )  # fmt: skip


def _softmax(request: Request) -> BuiltOperator:
    """Return softmax of rows: flop unknown (exponentials), 2 r d s bytes."""
    names = ("batch_size", "head_num", "q_seq_len", "kv_seq_len")
    shape = request.sizes(*(names if request.form == "llm" else ("batch_size", "dim_size")))
    one = tensor(torch_dtype(request.dtype), *shape)
    return built(lambda x: functional.softmax(x, dim=-1), (one,), (one,), flop=None)


def rms_norm_flop(rows: int, columns: int) -> int:
    """Return r (4 d + 2): squares, their sum, mean and epsilon, root, two scalings.

    d squares, d - 1 sums, 1 division, 1 sum, 1 reciprocal root, 2 d products.
    """
    return rows * (4 * columns + 2)


def _rms_norm(request: Request) -> BuiltOperator:
    """Return rms_norm of rows: r (4 d + 2) flop, r d (s + t) + d s bytes.

    A residual adds r d flop and r d s bytes.
    """
    names = ("num_tokens", "hidden_size") if request.form == "llm" else ("batch_size", "dim_size")
    rows, columns = request.sizes(*names)
    dtype, result = torch_dtype(request.dtype), torch_dtype(request.text("dst_dtype"))
    one = tensor(dtype, rows, columns)
    weight = tensor(dtype, columns, fill=positive)
    residual = bool(request.values["add_residual"])

    def run(x: torch.Tensor, w: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        x = x + more[0] if more else x
        return functional.rms_norm(x, (columns,), w, EPSILON).to(result)

    notes = (
        *(("the residual is added by a kernel of its own",) if residual else ()),
        *(("the change of format is a kernel of its own",) if result != dtype else ()),
    )
    return built(
        run, (one, weight, one) if residual else (one, weight), (tensor(result, rows, columns),),
        flop=rms_norm_flop(rows, columns) + rows * columns * residual, note="; ".join(notes),
    )  # fmt: skip


def _layer_norm(request: Request) -> BuiltOperator:
    """Return layer_norm of rows: r (7 d + 2) flop, 2 (r + 1) d s bytes.

    d - 1 sums and a division for the mean, d differences, d squares, d - 1 sums, a division, a sum
    and a reciprocal root for the spread, 3 d for scale, weight and bias: 7 d + 2.
    """
    rows, columns = request.sizes("batch_size", "dim_size")
    dtype = torch_dtype(request.dtype)
    one = tensor(dtype, rows, columns)
    edge = tensor(dtype, columns)
    return built(
        lambda x, w, b: functional.layer_norm(x, (columns,), w, b, EPSILON),
        (one, edge, edge), (one,), flop=rows * (7 * columns + 2),
    )  # fmt: skip


BUILDERS: Mapping[str, Builder] = {
    "add": _two(torch.add), "sub": _two(torch.sub), "mul": _two(torch.mul), "div": _two(torch.div),
    "cast": _cast,
    "gelu": _unary(functional.gelu), "silu": _unary(functional.silu),
    "cos": _unary(torch.cos), "sin": _unary(torch.sin), "exp": _unary(torch.exp),
    "log": _unary(torch.log), "sqrt": _unary(torch.sqrt, 1),
    "reduce_sum": _reduce_sum, "reduce_max": _extreme(torch.max), "reduce_min": _extreme(torch.min),
    "topk": _topk, "softmax": _softmax, "rms_norm": _rms_norm, "layer_norm": _layer_norm,
}  # fmt: skip
"""Name -> builder."""
