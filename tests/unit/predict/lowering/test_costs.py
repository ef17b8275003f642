"""Kernels, memory and prices against forms written by hand."""

import json
import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from truthlib import captured, from_config, from_factory, from_module, prepared, workload
from truthmodels import DENSE, preset

from crossgrade.chips.loader import chip_names, load_chip
from crossgrade.predict.lowering.formulas import causal_share, expected_share
from crossgrade.predict.phase import call_time_shares, least_chips, predict, usable_memory
from crossgrade.values.capture import ROLES
from crossgrade.values.layout import Layout

PHASES = {"prefill": (64, 0), "decode": (1, 256), "train": (64, 0)}
MODELS = {
    "qwen3-8b": lambda: from_config(preset("qwen3-8b", num_hidden_layers=2)),
    "qwen3-30b-a3b": lambda: from_config(preset("qwen3-30b-a3b", num_hidden_layers=2)),
    "deepseek-v3": lambda: from_config(preset("deepseek-v3", num_hidden_layers=4)),
    "gpt-oss-20b": lambda: from_config(preset("gpt-oss-20b", num_hidden_layers=2)),
    "gpt2": lambda: from_config(DENSE["gpt2"]()),
}
CASES = [(m, p) for m in MODELS for p in PHASES] + [("resnet", "train"), ("encoder", "prefill")]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def ready(request):
    model, phase = request.param
    tokens, context = PHASES[phase]
    built = MODELS[model]() if model in MODELS else from_factory(model)
    return prepared(built, workload(phase, 2, tokens, context))


def total(kernels):
    return sum(k.bytes for k in kernels)


def test_fusing_never_moves_more(ready):
    assert total(ready.fused) <= total(ready.eager)


def test_fusing_never_launches_more(ready):
    assert len(ready.fused) <= len(ready.eager)


def test_what_a_fused_kernel_reads_was_written_or_came_from_outside(ready):
    """Nothing is read that no kernel made: copies, masks and dead work leave no hole."""
    c = ready.capture.columns
    outside = set(c["value_storage"][c["value_producer"] < 0].tolist())
    operators = [ready.capture.tables["operators"][o] for o in c["key_operator"].tolist()]
    producer = dict(zip(c["value_storage"][::-1].tolist(), c["value_producer"][::-1].tolist(),
                        strict=True))  # fmt: skip
    written = set(outside)
    for kernel in ready.fused:
        for s, size in kernel.reads.items():
            if s in written or size == 0:
                continue
            maker = operators[int(c["call_key"][producer[s]])]
            # An empty tensor that is filled in place, or a weight that was converted ahead.
            assert "empty" in maker or "lift_fresh" in maker or "_to_copy" in maker, maker
        written |= kernel.writes.keys()


def test_what_is_dropped_is_read_nowhere_or_read_at_its_source(ready):
    """Every tensor that a kept eager call reads is still read: itself, or what it was copied of."""
    calls = Counter(c for k in ready.fused if k.label != "absorbed" for c in k.calls)
    assert max(calls.values()) == 1
    absorbed = {c for k in ready.fused if k.label == "absorbed" for c in k.calls}
    gone = [k for k in ready.eager if k.calls[0] not in calls and k.calls[0] not in absorbed]
    assert {k.kind for k in gone} <= {"vector"}
    assert len(calls) + len(gone) + len(absorbed - set(calls)) == len(ready.eager)
    heavy = {k.calls[0]: k for k in ready.eager if k.kind in ("matmul", "attention")}
    for kernel in ready.fused:
        own = [heavy[c] for c in kernel.calls if c in heavy]
        if kernel.label != "absorbed" and len(own) == len(kernel.calls) == 1:
            parameters = {s for s in own[0].reads if is_parameter(ready.capture, s)}
            assert parameters <= kernel.reads.keys()
            assert own[0].kind == "attention" or len(kernel.reads) >= len(own[0].reads)


def is_parameter(capture, storage):
    return int(capture.columns["storage_role"][storage]) == ROLES.index("parameter")


def test_fusing_never_computes_more(ready):
    """The same where nothing is masked and no latent is absorbed, else less."""
    for field in ("flops", "work"):
        eager, fused = (sum(getattr(k, field) for k in end) for end in (ready.eager, ready.fused))
        assert fused <= eager * (1 + 1e-9)
    absorbed = any(k.label == "absorbed" for k in ready.fused)
    flops = [sum(k.flops for k in end) for end in (ready.eager, ready.fused)]
    assert absorbed or flops[0] == pytest.approx(flops[1])


@pytest.mark.parametrize("name", ["resnet", "encoder"])
def test_without_masks_all_work_is_kept(name):
    ready = prepared(from_factory(name), workload("prefill"))
    work = [sum(k.work for k in end) for end in (ready.eager, ready.fused)]
    assert work[0] == pytest.approx(work[1])


