"""Builders of backward passes: gradients out of the gradient of the result.

What a forward pass would have saved is made with the inputs. Formulas for r rows of d elements, s
bytes per element. Must not know targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional

from crossgrade.workloads.operators.built import BuiltOperator
from crossgrade.workloads.operators.convolutions import conv_flop, conv_sizes
from crossgrade.workloads.operators.elementwise import EPSILON
from crossgrade.workloads.operators.request import Request, bad
from crossgrade.workloads.operators.tensors import (
    built,
    places,
    positive,
    tensor,
    torch_dtype,
)

_Tensors = tuple[torch.Tensor, ...]


def _with_saved(
    plain: BuiltOperator, saved: Callable[..., _Tensors], saved_bytes: float
) -> BuiltOperator:
    """Return an operator whose inputs go on with what a forward pass saves of them."""

    def make(rng: torch.Generator, device: torch.device) -> _Tensors:
        inputs = plain.make_inputs(rng, device)
        return (*inputs, *saved(*inputs))

    return replace(plain, make_inputs=make, buffer_bytes=plain.buffer_bytes + saved_bytes)


def _gemm(request: Request) -> BuiltOperator:
    """Return both gradients of [m, k] times [k, n]: 4 m k n flop.

    Traffic: (2 m k + 2 k n + m n) s bytes.
    """
    m, k, n = request.sizes("m", "k", "n")
    dtype = torch_dtype(request.dtype)
    a, b = tensor(dtype, m, k), tensor(dtype, k, n)
    return built(
        lambda x, y, grad: (grad @ y.t(), x.t() @ grad), (a, b, tensor(dtype, m, n)), (a, b),
        flop=4.0 * m * k * n,
    )  # fmt: skip


def _softmax(request: Request) -> BuiltOperator:
    """Return the gradient of softmax of rows: r (4 d - 1) flop, 3 r d s bytes.

    The result of the forward pass is read; d products, d - 1 sums, d differences, d products.
    """
    rows, columns = request.sizes("batch_size", "dim_size")
    dtype = torch_dtype(request.dtype)
    one = tensor(dtype, rows, columns)

    def make(rng: torch.Generator, device: torch.device) -> _Tensors:
        grad, x = one.make(rng, device), one.make(rng, device)
        return grad, functional.softmax(x, dim=-1)

    plain = built(
        lambda grad, y: torch.ops.aten._softmax_backward_data.default(grad, y, -1, dtype),
        (one, one), (one,), flop=rows * (4 * columns - 1),
    )  # fmt: skip
    return replace(plain, make_inputs=make)


def _layer_norm(request: Request) -> BuiltOperator:
    """Return the gradients of input, weight and bias: flop unknown (kernels differ in it).

    Traffic: 3 (r + 1) d s, and mean and reciprocal deviation of each row, 2 r s at least; some
    backends keep these in float32.
    """
    rows, columns = request.sizes("batch_size", "dim_size")
    dtype = torch_dtype(request.dtype)
    one, edge = tensor(dtype, rows, columns), tensor(dtype, columns)
    kept = 2.0 * rows * dtype.itemsize
    plain = built(
        lambda grad, x, w, b, mean, rstd: torch.ops.aten.native_layer_norm_backward.default(
            grad, x, [columns], mean, rstd, w, b, [True, True, True]
        ),
        (one, one, edge, edge), (one, edge, edge), flop=None,
        traffic=3.0 * (one.nbytes + edge.nbytes) + kept,
    )  # fmt: skip
    return _with_saved(
        plain, lambda grad, x, w, b: torch.native_layer_norm(x, [columns], w, b, EPSILON)[1:], kept
    )


def _rms_norm(request: Request) -> BuiltOperator:
    """Return the gradients of input and weight: flop unknown, (3 r + 2) d s bytes.

    With y = x / rms(x): the gradient of x is (g w - y mean(g w y)) / rms(x), of w sum(g y).
    """
    rows, columns = request.sizes("batch_size", "dim_size")
    dtype = torch_dtype(request.dtype)
    wide = torch.promote_types(dtype, torch.float32)
    one, edge = tensor(dtype, rows, columns), tensor(dtype, columns, fill=positive)

    def run(grad: torch.Tensor, x: torch.Tensor, w: torch.Tensor) -> _Tensors:
        g, v = grad.to(wide), x.to(wide)
        scale = torch.rsqrt(v.square().mean(dim=-1, keepdim=True) + EPSILON)
        y, gw = v * scale, g * w.to(wide)
        dx = scale * (gw - y * (gw * y).mean(dim=-1, keepdim=True))
        return dx.to(dtype), (g * y).sum(dim=0).to(dtype)

    return built(
        run, (one, one, edge), (one, edge), flop=None,
        note="written out in elementwise operators and reductions, some ten kernels",
    )  # fmt: skip


def _activation(function: Callable[..., torch.Tensor]) -> Callable[[Request], BuiltOperator]:
    """Return the builder of an activation's gradient: flop unknown, 3 r d s bytes."""

    def build(request: Request) -> BuiltOperator:
        shape = request.sizes("batch_size", "dim_size")
        one = tensor(torch_dtype(request.dtype), *shape)
        return built(function, (one, one), (one,), flop=None)

    return build


