"""Launches per layer, against profiles, generated code and lists of operations of real stacks."""

from __future__ import annotations

import functools
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from tests.conftest import small_config
from truthlib import from_config

from crossgrade.capture.run import CaptureSession
from crossgrade.predict.lowering.stack import load_stack, stack_names
from crossgrade.predict.lowering.stacks import distinct_rows, kernel_rows, lower
from crossgrade.predict.price import kernel_columns
from crossgrade.values.kernel import EVEN_ODDS, SIZES
from crossgrade.values.workload import ModelRef, Workload
from crossgrade.workloads import huggingface

ORACLES = sorted((Path(__file__).parents[3] / "data" / "stacks").glob("*.toml"))
LAYERS = 4
QWEN15 = {
    "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "hidden_size": 1024,
    "intermediate_size": 2816, "num_attention_heads": 16, "num_key_value_heads": 16,
    "vocab_size": 151936, "rms_norm_eps": 1e-6, "torch_dtype": "bfloat16", "hidden_act": "silu",
    "max_position_embeddings": 32768, "tie_word_embeddings": True,
}  # fmt: skip


@functools.cache
def captured(preset, phase, dtype=None, layers=LAYERS, context=None, tokens=None):
    """Return a capture of a preset with few layers; experts in every layer."""
    if preset == "qwen1.5":
        config = QWEN15 | {"num_hidden_layers": layers}
    else:
        config = small_config(preset, num_hidden_layers=layers)
        if "first_k_dense_replace" in config:
            config["first_k_dense_replace"] = 0
        if "layer_types" in config:
            config["layer_types"] = config["layer_types"][:layers]
    built = (
        from_config(config) if dtype is None else huggingface.build(config, name="m", dtype=dtype)
    )
    usual = (1, 512) if phase == "decode" else (512, 0)
    tokens = usual[0] if tokens is None else tokens
    context = usual[1] if context is None else context
    ref = ModelRef(passed="m", name="m", kind="config", runs_code=False)
    asked = Workload(model=ref, phase=phase, batch=2, tokens=tokens, context=context, dtype=dtype)
    return CaptureSession(built).capture(asked)


def in_layer(capture, kernel, layer):
    """Return whether a launch begins in one layer."""
    place = int(capture.columns["call_module"][kernel.calls[0]])
    return f"layers.{layer}." in capture.tables["modules"][place] + "."


def oracle_of(path):
    return tomllib.loads(path.read_text("utf-8"))


def expected_counts(oracle, layers):
    """Return launches by kind for so many layers, without and with what stands outside of them."""
    per_layer, once = Counter(), Counter()
    for row in oracle["kernels"]:
        if "kind" in row:
            per_layer[row["kind"]] += row["per_layer"] * layers
            once[row["kind"]] += row["once"]
    for row in oracle.get("adjust", ()):
        per_layer[row["kind"]] += row["per_layer"] * layers
    return per_layer, per_layer + once


@pytest.mark.parametrize("path", ORACLES, ids=lambda p: p.stem)
def test_kinds_and_counts_are_those_of_the_real_stack(path):
    oracle = oracle_of(path)
    capture = captured(oracle["preset"], oracle["phase"], oracle.get("dtype"))
    kernels = lower(capture, oracle["stack"])
    if oracle["scope"] == "step":
        found = Counter(k.op for k in kernels)
        assert found == expected_counts(oracle, LAYERS)[1]
        return
    found = Counter(k.op for k in kernels if in_layer(capture, k, 1))
    wanted = expected_counts(oracle, 1)[0]
    if oracle["scope"] == "listed":
        found = Counter({kind: found[kind] for kind in wanted})
    assert found == wanted


@pytest.mark.parametrize("path", ORACLES, ids=lambda p: p.stem)
def test_an_oracle_adds_up_and_names_its_licence(path):
    oracle = oracle_of(path)
    assert oracle["licence"].split(",")[0] in ("MIT", "Apache-2.0", "Mulan PSL v2")
    assert oracle["source"]
    for row in oracle["kernels"]:
        if "kind" in row and "total" in row:
            assert row["per_layer"] * oracle["layers"] + row["once"] == row["total"]
        assert ("kind" in row) != ("outside" in row)


def test_every_stack_has_an_oracle():
    assert {oracle_of(path)["stack"] for path in ORACLES} == set(stack_names())


