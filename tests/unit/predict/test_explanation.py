"""Kernels add up to the phase, and what a lever saves is what another chip would save."""

from __future__ import annotations

import dataclasses

import pytest

from crossgrade.chips.loader import load_chip
from crossgrade.predict.explanation import explain_phase
from crossgrade.predict.phase import Execution, predict
from crossgrade.predict.price import HostWork
from crossgrade.values.layout import Layout

EXTRA = HostWork(launches=100, reads=3)


def execution(prepared, name="h100", chips=1, **more):
    layout = Layout(chips=chips, kind="ideal-shards" if chips > 1 else "single", tp=chips)
    return Execution(prepared=prepared, chip=load_chip(name),
                     **{"layout": layout, "dissolved": EXTRA} | more)  # fmt: skip


def sharded(prepared):
    layout = Layout(chips=4, dp=4, kind="data-parallel-sharded", shard="full")
    return execution(prepared, layout=layout)


def weak(prepared):
    """Return a training step on a chip whose arithmetic, of both engines, is what binds."""
    case = execution(prepared, chips=2)
    peaks = tuple(
        dataclasses.replace(p, rate=dataclasses.replace(p.rate, value=p.rate.value / less))
        for p in case.chip.peaks
        for less in [5000 if p.engine == "matrix" else 200]
    )
    return dataclasses.replace(case, chip=dataclasses.replace(case.chip, peaks=peaks))


@pytest.fixture(params=["one", "four", "sharded", "weak"])
def case(request, moe_decode, moe_train):
    if request.param in ("sharded", "weak"):
        return {"sharded": sharded, "weak": weak}[request.param](moe_train)
    return execution(moe_decode, chips=4 if request.param == "four" else 1)


def times(case):
    """Return both ends of the phase as `assess` predicts them."""
    found = predict(case.prepared, case.chip, case.layout, case.dissolved)
    return found.fused.total_s, found.eager.total_s


def test_kernels_add_up_to_both_ends(case):
    found = explain_phase(case)
    for name, total in zip(("fused", "eager"), times(case), strict=True):
        ends = [end for k in found.kernels if (end := getattr(k, name))]
        assert sum(end.time_s for end in ends) == pytest.approx(total)
        assert {end.binds for end in ends} <= set(found.share_by_bound)
    assert found.time_s.low == times(case)[0]
    for shares in (found.share_by_bound, found.share_by_bound_eager):
        assert sum(shares.values()) == pytest.approx(1)


def test_what_kernels_save_adds_up_to_the_lever(case):
    found = explain_phase(case)
    for lever in found.levers:
        for name in ("fused", "eager"):
            saved = sum(end.saves_s.get(lever.name, 0.0)
                        for k in found.kernels if (end := getattr(k, name)))  # fmt: skip
            assert saved == pytest.approx(getattr(lever, name).step_s, rel=1e-6, abs=1e-13)


def better(chip, name, *, add=0.0, factor=1.0):
    """Return another chip by the text of its constants alone, without the code under test."""

    def other(constant):
        return dataclasses.replace(constant, value=constant.value * factor + add)

    if name == "memory_bandwidth":
        return dataclasses.replace(chip, memory_bandwidth=other(chip.memory_bandwidth))
    inside = name.partition("[")[2][:-1]
    if name.startswith("peaks"):
        engine, precision = inside.split("/")
        peaks = tuple(dataclasses.replace(p, rate=other(p.rate))
                      if (p.engine, p.precision) == (engine, precision) else p
                      for p in chip.peaks)  # fmt: skip
        return dataclasses.replace(chip, peaks=peaks)
    level = inside.partition(":")[0]
    links = tuple(dataclasses.replace(k, bandwidth=other(k.bandwidth)) if k.level == level else k
                  for k in chip.links)  # fmt: skip
    return dataclasses.replace(chip, links=links)


