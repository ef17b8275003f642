"""What operators compute, against references in float64 that are written another way."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from crossgrade.values.operator_case import OperatorCase
from crossgrade.workloads.operators import build, default_case
from crossgrade.workloads.operators.routing import Routing

CPU = torch.device("cpu")


def run(op: str, dtype: str = "float64", **arguments):
    """Return inputs before the call, in float64, and the results."""
    built = build(OperatorCase(op=op, dtype=dtype, arguments=arguments))
    inputs = built.make_inputs(torch.Generator().manual_seed(1), CPU)
    before = [t.clone().double() if t.is_floating_point() else t.clone() for t in inputs]
    result = built.run(*inputs)
    return before, (result,) if isinstance(result, torch.Tensor) else tuple(result)


def close(found: torch.Tensor, wanted: torch.Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found.double(), wanted.double(), rtol=tolerance, atol=tolerance)


def normed(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * w


def sigmoid_product(x: torch.Tensor) -> torch.Tensor:
    half = x.shape[-1] // 2
    gate, up = x[..., :half], x[..., half:]
    return gate / (1 + (-gate).exp()) * up


# basic -----------------------------------------------------------------------------------------
def test_gemm():
    (a, b), (c,) = run("gemm", m=3, k=5, n=4)
    close(c, (a[:, :, None] * b[None]).sum(1))


def test_gemm_in_eight_bits_is_exact_in_int8():
    (a, b), (y,) = run("gemm_8bit", "int8", M=32, K=16, N=24)
    assert y.dtype == torch.int32
    assert torch.equal(y, a.int() @ b.int().t())


def test_gemm_in_eight_bits_rounds_to_bfloat16_in_fp8():
    (a, b, *_), (y,) = run("gemm_8bit", "float8_e4m3fn", M=32, K=16, N=32)
    assert y.dtype == torch.bfloat16
    close(y.double(), a.double() @ b.double().t(), 2**-7)


def test_gemm_of_tokens():
    (a, _), (c,) = run("gemm", num_tokens=12, sp_size=2, hidden_size=5, new_hidden_size=7)
    assert a.shape == (6, 5)
    assert c.shape == (6, 7)


REFERENCES = {
    "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
    "silu": lambda x: x / (1 + (-x).exp()),
    "softmax": lambda x: x.exp() / x.exp().sum(-1, keepdim=True),
    "reduce_sum": lambda x: x.sum(-1, keepdim=True),
    "reduce_max": lambda x: x.sort(-1).values[:, -1:],
    "reduce_min": lambda x: x.sort(-1).values[:, :1],
    "cos": torch.cos, "sin": torch.sin, "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt,
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "rms_norm": normed,
    "layer_norm": lambda x, w, b: (x - x.mean(-1, keepdim=True))
    / (x.var(-1, keepdim=True, correction=0) + 1e-5).sqrt() * w + b,
}  # fmt: skip


@pytest.mark.parametrize("op", REFERENCES)
def test_rows(op):
    inputs, results = run(op, batch_size=5, dim_size=12)
    close(results[0], REFERENCES[op](*inputs))


def test_rms_norm_with_residual():
    (x, w, residual), (y,) = run("rms_norm", batch_size=4, dim_size=6, add_residual=True)
    close(y, normed(x + residual, w))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_cast(dtype):
    (x,), (y,) = run("cast", dtype, batch_size=3, dim_size=4)
    assert y.dtype == (torch.bfloat16 if dtype == "float32" else torch.float32)
    close(y, x, 1e-2)


def test_topk():
    (x,), (best, places) = run("topk", batch_size=6, dim_size=20, k=4)
    close(best.sort(-1).values, x.sort(-1).values[:, -4:])
    close(x.gather(-1, places), best)


@pytest.mark.parametrize("op", ["gather", "index_select", "embedding"])
def test_rows_by_number(op):
    (table, index), (y,) = run(op, src_batch_size=6, dst_batch_size=9, dim_size=4)
    close(y, torch.stack([table[int(i)] for i in index.flatten()]))


def test_scatter():
    (out, index, x), (y,) = run("scatter", src_batch_size=6, dst_batch_size=6, dim_size=4)
    for row, place in enumerate(index.flatten().tolist()):
        out[place] = x[row]
    close(y, out)


def test_index_add():
    (out, index, x), (y,) = run("index_add", src_batch_size=9, dst_batch_size=4, dim_size=3)
    for row, place in enumerate(index.tolist()):
        out[place] += x[row]
    close(y, out)


# tokens ----------------------------------------------------------------------------------------
def test_add_rms_norm():
    (x, residual, w), (y, added) = run("add_rms_norm", num_tokens=8, hidden_size=6, sp_size=2)
    close(y, normed(x + residual, w))
    close(added, x + residual)


@pytest.mark.parametrize("dst", ["int8", "float8"])
@pytest.mark.parametrize("op", ["scale_dynamic_quant", "swiglu_dynamic_quant"])
def test_quantised_tokens_are_the_tokens(op, dst):
    (x, smooth), (tokens, scale) = run(op, "float32", num_tokens=5, hidden_size=16, dst_dtype=dst)
    wanted = (x if op.startswith("scale") else sigmoid_product(x)) * smooth
    largest = wanted.abs().amax(-1, keepdim=True)
    error = (tokens.double() * scale.double()[:, None] - wanted).abs()
    share = 0.51 / 127 if dst == "int8" else 2**-4
    assert (error <= largest * share).all()


@pytest.mark.parametrize("mode", ["none", "res", "norm"])
def test_add_rms_norm_dynamic_quant(mode):
    (x, w, smooth, residual), (tokens, scale, *extra) = run(
        "add_rms_norm_dynamic_quant", "float32", num_tokens=5, hidden_size=16, dst_dtype="int8",
        output_mode=mode,
    )  # fmt: skip
    wanted = normed(x + residual, w)
    close(tokens.double() * scale.double()[:, None], wanted * smooth, 0.05)
    given = {"none": [], "res": [x + residual], "norm": [wanted]}[mode]
    for found, expected in zip(extra, given, strict=True):
        close(found, expected, 1e-5)


def test_head_rms_norm_changes_its_heads_only():
    (x, w), (y,) = run("head_rms_norm", num_tokens=3, total_head_num=5, head_dim=4,
                       norm_head_start=1, norm_head_num=2)  # fmt: skip
    close(y[:, 1:3], normed(x[:, 1:3], w))
    close(y[:, 3:], x[:, 3:])
    close(y[:, :1], x[:, :1])


def test_qk_rms_norm_leaves_values():
    (x, qw, kw), (y,) = run("qk_rms_norm", num_tokens=3, q_head_num=4, kv_head_num=2,
                            qk_head_dim=6, v_head_dim=5)  # fmt: skip
    close(y[:, :24].view(3, 4, 6), normed(x[:, :24].view(3, 4, 6), qw))
    close(y[:, 24:36].view(3, 2, 6), normed(x[:, 24:36].view(3, 2, 6), kw))
    close(y[:, 36:], x[:, 36:])


def test_head_rms_norm_dynamic_quant():
    (x, w, smooth), (tokens, scale) = run(
        "head_rms_norm_dynamic_quant", "float32", num_tokens=3, head_num=2, head_dim=8,
        dst_dtype="int8",
    )  # fmt: skip
    close(tokens.double() * scale.double()[:, None], normed(x, w).reshape(3, 16) * smooth, 0.05)


def test_swiglu():
    (x,), (y,) = run("swiglu", num_tokens=4, hidden_size=6)
    close(y, sigmoid_product(x))


@pytest.mark.parametrize("bias", [False, True])
def test_quant_matmul_of_int8(bias):
    (x, w, xs, ws, *more), (y,) = run(
        "quant_matmul", "int8", num_tokens=4, hidden_size=16, new_hidden_size=6,
        dst_dtype="float64", has_bias=bias,
    )  # fmt: skip
    wanted = (x.double() @ w.double().t()) * xs[:, None] * ws
    close(y, wanted + more[0] if bias else wanted, 1e-5)


def test_quant_matmul_of_int4_weights():
    (x, w, xs, ws), (y,) = run(
        "quant_matmul", "int8", w_dtype="int4", num_tokens=4, hidden_size=16, new_hidden_size=6,
        dst_dtype="float64",
    )  # fmt: skip
    numbers = [[n for byte in row for n in (byte % 16, byte // 16)] for row in w.tolist()]
    signed = torch.tensor([[n - 16 if n > 7 else n for n in row] for row in numbers])
    close(y, (x.double() @ signed.double().t()) * xs[:, None] * ws, 1e-5)


def test_quant_matmul_laid_out_by_rank():
    common = {"num_tokens": 8, "sp_size": 2, "hidden_size": 16, "new_hidden_size": 6}
    _, (plain,) = run("quant_matmul", "int8", **common)
    _, (ranked,) = run("quant_matmul", "int8", **common, transpose_o=True)
    close(ranked.view(2, 4, 3), torch.stack((plain[:, :3], plain[:, 3:])))


@pytest.mark.parametrize("transposed", [False, True])
def test_quant_group_gemm_reduce_sum(transposed):
    (x, w, xs, ws), (y,) = run(
        "quant_group_gemm_reduce_sum", "int8", num_tokens=6, sp_size=2, hidden_size=8,
        new_hidden_size=4, dst_dtype="float64", trans_w=transposed,
    )  # fmt: skip
    w = w.double().transpose(1, 2) if transposed else w.double()
    close(y, sum(x[i].double() @ w[i] * xs[i][:, None] * ws[i] for i in range(2)), 1e-5)


# experts ---------------------------------------------------------------------------------------
def choices(r: Routing) -> list[list[int]]:
    """Return the experts of each token, one choice after the other."""
    order = [rank * r.own + i for i in range(r.own) for rank in range(r.ranks)]
    turns = itertools.cycle(order)
    return [[next(turns) for _ in range(r.topk)] for _ in range(r.tokens)]


@pytest.mark.parametrize("tokens", [1, 3, 7, 40])
@pytest.mark.parametrize(
    ("experts", "topk", "ranks"), [(16, 4, 4), (8, 2, 4), (6, 6, 1), (8, 3, 2)]
)
def test_routing_is_round_robin(tokens, experts, topk, ranks):
    for rank in range(ranks):
        r = Routing(tokens=tokens, topk=topk, experts=experts, ranks=ranks, rank=rank)
        own = range(rank * r.own, (rank + 1) * r.own)
        chosen = choices(r)
        ids = [[t for t in range(tokens) if e in chosen[t]] for e in own]
        assert r.counts == [len(row) for row in ids]
        assert r.token_ids().tolist() == [t for row in ids for t in row]
        assert r.sources == len({t for row in ids for t in row})
        assert r.expert_ids().tolist() == [i for i, row in enumerate(ids) for _ in row]


MOE = {"num_tokens": 12, "hidden_size": 8, "num_experts": 8, "topk": 2, "ep_size": 2, "ep_rank": 1}


def test_moe_gating_gemm():
    (x, w), (y,) = run("moe_gating_gemm", num_tokens=4, hidden_size=6, num_experts=5)
    close(y, torch.einsum("td,ed->te", x, w))


@pytest.mark.parametrize("mode", ["pre-softmax", "post-softmax"])
def test_moe_softmax_topk_gives_the_same_weights_both_ways(mode):
    (x,), (weights, chosen) = run(
        "moe_softmax_topk", num_tokens=4, num_experts=6, topk=2, compute_mode=mode
    )
    best = x.gather(-1, chosen).exp()
    close(weights, best / best.sum(-1, keepdim=True))
    close(x.gather(-1, chosen), x.sort(-1, descending=True).values[:, :2])


def test_moe_scatter_dynamic_quant():
    (x, factors, ids, experts), (tokens, scale) = run(
        "moe_scatter_dynamic_quant", "float32", **MOE, dst_dtype="int8"
    )
    wanted = torch.stack([x[i] * factors[e] for i, e in zip(ids, experts, strict=True)])
    close(tokens.double() * scale.double()[:, None], wanted, 0.05)


def test_moe_swiglu_dynamic_quant():
    (x, factors, experts), (tokens, scale) = run(
        "moe_swiglu_dynamic_quant", "float32", **MOE, dst_dtype="int8"
    )
    close(tokens.double() * scale.double()[:, None], sigmoid_product(x) * factors[experts], 0.05)


def test_moe_swiglu():
    (x,), (y,) = run("moe_swiglu", **MOE)
    close(y, sigmoid_product(x))


def test_moe_quant_group_gemm():
    (x, w, xs, ws), (y,) = run(
        "moe_quant_group_gemm", "int8", **MOE, new_hidden_size=4, dst_dtype="float64"
    )
    experts = Routing(tokens=12, topk=2, experts=8, ranks=2, rank=1).expert_ids()
    wanted = [x[i].double() @ w[e].double().t() * xs[i] * ws[e] for i, e in enumerate(experts)]
    close(y, torch.stack(wanted), 1e-5)


def test_moe_quant_group_gemm_without_quantising_has_no_scales():
    (x, w), (y,) = run(
        "moe_quant_group_gemm", **MOE, new_hidden_size=4, w_dtype="float64",
        compute_dtype="float64", dst_dtype="float64",
    )  # fmt: skip
    experts = Routing(tokens=12, topk=2, experts=8, ranks=2, rank=1).expert_ids()
    close(y, torch.stack([x[i] @ w[e].t() for i, e in enumerate(experts)]))


def combined(rows, ids, weights, residual, tokens: int, start: int) -> torch.Tensor:
    wanted = torch.zeros(tokens, rows.shape[1], dtype=torch.float64)
    wanted[start : start + len(residual)] += residual * 0.5
    for row, token, weight in zip(rows, ids.tolist(), weights, strict=True):
        wanted[token] += row * weight
    return wanted


@pytest.mark.parametrize(("ranks", "rank", "start"), [(1, 0, 0), (4, 2, 6)])
def test_moe_gather(ranks, rank, start):
    (x, ids, weights, residual), (y,) = run(
        "moe_gather", **MOE, sp_size=ranks, sp_rank=rank, res_scale=0.5
    )
    close(y, combined(x, ids, weights, residual, 12, start))


def test_moe_quant_group_gemm_combine():
    (ids, weights, residual, x, w, xs, ws), (y,) = run(
        "moe_quant_group_gemm_combine", "int8", **MOE, new_hidden_size=4, dst_dtype="float64",
        res_scale=0.5,
    )  # fmt: skip
    experts = Routing(tokens=12, topk=2, experts=8, ranks=2, rank=1).expert_ids()
    rows = [x[i].double() @ w[e].double().t() * xs[i] * ws[e] for i, e in enumerate(experts)]
    close(y, combined(torch.stack(rows), ids, weights, residual, 12, 0), 1e-5)


# attention -------------------------------------------------------------------------------------
HEADS = {"q_head_num": 4, "kv_head_num": 2, "head_dim": 8}
LENGTHS = [
    {"attn_mode": "prefill", "batch_size": 2, "cache_len": 0, "q_len": 5},
    {"attn_mode": "prefill", "batch_size": 2, "cache_len": 6, "q_len": 5},
    {"attn_mode": "decode", "batch_size": 3, "cache_len": 7},
    {"attn_mode": "decode", "batch_size": 3, "cache_len": 7, "q_len": 3},
    {"arg_type": "batch_llm", "q_lens": [3, 1, 4, 3], "cache_lens": [2, 5, 0, 2]},
]


def lengths_of(arguments) -> list[tuple[int, int]]:
    if "q_lens" in arguments:
        return list(zip(arguments["q_lens"], arguments["cache_lens"], strict=True))
    return [(arguments.get("q_len", 1), arguments["cache_len"])] * arguments["batch_size"]


def attended(q, k_cache, v_cache, pages, lengths) -> torch.Tensor:
    """Return attention worked out query by query."""
    rows, token = [], 0
    for i, (new, cached) in enumerate(lengths):
        k, v = (
            torch.cat([c[p] for p in pages[i]], dim=1)[:, : new + cached]
            for c in (k_cache, v_cache)
        )
        for n in range(new):
            for head in range(4):
                keys, values = k[head // 2, : cached + n + 1], v[head // 2, : cached + n + 1]
                scores = (keys @ q[token, head] / math.sqrt(8)).exp()
                rows.append((scores[:, None] * values).sum(0) / scores.sum())
            token += 1
    return torch.stack(rows).view(token, 4, 8)


@pytest.mark.parametrize("block", [0, 4])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_flash_attention(lengths, block):
    (q, k, v, pages, *_), (y,) = run(
        "flash_attention", **HEADS, **lengths, block_size=block, cache_dtype="float64",
        dst_dtype="float64",
    )  # fmt: skip
    close(y, attended(q, k, v, pages, lengths_of(lengths)))


def test_flash_attention_over_an_int8_cache():
    lengths = LENGTHS[1]
    (q, k, v, pages, ks, vs, _), (y,) = run(
        "flash_attention", **HEADS, **lengths, block_size=4, cache_dtype="int8",
        dst_dtype="float64",
    )  # fmt: skip
    k, v = (c.double() * s[None, :, None] for c, s in ((k, ks), (v, vs)))
    close(y, attended(q, k, v, pages, lengths_of(lengths)), 1e-4)


def test_pages_may_be_given():
    table = [[3, 1, 0], [2, 5, 4]]
    (q, k, v, pages, _), (y,) = run(
        "flash_attention", **HEADS, **LENGTHS[1], block_size=4, block_table=table,
        cache_dtype="float64", dst_dtype="float64",
    )  # fmt: skip
    assert pages.tolist() == table
    close(y, attended(q, k, v, pages, lengths_of(LENGTHS[1])))


@pytest.mark.parametrize("mode", ["both", "k", "v"])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("block", [0, 4])
def test_store_kv_cache(lengths, block, mode):
    (qkv, pages, places, *_), results = run(
        "store_kv_cache", **HEADS, **lengths, block_size=block, store_mode=mode,
        cache_dtype="float64",
    )  # fmt: skip
    wanted = {"k": qkv[:, 4:6], "v": qkv[:, 6:]}
    names = "kv" if mode == "both" else mode
    for name, cache in zip(names, results, strict=True):
        close(cache[pages, :, places], wanted[name])
    assert len(set(zip(pages.tolist(), places.tolist(), strict=True))) == len(qkv)


def test_store_kv_cache_quantised():
    (qkv, pages, places, _, _, ks, _), (k, v) = run(
        "store_kv_cache", "float32", **HEADS, **LENGTHS[0], block_size=4, cache_dtype="int8"
    )
    wanted = (qkv[:, 4:6].float() * ks.float()).round().clamp(-127, 127)
    assert k.dtype == v.dtype == torch.int8
    close(k[pages, :, places], wanted)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_rotary_embedding_turns_pairs(lengths):
    (x, *_), (y,) = run(
        "rotary_embedding", "float64", **HEADS, **lengths, rope_offset=2, rope_dim=4
    )
    positions = [c + i for new, c in lengths_of(lengths) for i in range(new)]
    for token, position in enumerate(positions):
        for pair in range(2):
            angle = position * 10000.0 ** (-pair / 2)
            low, high = x[token, :6, 2 + pair], x[token, :6, 4 + pair]
            turned = torch.complex(low, high) * complex(math.cos(angle), math.sin(angle))
            close(y[token, :6, 2 + pair], turned.real, 1e-5)
            close(y[token, :6, 4 + pair], turned.imag, 1e-5)
    close(y[:, 6:], x[:, 6:])
    close(y[:, :, :2], x[:, :, :2])


# communication ---------------------------------------------------------------------------------
def test_device2device_copies():
    built = build(default_case("device2device"))
    source, target = built.make_inputs(torch.Generator().manual_seed(0), CPU)
    assert built.run(source, target) is target
    assert torch.equal(source, target)