@pytest.mark.parametrize("name", stack_names())
def test_every_rule_has_a_source(name):
    stack = load_stack(name)
    assert all(rule.source for rule in stack.rules.values())
    assert all(entry.source for entry in stack.experts)


def rows_of(capture, stack):
    kernels = lower(capture, stack)
    return kernels, {(r.family, r.op, r.format): (r, at) for r, at in kernel_rows(kernels, stack)}


def test_sizes_are_those_of_the_configuration():
    config = small_config("qwen3-8b")
    _, rows = rows_of(captured("qwen3-8b", "decode"), "vllm")
    hidden, size = config["hidden_size"], config["head_dim"]
    heads, shared = config["num_attention_heads"], config["num_key_value_heads"]
    products, _ = rows["matmul", "mm", "bf16"]
    widths = set(zip(products.sizes["n"].tolist(), products.sizes["k"].tolist(), strict=True))
    assert widths == {
        ((heads + 2 * shared) * size, hidden), (hidden, heads * size),
        (2 * config["intermediate_size"], hidden), (hidden, config["intermediate_size"]),
        (config["vocab_size"], hidden),
    }  # fmt: skip
    attention, at = rows["attention", "decode", "bf16"]
    assert len(at) == LAYERS
    sizes = {name: column[0] for name, column in attention.sizes.items()}
    assert sizes == {"batch": 2, "heads": heads, "kv_heads": shared, "queries": 1, "keys": 513,
                     "qk_size": size, "v_size": size, "window": 0}  # fmt: skip


def test_experts_are_priced_once_a_layer():
    config = small_config("qwen3-30b-a3b")
    kernels, rows = rows_of(captured("qwen3-30b-a3b", "decode"), "vllm")
    experts, at = rows["experts", "grouped_mm", "bf16"]
    sizes = {name: column[0] for name, column in experts.sizes.items()}
    assert sizes == {"tokens": 2, "hidden": config["hidden_size"], "experts": 128, "topk": 8,
                     "inter": config["moe_intermediate_size"], "tp": 1, "ep": 1,
                     "skew": EVEN_ODDS}  # fmt: skip
    parts = [k for k in kernels if k.part_of in set(at.tolist())]
    assert len(at) == LAYERS
    assert len(parts) == 5 * LAYERS


def test_a_latent_is_attended_to_in_decode():
    config = small_config("deepseek-v3")
    _, rows = rows_of(captured("deepseek-v3", "decode"), "vllm")
    latent, _ = rows["latent-attention", "decode", "bf16"]
    sizes = {name: column[0] for name, column in latent.sizes.items()}
    rank, rope = config["kv_lora_rank"], config["qk_rope_head_dim"]
    assert sizes == {"batch": 2, "heads": config["num_attention_heads"], "queries": 1, "keys": 513,
                     "rank": rank, "rope": rope}  # fmt: skip
    small, _ = rows["matmul", "bmm", "bf16"]
    assert set(small.sizes["batch"].tolist()) == {config["num_attention_heads"]}
    assert {tuple(x) for x in zip(small.sizes["n"], small.sizes["k"], strict=True)} == {
        (512, 128), (128, 512)
    }  # fmt: skip


def test_products_of_eight_bit_weights_quantise_what_they_read():
    _, rows = rows_of(captured("deepseek-v3", "decode"), "vllm")
    products, _ = rows["matmul", "mm", "fp8_block"]
    quantised, _ = rows["quantise", "quantise", "fp8_block"]
    assert sorted(products.sizes["k"]) == sorted(quantised.sizes["k"])
    assert not any(k.family == "quantise" for k in lower(captured("qwen3-8b", "decode"), "vllm"))


