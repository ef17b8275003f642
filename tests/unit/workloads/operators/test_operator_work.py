"""Operations and least traffic, against formulas that are written another way."""

from __future__ import annotations

import pytest
import torch

from crossgrade.values.operator_case import OperatorCase
from crossgrade.workloads.operators import build, default_case, operators

TOKENS = {"num_tokens": 64, "hidden_size": 32}
EXPERTS = {**TOKENS, "num_experts": 16, "topk": 4, "ep_size": 4}
HEADS = {"q_head_num": 8, "kv_head_num": 2, "head_dim": 16}
ROWS = {"batch_size": 10, "dim_size": 20}
WORK = [
    ("gemm", "bfloat16", {"m": 4, "k": 8, "n": 16}, 2 * 4 * 8 * 16, 2 * (32 + 128 + 64)),
    ("gemm", "bfloat16", {"m": 4, "k": 8, "n": 16, "dst_dtype": "float32"}, 1024, 2 * 160 + 4 * 64),
    ("add", "float16", ROWS, 200, 3 * 200 * 2),
    ("cast", "float32", ROWS, 0, 200 * 6),
    ("softmax", "float32", ROWS, None, 2 * 800),
    ("reduce_sum", "float32", ROWS, 10 * 19, 4 * 210),
    ("reduce_max", "float32", ROWS, 0, 4 * 210 + 80),
    ("rms_norm", "float32", ROWS, 10 * 82, 4 * (400 + 20)),
    ("layer_norm", "float32", ROWS, 10 * 142, 4 * (400 + 40)),
    ("embedding", "float32", {"src_batch_size": 6, "dst_batch_size": 9, "dim_size": 5}, 0,
     6 * 5 * 4 + 9 * 8 + 9 * 5 * 4),
    ("embedding", "float32", {"src_batch_size": 9, "dst_batch_size": 6, "dim_size": 5}, 0,
     6 * 5 * 4 + 6 * 8 + 6 * 5 * 4),
    ("index_add", "float32", {"src_batch_size": 9, "dst_batch_size": 6, "dim_size": 5}, 45,
     9 * 5 * 4 + 9 * 8 + 2 * 6 * 5 * 4),
    ("quant_matmul", "int8", {**TOKENS, "new_hidden_size": 16}, 2 * 64 * 32 * 16,
     64 * 32 + 16 * 32 + 4 * 64 + 4 * 16 + 2 * 64 * 16),
    ("quant_matmul", "int8", {**TOKENS, "new_hidden_size": 16, "w_dtype": "int4"}, 2 * 64 * 32 * 16,
     64 * 32 + 16 * 32 // 2 + 4 * 64 + 4 * 16 + 2 * 64 * 16),
    ("swiglu", "bfloat16", TOKENS, None, 3 * 64 * 32 * 2),
    ("qk_rms_norm", "bfloat16",
     {"num_tokens": 4, "q_head_num": 8, "kv_head_num": 2, "qk_head_dim": 16},
     40 * 66, 2 * 4 * 10 * 16 * 2 + 2 * 4 * 16),
    # 64 tokens of 4 choices each, a quarter of them here
    ("moe_quant_group_gemm", "int8", {**EXPERTS, "new_hidden_size": 8}, 2 * 64 * 32 * 8,
     64 * 32 + 4 * 8 * 32 + 4 * 64 + 4 * 4 * 8 + 2 * 64 * 8 + 8 * 4),
    ("moe_gather", "bfloat16", EXPERTS, 2 * 32 * (64 + 64),
     2 * 64 * 32 + 8 * 64 + 2 * 64 * 32 + 2 * 64 * 32),
    # pairs of prefill: 3 + 4 + 5 for each of 2 sequences
    ("flash_attention", "bfloat16",
     {**HEADS, "attn_mode": "prefill", "batch_size": 2, "cache_len": 2, "q_len": 3},
     4 * 8 * 16 * 24, 2 * 2 * (6 * 8 * 16) + 2 * 2 * 10 * 2 * 16),
    ("store_kv_cache", "bfloat16", {**HEADS, "batch_size": 2, "cache_len": 2, "q_len": 3}, 0,
     2 * 6 * 2 * 16 * 4),
    ("rotary_embedding", "bfloat16",
     {**HEADS, "batch_size": 2, "cache_len": 2, "q_len": 3, "rope_dim": 8},
     3 * 6 * 10 * 8, 2 * 2 * 6 * 10 * 8 + 2 * 2 * 3 * 8),
    ("device2device", "int8", ROWS, 0, 400),
]  # fmt: skip


@pytest.mark.parametrize(("op", "dtype", "arguments", "flop", "traffic"), WORK)
def test_work(op, dtype, arguments, flop, traffic):
    built = build(OperatorCase(op=op, dtype=dtype, arguments=arguments))
    assert built.flop == flop
    assert built.bytes == traffic


@pytest.mark.parametrize("name", [i.name for i in operators() if not i.not_on_cpu])
def test_traffic_is_no_more_than_twice_the_buffers(name):
    built = build(default_case(name))
    assert built.bytes is None or 0 < built.bytes <= 2 * built.buffer_bytes


def test_experts_without_a_token_are_not_read():
    few = {**EXPERTS, "num_tokens": 1, "new_hidden_size": 8}
    built = build(OperatorCase(op="moe_quant_group_gemm", dtype="int8", arguments=few))
    assert built.bytes == 32 + 8 * 32 + 4 + 4 * 8 + 2 * 8 + 8 * 4


@pytest.mark.parametrize("name", [i.name for i in operators() if not i.not_on_cpu])
def test_exportable_operators_leave_their_inputs_alone_and_buffers_are_exact(name):
    built = build(default_case(name))
    inputs = built.make_inputs(torch.Generator().manual_seed(0), torch.device("cpu"))
    before = [t.clone() for t in inputs]
    result = built.run(*inputs)
    same = all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True))
    assert same or not built.exportable
    if built.exportable:
        results = (result,) if isinstance(result, torch.Tensor) else result
        assert built.buffer_bytes == sum(t.nbytes for t in (*inputs, *results))
