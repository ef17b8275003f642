"""Matrix-engine arithmetic of aten operators, by their shapes.

Each formula gives nominal FLOP, executed FLOP, and for inputs that are read in part the share that
is read. Counts follow the definitions of `torch.utils.flop_counter` (2 per multiply-add), with
`_grouped_mm` added, which it lacks in torch 2.13. Must not know chips.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from crossgrade.values.capture import CallKey


class MatrixCost(NamedTuple):
    """Arithmetic of one call."""

    flops: float
    """Nominal: as if nothing were masked."""
    work: float
    """Executed by a kernel that skips what a causal mask hides."""
    read_share: dict[int, float]
    """Tensor input -> share of its bytes that is read, where not all."""


def _same(flops: float) -> MatrixCost:
    return MatrixCost(flops, flops, {})


def mm(key: CallKey, arguments: Any) -> MatrixCost:
    """Return [m, k] x [k, n]: 2 m n k."""
    (m, k), (_, n) = key.inputs[0].shape, key.inputs[1].shape
    return _same(2.0 * m * n * k)


def addmm(key: CallKey, arguments: Any) -> MatrixCost:
    """Return bias + [m, k] x [k, n]: 2 m n k."""
    (m, k), (_, n) = key.inputs[1].shape, key.inputs[2].shape
    return _same(2.0 * m * n * k)


def bmm(key: CallKey, arguments: Any) -> MatrixCost:
    """Return [b, m, k] x [b, k, n]: 2 b m n k."""
    (b, m, k), (_, _, n) = key.inputs[0].shape, key.inputs[1].shape
    return _same(2.0 * b * m * n * k)


def baddbmm(key: CallKey, arguments: Any) -> MatrixCost:
    """Return bias + [b, m, k] x [b, k, n]: 2 b m n k."""
    (b, m, k), (_, _, n) = key.inputs[1].shape, key.inputs[2].shape
    return _same(2.0 * b * m * n * k)


def mv(key: CallKey, arguments: Any) -> MatrixCost:
    """Return a matrix or a vector times a vector: 2 per element of the first."""
    return _same(2.0 * key.inputs[0].numel)


def addmv(key: CallKey, arguments: Any) -> MatrixCost:
    """Return bias + matrix times vector: 2 per element of the matrix."""
    return _same(2.0 * key.inputs[1].numel)


def linear(key: CallKey, arguments: Any) -> MatrixCost:
    """Return [..., k] x [n, k]^T: 2 k per output element."""
    return _same(2.0 * key.outputs[0].numel * key.inputs[0].shape[-1])


def grouped_mm(key: CallKey, arguments: Any) -> MatrixCost:
    """Return rows sorted by group times one matrix per group.

    [t, k] x [g, k, n]: every row meets one matrix, 2 t k n; 3-D x 3-D is a batch; 2-D x 2-D
    (the gradient of the weights) gives [g, k, n] with 2 t k n. Of g matrices only those are read
    that a row falls to: evenly spread and independent, g (1 - (1 - 1/g)^t) of them.
    """
    a, b = key.inputs[0], key.inputs[1]
    if len(a.shape) == 2 and len(b.shape) == 3:
        (t, k), (g, _, n) = a.shape, b.shape
        return MatrixCost(2.0 * t * k * n, 2.0 * t * k * n, {1: expected_share(g, t)})
    if len(a.shape) == 3 and len(b.shape) == 2:
        (g, m, k), (_, t) = a.shape, b.shape
        return MatrixCost(2.0 * m * k * t, 2.0 * m * k * t, {0: expected_share(g, t)})
    if len(a.shape) == 2:
        return _same(2.0 * a.shape[0] * a.shape[1] * b.shape[1])
    return bmm(key, arguments)


def expected_share(groups: int, rows: int) -> float:
    """Return the expected share of groups that get at least one of `rows`, evenly spread."""
    if groups <= 1:
        return 1.0
    return 1.0 - (1.0 - 1.0 / groups) ** rows


def convolution(key: CallKey, arguments: Any) -> MatrixCost:
    """Return a convolution: 2 per output element, kernel element and input channel of a group."""
    weight, out = key.inputs[1].shape, key.outputs[0]
    transposed = bool(arguments[0][6]) if len(arguments[0]) > 6 else False
    if transposed:
        inner = math.prod(weight[1:])
        return _same(2.0 * key.inputs[0].numel * inner)
    return _same(2.0 * out.numel * math.prod(weight[1:]))


def convolution_backward(key: CallKey, arguments: Any) -> MatrixCost:
    """Return the gradients asked for, each as much as the forward convolution."""
    grad, forward_input, weight = key.inputs[0], key.inputs[1], key.inputs[2].shape
    mask = arguments[0][-1] if isinstance(arguments[0][-1], list) else [True, True, True]
    # Fourth from the end in both overloads: transposed, output_padding, groups, output_mask.
    transposed = arguments[0][-4] is True
    rows = forward_input if transposed else grad
    return _same(2.0 * rows.numel * math.prod(weight[1:]) * sum(bool(m) for m in mask[:2]))


def attention(key: CallKey, arguments: Any) -> MatrixCost:
    """Return softmax(q k^T) v: 2 b h s_q s_k (d_k + d_v); a causal mask halves the square part."""
    q, k, v = (m.shape for m in key.inputs[:3])
    flops = 2.0 * q[0] * q[1] * q[2] * k[2] * (q[3] + v[3])
    causal = len(arguments[0]) > 5 and arguments[0][5] is True
    return MatrixCost(flops, flops * causal_share(q[2], k[2]) if causal else flops, {})


def attention_backward(key: CallKey, arguments: Any) -> MatrixCost:
    """Return five products for the forward's two: the scores again, and four gradients."""
    q, k, v = (m.shape for m in key.inputs[1:4])
    pair = 2.0 * q[0] * q[1] * q[2] * k[2]
    flops = pair * (3 * q[3] + 2 * v[3])
    causal = any(a is True for a in arguments[0])
    return MatrixCost(flops, flops * causal_share(q[2], k[2]) if causal else flops, {})


def causal_share(queries: int, keys: int) -> float:
    """Return the share of scores under a causal mask aligned to the start, as PyTorch's is."""
    if queries <= 1 or keys < 1:
        return 1.0
    square = min(queries, keys)
    seen = square * (square + 1) // 2 + max(queries - keys, 0) * keys
    return seen / (queries * keys)
