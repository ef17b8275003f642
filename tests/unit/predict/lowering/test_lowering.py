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


def lowered(function, *inputs):
    """Return a function of tensors, captured and lowered."""

    class Module(nn.Module):
        def forward(self, *tensors):
            return function(*tensors)

    return prepared(from_module(Module(), *inputs), workload("prefill"))


def moved(ready):
    """Return bytes that fused kernels move."""
    return sum(k.bytes for k in ready.fused)


def written_attention(q, k, v, mask):
    scores = (q @ k.transpose(-1, -2)).masked_fill(mask, float("-inf"))
    return torch.softmax(scores, -1) @ v


def test_a_mask_counts_for_the_scores_that_it_is_put_on():
    """Two layers, two masks of the same positions: one is causal, the other a window of 8."""

    def layers(x):
        ahead = torch.arange(512, device=x.device)
        ahead = ahead[:, None] - ahead[None]
        full, window = ahead < 0, (ahead < 0) | (ahead >= 8)
        first = written_attention(x, x, x, full)
        return written_attention(first, x, x, window)

    shares = [k.work / k.flops for k in attentions(lowered(layers, torch.empty(2, 512, 64)))]
    assert shares == [pytest.approx(0.501, abs=0.001), pytest.approx(0.0155, abs=0.001)]


@pytest.mark.parametrize("layers", [2, 5])
def test_fused_memory_does_not_grow_with_the_layers(layers):
    config = small_config("deepseek-v3", first_k_dense_replace=9, num_hidden_layers=layers)
    memory = prepared(from_config(config), workload("prefill", tokens=512)).memory
    assert memory.activations_fused == pytest.approx(91.6e6, rel=0.01)


class Widened(nn.Module):
    """Keys and values of one wide product, in fp32, of a latent in bf16."""

    def __init__(self):
        super().__init__()
        self.up = nn.Parameter(torch.empty(32, 16 * 256, dtype=torch.bfloat16))

    def forward(self, q, x):
        made = (x.float() @ self.up.float()).view(1, 256, 16, 256).transpose(1, 2)
        return nn.functional.scaled_dot_product_attention(q, *made.split(128, dim=-1))


def test_an_expansion_of_a_widened_latent_is_lowered_or_left():
    """The latent that the product reads is not the one that the call was captured with."""
    x = torch.empty(1, 256, 32, dtype=torch.bfloat16)
    ready = prepared(from_module(Widened(), torch.empty(1, 16, 1, 128), x), workload("prefill"))
    [kernel] = attentions(ready)
    assert sum(kernel.reads.values()) < 16 * 256 * 128 * 4
    assert [k.label for k in ready.fused if k.kind == "matmul"] == ["absorbed"] * 2


class Heads(nn.Module):
    """Attention of 8 query heads over one key head that a wide projection makes."""

    def __init__(self, added):
        super().__init__()
        self.keys, self.added = nn.Linear(64, 512, bias=False), added

    def forward(self, q, x, other):
        k = self.keys(x)
        if self.added:
            k = torch.addmm(other, x[0], self.keys.weight.t())[None]
        heads = 8 if self.added else 1
        k = k.view(1, -1, heads, 512 // heads).transpose(1, 2)
        if not self.added:
            k = k.expand(1, 8, -1, -1)
        return nn.functional.scaled_dot_product_attention(q, k, k)


@pytest.mark.parametrize("added", [False, True])
def test_shared_heads_and_sums_are_not_absorbed(added):
    q = torch.empty(1, 8, 1, 64 if added else 512)
    inputs = q, torch.empty(1, 1024, 64), torch.empty(1024, 512)
    ready = prepared(from_module(Heads(added), *inputs), workload("prefill"))
    assert not any(k.label == "absorbed" for k in ready.fused)


def test_a_copy_into_a_part_leaves_the_rest_to_be_read():
    def step(x, piece, q):
        k = x * 2
        k[:, :, :1].copy_(piece)
        return q @ k.transpose(-1, -2)

    x, piece, q = torch.empty(4, 8, 256, 64), torch.empty(4, 8, 1, 64), torch.empty(4, 8, 4, 64)
    ready = lowered(step, x, piece, q)
    assert moved(ready) >= 3 * x.nbytes  # read, written, read by the product


def test_slices_of_a_copy_are_charged_once():
    def chunks(x, y):
        a, b = x.float(), y.float()
        return [a[i] @ b[i] for i in range(16)]

    x = torch.empty(16, 128, 128, dtype=torch.bfloat16)
    ready = lowered(chunks, x, torch.empty_like(x))
    read = sum(sum(k.reads.values()) for k in ready.fused)
    assert read == 2 * x.nbytes


def test_a_row_that_is_written_does_not_hide_the_rest_of_a_buffer():
    def step(cache, row, q):
        cache[5:6].copy_(row)
        return q @ (cache * 0.5).t()

    cache = torch.empty(4096, 256)
    ready = lowered(step, cache, torch.empty(1, 256), torch.empty(8, 256))
    read = sum(sum(k.reads.values()) for k in ready.fused if k.kind == "vector")
    assert read >= cache.nbytes * 0.99


def test_parts_of_a_tensor_that_a_group_writes_add_up():
    def halves(out, x):
        y = x * 2
        out[0].copy_(y)
        out[1].copy_(y)
        return out + 0

    out, x = torch.empty(2, 4096), torch.empty(4096)
    [kernel] = lowered(halves, out, x).fused
    assert sum(kernel.writes.values()) >= 2 * out.nbytes  # the input that changes, the result


@pytest.mark.parametrize(
    "step",
    [
        lambda x, i: x.cumsum(0)[i],
        lambda x, i: x.sort(0).values[i],
        lambda x, i: torch.zeros_like(x).index_add(0, i, x[i])[i],
    ],
    ids=["running-sum", "order", "scatter"],
)
def test_what_all_of_a_tensor_is_needed_for_is_in_memory(step):
    x, i = torch.empty(1 << 20, 2), torch.empty(16, dtype=torch.int64)
    ready = lowered(step, x, i)
    assert ready.memory.activations_fused >= x.nbytes


def test_packed_operands_are_read_apart():
    def attend(qkv):
        return nn.functional.scaled_dot_product_attention(*qkv.unbind(0))

    packed = torch.empty(3, 1, 4, 256, 64)
    [kernel] = lowered(attend, packed).eager
    assert sum(kernel.reads.values()) == packed.nbytes


class Converted(nn.Module):
    """Layers whose weights are kept in fp16 and used in fp32."""

    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterList(torch.empty(512, 512).half() for _ in range(8))

    def forward(self, x):
        for weight in self.weights:
            x = (x @ weight.float()).relu()
        return x


def test_converted_weights_stay_in_memory():
    ready = prepared(from_module(Converted(), torch.empty(4, 512)), workload("prefill"))
    assert not any(k.label == "_to_copy" for k in ready.fused)
    memory = ready.memory
    assert memory.converted == 8 * 512 * 512 * 4
    assert memory.peak_fused == memory.weights + memory.converted + memory.activations_fused
