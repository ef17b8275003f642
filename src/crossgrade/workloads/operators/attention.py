"""Builders of rotary embedding, the store to the cache, and attention over the cache.

Formulas for n new tokens, H heads of queries, h heads of keys and of values, D features per head.
Lengths, block table and slots are some bytes per sequence and are not counted. Must not know
targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

from crossgrade.values.operator_case import CannotRun
from crossgrade.workloads.operators.built import BuiltOperator
from crossgrade.workloads.operators.formats import QUANTISED
from crossgrade.workloads.operators.quantising import filled, largest, scales
from crossgrade.workloads.operators.request import Request, bad
from crossgrade.workloads.operators.sequences import (
    CacheLayout,
    Sequences,
    layout_of,
    sequences_of,
)
from crossgrade.workloads.operators.tensors import (
    Described,
    built,
    given,
    tensor,
    torch_dtype,
)

_THETA = 10000.0
"""Base of the rotary frequencies, as xpu-perf has it."""


def _angles(length: int, width: int) -> torch.Tensor:
    """Return angles [length, width]; the two halves are equal."""
    frequencies = _THETA ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    half = torch.arange(length, dtype=torch.float32)[:, None] * frequencies
    return torch.cat((half, half), dim=-1)


def turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Return x [n, heads, d] turned by the angles of its tokens [n, d]; halves form the pairs."""
    low, high = x.chunk(2, dim=-1)
    return x * cos.unsqueeze(1) + torch.cat((-high, low), dim=-1) * sin.unsqueeze(1)


def _rotary(request: Request) -> BuiltOperator:
    """Return queries and keys turned in place: 3 n (H + h) r flop for r turned features.

    Traffic: 2 n (H + h) r s, and cos and sin of the distinct positions p, 2 p r s.
    """
    where = sequences_of(request)
    queries, keys, width, start, turning = request.sizes(
        "q_head_num", "kv_head_num", "head_dim", "rope_offset", "rope_dim"
    )
    if turning % 2 or start + turning > width:
        raise bad("rope_dim", f"{turning} from {start} on: even, and within {width} features")
    dtype, n = torch_dtype(request.dtype), where.tokens
    table = (where.longest, turning)

    def run(
        qkv: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, positions: torch.Tensor
    ) -> torch.Tensor:
        part = qkv[:, : queries + keys, start : start + turning]
        part.copy_(turned(part, cos[positions], sin[positions]))
        return qkv

    moved = n * (queries + keys) * turning
    return built(
        run,
        (
            tensor(dtype, n, queries + 2 * keys, width),
            tensor(dtype, *table, fill=given(lambda: _angles(*table).cos())),
            tensor(dtype, *table, fill=given(lambda: _angles(*table).sin())),
            tensor(torch.int64, n, fill=given(where.position_ids)),
        ),
        (), flop=3.0 * moved, exportable=False,
        traffic=2.0 * dtype.itemsize * (moved + where.positions * turning),
        note="picking cos and sin, turning and writing back are kernels of their own",
    )  # fmt: skip


