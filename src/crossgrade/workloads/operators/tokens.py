"""Builders of what language models do token by token: norms, swiglu, quantising, products.

Formulas for n tokens (num_tokens // sp_size) of d features, s and t bytes per element of input and
result. A quantised result is n d t bytes and a float32 scale per token, 4 n bytes. Must not know
targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

from crossgrade.workloads.operators.built import BuiltOperator
from crossgrade.workloads.operators.elementwise import EPSILON, rms_norm_flop
from crossgrade.workloads.operators.products import rank_tokens
from crossgrade.workloads.operators.quantising import (
    QUANTISE_NOTE,
    WIDENED_NOTE,
    is_quantised,
    operand,
    product_note,
    quantise,
    scaled_product,
    scales,
)
from crossgrade.workloads.operators.request import Request, bad
from crossgrade.workloads.operators.tensors import (
    Described,
    built,
    positive,
    tensor,
    torch_dtype,
)


def quantised_result(request: Request, tokens: int, width: int) -> tuple[Described, Described]:
    """Return the descriptions of quantised tokens and their scales."""
    return (
        tensor(torch_dtype(request.text("dst_dtype")), tokens, width),
        tensor(torch.float32, tokens),
    )


def _norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return rms_norm over the last dimension with a weight of any format."""
    return functional.rms_norm(x, (x.shape[-1],), weight.to(x.dtype), EPSILON)


def _add_rms_norm(request: Request) -> BuiltOperator:
    """Return sum and norm: n (5 d + 2) flop, 4 n d s + d s bytes."""
    tokens, width = rank_tokens(request), request.size("hidden_size")
    dtype = torch_dtype(request.dtype)
    one = tensor(dtype, tokens, width)

    def run(x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor) -> object:
        added = x + residual
        return _norm(added, weight), added

    return built(
        run, (one, one, tensor(dtype, width, fill=positive)), (one, one),
        flop=rms_norm_flop(tokens, width) + tokens * width,
        note="the residual is added by a kernel of its own",
    )  # fmt: skip


def _add_rms_norm_dynamic_quant(request: Request) -> BuiltOperator:
    """Return the quantised norm: flop unknown (rounding, largest magnitude).

    Least traffic: tokens and residual (n d s each), weight and smoothing (4 d each), the quantised
    result, and n d s for the sum or the norm where it is given too.
    """
    tokens, width = rank_tokens(request), request.size("hidden_size")
    one, edge = tensor(torch_dtype(request.dtype), tokens, width), scales(width)
    result = torch_dtype(request.text("dst_dtype"))
    residual, mode = bool(request.values["add_residual"]), request.text("output_mode")

    def run(
        x: torch.Tensor, weight: torch.Tensor, smooth: torch.Tensor, *more: torch.Tensor
    ) -> object:
        added = x + more[0] if more else x
        normed = _norm(added, weight)
        extra = {"none": (), "res": (added,), "norm": (normed,)}[mode]
        return (*quantise(normed, smooth, result), *extra)

    outputs = [*quantised_result(request, tokens, width)] + ([] if mode == "none" else [one])
    return built(
        run, (one, edge, edge, one) if residual else (one, edge, edge), outputs, flop=None,
        note=QUANTISE_NOTE,
    )  # fmt: skip


