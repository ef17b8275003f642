"""The model of dense products keeps to physics, whatever its parameters and the data sheet say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrade.predict.silicon.facts import BYTES, Facts
from crossgrade.predict.silicon.matmul import HOSTED, TileWave, in_graph
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.silicon.plans import PLANS, SEARCHED, plan_of
from crossgrade.values.kernel import KernelRows

MODEL = TileWave()
FACTS = Facts(
    chip="one", architecture="some", matrix_flop_per_s=1e15, vector_flop_per_s=1e14,
    bandwidth_bytes_per_s=3e12, cores=132, clock_hz=1.8e9, cache_bytes=50e6,
    link_bytes_per_s=4e11,
)  # fmt: skip
sizes = st.integers(1, 40_000)
parameters = st.fixed_dictionaries({p.name: st.floats(p.low, p.high) for p in MODEL.parameters})


def rows(m, n, k, batch=1, format="bf16", stack="torch"):
    columns = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (batch, m, n, k)))
    names = ("batch", "m", "n", "k")
    return KernelRows(
        family="matmul", op="mm", format=format, stack=stack,
        sizes={name: np.atleast_1d(c).copy() for name, c in zip(names, columns, strict=True)},
    )  # fmt: skip


def total(products, facts=FACTS, values=None):
    return MODEL.terms(products, facts, values or starting(MODEL)).total


@settings(deadline=None, max_examples=60)
@given(m=sizes, n=sizes, k=sizes, values=parameters)
def test_never_below_physics(m, n, k, values):
    # A warm cache and cheap writes may beat memory: here there are none.
    values = {**values, "warm_ratio": 1.0, "write_cost": max(values["write_cost"], 1.0)}
    moved = 2.0 * (m * k + n * k + m * n)
    least = max(2 * m * n * k / FACTS.matrix_flop_per_s, moved / FACTS.bandwidth_bytes_per_s)
    assert total(rows(m, n, k), values=values)[0] >= least * (1 - 1e-9)


@settings(deadline=None, max_examples=60)
@given(m=sizes, n=sizes, k=sizes, values=parameters)
def test_more_bandwidth_is_not_slower(m, n, k, values):
    faster = replace(FACTS, bandwidth_bytes_per_s=2 * FACTS.bandwidth_bytes_per_s)
    product = rows(m, n, k)
    slow, quick = total(product, values=values)[0], total(product, faster, values)[0]
    # The entry is chosen by the hard maximum and priced by the soft one, which is at most
    # 3^(1/join) above it.
    assert quick <= slow * 3 ** (1 / values["join"]) + 1e-12


@settings(deadline=None, max_examples=60)
@given(m=sizes, n=sizes, k=sizes)
def test_twice_the_chip_is_not_slower(m, n, k):
    twice = replace(
        FACTS, cores=2 * FACTS.cores, matrix_flop_per_s=2 * FACTS.matrix_flop_per_s,
        bandwidth_bytes_per_s=2 * FACTS.bandwidth_bytes_per_s, cache_bytes=2 * FACTS.cache_bytes,
    )  # fmt: skip
    product = rows(m, n, k)
    assert total(product, twice)[0] <= total(product)[0] * 3 ** (1 / 3.6)


def test_large_products_grow_with_every_size():
    base = total(rows(8192, 8192, 8192))[0]
    for bigger in (rows(16384, 8192, 8192), rows(8192, 16384, 8192), rows(8192, 8192, 16384),
                   rows(8192, 8192, 8192, batch=2)):  # fmt: skip
        assert total(bigger)[0] == pytest.approx(2 * base, rel=0.2)


def test_a_part_wave_costs_what_quantised_says():
    values = {**starting(MODEL), "quantised": 1.0, "sustained": 1.0}
    streamed = {**values, "quantised": 0.02}
    # A stack with one tile for this many rows, 128 x 128: 135 of them on 132 cores.
    product = rows(3 * 128, 45 * 128, 65536, format="fp8", stack="vllm")
    whole, part = (MODEL.terms(product, FACTS, v).compute[0] for v in (values, streamed))
    assert whole / part == pytest.approx(2 / (0.02 * 2 + 0.98 * 135 / 132), rel=0.01)


@pytest.mark.parametrize("name", ["cores", "cache_bytes", "clock_hz", "matrix_flop_per_s"])
def test_a_silent_sheet_still_gives_a_time(name):
    product = rows([1, 64, 4096], 4096, 4096)
    found = total(product, replace(FACTS, **{name: math.nan}))
    assert np.isfinite(found).all()
    assert (found > 0).all()


def test_without_bandwidth_there_is_no_time():
    assert np.isnan(total(rows(64, 64, 64), replace(FACTS, bandwidth_bytes_per_s=math.nan))).all()


def test_latencies_go_with_the_clock():
    tiny = rows(16, 32, 32)
    slow = total(tiny, replace(FACTS, clock_hz=0.9e9))[0]
    assert slow == pytest.approx(2 * total(tiny)[0], rel=0.05)


def test_weights_alone_are_narrow():
    wide, narrow = total(rows(1, 16384, 16384)), total(rows(1, 16384, 16384, format="int4_wo"))
    assert 2 < wide[0] / narrow[0] < 4.1


def test_a_conversion_is_added_where_the_rows_have_one():
    product = {"m": 4096, "n": 128, "k": 4096, "format": "fp8"}
    values = starting(MODEL)
    with_it = MODEL.terms(rows(**product, stack="vllm"), FACTS, values)
    without = MODEL.terms(rows(**product, stack="trtllm"), FACTS, values)
    assert with_it.vector[0] > 4096 * 4096 * 3 / FACTS.bandwidth_bytes_per_s
    assert without.vector[0] == 0
    assert with_it.total[0] >= with_it.vector[0] + with_it.floor[0]


def test_the_host_binds_small_products_until_they_are_in_a_graph():
    small = rows(64, 4096, 4096, format="fp8_block", stack="vllm")
    values = starting(MODEL)
    assert total(small, values=values)[0] > values["host_s"]
    assert total(small, values=in_graph(values))[0] < values["host_s"] / 3


def test_launch_rules_take_the_first_that_fits():
    hopper = replace(FACTS, architecture="hopper")
    values = {**starting(MODEL), "host_s": 1e-4, "host_small_s": 2e-4, "host_odd_s": 3e-4}
    found = total(rows([16, 64, 64], [4096, 4096, 4100], 4096, format="fp8_block", stack="vllm"),
                  hopper, values)  # fmt: skip
    assert found == pytest.approx([2e-4, 1e-4, 3e-4], rel=0.05)


def test_one_price_whether_alone_or_among_many():
    m = np.array([1, 7, 64, 200, 1000, 5000] * 200)
    together = total(rows(m, 4096, 1024, format="fp8", stack="vllm"))
    alone = [total(rows(x, 4096, 1024, format="fp8", stack="vllm"))[0] for x in m[:6]]
    assert together[:6] == pytest.approx(alone, rel=1e-9)


def test_plans_cover_every_row_count_in_order():
    for plan in (SEARCHED, *PLANS.values()):
        tops = [step.rows_to for step in plan.ladder]
        assert tops == sorted(tops)
        assert tops[-1] == math.inf
        assert all(step.shapes for step in plan.ladder)
        assert {launch.parameter for launch in plan.launches} <= {p.name for p in HOSTED}
        if plan.launches:  # The last one takes whatever is left.
            last = plan.launches[-1]
            assert (last.rows_below, last.n_multiple, last.k_multiple) == (math.inf, 1, 1)


def test_plans_are_of_known_formats_and_fall_back():
    assert {format for _, format, _ in PLANS} <= set(BYTES)
    assert plan_of("vllm", "fp8", "hopper") is not plan_of("vllm", "fp8", "ada")
    assert plan_of("nobody", "bf16", "") is SEARCHED
