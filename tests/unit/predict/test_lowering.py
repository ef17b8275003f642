"""The kernels of the fused end, against closed forms of what serving stacks launch."""

from __future__ import annotations

import pytest
import torch
from tests.conftest import small_config
from torch import nn
from truthlib import from_config, from_module, prepared, workload

BYTES = 2


@pytest.fixture(scope="module")
def latent():
    """Two layers of DeepSeek-V3, both dense."""
    config = small_config("deepseek-v3", first_k_dense_replace=2)
    built = from_config(config)
    return config, lambda phase, **sizes: prepared(built, workload(phase, **sizes))


def attentions(ready):
    return [k for k in ready.fused if k.kind == "attention"]


def test_decode_attends_to_the_latent_cache(latent):
    """arXiv:2405.04434: scores over rank + rope elements, values over rank, weights read once."""
    config, step = latent
    batch, context = 4, 2048
    ready = step("decode", batch=batch, tokens=1, context=context)
    rank, rope = config["kv_lora_rank"], config["qk_rope_head_dim"]
    heads, keys = config["num_attention_heads"], context + 1
    made = config["qk_nope_head_dim"] + config["v_head_dim"]
    found = attentions(ready)
    assert len(found) == 2
    for kernel in found:
        assert kernel.work == pytest.approx(2 * batch * heads * keys * (2 * rank + rope))
        cache = batch * keys * (rank + rope) * BYTES
        queries = batch * heads * (rank + rope + config["qk_nope_head_dim"]) * BYTES
        assert sum(kernel.reads.values()) == pytest.approx(cache + queries, rel=0.01)
    small = [k for k in ready.fused if k.label == "absorbed"]
    assert len(small) == 4
    assert sum(k.work for k in small) == pytest.approx(2 * 2 * batch * heads * made * rank)
    assert {k.weight_format for k in small} == {"float8_e4m3fn"}
    assert not any("kv_b_proj" in module_of(ready, k) for k in ready.fused if k.label == "mm")


def module_of(ready, kernel):
    c = ready.capture.columns
    return ready.capture.tables["modules"][int(c["call_module"][kernel.calls[0]])]


def test_a_long_prompt_is_expanded_and_not_absorbed(latent):
    config, step = latent
    ready = step("prefill", tokens=2048)
    assert not any(k.label == "absorbed" for k in ready.fused)
    sizes = config["qk_nope_head_dim"] + config["qk_rope_head_dim"] + config["v_head_dim"]
    for kernel in attentions(ready):
        square = 2 * config["num_attention_heads"] * 2048**2 * sizes
        assert kernel.work == pytest.approx(square / 2, rel=0.01)


def test_a_sliding_window_counts_what_it_leaves():
    config = small_config("gpt-oss-20b", layer_types=["sliding_attention", "full_attention"])
    ready = prepared(from_config(config), workload("prefill", tokens=1024))
    window, length = config["sliding_window"], 1024
    seen = window * length - window * (window - 1) / 2
    sliding, full = (k.work / k.flops for k in attentions(ready))
    assert sliding == pytest.approx(seen / length**2, rel=0.02)
    assert full == pytest.approx((length + 1) / (2 * length), rel=0.001)


def test_scores_of_eager_attention_need_no_memory_when_fused():
    config = small_config("gpt-oss-20b", layer_types=["full_attention"] * 2)
    ready = prepared(from_config(config), workload("prefill", tokens=2048))
    scores = config["num_attention_heads"] * 2048**2 * BYTES
    assert ready.memory.activations_eager > scores
    assert ready.memory.activations_fused < scores / 2


def test_a_mask_that_kernels_know_is_never_made():
    config = small_config("gpt-oss-20b", layer_types=["sliding_attention", "full_attention"])
    ready = prepared(from_config(config), workload("prefill", tokens=1024))
    c, capture = ready.capture.columns, ready.capture
    masks = {
        call
        for call in range(capture.calls)
        for meta in capture.key(int(c["call_key"][call])).outputs
        if meta.shape == (1, 1, 1024, 1024)
    }
    assert masks & {call for k in ready.eager for call in k.calls}
    assert not masks & {call for k in ready.fused for call in k.calls}


class Products(nn.Module):
    """A product of widened operands; the weight is kept narrow or wide."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(64, 64, dtype=weight))

    def forward(self, x):
        return x.float() @ self.weight.float()


def test_widened_operands_are_multiplied_as_they_are():
    x = torch.empty(32, 64, dtype=torch.bfloat16)
    ready = prepared(from_module(Products(torch.bfloat16), x), workload("prefill"))
    [product] = ready.fused
    assert product.dtype == "bfloat16"
    assert sum(product.reads.values()) == (32 * 64 + 64 * 64) * BYTES
    assert product.reads_parameter


def test_an_operand_that_was_wide_from_the_start_stays_wide():
    x = torch.empty(32, 64, dtype=torch.bfloat16)
    ready = prepared(from_module(Products(torch.float32), x), workload("prefill"))
    assert [k.dtype for k in ready.fused if k.kind == "matmul"] == ["float32"]


class Reordered(nn.Module):
    """Two vector calls on one tensor, with a product of another between them."""

    def __init__(self, read_between):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(64, 64))
        self.read_between = read_between

    def forward(self, x, y):
        a = x * 2
        b = (a if self.read_between else y) @ self.weight
        return a + 1, b


@pytest.mark.parametrize(("read_between", "vectors"), [(False, 1), (True, 2)])
def test_a_group_waits_only_while_nobody_reads_it(read_between, vectors):
    inputs = torch.empty(64, 64), torch.empty(64, 64)
    ready = prepared(from_module(Reordered(read_between), *inputs), workload("prefill"))
    assert sum(k.kind == "vector" for k in ready.fused) == vectors


class Sorted(nn.Module):
    """Vector work around a top-k."""

    def forward(self, x):
        return (x * 2).topk(4, dim=-1).values + 1


@pytest.mark.parametrize(("row", "kernels"), [(256, 1), (8192, 3)])
def test_long_rows_are_ordered_in_a_kernel_of_their_own(row, kernels):
    ready = prepared(from_module(Sorted(), torch.empty(8, row)), workload("prefill"))
    assert len(ready.fused) == kernels


class Indexer(nn.Module):
    """Scores of all keys, weighted and summed over heads."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(64, 16))

    def forward(self, x, q, k):
        scores = (q @ k.transpose(-1, -2)).relu()
        return (scores * (x @ self.weight).t()[:, :, None]).sum(0)


def test_scores_that_are_summed_at_once_are_not_written():
    x, q, k = torch.empty(8, 64), torch.empty(16, 8, 32), torch.empty(16, 512, 32)
    ready = prepared(from_module(Indexer(), x, q, k), workload("prefill"))
    written = sum(sum(kernel.writes.values()) for kernel in ready.fused)
    assert written == (8 * 16 + 8 * 512) * 4
