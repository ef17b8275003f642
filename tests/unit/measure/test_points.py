"""Which kernels a calibration times: as many as asked, far apart, cheap first, within the time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from crossgrade.measure.point_kinds import (
    FORMATS,
    VECTOR,
    attention,
    kind_of,
    product,
    vector,
)
from crossgrade.measure.points import CHAPTERS, Reach, chosen, points_of, reach_of
from crossgrade.values.calibration import Ceiling
from crossgrade.values.kernel import SIZES
from crossgrade.values.operator_case import OperatorCase

CPU = Reach(flop_per_s={"float32": 1e11}, bytes_per_s=2e10, formats=("float32",))
GPU = Reach(
    flop_per_s={"bfloat16": 7e14, "float32": 5e13, "int8": 1e15}, bytes_per_s=2.5e12,
    formats=("bfloat16", "float32", "int8"),
)  # fmt: skip


def cases(reach: Reach, count: int, budget_s: float = 360.0, seed: int = 0) -> list[OperatorCase]:
    chapters = chosen("null", reach, count, budget_s, seed, "forked")
    return [plan.plan.variants[0].case for chapter in chapters for plan in chapter]  # type: ignore


@pytest.mark.parametrize("count", [30, 60, 300])
@pytest.mark.parametrize("reach", [CPU, GPU])
def test_there_are_as_many_as_asked_all_different_and_of_every_kind(reach, count):
    found = cases(reach, count, 6.0 * count)
    assert len({case.key for case in found}) == len(found) == count
    kinds = [kind_of(case) for case in found]
    counts = {op: sum(kind.op == op for kind in kinds) for op in ("mm", "bmm", "prefill", "decode")}
    assert min(counts.values()) >= 2
    assert counts["prefill"] >= 5
    assert counts["decode"] >= 5
    assert len({kind.op for kind in kinds if kind.family == "vector"}) >= 7


def test_the_same_seed_gives_the_same_and_another_one_others():
    assert cases(CPU, 60) == cases(CPU, 60)
    assert {c.key for c in cases(CPU, 60, seed=1)}.isdisjoint(c.key for c in cases(CPU, 60))


def test_cheap_ones_come_first_and_every_kind_has_some_of_them():
    chapters = chosen("null", CPU, 60, 360.0, 0, "forked")
    assert len(chapters) == CHAPTERS
    kinds = [[kind_of(plan.plan.variants[0].case) for plan in chapter] for chapter in chapters]
    work = [max(kind.flop / 1e11 + kind.bytes / 2e10 for kind in part) for part in kinds]
    assert work == sorted(work)
    assert {kind.family for kind in kinds[0]} == {"matmul", "attention", "vector"}


def test_no_call_takes_longer_than_its_share_of_the_time():
    for case in cases(CPU, 60, 60.0):
        kind = kind_of(case)
        assert 15 * max(kind.flop / 1e11, kind.bytes / 2e10) < 1.0
    largest = max(kind_of(case).flop for case in cases(CPU, 60, 600.0))
    assert largest > 3 * max(kind_of(case).flop for case in cases(CPU, 60, 60.0))


def test_products_reach_from_one_row_to_thousands_and_some_are_odd():
    found = [kind_of(case).sizes for case in cases(GPU, 100, 600.0)]
    products = [sizes for sizes in found if "m" in sizes]
    assert min(sizes["m"] for sizes in products) == 1
    assert max(sizes["m"] for sizes in products) >= 4096
    assert max(sizes["n"] for sizes in products) >= 16384
    odd = sum(sizes["n"] % 2 == 1 for sizes in products)
    assert 0.1 < odd / len(products) < 0.6


def test_attention_shares_its_keys_in_some_points():
    found = [kind_of(case).sizes for case in cases(GPU, 60)]
    shared = {sizes["heads"] / sizes["kv_heads"] for sizes in found if "kv_heads" in sizes}
    assert {1.0} < shared


def test_a_further_format_gets_enough_points_or_none():
    for count in (30, 60, 300):
        products = [kind_of(case) for case in cases(GPU, count) if kind_of(case).op == "mm"]
        by_format = {f: sum(k.format == f for k in products) for f in FORMATS.values()}
        assert all(number == 0 or number >= 5 for number in by_format.values())
        assert by_format["bf16"] == max(by_format.values())


def test_a_device_without_a_rate_has_no_points():
    assert chosen("null", replace(CPU, formats=()), 60, 360.0, 0, "forked") == ()


def test_an_emulated_format_is_left_out(calibration_scouts):
    times = {"float32": 1.0, "bfloat16": 4.0, "float16": 9.0, "int8": 0.5, "float64": 2.0}
    scouted, rates = calibration_scouts(times)
    assert reach_of(scouted, rates).formats == ("float32", "int8")
    scouted, rates = calibration_scouts({**times, "bfloat16": 0.6})
    found = reach_of(scouted, rates)
    assert found.formats == ("bfloat16", "float32", "int8")
    assert found.bytes_per_s == 3e10


@pytest.mark.parametrize(("case", "family", "op", "sizes"), [
    (product("bfloat16", 3, 5, 7), "matmul", "mm", (1, 3, 5, 7)),
    (product("bfloat16", 3, 5, 7, batch=2), "matmul", "bmm", (2, 3, 5, 7)),
    (product("int8", 16, 32, 64), "matmul", "mm", (1, 16, 32, 64)),
    (attention("float32", 2, 8, 4, 16, 16, 64), "attention", "prefill",
     (2, 8, 4, 16, 16, 64, 64, 0)),
    (attention("float32", 2, 8, 4, 1, 99, 64), "attention", "decode", (2, 8, 4, 1, 99, 64, 64, 0)),
    (vector("add", "float32", 4, 8), "vector", "add", (256, 128, 32, 0)),
    (vector("cast", "bfloat16", 4, 8), "vector", "cast", (64, 128, 32, 0)),
    (vector("softmax", "bfloat16", 4, 8), "vector", "softmax", (64, 64, 160, 4)),
    (vector("swiglu", "bfloat16", 4, 8), "vector", "act_mul", (128, 64, 192, 0)),
])  # fmt: skip
def test_sizes_follow_from_the_case_alone(case, family, op, sizes):
    again = OperatorCase(**json.loads(json.dumps(
        {"op": case.op, "dtype": case.dtype, "arguments": dict(case.arguments)}, sort_keys=True
    )))  # fmt: skip
    for one in (case, again):
        kind = kind_of(one)
        assert (kind.family, kind.op) == (family, op)
        assert tuple(kind.sizes.values()) == sizes
        assert tuple(kind.sizes) == SIZES[family]


def test_least_traffic_and_operations_are_those_of_the_catalogue():
    pytest.importorskip("torch")
    from crossgrade.workloads.operators import build

    some = [product("bfloat16", 3, 5, 7), product("int8", 32, 32, 64),
            product("float32", 3, 5, 7, batch=2), attention("float32", 2, 8, 4, 16, 16, 64),
            attention("float32", 2, 8, 4, 1, 99, 64),
            *(vector(op, "bfloat16", 4, 8) for op in VECTOR)]  # fmt: skip
    for case in some:
        kind, made = kind_of(case), build(case)
        if case.op not in ("rms_norm", "layer_norm"):  # these read a weight too
            assert kind.bytes == made.bytes, case
        if kind.flop:
            assert kind.flop == made.flop, case


def test_no_measurement_gives_no_point():
    assert points_of(()) == ()


@pytest.fixture
def calibration_scouts():
    """Return what makes scouts of given times, s, and the rates of a device."""
    from crossgrade.measure.ceilings import PRODUCTS, scouts
    from crossgrade.values.bench import BenchResult, Interval, VariantResult

    def made(times):
        results = []
        for plan in scouts("null", 10.0, 0, "forked"):
            taken = times.get(plan.plan.variants[0].case.dtype)
            row = VariantResult(
                name="null", status="ok" if taken else "absent",
                time_s=Interval(value=taken, low=taken, high=taken) if taken else None,
                reason=None if taken else "unsupported-format",
            )  # fmt: skip
            results.append(BenchResult(plan=plan.plan, verdict="measured", audits=(), sessions=(),
                                       variants=(row,), spent_s=0.0))  # fmt: skip
        rate = Interval(value=3e10, low=3e10, high=3e10)
        rates = [Ceiling(work="copy", precision=None, unit="byte/s", rate=rate, case=None,
                         sessions=5, sizes=1, narrow=True)]  # fmt: skip
        rates += [Ceiling(work="matmul", precision=p, unit="FLOP/s", rate=rate, case=None,
                          sessions=5, sizes=1, narrow=True)
                  for p, (_, dtype) in PRODUCTS.items() if dtype in times]  # fmt: skip
        return results, rates

    return made
