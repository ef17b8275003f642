"""Builders of mixture-of-experts operators.

Formulas for T tokens, r rows of this rank (`routing.Routing.rows`), E experts of this rank, d
features, s and t bytes per element of input and result. Row numbers are int64 here; 4 bytes each
are counted, as an engine's own index would take. Must not know targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from crossgrade.workloads.operators.built import BuiltOperator
from crossgrade.workloads.operators.products import rank_tokens
from crossgrade.workloads.operators.quantising import (
    QUANTISE_NOTE,
    is_quantised,
    operand,
    product_note,
    quantise,
    scaled_product,
    scales,
)
from crossgrade.workloads.operators.request import Request, bad
from crossgrade.workloads.operators.routing import Routing, routing_of
from crossgrade.workloads.operators.tensors import (
    Described,
    built,
    given,
    tensor,
    torch_dtype,
    total,
)
from crossgrade.workloads.operators.tokens import quantised_result, swiglu

_INDEX = 4
_ROUTED_NOTE = "which token goes where is worked out beforehand"


def _token_ids(routing: Routing) -> Described:
    return tensor(torch.int64, routing.rows, fill=given(routing.token_ids))


def _expert_ids(routing: Routing) -> Described:
    return tensor(torch.int64, routing.rows, fill=given(routing.expert_ids))


def _row_weights(routing: Routing) -> Described:
    return tensor(torch.float32, routing.rows, fill=given(routing.weights))


def _gating_gemm(request: Request) -> BuiltOperator:
    """Return scores: 2 n d e flop, (n d + e d) s + n e t bytes; n tokens, e experts."""
    tokens = rank_tokens(request)
    width, experts = request.sizes("hidden_size", "num_experts")
    dtype = torch_dtype(request.dtype)
    computed, result = (torch_dtype(request.text(n)) for n in ("compute_dtype", "dst_dtype"))
    same = dtype == computed == result
    return built(
        lambda x, w: (x.to(computed) @ w.to(computed).t()).to(result),
        (tensor(dtype, tokens, width), tensor(dtype, experts, width)),
        (tensor(result, tokens, experts),), flop=2.0 * tokens * width * experts,
        note="" if same else "changes of format are kernels of their own",
    )  # fmt: skip


def _softmax_topk(request: Request) -> BuiltOperator:
    """Return chosen experts and weights: flop unknown (exponentials), n e s + n k (s + 4) bytes."""
    tokens = rank_tokens(request)
    experts, topk = request.sizes("num_experts", "topk")
    if topk > experts:
        raise bad("topk", f"{topk} of {experts} experts")
    dtype = torch_dtype(request.dtype)
    first = request.text("compute_mode") == "pre-softmax"

    def run(scores: torch.Tensor) -> object:
        if not first:
            best, chosen = torch.topk(scores, topk, dim=-1)
            return torch.softmax(best, dim=-1), chosen
        best, chosen = torch.topk(torch.softmax(scores, dim=-1), topk, dim=-1)
        return best / best.sum(dim=-1, keepdim=True), chosen

    one, best = tensor(dtype, tokens, experts), tensor(dtype, tokens, topk)
    return built(
        run, (one,), (best, tensor(torch.int64, tokens, topk)), flop=None,
        traffic=one.nbytes + best.nbytes + _INDEX * best.numel,
        note="softmax and choice are kernels of their own; places are int64, counted as int32",
    )  # fmt: skip


def _scatter_dynamic_quant(request: Request) -> BuiltOperator:
    """Return rows of this rank, quantised: flop unknown (rounding).

    Read: distinct tokens d s, E d 4 smoothing factors of this rank's experts, T k choices and
    weights (8 bytes each pair). Written: r (d t + 4) quantised rows, r (4 + 4) row numbers and
    weights, 4 (2 E + 1) counts and offsets.
    """
    routing, width = routing_of(request), request.size("hidden_size")
    dtype, result = torch_dtype(request.dtype), torch_dtype(request.text("dst_dtype"))
    tokens, smooth = tensor(dtype, routing.tokens, width), scales(routing.own, width)
    outputs = quantised_result(request, routing.rows, width)

    def run(
        x: torch.Tensor, factors: torch.Tensor, ids: torch.Tensor, experts: torch.Tensor
    ) -> object:
        return quantise(x[ids], factors[experts], result)

    read = routing.sources * width * dtype.itemsize + smooth.nbytes
    read += 8 * routing.tokens * routing.topk
    return built(
        run, (tokens, smooth, _token_ids(routing), _expert_ids(routing)), outputs, flop=None,
        traffic=read + total(outputs) + 8 * routing.rows + 4 * (2 * routing.own + 1),
        note=f"{_ROUTED_NOTE}; copying, smoothing and quantising are kernels of their own",
    )  # fmt: skip


def _moe_swiglu(request: Request) -> BuiltOperator:
    """Return swiglu of r rows: flop unknown (exponentials), 3 r d s bytes."""
    routing, width = routing_of(request), request.size("hidden_size")
    dtype = torch_dtype(request.dtype)
    return built(
        swiglu, (tensor(dtype, routing.rows, 2 * width),), (tensor(dtype, routing.rows, width),),
        flop=None, note="SiLU and product are kernels of their own",
    )  # fmt: skip


def _moe_swiglu_dynamic_quant(request: Request) -> BuiltOperator:
    """Return quantised swiglu of r rows: flop unknown, 2 r d s + 4 E d bytes read.

    r (d t + 4) bytes are written.
    """
    routing, width = routing_of(request), request.size("hidden_size")
    result = torch_dtype(request.text("dst_dtype"))
    rows, smooth = (
        tensor(torch_dtype(request.dtype), routing.rows, 2 * width),
        scales(routing.own, width),
    )
    outputs = quantised_result(request, routing.rows, width)
    return built(
        lambda x, factors, experts: quantise(swiglu(x), factors[experts], result),
        (rows, smooth, _expert_ids(routing)), outputs, flop=None,
        traffic=rows.nbytes + smooth.nbytes + total(outputs), note=QUANTISE_NOTE,
    )  # fmt: skip


def _operands(request: Request, routing: Routing) -> list[Described]:
    """Return rows, weights of the experts, and the scales of what is quantised."""
    k, m = request.sizes("hidden_size", "new_hidden_size")
    weight = request.text("w_dtype")
    found = [operand(request.dtype, routing.rows, k), operand(weight, routing.own, m, k)]
    found += [scales(routing.rows)] * is_quantised(request.dtype)
    return found + [scales(routing.own, m)] * is_quantised(weight)


def _group_product(request: Request, routing: Routing) -> Callable[..., torch.Tensor]:
    """Return the function of rows and weights: one product per expert that has rows."""
    counts = routing.counts
    has_x, has_w = is_quantised(request.dtype), is_quantised(request.text("w_dtype"))

    def run(x: torch.Tensor, w: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        rest = list(more)
        x_scale = rest.pop(0) if has_x else None
        w_scale = rest.pop(0) if has_w else None
        parts, start = [], 0
        for expert, count in enumerate(counts):
            here = slice(start, start + count)
            start += count
            x_part = None if x_scale is None else x_scale[here]
            w_part = None if w_scale is None else w_scale[expert]
            parts.append(scaled_product(x[here], w[expert], x_part, w_part, request))
        return torch.cat(parts)

    return run


def _group_gemm(request: Request) -> BuiltOperator:
    """Return products of r rows [k] with the weights of their experts: 2 r k m flop.

    Read: rows, all E weights, scales (4 bytes per row, 4 E m), 8 E counts and offsets. Written:
    r m t. All E weights count as read where each has a row, else those that have one.
    """
    routing = routing_of(request)
    k, m = request.sizes("hidden_size", "new_hidden_size")
    inputs = _operands(request, routing)
    out = tensor(torch_dtype(request.text("dst_dtype")), routing.rows, m)
    return built(
        _group_product(request, routing), inputs, (out,), flop=2.0 * routing.rows * k * m,
        traffic=_read(request, routing, inputs) + out.nbytes,
        note="; ".join(filter(None, ("one product per expert", product_note(request)))),
    )  # fmt: skip


def _read(request: Request, routing: Routing, inputs: list[Described]) -> float:
    """Return bytes of the operands that are read: of the experts those that have a row."""
    used = sum(count > 0 for count in routing.counts)
    skipped = inputs[1].nbytes / routing.own * (routing.own - used)
    if is_quantised(request.text("w_dtype")):
        skipped += inputs[-1].nbytes / routing.own * (routing.own - used)
    return total(inputs) - skipped + 8.0 * routing.own


def _residual_rows(request: Request) -> slice:
    """Return the tokens whose residual this rank adds."""
    tokens, ranks, rank = request.sizes("num_tokens", "sp_size", "sp_rank")
    share = -(-tokens // ranks)
    if rank >= ranks or rank * share >= tokens:
        raise bad("sp_rank", f"{rank}: no tokens of {tokens} for it, with {ranks} ranks")
    return slice(rank * share, min(tokens, (rank + 1) * share))


def _combined(
    rows: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor, residual: torch.Tensor,
    tokens: int, own: slice, scale: float,
) -> torch.Tensor:  # fmt: skip
    """Return the weighted rows added up by token, with the residual."""
    out = rows.new_zeros((tokens, rows.shape[-1]))
    out[own] = residual * scale
    return out.index_add_(0, ids, (rows * weights.unsqueeze(-1)).to(rows.dtype))


_COMBINE_NOTE = (
    "the result is cleared, given the residual and added to by kernels of their own; the residual "
    "has a row for each token of the rank, where xpu-perf has one row for all on one rank"
)


def _gather(request: Request) -> BuiltOperator:
    """Return rows added up by token: 2 r d flop for them, 2 q d for the residual of q tokens.

    Read: r d s, 8 r row numbers and weights, q d s. Written: T d s.
    """
    routing, width = routing_of(request), request.size("hidden_size")
    dtype, own = torch_dtype(request.dtype), _residual_rows(request)
    scale, held = float(request.values["res_scale"]), own.stop - own.start
    rows, residual = tensor(dtype, routing.rows, width), tensor(dtype, held, width)
    out = tensor(dtype, routing.tokens, width)
    return built(
        lambda x, ids, w, res: _combined(x, ids, w, res, routing.tokens, own, scale),
        (rows, _token_ids(routing), _row_weights(routing), residual), (out,),
        flop=2.0 * width * (routing.rows + held),
        traffic=rows.nbytes + 8 * routing.rows + residual.nbytes + out.nbytes,
        note=_COMBINE_NOTE,
    )  # fmt: skip


def _group_gemm_combine(request: Request) -> BuiltOperator:
    """Return moe_gather of moe_quant_group_gemm: 2 r k m + 2 m (r + q) flop.

    Read: what the products read, 8 r row numbers and weights, q m t residual. Written: T m t. The
    rows between stay inside.
    """
    routing, own = routing_of(request), _residual_rows(request)
    k, m = request.sizes("hidden_size", "new_hidden_size")
    result = torch_dtype(request.text("dst_dtype"))
    scale, held = float(request.values["res_scale"]), own.stop - own.start
    inputs, product = _operands(request, routing), _group_product(request, routing)
    residual, out = tensor(result, held, m), tensor(result, routing.tokens, m)

    def run(
        ids: torch.Tensor, weights: torch.Tensor, res: torch.Tensor, *operands: torch.Tensor
    ) -> torch.Tensor:
        return _combined(product(*operands), ids, weights, res, routing.tokens, own, scale)

    read = _read(request, routing, inputs) + 8 * routing.rows + residual.nbytes
    notes = ("one product per expert", product_note(request), _COMBINE_NOTE)
    return built(
        run, (_token_ids(routing), _row_weights(routing), residual, *inputs), (out,),
        flop=2.0 * routing.rows * k * m + 2.0 * m * (routing.rows + held),
        traffic=read + out.nbytes, note="; ".join(filter(None, notes)),
    )  # fmt: skip


BUILDERS: Mapping[str, Callable[[Request], BuiltOperator]] = {
    "moe_gating_gemm": _gating_gemm,
    "moe_softmax_topk": _softmax_topk,
    "moe_scatter_dynamic_quant": _scatter_dynamic_quant,
    "moe_quant_group_gemm": _group_gemm,
    "moe_quant_group_gemm_combine": _group_gemm_combine,
    "moe_swiglu": _moe_swiglu,
    "moe_swiglu_dynamic_quant": _moe_swiglu_dynamic_quant,
    "moe_gather": _gather,
}
"""Name -> builder."""
