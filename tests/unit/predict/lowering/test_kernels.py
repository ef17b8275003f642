"""What a fusing stack launches, and what it is not taken for."""

from __future__ import annotations

import dataclasses
import json

import pytest
from tests.conftest import capture_of, small_config

from crossgrade.chips.loader import load_chip
from crossgrade.predict.exchange import Traffic, exchange
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.price import kernel_columns, price
from crossgrade.values.layout import Layout


@pytest.fixture(scope="module")
def gpt_oss(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt-oss")
    config = small_config("gpt-oss-20b", layer_types=["sliding_attention", "full_attention"])
    (folder / "config.json").write_text(json.dumps(config))
    return capture_of(folder, "decode", tokens=1, context=512, batch=4)


def test_heads_that_queries_share_are_not_repeated_in_memory(gpt_oss):
    """Eager attention repeats keys and values; its variables outlive their last use."""
    eager = [k.label for k in gpt_oss.eager]
    assert eager.count("clone") >= 4
    assert "clone" not in [k.label for k in gpt_oss.fused]
    cache = gpt_oss.memory.kv
    for kernel in gpt_oss.fused:
        if kernel.kind == "attention":
            assert kernel.bytes < cache


def test_eager_attention_becomes_one_kernel_per_layer(gpt_oss):
    attention = [k for k in gpt_oss.fused if k.kind == "attention"]
    assert len(attention) == 2
    for kernel in attention:
        labels = {gpt_oss.capture.key(int(gpt_oss.capture.columns["call_key"][c])).operator
                  for c in kernel.calls}  # fmt: skip
        assert "aten._softmax.default" in labels
        assert "aten._grouped_mm.default" not in labels


def test_a_router_before_its_experts_is_no_attention(moe_decode):
    """Mixtral's attention is one operator already; router and experts stay what they are."""
    assert not any(k.label == "attention" for k in moe_decode.fused)
    experts = [k for k in moe_decode.fused if k.label == "_grouped_mm"]
    assert len(experts) == 4
    assert all(k.weight_format == "bfloat16" for k in experts)


def test_more_domains_share_the_exchange_and_do_not_repeat_it():
    chip = load_chip("h200")
    traffic = Traffic(rounds=100, bytes_per_round=1e9)
    eight = exchange(chip, Layout(chips=8, kind="ideal-shards"), traffic, "optimistic").seconds
    many = exchange(chip, Layout(chips=128, kind="ideal-shards"), traffic, "optimistic").seconds
    assert many < eight / 8
    assert exchange(chip, Layout(chips=1), traffic, "optimistic") is None


def test_experts_exchange_rows_where_that_is_less_than_reducing_all():
    """64 chips, 6 of 256 experts: each row travels 6 times, an all-reduce moves every row twice."""
    chip = load_chip("ascend-910c")
    hidden, rows, layers, chips = 4096 * 2.0, 4096, 40, 64
    routed = 2 * layers * rows * 6 * hidden
    traffic = Traffic(rounds=2 * layers, bytes_per_round=rows * hidden,
                      routed_rounds=2 * layers, routed_bytes=routed, sequences=rows)  # fmt: skip
    layout = Layout(chips=chips, kind="ideal-shards")
    best = exchange(chip, layout, traffic, "optimistic").seconds
    sent = routed / chips * (chips - 1) / chips
    link = chip.link("scale-up").bandwidth.value
    assert best == pytest.approx(2 * layers * 5e-6 + sent / (link * 0.9))
    # One sequence cannot be split over the chips, and the other end takes what every model allows.
    alone = dataclasses.replace(traffic, sequences=1)
    assert exchange(chip, layout, alone, "optimistic").seconds > 2 * best
    assert exchange(chip, layout, traffic, "pessimistic").seconds > 2 * best


def test_rows_that_are_routed_are_found_in_the_capture(moe_decode):
    """Two layers of Mixtral: two experts per token, hidden states to them and back, in bf16."""
    hidden = small_config("mixtral-8x7b-v0.1")["hidden_size"]
    traffic = moe_decode.traffic
    assert traffic.routed_rounds == 4
    assert traffic.routed_bytes == 4 * 2 * hidden * 2


def test_without_links_no_exchange_is_made_up():
    chip = dataclasses.replace(load_chip("h200"), links=())
    layout = Layout(chips=16, kind="ideal-shards")
    assert exchange(chip, layout, Traffic(rounds=1, bytes_per_round=1e9), "pessimistic") is None


def test_integer_work_on_the_vector_engine_asks_for_no_matrix_peak():
    """No chip quotes a matrix peak for int32, and counting needs none."""
    counting = Kernel(calls=[0], kind="vector", label="cumsum", dtype="int32", vector_ops=1e6)
    product = Kernel(calls=[1], kind="matmul", label="mm", dtype="bfloat16", work=1e12)
    chip, layout = load_chip("h200"), Layout(chips=1)
    idle = Traffic(rounds=0, bytes_per_round=0.0)
    priced = price(kernel_columns([counting, product]), chip, layout, idle, "optimistic")
    assert [rate.used for rate in priced.rates] == ["bf16"]