def _head_rms_norm(request: Request) -> BuiltOperator:
    """Return the norm of h of a token's heads, in place: n h (4 d + 2) flop, 2 n h d s + 4 d bytes.

    xpu-perf's reference computes it and does not write it back; this does.
    """
    tokens = rank_tokens(request)
    heads, start, count, width = request.sizes(
        "total_head_num", "norm_head_start", "norm_head_num", "head_dim"
    )
    if start + count > heads:
        raise bad("norm_head_num", f"heads {start} to {start + count - 1} of {heads}")
    one = tensor(torch_dtype(request.dtype), tokens, heads, width)

    def run(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        part = x[:, start : start + count]
        part.copy_(_norm(part, weight))
        return x

    moved = 2 * tokens * count * width * one.dtype.itemsize
    return built(
        run, (one, scales(width)), (), flop=rms_norm_flop(tokens * count, width),
        traffic=moved + 4 * width, exportable=False,
        note="the norm is written back by a copy of its own",
    )  # fmt: skip


def _qk_rms_norm(request: Request) -> BuiltOperator:
    """Return the norm of h = q_head_num + kv_head_num heads, in place.

    n h (4 d + 2) flop, 2 n h d s + 8 d bytes; values are neither read nor written.
    """
    tokens = rank_tokens(request)
    queries, keys, width = request.sizes("q_head_num", "kv_head_num", "qk_head_dim")
    values = request.values["v_head_dim"] or width
    one = tensor(torch_dtype(request.dtype), tokens, (queries + keys) * width + keys * values)

    def run(x: torch.Tensor, q_weight: torch.Tensor, k_weight: torch.Tensor) -> torch.Tensor:
        heads = x[:, : (queries + keys) * width].unflatten(-1, (queries + keys, width))
        heads[:, :queries].copy_(_norm(heads[:, :queries], q_weight))
        heads[:, queries:].copy_(_norm(heads[:, queries:], k_weight))
        return x

    rows = tokens * (queries + keys)
    return built(
        run, (one, scales(width), scales(width)), (), flop=rms_norm_flop(rows, width),
        traffic=2 * rows * width * one.dtype.itemsize + 8 * width, exportable=False,
        note="queries and keys are normalised and written back by kernels of their own",
    )  # fmt: skip


def _head_rms_norm_dynamic_quant(request: Request) -> BuiltOperator:
    """Return the quantised norm of h heads: flop unknown, n h d s + 4 d + 4 h d bytes read.

    The quantised result is written.
    """
    tokens = rank_tokens(request)
    heads, width = request.sizes("head_num", "head_dim")
    one = tensor(torch_dtype(request.dtype), tokens, heads, width)
    result = torch_dtype(request.text("dst_dtype"))
    return built(
        lambda x, weight, smooth: quantise(_norm(x, weight).flatten(1), smooth, result),
        (one, scales(width), scales(heads * width)),
        quantised_result(request, tokens, heads * width), flop=None, note=QUANTISE_NOTE,
    )  # fmt: skip


def _scale_dynamic_quant(request: Request) -> BuiltOperator:
    """Return quantised tokens: flop unknown, n d s + 4 d bytes read, the result written."""
    tokens, width = rank_tokens(request), request.size("hidden_size")
    result = torch_dtype(request.text("dst_dtype"))
    return built(
        lambda x, smooth: quantise(x, smooth, result),
        (tensor(torch_dtype(request.dtype), tokens, width), scales(width)),
        quantised_result(request, tokens, width), flop=None, note=QUANTISE_NOTE,
    )  # fmt: skip


def swiglu(x: torch.Tensor) -> torch.Tensor:
    """Return SiLU of the first half of the features times the second half."""
    gate, up = x.chunk(2, dim=-1)
    return functional.silu(gate) * up


def _swiglu(request: Request) -> BuiltOperator:
    """Return swiglu: flop unknown (exponentials), 3 n d s bytes."""
    tokens, width = rank_tokens(request), request.size("hidden_size")
    dtype = torch_dtype(request.dtype)
    return built(
        swiglu, (tensor(dtype, tokens, 2 * width),), (tensor(dtype, tokens, width),), flop=None,
        note="SiLU and product are kernels of their own",
    )  # fmt: skip


def _swiglu_dynamic_quant(request: Request) -> BuiltOperator:
    """Return quantised swiglu: flop unknown, 2 n d s + 4 d bytes read, the result written."""
    tokens, width = rank_tokens(request), request.size("hidden_size")
    result = torch_dtype(request.text("dst_dtype"))
    return built(
        lambda x, smooth: quantise(swiglu(x), smooth, result),
        (tensor(torch_dtype(request.dtype), tokens, 2 * width), scales(width)),
        quantised_result(request, tokens, width), flop=None, note=QUANTISE_NOTE,
    )  # fmt: skip


def _quant_matmul(request: Request) -> BuiltOperator:
    """Return [n, k] times [m, k] transposed, scaled: 2 n k m flop, n m more with a bias.

    Every operand, its scales (4 bytes per token, 4 per feature of the result) and the float32 bias
    are read once, the result is written once. An operand that is not quantised has no scale.
    """
    tokens = rank_tokens(request)
    k, m = request.sizes("hidden_size", "new_hidden_size")
    ranks, bias = request.size("sp_size"), bool(request.values["has_bias"])
    by_rank = bool(request.values["transpose_o"]) and ranks > 1
    if by_rank and m % ranks:
        raise bad("new_hidden_size", f"{m} does not divide over {ranks} ranks")
    has_x, has_w = is_quantised(request.dtype), is_quantised(request.text("w_dtype"))
    inputs = [operand(request.dtype, tokens, k), operand(request.text("w_dtype"), m, k)]
    inputs += [scales(tokens)] * has_x + [scales(m)] * has_w
    inputs += [tensor(torch.float32, m)] * bias

    def run(x: torch.Tensor, w: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        rest = list(more)
        x_scale = rest.pop(0) if has_x else None
        y = scaled_product(x, w, x_scale, rest.pop(0) if has_w else None, request)
        y = (y + rest[0]).to(y.dtype) if bias else y
        if by_rank:
            y = y.view(tokens, ranks, m // ranks).transpose(0, 1).reshape(tokens, m)
        return y

    out = tensor(torch_dtype(request.text("dst_dtype")), tokens, m)
    return built(
        run, inputs, (out,), flop=2.0 * tokens * k * m + tokens * m * bias,
        note=product_note(request),
    )  # fmt: skip


def _quant_group_gemm_reduce_sum(request: Request) -> BuiltOperator:
    """Return p products of [n, k] and [k, m], scaled and summed: 2 p n k m + (p - 1) n m flop.

    Operands and scales are read once, the sum is written once; the products between stay inside.
    """
    ranks, tokens = request.size("sp_size"), rank_tokens(request)
    k, m = request.sizes("hidden_size", "new_hidden_size")
    transposed = bool(request.values["trans_w"])
    shape = (ranks, m, k) if transposed else (ranks, k, m)

    def run(
        x: torch.Tensor, w: torch.Tensor, x_scale: torch.Tensor, w_scale: torch.Tensor
    ) -> torch.Tensor:
        return scaled_product(x, w, x_scale, w_scale, request, transposed=transposed).sum(dim=0)

    return built(
        run,
        (operand(request.dtype, ranks, tokens, k), operand(request.dtype, *shape),
         scales(ranks, tokens), scales(ranks, m)),
        (tensor(torch_dtype(request.text("dst_dtype")), tokens, m),),
        flop=2.0 * ranks * tokens * k * m + (ranks - 1) * tokens * m,
        note=f"{WIDENED_NOTE}; scales and the sum are kernels of their own",
    )  # fmt: skip


BUILDERS: Mapping[str, Callable[[Request], BuiltOperator]] = {
    "add_rms_norm": _add_rms_norm,
    "add_rms_norm_dynamic_quant": _add_rms_norm_dynamic_quant,
    "head_rms_norm": _head_rms_norm,
    "head_rms_norm_dynamic_quant": _head_rms_norm_dynamic_quant,
    "qk_rms_norm": _qk_rms_norm,
    "scale_dynamic_quant": _scale_dynamic_quant,
    "swiglu": _swiglu,
    "swiglu_dynamic_quant": _swiglu_dynamic_quant,
    "quant_matmul": _quant_matmul,
    "quant_group_gemm_reduce_sum": _quant_group_gemm_reduce_sum,
}
"""Name -> builder."""
