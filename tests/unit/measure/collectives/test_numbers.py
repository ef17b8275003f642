"""Sizes and bandwidths as nccl-tests defines them; times over ranks, rounds and sessions."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from tests.unit.measure.collectives.made_up import cell, members, plan, sessions

from crossgrade.measure.collectives.numbers import row_of, session_values, times_s
from crossgrade.measure.collectives.result import comm_recomputed, comm_result_of
from crossgrade.records.alike import unlike
from crossgrade.values.collective import OPS, bus_factor, verdict_of, whole_elements


@pytest.mark.parametrize(
    ("op", "ranks", "factor"),
    [
        ("all-reduce", 2, 1.0),
        ("all-reduce", 8, 1.75),
        ("all-gather", 2, 0.5),
        ("all-gather", 8, 0.875),
        ("reduce-scatter", 4, 0.75),
        ("all-to-all", 4, 0.75),
        ("broadcast", 8, 1.0),
        ("send-recv", 8, 1.0),
    ],
)
def test_bus_factor(op, ranks, factor):
    assert bus_factor(op, ranks) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("op", "size", "ranks", "element", "elements"),
    [
        ("all-reduce", 1024, 3, 4, 256),
        ("all-gather", 1024, 2, 4, 256),
        ("all-gather", 1024, 3, 4, 252),  # a share of 341 bytes has 336, which is 16 * 21
        ("reduce-scatter", 1024, 3, 2, 504),
        ("all-to-all", 100, 7, 4, 0),
        ("send-recv", 10, 7, 4, 2),
    ],
)
def test_elements_of_a_size(op, size, ranks, element, elements):
    assert whole_elements(op, size, ranks, element) == elements


def test_shares_are_whole_multiples_of_16_bytes():
    for op in ("all-gather", "reduce-scatter", "all-to-all"):
        for ranks in (2, 3, 5, 7):
            for element in (1, 2, 4, 8):
                found = whole_elements(op, 12345, ranks, element)
                assert found % ranks == 0
                assert found // ranks * element % 16 == 0
                assert 0 <= 12345 - found * element < 16 * ranks


def test_an_execution_takes_as_long_as_on_the_slowest_rank():
    (one,) = sessions(1, rounds=3, calls=2)
    spans = ((2000.0, 4000.0, 1000.0), (8000.0, 2000.0, 500.0)) + ((0.0, 0.0, 0.0),) * 2
    one = dataclasses.replace(one, spans_ns=spans)
    assert times_s(one, 0).tolist() == pytest.approx([4e-6, 2e-6, 0.5e-6])
    assert session_values([one], 0).tolist() == pytest.approx([math.log(2e-6)])


def test_a_row_has_time_bandwidths_and_ranks():
    what = cell("all-gather", 4096)
    row = row_of(plan(cells=[what]), sessions(6, time_ns=2e6), 0, None)
    assert row.status == "ok"
    assert row.sessions == 6
    assert 1.8e-3 < row.time_s.low < row.time_s.value < row.time_s.high < 2.2e-3
    rate = row.algorithm_bytes_per_s
    assert rate.value == pytest.approx(4096 / row.time_s.value)
    assert (rate.low, rate.high) == pytest.approx((4096 / row.time_s.high, 4096 / row.time_s.low))
    assert row.bus_bytes_per_s.value == pytest.approx(0.75 * rate.value)
    assert len(row.ranks_s) == 4
    assert max(row.ranks_s) <= row.time_s.value * 1.05
    assert row.spread.samples == 6 * 20


def test_the_interval_covers_what_varies_between_sessions():
    """The unit is the session: ten times as many rounds make it no narrower by themselves."""
    rng = np.random.default_rng(5)
    few, many = (
        row_of(
            plan(),
            [
                s
                for i in range(8)
                for s in sessions(
                    1, seed=i, rounds=rounds, time_ns=1e6 * math.exp(rng.normal(0, 0.2))
                )
            ],
            0,
            None,
        ).time_s.half_width
        for rounds in (20, 200)
    )
    assert few > 0.08
    assert many > 0.08


def test_a_row_without_samples_says_so():
    row = row_of(plan(), [], 0, None)
    assert (row.status, row.reason, row.time_s) == ("absent", "no-samples", None)
    row = row_of(plan(), sessions(5), 0, ("wrong-result", "rank 1: 3 of 9 elements are wrong"))
    assert (row.status, row.reason) == ("absent", "wrong-result")


def result(given, absent=None, **more):
    asked = plan(**more)
    return comm_result_of(asked, "made-up", members(4), given, absent or {}, 10.0)


def test_verdicts():
    two = [cell(), cell("all-gather")]
    quiet = sessions(5, cells=2, noise=0.01)
    assert result(quiet, cells=two).verdict == "measured"
    assert result(quiet, cells=two, half_width=1e-4).verdict == "noisy"
    assert result(quiet[:4], cells=two).verdict == "noisy"
    assert result(quiet, {0: ("unsupported-format", "")}, cells=two).verdict == "measured"
    assert result(quiet, {0: ("wrong-result", "")}, cells=two).verdict == "incomplete"
    assert result([], {0: ("crashed", "")}, cells=two).verdict == "unmeasured"
    assert verdict_of((), ()) == "unmeasured"


def test_noisy_says_what_would_do():
    wide = result(sessions(5, noise=0.5, rounds=4), half_width=0.05)
    assert "known less well than ±5.0 %" in wide.why
    few = result(sessions(4, noise=0.001), half_width=0.2)
    assert few.why.startswith("4 sessions of at least 5")
    assert "a budget of about 12.5 s would do it" in few.why


def test_a_result_follows_from_its_samples():
    found = result(sessions(5, cells=6), {2: ("error", "all ranks: no")},
                   cells=[cell(op) for op in OPS])  # fmt: skip
    assert list(unlike(found, comm_recomputed(found))) == []
    faster = dataclasses.replace(found.rows[0], ranks_s=(0.0,) * 4)
    forged = dataclasses.replace(found, rows=(faster, *found.rows[1:]))
    assert [d.partition(":")[0] for d in unlike(forged, comm_recomputed(forged))] == [
        f"rows[0].ranks_s[{r}]" for r in range(4)
    ]