def _store(request: Request) -> BuiltOperator:
    """Return keys, values or both written to the cache: 0 flop, 2 n h D more where quantised.

    Traffic for each of the two that is stored: n h D (s + t), and 4 h D of scales where quantised.
    A quantised element is round(x * scale), as in xpu-perf.
    """
    where = sequences_of(request)
    layout, mode = layout_of(request, where), request.text("store_mode")
    queries, keys, width = request.sizes("q_head_num", "kv_head_num", "head_dim")
    dtype, kept = torch_dtype(request.dtype), torch_dtype(request.text("cache_dtype"))
    quantised = request.text("cache_dtype") in QUANTISED
    heads = _stored_heads(queries, keys, mode)

    def run(
        qkv: torch.Tensor, pages: torch.Tensor, places: torch.Tensor, *more: torch.Tensor
    ) -> object:
        caches, factors = more[: len(heads)], more[len(heads) :]
        for i, (part, cache) in enumerate(zip(heads, caches, strict=True)):
            new = qkv[:, part]
            if quantised:
                new = _stored(new, factors[i], kept)
            cache[pages, :, places] = new.to(kept)
        return tuple(caches) if len(caches) > 1 else caches[0]

    cache = layout.cache(keys, width, kept, filled(request.text("cache_dtype")))
    edges = [scales(keys, width)] * (len(heads) * quantised)
    moved = len(heads) * where.tokens * keys * width
    return built(
        run,
        (
            tensor(dtype, where.tokens, queries + 2 * keys, width),
            tensor(torch.int64, where.tokens, fill=given(lambda: layout.slots(where)[0])),
            tensor(torch.int64, where.tokens, fill=given(lambda: layout.slots(where)[1])),
            *[cache] * len(heads), *edges,
        ),
        (), flop=2.0 * moved * quantised, exportable=False,
        traffic=float(moved * (dtype.itemsize + kept.itemsize) + sum(e.nbytes for e in edges)),
        note="places in the cache are worked out beforehand; keys and values are written by "
        "kernels of their own" + (", after kernels that quantise them" if quantised else ""),
    )  # fmt: skip


def _stored_heads(queries: int, keys: int, mode: str) -> list[slice]:
    """Return where keys, values or both lie among the heads of a packed token."""
    starts = {"k": queries, "v": queries + keys}
    return [slice(s, s + keys) for name, s in starts.items() if mode in (name, "both")]


def _stored(x: torch.Tensor, scale: torch.Tensor, kept: torch.dtype) -> torch.Tensor:
    """Return x [n, h, D] times a scale [h, D], within the numbers of the cache."""
    top = largest(kept)
    scaled = (x.float() * scale).clamp(-top, top)
    return scaled.round() if kept == torch.int8 else scaled


def _masks(where: Sequences) -> dict[tuple[int, int], int]:
    """Return (new, cached) -> number of its mask, for those that torch's causal flag is not for."""
    needed = [(q, c) for q, c in zip(where.new, where.cached, strict=True) if q > 1 and c > 0]
    return {shape: i for i, shape in enumerate(dict.fromkeys(needed))}


def _mask(new: int, cached: int) -> Described:
    """Return a mask [new, cached + new]: a token sees what is cached and the new ones up to it."""
    length = new + cached
    return tensor(
        torch.bool, new, length,
        fill=given(lambda: torch.ones(new, length, dtype=torch.bool).tril(cached)),
    )  # fmt: skip


def _check_attention(request: Request) -> None:
    """Refuse formats whose meaning xpu-perf leaves to the vendor."""
    if request.dtype in QUANTISED:
        raise CannotRun(
            "unsupported-format",
            f"`dtype` {request.dtype}: xpu-perf leaves the scales of quantised queries to the "
            "vendor",
        )
    for name in ("qk_compute_dtype", "pv_compute_dtype"):
        if request.text(name) != request.dtype:
            raise CannotRun(
                "unsupported-format",
                f"`{name}` {request.text(name)}: torch's attention computes in the format of the "
                f"queries, {request.dtype}",
            )
    queries, keys = request.sizes("q_head_num", "kv_head_num")
    if queries % keys:
        raise bad("q_head_num", f"{queries} is not a multiple of kv_head_num, {keys}")


