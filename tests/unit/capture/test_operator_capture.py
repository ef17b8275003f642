"""One operator case on fake tensors: what is recorded, and what cannot be."""

from __future__ import annotations

import pytest

from crossgrade.capture.operator import capture_operator
from crossgrade.errors import CaptureFailed
from crossgrade.predict.phase import prepare
from crossgrade.values.capture import ROLES
from crossgrade.values.operator_case import CannotRun, OperatorCase
from crossgrade.workloads.operators import default_case


def gemm(**sizes):
    return OperatorCase(op="gemm", dtype="bfloat16", arguments=sizes)


def test_a_product_is_one_call_on_its_inputs():
    capture = capture_operator(gemm(M=3, K=5, N=7))
    assert capture.calls == 1
    key = capture.key(0)
    assert key.operator == "aten.mm.default"
    assert [meta.shape for meta in key.inputs] == [(3, 5), (5, 7)]
    assert {meta.device for meta in (*key.inputs, *key.outputs)} == {"accel"}
    roles = [ROLES[code] for code in capture.columns["storage_role"].tolist()]
    assert sorted(roles) == ["activation", "input", "input"]
    assert prepare(capture).flops == 2 * 3 * 5 * 7


def test_making_the_inputs_is_no_part_of_it():
    assert capture_operator(default_case("add")).calls == 1


def test_the_result_lives_to_the_end():
    capture = capture_operator(default_case("softmax"))
    alive = capture.columns["storage_died"].tolist()
    assert alive[-1] in (-1, capture.calls)


def test_a_backward_pass_is_recorded():
    assert capture_operator(default_case("gemm_backward")).calls > 1


def test_eight_bits_are_recorded_as_they_are():
    key = capture_operator(default_case("gemm_8bit")).key(0)
    assert {meta.dtype for meta in key.inputs} == {"int8"}


def test_a_case_that_needs_values_is_refused_with_its_name():
    with pytest.raises(CaptureFailed, match="store_kv_cache"):
        capture_operator(default_case("store_kv_cache"))


def test_a_case_that_does_not_exist_is_refused():
    with pytest.raises(CannotRun):
        capture_operator(gemm(M=0, K=1, N=1))
