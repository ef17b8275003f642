"""Ceilings on a device whose rates are known: 1 TFLOP/s and 100 GB/s, and half a microsecond."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.measure.simulated import source

from crossgrade.measure.ceilings import (
    LARGER,
    PRODUCTS,
    SCOUT,
    SMALLER,
    copies,
    products,
    rates_of,
    scouts,
    verdict_of,
)
from crossgrade.measure.harness import run
from crossgrade.targets.simulated import Faults, NoiseModel
from crossgrade.targets.simulated.work import BYTES_PER_S, FLOP_PER_S, LEAST_NS

CACHE = 1 << 24


def measured(plans, source_=None):
    found = dict(run(plans, source_ or source()))
    return tuple(found[p.key] for p in plans)


@pytest.fixture(scope="module")
def scouted():
    return measured(scouts("null", 40.0, 0, "in-process"))


@pytest.fixture(scope="module")
def everything(scouted):
    rest = (*copies("null", CACHE, 40.0, 0, "in-process"),
            *products(scouted, 40.0, 0, "in-process"))  # fmt: skip
    return (*scouted, *measured(rest))


def with_row(result, **changes):
    return replace(result, variants=(replace(result.variants[0], **changes), *result.variants[1:]))


def with_argument(plan, **arguments):
    """Return a plan whose case has arguments of the made-up device."""
    case = plan.plan.variants[0].case
    case = replace(case, arguments={**case.arguments, **arguments})
    variant = replace(plan.plan.variants[0], case=case)
    return replace(plan, key=case.key, plan=replace(plan.plan, variants=(variant,)))


def test_the_rates_of_the_made_up_device_come_out(everything):
    rates = rates_of(everything)
    assert [one.precision for one in rates] == [None, *PRODUCTS]
    copy, *matmuls = rates
    size = copy.case.arguments["batch_size"] * copy.case.arguments["dim_size"]
    moved = 12 * size  # the device counts three touches of four bytes
    assert copy.rate.value == pytest.approx(
        moved / (moved / BYTES_PER_S + LEAST_NS / 1e9), rel=1e-3
    )
    for one in matmuls:
        flop = 2 * one.case.arguments["M"] ** 3
        assert one.rate.value == pytest.approx(
            flop / (flop / FLOP_PER_S + LEAST_NS / 1e9), rel=1e-3
        )
        assert one.narrow
    assert verdict_of(rates) == "measured"


def test_the_best_size_is_the_ceiling_and_not_the_mean(everything):
    for one in rates_of(everything):
        same = [r for r in everything
                if (r.plan.variants[0].case.op, r.plan.variants[0].case.dtype)
                == (one.case.op, one.case.dtype)]  # fmt: skip
        row = [r.variants[0] for r in same]
        amounts = [(v.bytes if one.work == "copy" else v.flop) / v.time_s.value for v in row]
        assert one.rate.value == pytest.approx(max(amounts))
        assert one.sizes == len(same) > 1


def test_a_copy_is_larger_than_any_cache(everything):
    for plan in copies("null", CACHE, 40.0, 0, "in-process"):
        case = plan.plan.variants[0].case
        source_bytes = 4 * case.arguments["batch_size"] * case.arguments["dim_size"]
        assert 2 * source_bytes > 4 * CACHE


def test_a_cache_that_nobody_tells_is_taken_for_a_large_one():
    known, unknown = (copies("null", cache, 40.0, 0, "in-process") for cache in (CACHE, 0))
    rows = [p[0].plan.variants[0].case.arguments["batch_size"] for p in (known, unknown)]
    assert rows[1] > 4 * rows[0]


def test_sizes_grow_as_far_as_the_budget_allows(scouted):
    def sides(budget):
        return {p.plan.variants[0].case.arguments["M"]
                for p in products(scouted, budget, 0, "in-process")}  # fmt: skip

    assert max(sides(40.0)) > SCOUT
    assert sides(1e6) == set(LARGER[-2:])
    assert sides(1e-3) == set()


def test_a_format_whose_scout_takes_too_long_is_tried_smaller(scouted):
    slow = with_row(scouted[0], time_s=None, status="absent", reason="over-budget")
    found = products([slow], 40.0, 0, "in-process")
    assert [p.plan.variants[0].case.arguments["M"] for p in found] == list(SMALLER)


def test_a_format_that_the_target_refuses_has_its_reason_and_is_not_tried_again():
    plans = scouts("null", 40.0, 0, "in-process")
    refused = with_argument(plans[-1], sim_fail="unsupported-format")
    results = measured((*plans[:-1], refused))
    rates = rates_of(results)
    assert rates[-1].rate is None
    assert (rates[-1].precision, rates[-1].reason) == ("int8", "unsupported-format")
    assert verdict_of(rates) == "measured"
    again = products(results, 40.0, 0, "in-process")
    assert "int8" not in {p.plan.variants[0].case.dtype for p in again}


def test_a_rate_that_should_be_there_makes_it_incomplete(scouted):
    lost = with_row(scouted[0], time_s=None, status="absent", reason="crashed")
    assert verdict_of(rates_of([lost, *scouted[1:]])) == "incomplete"
    assert verdict_of(rates_of([lost])) == "unmeasured"


def test_one_lucky_session_is_no_ceiling(everything):
    mine = [r for r in everything if r.plan.variants[0].case.dtype == "bfloat16"]
    best = max(mine, key=lambda r: r.variants[0].flop / r.variants[0].time_s.value)
    lucky = replace(best, sessions=best.sessions[:1])
    (one,) = rates_of([lucky, *(r for r in mine if r is not best)])
    assert one.case != best.plan.variants[0].case
    (alone,) = rates_of([lucky])
    assert alone.case == best.plan.variants[0].case


def test_without_a_timer_there_is_no_rate():
    results = measured(
        scouts("null", 40.0, 0, "in-process"), source(faults=Faults(alternating=0.03))
    )
    rates = rates_of(results)
    assert {one.reason for one in rates} == {"no-timer"}
    assert verdict_of(rates) == "unmeasured"


def test_noise_is_told():
    noisy = source(NoiseModel(session_sd=0.3, within_sd=0.1, phi=0.5))
    rates = rates_of(measured(scouts("null", 40.0, 0, "in-process"), noisy))
    assert verdict_of(rates) == "noisy"
    assert all(one.rate.low < one.rate.value < one.rate.high for one in rates)
