"""A phase as a stack runs it: sums of kernel estimates, ideal shards, and what has no stack."""

from __future__ import annotations

import functools

import pytest
from tests.conftest import small_config
from truthlib import from_config

from crossgrade.capture.run import CaptureSession
from crossgrade.chips.loader import load_chip
from crossgrade.predict.lowering.stack import load_stack, stack_names, usual_stack
from crossgrade.predict.phase import Prepared, prepare
from crossgrade.predict.silicon.facts import narrows
from crossgrade.predict.silicon.knowledge import Kind, Knowledge, shipped
from crossgrade.predict.stack_time import launched, stack_time
from crossgrade.values.layout import Layout
from crossgrade.values.workload import ModelRef, Workload

ONE = Layout(chips=1)


@functools.cache
def step(phase: str = "decode", batch: int = 4) -> Prepared:
    config = small_config("qwen3-0.6b", num_hidden_layers=2)
    ref = ModelRef(passed="m", name="m", kind="config", runs_code=False)
    workload = Workload(
        model=ref, phase=phase, batch=batch,
        tokens=1 if phase == "decode" else 256, context=512 if phase == "decode" else 0, dtype=None,
    )  # fmt: skip
    return prepare(CaptureSession(from_config(config)).capture(workload))


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("stack", stack_names())
def test_parts_add_up_for_every_stack(stack: str, phase: str) -> None:
    found = stack_time(step(phase), load_chip("h100"), ONE, stack, shipped())
    assert 0 < found.low_s <= found.mid_s <= found.high_s
    assert sum(part.mid_s for part in found.parts) + found.host_s == pytest.approx(found.mid_s)
    assert sum(found.tiers.values()) == pytest.approx(1)
    assert found.tokens_per_s == pytest.approx((4 if phase == "decode" else 1024) / found.mid_s)


def test_a_serving_stack_launches_less_than_eager_and_is_faster() -> None:
    times = {
        stack: stack_time(step(), load_chip("h100"), ONE, stack, shipped())
        for stack in ("vllm", "compile", "eager")
    }
    assert max(times["vllm"].launches, times["compile"].launches) < times["eager"].launches
    assert times["vllm"].mid_s < times["eager"].mid_s


def test_more_chips_never_take_longer_without_a_network() -> None:
    chip = load_chip("h100")
    one = stack_time(step("prefill"), chip, ONE, "vllm", shipped())
    two = stack_time(step("prefill"), chip, Layout(chips=2, kind="ideal-shards", tp=2), "vllm",
                     shipped())  # fmt: skip
    assert two.mid_s - two.network_s < one.mid_s
    assert two.network_s > 0


def test_a_band_is_as_wide_on_more_chips() -> None:
    chip = load_chip("h200")
    one, many = (
        stack_time(step("prefill"), chip, layout, "vllm", shipped())
        for layout in (ONE, Layout(chips=8, kind="ideal-shards", tp=8))
    )
    for few, more in zip(
        sorted(one.parts, key=lambda p: (p.op, p.format)),
        sorted(many.parts, key=lambda p: (p.op, p.format)), strict=True,
    ):  # fmt: skip
        assert more.high_s / more.low_s == pytest.approx(few.high_s / few.low_s, rel=0.2)


def test_collectives_without_a_link_are_unknown_and_not_free() -> None:
    found = stack_time(step(), load_chip("max-1550"),
                       Layout(chips=2, kind="ideal-shards", tp=2), "vllm", shipped())  # fmt: skip
    assert found.network_s is None


def test_eager_waits_for_its_host_and_a_graph_does_not() -> None:
    times = [stack_time(step(), load_chip("h100"), ONE, s, shipped()) for s in ("eager", "vllm")]
    assert times[0].host_s > 0 == times[1].host_s


def test_launches_are_worked_out_once() -> None:
    assert launched(step(), "vllm") is launched(step(), "vllm")


def test_without_fits_it_rests_on_the_data_sheet() -> None:
    found = stack_time(step(), load_chip("h100"), ONE, "vllm", Knowledge(fits=()))
    assert list(found.tiers) == ["T0"]


def test_the_usual_stack_follows_from_the_operator_table() -> None:
    assert usual_stack("npu") == "vllm-ascend"
    assert usual_stack("rocm") == "vllm-rocm"
    assert usual_stack("cpu") is None
    assert usual_stack("no such table") is None


def test_an_unknown_stack_is_refused() -> None:
    with pytest.raises(ValueError, match="no stack 'tgi'"):
        stack_time(step(), load_chip("h100"), ONE, "tgi", shipped())


@functools.cache
def fp8_step() -> Prepared:
    config = small_config("deepseek-v3", num_hidden_layers=2, first_k_dense_replace=1)
    ref = ModelRef(passed="m", name="m", kind="config", runs_code=False)
    asked = Workload(model=ref, phase="decode", batch=4, tokens=1, context=512, dtype=None)
    return prepare(CaptureSession(from_config(config)).capture(asked))


@pytest.mark.parametrize(
    ("chip", "format"), [("ascend-910b2", "int8"), ("ascend-950dt", "fp8_block")]
)
def test_int8_stands_in_for_fp8_on_ascend_chips_without_it(chip: str, format: str) -> None:
    found = stack_time(fp8_step(), load_chip(chip), ONE, "vllm-ascend", shipped())
    for family in ("matmul", "experts", "quantise"):
        narrow = {p.format for p in found.parts if p.family == family} - {"bf16", "fp32"}
        assert narrow == {format}


def test_a_chip_without_a_narrow_engine_converts_no_activations() -> None:
    ready = fp8_step()
    assert any(g.rows.family == "quantise" for g in launched(ready, "vllm").groups)
    with_fp8, without = (
        stack_time(ready, load_chip(name), ONE, "vllm", shipped()) for name in ("h100", "a100")
    )
    left_out = sum(p.launches for p in with_fp8.parts if p.family == "quantise")
    assert left_out > 0
    assert not any(p.family == "quantise" for p in without.parts)
    assert without.launches == with_fp8.launches - left_out


@pytest.mark.parametrize(
    ("chip", "format", "narrow"),
    [("a100", "int8", True), ("a100", "fp8", False), ("a100", "nvfp4", False),
     ("h100", "fp8_block", True), ("b200", "nvfp4", True), ("a100", "bf16", False)],
)  # fmt: skip
def test_narrow_engines(chip: str, format: str, narrow: bool) -> None:
    assert narrows(load_chip(chip), format) is narrow


def test_the_measured_factors_of_an_operation_reach_its_launches() -> None:
    """Readers of public rows and stacks call an activation and its product by one name."""
    fit = shipped().on("h100", Kind(family="vector", op="", format="bf16", stack="vidur"))
    assert fit is not None
    ops = {g.rows.op for g in launched(step(), "vllm").groups if g.rows.family == "vector"}
    assert {op for op in ops if f"floor.{op}" in fit.values} >= {"act_mul"}


def test_a_stack_of_one_maker_runs_on_its_chips_alone() -> None:
    assert load_stack("trtllm").runs_on("cuda")
    assert not load_stack("trtllm").runs_on("xla")
    assert not load_stack("vllm").runs_on("npu")
    assert load_stack("vllm-rocm").runs_on("rocm"), "it extends vllm and runs elsewhere"
    assert load_stack("eager").runs_on("anything")
    for name in stack_names():
        stack = load_stack(name)
        assert all(stack.runs_on(table) for table in stack.serves)
        assert bool(stack.only) == bool(stack.only_source)
