"""The schedule of a phase ends when the phase is predicted to end, and holds every kernel."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.predict.test_explanation import execution, sharded

from crossgrade.predict.phase import predict
from crossgrade.predict.tracing import trace_phase


@pytest.fixture(params=["one", "four", "64", "sharded", "train"])
def case(request, moe_decode, moe_train):
    if request.param == "sharded":
        return sharded(moe_train)
    if request.param == "train":
        return execution(moe_train)
    return execution(moe_decode, chips={"one": 1, "four": 4, "64": 64}[request.param])


def test_the_schedule_ends_when_the_phase_does(case):
    found = predict(case.prepared, case.chip, case.layout, case.dissolved)
    for one, end in zip(trace_phase(case), (found.fused, found.eager), strict=True):
        last = max(s.end_s.max() for s in one.streams)
        assert last == pytest.approx(end.total_s, rel=1e-9)
        assert one.total_s == end.total_s


def test_every_kernel_has_its_slice_and_its_launch(case):
    fused, eager = trace_phase(case)
    by = {s.stream: s for s in eager.streams}
    kernels = [k for k in case.prepared.eager if k.kind != "host"]
    assert len(by["compute"].start_s) == len(kernels)
    names = [eager.kinds[row].name for row in by["compute"].kind.tolist()]
    assert names == [k.label for k in kernels], "in the order of the calls"
    launches = [row for row in by["host"].kind.tolist() if eager.kinds[row].kind == "launch"]
    collectives = len(by["communication"].start_s) if "communication" in by else 0
    others = 2  # launches and reads of composites
    assert len(launches) == len(case.prepared.eager) + collectives + others
    assert "host" not in {s.stream for s in fused.streams} or case.prepared.host_reads
    moved = sum(eager.kinds[row].bytes for row in by["compute"].kind.tolist())
    assert moved == pytest.approx(float(case.priced("pessimistic")[0].bytes.sum()))


def test_slices_of_a_stream_follow_each_other(case):
    for one in trace_phase(case):
        for s in one.streams:
            assert (s.end_s >= s.start_s).all()
            assert (s.start_s[1:] >= s.end_s[:-1] - 1e-15).all()
            assert s.start_s[0] >= 0


def test_a_kernel_waits_for_its_launch_and_for_collectives(moe_decode):
    eager = trace_phase(execution(moe_decode, chips=4))[1]
    by = {s.stream: s for s in eager.streams}
    rounds, kernels = by["communication"], by["compute"]
    for begin, end in zip(rounds.start_s, rounds.end_s, strict=True):
        assert not ((kernels.start_s < end - 1e-12) & (kernels.end_s > begin + 1e-12)).any()
    gaps = np.diff(rounds.start_s)
    assert len(gaps) == 3
    assert gaps.max() < 3 * gaps.min(), "two layers, two rounds each, spread evenly"


def test_modules_keep_their_layer_and_slices_their_shapes(moe_decode):
    fused, eager = trace_phase(execution(moe_decode))
    assert "model.layers.1.self_attn.o_proj" in eager.modules
    products = [kind for kind in eager.kinds if kind.name == "mm"]
    assert products
    assert all(kind.sizes.count("[") == 2 for kind in products)
    assert "x [4096, 4096]" in " ".join(kind.sizes for kind in products)
    assert fused.alive is None
    assert (np.diff(eager.alive.at_s) >= 0).all()
    peak = sum(values for _, values in eager.alive.parts).max()
    assert peak == pytest.approx(moe_decode.memory.peak_eager)
