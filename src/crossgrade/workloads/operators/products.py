"""Builders of matrix products: gemm, gemm_8bit, bmm, linear. Must not know targets.

A product of [m, k] and [k, n] takes 2 m k n flop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

from crossgrade.values.operator_case import CannotRun
from crossgrade.workloads.operators.built import BuiltOperator
from crossgrade.workloads.operators.quantising import filled
from crossgrade.workloads.operators.request import Request, bad
from crossgrade.workloads.operators.tensors import (
    Described,
    built,
    given,
    maker,
    tensor,
    torch_dtype,
)


def rank_tokens(request: Request) -> int:
    """Return the tokens of one rank, num_tokens // sp_size.

    Raises:
        CannotRun: `bad-arguments`: less than one token.
    """
    tokens = request.size("num_tokens") // request.size("sp_size")
    if not tokens:
        raise bad("num_tokens", f"less than one for each of {request.size('sp_size')} ranks")
    return tokens


def _gemm(request: Request) -> BuiltOperator:
    """Return a product: 2 m k n flop, (m k + k n) s + m n t bytes."""
    if request.form == "llm":
        m = rank_tokens(request)
        k, n = request.sizes("hidden_size", "new_hidden_size")
    else:
        m, k, n = request.sizes("M", "K", "N")
    narrow = request.dtype == "tfloat32"
    dtype = torch.float32 if narrow else torch_dtype(request.dtype)
    wanted = request.text("dst_dtype")
    result = dtype if wanted == "tfloat32" else torch_dtype(wanted)
    pair = (tensor(dtype, m, k), tensor(dtype, k, n))
    flop, out = 2.0 * m * k * n, (tensor(result, m, n),)
    if narrow:
        return _in_tfloat32(pair, out, flop)
    if result == dtype:
        return built(torch.mm, pair, out, flop=flop)
    return built(
        lambda a, b: torch.mm(a, b).to(result), pair, out, flop=flop,
        note="the change of format is a kernel of its own",
    )  # fmt: skip


def _in_tfloat32(
    pair: tuple[Described, Described], out: tuple[Described], flop: float
) -> BuiltOperator:
    """Return a float32 product for which torch is allowed tfloat32, during the call only."""

    def run(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
        try:
            return torch.mm(a, b)
        finally:
            torch.set_float32_matmul_precision(before)

    def make(rng: torch.Generator, device: torch.device) -> tuple[torch.Tensor, ...]:
        if device.type == "cpu":
            raise CannotRun("unsupported-format", "a CPU has no tfloat32")
        return maker(pair)(rng, device)

    plain = built(run, pair, out, flop=flop)
    return BuiltOperator(
        run=run, make_inputs=make, flop=flop, bytes=plain.bytes,
        buffer_bytes=plain.buffer_bytes, exportable=False,
        note="float32 matrices; torch is told that tfloat32 will do, and whether the device then "
        "uses it is for its backend to say",
    )  # fmt: skip


def _narrow_gemm(request: Request) -> BuiltOperator:
    """Return a product of 8-bit formats by the kernel that multiplies them as they are.

    int8 gives int32, fp8 gives bfloat16: 2 m k n flop, m k + k n + m n t bytes. The right matrix
    lies column by column, which some of these kernels demand and none refuses.
    """
    m, k, n = request.sizes("M", "K", "N")
    dtype = torch_dtype(request.dtype)
    fill = filled(request.dtype)
    pair = (tensor(dtype, m, k, fill=fill), tensor(dtype, n, k, fill=fill))
    flop = 2.0 * m * k * n
    if request.dtype == "int8":
        return built(lambda a, b: torch.ops.aten._int_mm.default(a, b.t()), pair,
                     (tensor(torch.int32, m, n),), flop=flop)  # fmt: skip
    one = tensor(torch.float32, fill=given(lambda: torch.ones(())))

    def scaled(a: torch.Tensor, b: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = torch.ops.aten._scaled_mm.default(
            a, b.t(), x, y, out_dtype=torch.bfloat16
        )
        return product

    return built(scaled, (*pair, one, one), (tensor(torch.bfloat16, m, n),), flop=flop)


def _bmm(request: Request) -> BuiltOperator:
    """Return b products: 2 b m k n flop, b (m k + k n + m n) s bytes."""
    b, m, k, n = request.sizes("batch_size", "m", "k", "n")
    dtype = torch_dtype(request.dtype)
    return built(
        torch.bmm, (tensor(dtype, b, m, k), tensor(dtype, b, k, n)), (tensor(dtype, b, m, n),),
        flop=2.0 * b * m * k * n,
    )  # fmt: skip


def _linear(request: Request) -> BuiltOperator:
    """Return r rows times a weight: 2 r i o flop, r o more with a bias.

    Every input is read and the result written once.
    """
    rows, taken, given = request.sizes("batch_size", "in_features", "out_features")
    dtype, bias = torch_dtype(request.dtype), bool(request.values["bias"])
    inputs = [tensor(dtype, rows, taken), tensor(dtype, given, taken)]
    inputs += [tensor(dtype, given)] if bias else []
    return built(
        functional.linear, inputs, (tensor(dtype, rows, given),),
        flop=2.0 * rows * taken * given + rows * given * bias,
    )  # fmt: skip


BUILDERS: Mapping[str, Callable[[Request], BuiltOperator]] = {
    "gemm": _gemm, "gemm_8bit": _narrow_gemm, "bmm": _bmm, "linear": _linear,
}  # fmt: skip
"""Name -> builder."""