def _attention(request: Request) -> BuiltOperator:
    """Return the gradients of queries, keys and values: 10 H D p flop for p query-key pairs.

    Five products: the weights again, and the gradients of values, weights, queries and keys, as
    FlashAttention counts them (arXiv 2205.14135). Causal: p = q (q + 1) / 2 per sequence. Traffic:
    queries, result and its gradient are read and the queries' gradient is written (4 q H D s per
    sequence), keys and values are read and their gradients written (4 l h D s), and the logarithm
    of each row's sum is read (4 q H). The kernel of the forward pass decides which one runs.
    """
    batch, queries, keys, new, width = request.sizes(
        "batch_size", "q_head_num", "kv_head_num", "q_len", "head_dim"
    )
    length, causal = request.values["kv_len"] or new, bool(request.values["causal"])
    if queries % keys:
        raise bad("q_head_num", f"{queries} is not a multiple of kv_head_num, {keys}")
    if causal and length != new:
        raise bad("kv_len", f"{length} keys for {new} queries; causal takes as many")
    dtype = torch_dtype(request.dtype)
    q, k = tensor(dtype, batch, queries, new, width), tensor(dtype, batch, keys, length, width)

    def make(rng: torch.Generator, device: torch.device) -> _Tensors:
        with torch.inference_mode(mode=False), torch.enable_grad():
            x, y, z = (one.make(rng, device).requires_grad_() for one in (q, k, k))
            out = functional.scaled_dot_product_attention(
                x, y, z, is_causal=causal, enable_gqa=queries != keys
            )
        return q.make(rng, device), out, x, y, z

    def run(grad: torch.Tensor, out: torch.Tensor, *inputs: torch.Tensor) -> Any:
        return torch.autograd.grad(out, inputs, grad, retain_graph=True)

    pairs = batch * (new * (new + 1) // 2 if causal else new * length)
    moved = 4.0 * (q.nbytes + k.nbytes) + 4.0 * batch * new * queries
    return BuiltOperator(
        run=run, make_inputs=make, flop=10.0 * queries * width * pairs, bytes=moved,
        buffer_bytes=moved, exportable=False,
        note="runs the graph of a forward pass that was made with the inputs; autograd's walk "
        "over it is in the time",
    )  # fmt: skip


def _conv2d(request: Request) -> BuiltOperator:
    """Return the gradients of input and weight of conv2d: 4 N O I k^2 h w flop.

    h w: places of the result. Traffic: input and weight read, their gradients written, the gradient
    of the result read.
    """
    images, taken, out = request.sizes("batch_size", "in_channels", "out_channels")
    side, step, edge = request.sizes("kernel_size", "stride", "padding")
    places_of = conv_sizes(request, ("height", "width"))
    dtype = torch_dtype(request.dtype)
    x = tensor(dtype, images, taken, *request.sizes("height", "width"))
    w = tensor(dtype, out, taken, side, side)

    def run(grad: torch.Tensor, x: torch.Tensor, w: torch.Tensor) -> Any:
        return torch.ops.aten.convolution_backward.default(
            grad, x, w, None, [step, step], [edge, edge], [1, 1], False, [0, 0], 1,
            [True, True, False],
        )[:2]  # fmt: skip

    return built(
        run, (tensor(dtype, images, out, *places_of), x, w), (x, w),
        flop=2 * conv_flop(images, out, taken, side**2, places_of),
    )  # fmt: skip


def _embedding(request: Request) -> BuiltOperator:
    """Return the gradient of a table of r rows from q tokens: q d flop.

    Traffic: q d s + 8 q read, the whole table written, r d s.
    """
    rows, tokens, columns = request.sizes("src_batch_size", "dst_batch_size", "dim_size")
    dtype = torch_dtype(request.dtype)
    return built(
        lambda grad, index: torch.ops.aten.embedding_dense_backward.default(
            grad, index, rows, -1, False
        ),
        (tensor(dtype, tokens, columns), tensor(torch.int64, tokens, fill=places(rows))),
        (tensor(dtype, rows, columns),), flop=tokens * columns,
    )  # fmt: skip


BUILDERS: Mapping[str, Callable[[Request], BuiltOperator]] = {
    "gemm_backward": _gemm,
    "softmax_backward": _softmax,
    "layer_norm_backward": _layer_norm,
    "rms_norm_backward": _rms_norm,
    "gelu_backward": _activation(torch.ops.aten.gelu_backward.default),
    "silu_backward": _activation(torch.ops.aten.silu_backward.default),
    "flash_attention_backward": _attention,
    "conv2d_backward": _conv2d,
    "embedding_backward": _embedding,
}
"""Name -> builder."""