def test_nothing_is_negative_or_infinite(ready):
    for kernel in (*ready.eager, *ready.fused):
        sizes = [*kernel.reads.values(), *kernel.writes.values(), kernel.flops, kernel.work]
        assert all(math.isfinite(s) and s >= 0 for s in sizes)
        assert kernel.work <= kernel.flops


def test_a_kernel_reads_no_more_than_its_storages_hold(ready):
    whole = ready.capture.columns["storage_bytes"]
    for kernel in ready.eager:
        for held in (kernel.reads, kernel.writes):
            assert all(size <= whole[s] * (1 + 1e-9) for s, size in held.items())


@pytest.mark.parametrize("chips", [1, 8, 64])
@pytest.mark.parametrize("name", ["ascend-950dt", "h200"])
def test_low_end_is_not_above_the_high_end(ready, name, chips):
    prediction = predict(ready, load_chip(name), Layout(chips=chips))
    for band in (prediction.time_s, prediction.tokens_per_s, prediction.network_s):
        assert 0 <= band.low <= band.high < math.inf
    assert prediction.time_s.low > 0
    assert sum(prediction.share_by_bound.values()) == pytest.approx(1)
    assert sum(prediction.share_by_bound_eager.values()) == pytest.approx(1)


def test_no_chip_is_faster_than_its_memory_and_its_matrix_engine(ready):
    for name in chip_names():
        chip = load_chip(name)
        if chip.memory_bandwidth is None:
            continue
        low = predict(ready, chip, Layout(chips=1)).time_s.low
        assert low >= total(ready.fused) / chip.memory_bandwidth.value


def test_shares_of_calls_add_up(ready):
    shares = call_time_shares(ready, load_chip("h200"))
    assert shares.shape == (ready.capture.calls,)
    assert shares.sum() == pytest.approx(1)
    assert (shares >= 0).all()


def test_peak_has_all_its_parts(ready):
    m = ready.memory
    parts = (m.weights, m.kv, m.gradients, m.optimizer, m.activations_eager)
    assert m.peak_eager == pytest.approx(sum(parts))
    assert min(parts) >= 0
    assert m.activations_fused >= 0
    assert m.peak_fused <= 1.05 * m.peak_eager
    assert sum(m.formats.values()) <= m.weights


def test_chips_that_are_needed_hold_the_peak(ready):
    chip = load_chip("h200")
    count = least_chips(ready.memory.peak_fused, chip)
    assert (
        (count - 1) * usable_memory(chip) < ready.memory.peak_fused <= count * usable_memory(chip)
    )


@pytest.mark.parametrize("name", ["qwen3-8b", "gpt2"])
def test_adamw_state_is_twice_the_parameters(name):
    memory = prepared(MODELS[name](), workload("train")).memory
    assert memory.optimizer == pytest.approx(2 * memory.weights, rel=1e-3)


def test_gradients_are_as_large_as_the_parameters_at_the_end():
    ready = prepared(from_factory("perceptron"), workload("train"))
    roles = ready.capture.columns["storage_role"]
    held = ready.capture.columns["storage_bytes"][roles == 5].sum()
    assert held == ready.memory.formats["float32"]


@pytest.mark.parametrize(("batch", "context"), [(1, 1024), (4, 512), (1, 8192)])
def test_cache_of_qwen3_8b_has_its_closed_form(batch, context):
    config = preset("qwen3-8b", num_hidden_layers=3)
    memory = prepared(from_config(config), workload("decode", batch, 1, context)).memory
    per_token = 2 * 3 * config["num_key_value_heads"] * config["head_dim"] * 2
    assert memory.kv == per_token * batch * (context + 1)


@pytest.mark.slow
def test_cache_of_whole_qwen3_8b_has_its_closed_form():
    memory = prepared(from_config(preset("qwen3-8b")), workload("decode", 1, 1, 8192)).memory
    assert memory.kv == 2 * 36 * 8 * 128 * 2 * 8193


def test_decode_reads_the_weights_and_the_cache_once():
    config = preset("qwen3-8b", num_hidden_layers=2)
    ready = prepared(from_config(config), workload("decode", 1, 1, 4096))
    table = config["vocab_size"] * config["hidden_size"] * 2  # one row of it is read
    read = sum(sum(k.reads.values()) for k in ready.fused)
    assert read == pytest.approx(ready.memory.weights - table + ready.memory.kv, rel=0.1)


@pytest.mark.parametrize("name", ["qwen3-30b-a3b", "deepseek-v3", "mixtral-8x7b-v0.1"])
def test_one_token_reads_the_expected_experts_only(name):
    config = preset(name, num_hidden_layers=4)
    ready = prepared(from_config(config), workload("decode", 1, 1, 16))
    experts = config.get("num_experts") or config.get("num_local_experts", 256)
    share = expected_share(experts, config["num_experts_per_tok"])
    assert share <= config["num_experts_per_tok"] / experts
    c = ready.capture.columns
    stored = dict(enumerate(c["storage_stored_bytes"].tolist()))
    names = ready.capture.tables["names"]
    held = {s for s in stored if ".experts." in names[c["storage_name"][s]]}
    assert held
    for kernel in ready.eager:
        for s in held & kernel.reads.keys():
            assert kernel.reads[s] == pytest.approx(stored[s] * share)