def test_a_window_is_read_off_its_mask():
    config = small_config("gpt-oss-20b")
    _, rows = rows_of(captured("gpt-oss-20b", "prefill"), "vllm")
    attention, _ = rows["attention", "prefill", "bf16"]
    assert attention.sizes["window"].tolist() == [config["sliding_window"], 0] * (LAYERS // 2)
    assert set(attention.sizes["kv_heads"]) == {config["num_key_value_heads"]}
    assert set(attention.sizes["heads"]) == {config["num_attention_heads"]}


@pytest.mark.parametrize(
    ("phase", "tokens", "kept"),
    [("prefill", 64, 2048), ("prefill", 512, 2048), ("prefill", 512, 64), ("decode", 4, 2048)],
)
def test_a_window_is_read_where_a_prefix_is_kept(phase, tokens, kept):
    window = small_config("gpt-oss-20b")["sliding_window"]
    _, rows = rows_of(captured("gpt-oss-20b", phase, context=kept, tokens=tokens), "vllm")
    attention, _ = rows["attention", phase, "bf16"]
    assert attention.sizes["queries"].tolist() == [tokens] * LAYERS
    assert attention.sizes["keys"][1::2].tolist() == [kept + tokens] * (LAYERS // 2)
    assert attention.sizes["window"].tolist() == [window, 0] * (LAYERS // 2)


@pytest.mark.parametrize("stack", stack_names())
@pytest.mark.parametrize(
    ("preset", "phase"),
    [("qwen3-8b", "prefill"), ("gpt-oss-20b", "decode"), ("deepseek-v3", "decode")],
)
def test_no_work_is_lost_and_launches_can_be_priced(stack, preset, phase):
    capture = captured(preset, phase)
    kernels = lower(capture, stack)
    assert {r.stack for r, _ in kernel_rows(kernels, stack)} == {stack}
    for kernel in kernels:
        assert kernel.kind == "host" or kernel.family is not None
        if kernel.part_of is None and kernel.family is not None:
            assert len(kernel.sizes) == len(SIZES[kernel.family])
    columns = kernel_columns(kernels)
    assert len(columns.labels) == len(kernels)
    reference = sum(k.work for k in lower(capture, "vllm"))
    if load_stack(stack)["graph"] == "serving":
        assert sum(k.work for k in kernels) == pytest.approx(reference)


def test_serving_stacks_do_not_train(moe_train):
    with pytest.raises(ValueError, match="does not train"):
        lower(moe_train.capture, "vllm")
    assert lower(moe_train.capture, "eager")


def test_an_unknown_stack_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"no stack .v-llm.*vllm"):
        load_stack("v-llm")


def test_sparse_attention_reads_what_its_indexer_picks():
    capture = captured("deepseek-v3.2", "decode", context=4096)
    _, rows = rows_of(capture, "vllm")
    config = small_config("deepseek-v3.2")
    latent, _ = rows["latent-attention", "decode", "bf16"]
    assert set(latent.sizes["keys"].tolist()) == {config["index_topk"]}
    indexer, at = rows["matmul", "indexer", "bf16"]
    assert len(at) == LAYERS
    assert set(indexer.sizes["n"].tolist()) == {4097}
    assert set(indexer.sizes["m"].tolist()) == {config["index_n_heads"]}


def test_linear_attention_is_one_launch_over_kept_state():
    capture = captured("qwen3.5-35b-a3b", "decode")
    for layer in (1, 2):
        found = Counter(k.op for k in lower(capture, "vllm") if in_layer(capture, k, layer))
        assert found["recurrence"] == found["causal_convolution"] == 1
        assert found["decode"] == 0


def test_distinct_rows_price_all_rows():
    kernels = lower(captured("qwen3-8b", "decode"), "vllm")
    for rows, places in kernel_rows(kernels, "vllm"):
        few, index = distinct_rows(rows)
        assert len(index) == len(places)
        for name in SIZES[rows.family]:
            assert (few.sizes[name][index] == rows.sizes[name]).all()
        if rows.op == "mm":
            assert len(few) == 5


class TestDrafts:
    """Steps of a few tokens per sequence, as those that verify drafts."""

    @staticmethod
    def rows(preset: str, tokens: int, layers: int, family: str):
        from crossgrade.capture.run import CaptureSession
        from crossgrade.values.workload import ModelRef, Workload

        config = small_config(preset, num_hidden_layers=layers)
        types = config.get("layer_types")
        if types:
            config["layer_types"] = types[:layers]
        ref = ModelRef(passed="m", name="m", kind="config", runs_code=False)
        workload = Workload(model=ref, phase="decode", batch=4, tokens=tokens, context=8192,
                            dtype=None)  # fmt: skip
        capture = CaptureSession(from_config(config)).capture(workload)
        return [k for k in lower(capture, "vllm-ascend") if k.family == family]

    def test_each_query_reads_what_its_indexer_picks(self):
        for kernel in self.rows("deepseek-v3.2", 4, 2, "latent-attention"):
            batch, _, queries, keys, _, _ = kernel.sizes
            assert (batch, queries, keys) == (4, 4, 2048)

    def test_a_cache_in_two_parts_has_the_heads_of_both(self):
        found = self.rows("deepseek-v4-flash", 4, 4, "attention")
        assert {kernel.sizes[2] for kernel in found} == {1.0}