def _attention(request: Request) -> BuiltOperator:
    """Return causal attention over the cache: 4 H D p flop for p query-key pairs.

    The two products count, softmax does not. p is the sum of q (2 c + q + 1) / 2 over the
    sequences. Traffic: n H D s queries, 2 l h D c of the cache for l tokens of all sequences,
    8 h D scales where it is quantised, n H D t result. A quantised key is element * scale.
    """
    _check_attention(request)
    where = sequences_of(request)
    layout = layout_of(request, where)
    queries, keys, width = request.sizes("q_head_num", "kv_head_num", "head_dim")
    kept, result = (torch_dtype(request.text(n)) for n in ("cache_dtype", "dst_dtype"))
    dtype, masks = torch_dtype(request.dtype), _masks(where)
    quantised = request.text("cache_dtype") in QUANTISED
    query = tensor(dtype, where.tokens, queries, width)
    cache = layout.cache(keys, width, kept, filled(request.text("cache_dtype")))
    pages = layout.used(where.lengths).shape
    edges = [scales(keys, width)] * (2 * quantised)
    out = tensor(result, where.tokens, queries, width)
    used = 2 * sum(where.lengths) * keys * width * kept.itemsize
    return built(
        _attend(where, masks, dtype, result, quantised=quantised),
        (
            query, cache, cache,
            tensor(torch.int64, *pages, fill=given(lambda: layout.used(where.lengths))),
            *edges, *(_mask(*shape) for shape in masks),
        ),
        (out,), flop=4.0 * queries * width * where.pairs,
        traffic=float(query.nbytes + used + sum(e.nbytes for e in edges) + out.nbytes),
        note=_attention_note(where, layout, masks, quantised),
    )  # fmt: skip


def _attention_note(
    where: Sequences, layout: CacheLayout, masks: dict[tuple[int, int], int], quantised: bool
) -> str:
    notes = ["keys and values are gathered from the cache by kernels of their own"]
    if quantised:
        notes.append("and widened and scaled by others")
    if masks:
        notes.append("the mask is a tensor")
    if not where.uniform:
        notes.append("one call of attention per sequence")
    return "; ".join(notes)


def _attend(
    where: Sequences, masks: dict[tuple[int, int], int], dtype: torch.dtype, result: torch.dtype,
    *, quantised: bool,
) -> Callable[..., torch.Tensor]:  # fmt: skip
    """Return the function of queries, caches, pages, scales and masks."""
    lengths = where.lengths
    starts = [sum(where.new[:i]) for i in range(len(where.new))]
    uniform = [(0, len(where.new))]
    spans = uniform if where.uniform else [(i, 1) for i in range(len(where.new))]

    def run(
        q: torch.Tensor, k_cache: torch.Tensor, v_cache: torch.Tensor, pages: torch.Tensor,
        *more: torch.Tensor,
    ) -> torch.Tensor:  # fmt: skip
        factors, known = more[: 2 * quantised], more[2 * quantised :]
        parts = []
        for first, count in spans:
            new, cached, length = where.new[first], where.cached[first], lengths[first]
            rows = pages[first : first + count]
            k, v = (
                _picked(c, rows, length, dtype, factors[i] if quantised else None)
                for i, c in enumerate((k_cache, v_cache))
            )
            part = q[starts[first] : starts[first] + count * new].unflatten(0, (count, new))
            mask = masks.get((new, cached))
            y = functional.scaled_dot_product_attention(
                part.transpose(1, 2), k, v, attn_mask=None if mask is None else known[mask],
                is_causal=mask is None and new > 1, enable_gqa=q.shape[1] != k.shape[1],
            )  # fmt: skip
            parts.append(y.transpose(1, 2).flatten(0, 1).to(result))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    return run


def _picked(
    cache: torch.Tensor, pages: torch.Tensor, length: int, dtype: torch.dtype,
    scale: torch.Tensor | None,
) -> torch.Tensor:  # fmt: skip
    """Return keys or values [sequences, h, length, D] out of the pages [sequences, most]."""
    found = cache[pages[:, : -(-length // cache.shape[2])]]
    rows = found.transpose(1, 2).flatten(2, 3)[:, :, :length]
    if scale is None:
        return rows.to(dtype)
    return (rows.float() * scale.unsqueeze(-2)).to(dtype)


BUILDERS: Mapping[str, Callable[[Request], BuiltOperator]] = {
    "rotary_embedding": _rotary, "store_kv_cache": _store, "flash_attention": _attention,
}  # fmt: skip
"""Name -> builder."""
