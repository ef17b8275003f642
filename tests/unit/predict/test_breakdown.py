"""Where time and memory go: the parts add up, and name what they are."""

from __future__ import annotations

import pytest

from crossgrade.chips.loader import load_chip
from crossgrade.predict.assumptions import assumptions
from crossgrade.predict.breakdown import MOST_GROUPS, folded
from crossgrade.predict.phase import predict
from crossgrade.predict.price import HostWork
from crossgrade.predict.timeline import memory_timeline
from crossgrade.values.layout import Layout


@pytest.fixture(params=[1, 4])
def prediction(request, moe_decode):
    layout = Layout(chips=request.param, kind="ideal-shards", tp=request.param)
    extra = HostWork(launches=1000, reads=10)
    return predict(moe_decode, load_chip("ascend-950dt"), layout, extra)


def test_parts_add_up_to_the_band(prediction):
    for end, total in ((prediction.fused, prediction.time_s.low),
                       (prediction.eager, prediction.time_s.high)):  # fmt: skip
        parts = sum(g.time_s for g in end.groups)
        parts += end.composite_launch_s + end.composite_host_s + end.network_s
        assert parts == pytest.approx(total)
        assert end.total_s == pytest.approx(total)
        for g in end.groups:
            assert g.floor_s + g.work_s + g.wait_s == pytest.approx(g.time_s)
    assert prediction.fused.composite_host_s == 0 < prediction.eager.composite_host_s


def test_kernels_and_modules_are_all_counted(prediction):
    assert sum(g.kernels for g in prediction.fused.groups) == prediction.kernels_fused
    assert sum(g.kernels for g in prediction.eager.groups) == prediction.kernels_eager - 1000
    assert len(prediction.eager.groups) <= MOST_GROUPS + 1
    fused = sum(m.fused_s for m in prediction.modules)
    assert fused == pytest.approx(sum(g.time_s for g in prediction.fused.groups))
    assert any(m.module.startswith("model.layers.*.") for m in prediction.modules)


def test_a_group_that_memory_limits_follows_from_its_bytes(moe_decode):
    chip = load_chip("h200")
    end = predict(moe_decode, chip, Layout(chips=1)).fused
    rate = chip.memory_bandwidth.value * assumptions()["memory_efficiency"].optimistic
    limited = [g for g in end.groups if g.limit == "memory"]
    assert limited
    for g in limited:
        assert g.work_s == pytest.approx(g.bytes / rate)


@pytest.mark.parametrize(
    ("module", "short"),
    [
        ("", ""),
        ("model.layers.7.mlp.experts.act_fn", "model.layers.*.mlp.experts"),
        ("3.conv", "*.conv"),
        ("encoder.layer.11", "encoder.layer.*"),
        ("model.norm.weight", "model.norm"),
        ("layers2.conv1x1", "layers2.conv1x1"),
    ],
)
def test_module_paths_are_folded(module, short):
    assert folded(module) == short


@pytest.mark.parametrize("name", ["moe_decode", "moe_train"])
def test_the_timeline_reaches_the_eager_peak(name, request):
    prepared = request.getfixturevalue(name)
    line = memory_timeline(prepared.capture, prepared.memory)
    assert list(line.at) == sorted(set(line.at))
    alive = [sum(row) for row in zip(line.kv, line.gradients, line.activations, strict=True)]
    assert max(alive) + line.resident == pytest.approx(prepared.memory.peak_eager)
    assert (max(line.gradients) > 0) == (prepared.capture.workload.phase == "train")


def test_parts_add_up_where_chips_share_out_training(moe_train):
    layout = Layout(chips=4, dp=4, kind="data-parallel-sharded", shard="full")
    found = predict(moe_train, load_chip("h200"), layout)
    for end, total in ((found.fused, found.time_s.low), (found.eager, found.time_s.high)):
        parts = sum(g.time_s for g in end.groups) + end.network_s
        assert parts == pytest.approx(total)


def test_a_time_is_not_told_where_the_rate_of_most_work_is_unknown(moe_decode):
    found = predict(moe_decode, load_chip("mtt-s5000"), Layout(chips=1))
    assert found.unrated_share == 1
    assert predict(moe_decode, load_chip("h200"), Layout(chips=1)).unrated_share == 0