def test_a_rate_saves_what_a_chip_with_the_better_rate_saves(case):
    found = explain_phase(case)
    rates = [v for v in found.levers if v.unit != "s"]
    assert rates
    present = times(case)
    for lever in rates:
        assert lever.step == {"FLOP/s": 1e12, "byte/s": 1e9}[lever.unit]
        for what, change in (("step_s", {"add": lever.step}), ("tenth_s", {"factor": 1.1}),
                             ("most_s", {"factor": float("inf")})):  # fmt: skip
            changed = dataclasses.replace(case, chip=better(case.chip, lever.name, **change))
            for end, now, then in zip((lever.fused, lever.eager), present, times(changed),
                                      strict=True):  # fmt: skip
                assert getattr(end, what) == pytest.approx(now - then, rel=1e-6, abs=1e-13)


def test_levers_are_those_that_bind(moe_train):
    found = explain_phase(weak(moe_train))
    names = [v.name.partition(":")[0] for v in found.levers]
    assert names[0].startswith("peaks[matrix/")
    assert any(name.startswith("peaks[vector/") for name in names)
    assert "links[scale-up" in names
    assert found.crossovers[0].binds == "compute"
    assert all(name.startswith("peaks[matrix/") for name in found.crossovers[0].grows)


def test_one_step_is_the_derivative_where_nothing_else_begins_to_bind(moe_decode):
    """d(bytes / (B e)) / dB = -bytes / (B^2 e), summed over kernels that memory binds."""
    found = explain_phase(execution(moe_decode))
    lever = next(v for v in found.levers if v.name == "memory_bandwidth")
    bound = [k.fused for k in found.kernels if k.fused and k.fused.binds == "memory"]
    slope = sum(end.bytes for end in bound) / (lever.fused.now**2 * 0.92)
    saved = sum(end.saves_s.get("memory_bandwidth", 0.0) for end in bound)
    assert saved == pytest.approx(slope * 1e9, rel=1e-3)


def test_a_shorter_floor_saves_itself_per_kernel(moe_decode):
    found = explain_phase(execution(moe_decode))
    floor = next(v for v in found.levers if v.name == "kernel_floor_s")
    launches = sum(k.fused.kernels for k in found.kernels if k.fused and k.kind != "host")
    assert floor.step == -1e-6
    assert floor.fused.step_s == pytest.approx(1e-6 * launches)
    assert floor.fused.most_s == pytest.approx(1.2e-6 * launches)
    launch = next(v for v in found.levers if v.name == "host_launch_s")
    assert launch.fused.most_s == 0, "a graph launches without it"
    assert launch.eager.step_s > 100e-6, "the launches of composites count"


def test_the_roofline_is_below_every_kernel_and_follows_from_the_sheet(moe_decode):
    case = execution(moe_decode)
    found = explain_phase(case)
    for k in found.kernels:
        for end in (k.fused, k.eager):
            if end is not None:
                assert end.roofline_s <= end.time_s
    head = next(k for k in found.kernels if k.module == "lm_head" and k.kind == "matmul")
    assert head.fused.roofline_s == head.fused.bytes / case.chip.memory_bandwidth.value


def test_the_crossover_is_where_something_else_binds_most(moe_decode):
    case = execution(moe_decode)
    for crossover, end in zip(explain_phase(case).crossovers, ("fused", "eager"), strict=True):
        assert crossover.factor is not None
        if crossover.grows != ("memory_bandwidth",):
            continue

        def binding(factor, end=end):
            chip = better(case.chip, "memory_bandwidth", factor=factor)
            found = predict(case.prepared, chip, case.layout, case.dissolved)
            shares = found.share_by_bound if end == "fused" else found.share_by_bound_eager
            return max(shares, key=shares.get)

        assert binding(crossover.factor * 0.998) == crossover.binds == "memory"
        assert binding(crossover.factor * 1.002) == crossover.then != "memory"


def test_a_lever_that_can_save_nothing_is_left_out(moe_decode):
    found = explain_phase(execution(moe_decode))
    names = {v.name for v in found.levers}
    assert not any(name.startswith("links") for name in names), "one chip says nothing to others"
    assert all(v.fused.most_s > 0 or v.eager.most_s > 0 for v in found.levers)
    assert [v.fused.tenth_s for v in found.levers] == sorted(
        (v.fused.tenth_s for v in found.levers), reverse=True
    )