@given(groups=st.integers(1, 512), rows=st.integers(0, 4096))
def test_expected_share_is_monotone_and_bounded(groups, rows):
    share = expected_share(groups, rows)
    assert 0 <= share <= 1
    rounding = 1e-12
    assert share <= expected_share(groups, rows + 1) + rounding
    assert expected_share(groups + 1, rows) <= share + rounding
    assert share <= rows / groups + rounding or groups == 1


@given(groups=st.integers(2, 5), rows=st.integers(0, 6))
def test_expected_share_counts_every_assignment(groups, rows):
    met = sum(len({i // groups**r % groups for r in range(rows)}) for i in range(groups**rows))
    assert expected_share(groups, rows) == pytest.approx(met / groups**rows / groups)


@given(queries=st.integers(1, 40), keys=st.integers(1, 40))
def test_causal_share_counts_what_is_seen(queries, keys):
    seen = sum(k <= q for q in range(queries) for k in range(keys))
    share = causal_share(queries, keys)
    assert share == pytest.approx(1.0 if queries == 1 else seen / (queries * keys))


@pytest.mark.parametrize(("transposed", "groups"), [(False, 1), (False, 4), (True, 1), (True, 4)])
def test_convolution_backward_is_twice_the_forward(transposed, groups):
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    module = nn.Sequential(nn.Conv2d(8, 8, 1), kind(8, 12, 3, stride=2, groups=groups))
    ready = prepared(from_module(module, torch.empty(2, 8, 9, 9)), workload("train"))
    c = ready.capture
    by_module = Counter()
    for number, key in enumerate(c.columns["call_key"].tolist()):
        place = c.tables["modules"][c.columns["call_module"][number]]
        by_module[place, int(c.columns["call_stage"][number])] += ready.costs[key].flops
    assert by_module["1", 1] == 2 * by_module["1", 0] > 0


def test_causal_mask_halves_the_work_and_not_the_flops():
    ready = prepared(from_factory("transformer_fused"), workload("prefill", tokens=128))
    kernels = [k for k in ready.eager if k.kind == "attention"]
    assert len(kernels) == 4
    assert all(k.work == pytest.approx(k.flops * 129 / 256) for k in kernels)


def test_views_cost_nothing():
    module = nn.Sequential(nn.Flatten(), nn.Unflatten(1, (2, 2)))
    ready = prepared(from_module(module, torch.empty(3, 4)), workload("prefill"))
    assert ready.capture.calls > 0
    assert ready.eager == []


def test_host_reads_are_counted():
    class Reader(nn.Module):
        def forward(self, x):
            return x * x.max().item()

    ready = prepared(from_module(Reader(), torch.empty(3)), workload("prefill"))
    assert ready.host_reads == 1


def test_arguments_are_json():
    capture = captured(MODELS["gpt2"](), "train")
    for key in capture.iter_keys():
        args, kwargs = json.loads(key.arguments)
        assert isinstance(args, list)
        assert isinstance(kwargs, dict)


def test_empty_capture_has_no_time():
    ready = prepared(from_module(nn.Identity(), torch.empty(3)), workload("prefill"))
    assert ready.eager == []
    assert predict(ready, load_chip("h200"), Layout(chips=1)).time_s.high == 0


def test_the_rows_of_memory_add_up_to_the_largest_live_sum(dense_config):
    """A decode step replaces its cache layer by layer: one layer is there twice at the peak."""
    import numpy as np
    from tests.conftest import capture_of

    ready = capture_of(dense_config, "decode", tokens=1, context=4096)
    c, memory = ready.capture.columns, ready.memory
    live = np.zeros(ready.capture.calls)
    accel = c["storage_device"] == ready.capture.tables["devices"].index("accel")
    for born, died, size in zip(
        c["storage_born"][accel], c["storage_died"][accel], c["storage_bytes"][accel], strict=True
    ):
        live[max(born, 0) : died + 1] += size
    assert memory.peak_eager == pytest.approx(live.max())
    assert memory.activations_eager > memory.kv / 5  # two layers: one of them twice, for a moment


@pytest.mark.parametrize("indices", [8, 4096])
def test_a_lookup_works_on_the_rows_that_it_names(indices):
    """Not on the table: a decode step reads one row of 150,000."""
    table = nn.Embedding(20_000, 64)
    built = from_module(table, torch.zeros(indices, dtype=torch.int64))
    (kernel,) = [k for k in prepared(built, workload("prefill")).eager if k.label == "embedding"]
    assert kernel.vector_ops == indices * 64
