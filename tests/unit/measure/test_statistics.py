"""From samples to intervals: what counts, how it is grouped, and what the spread says."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.coverage import MODELS, Noise, plan_of, session_of
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.measure.samples import batch_medians, samples_of
from crossgrade.measure.statistics import (
    ALPHA,
    ALPHA_LOOKS,
    alpha_of,
    bimodal,
    bootstrap,
    interval,
    series_of,
    spread,
)
from crossgrade.values.bench import Session

PLAN = plan_of(2)
EXACT = session_of(PLAN, Noise(), np.random.default_rng(0), 0, 12)


def test_a_sample_is_seconds_per_call_by_variant_and_round():
    found = samples_of(EXACT, 2)
    assert np.exp(found.log_s) == pytest.approx(np.array([[100e-6], [103e-6], [50e-6]])
                                                .repeat(12, axis=1))  # fmt: skip
    assert found.ratio(1, 0) == pytest.approx(np.full(12, math.log(1.03)))


def test_rounds_pair_by_occurrence_whatever_the_order():
    session = Session(
        index=0, start="fresh", timers=("wall-read",) * 2, counts=(2, 1), order=(0, 1, 1, 0),
        spans_ns=(20.0, 5.0, 7.0, 40.0), censored=(), steady=True, primed_s=0, spent_s=0,
    )  # fmt: skip
    assert np.exp(samples_of(session, 1).log_s) * 1e9 == pytest.approx(np.array([[10, 20], [5, 7]]))


def test_what_a_witness_saw_does_not_count_and_is_counted():
    spans = list(EXACT.spans_ns)
    spans[4] = 0.0
    session = replace(EXACT, censored=((0, "throttled"), (1, "clock-low")), spans_ns=tuple(spans))
    found = samples_of(session, 2)
    assert np.isnan(found.log_s).sum() == 3
    assert sorted(why for c in found.censored for why in c) == [
        "clock-low", "not-positive", "throttled",
    ]  # fmt: skip
    assert found.censored[EXACT.order[0]]["throttled"] == 1


def test_an_absent_variant_has_no_samples():
    found = samples_of(replace(EXACT, order=(0, 2), spans_ns=(1e5, 1e5)), 2)
    assert np.isnan(found.log_s[1]).all()
    assert not series_of([found], 6, 1).batches


def test_batches_are_consecutive_rounds():
    assert batch_medians(np.array([1.0, 2, 9, 4, 5, 6]), 3) == pytest.approx([2, 5])


def test_a_batch_that_counts_less_than_half_is_left_out():
    nan = math.nan
    assert batch_medians(np.array([1.0, 2, 3, nan, nan, 8]), 3) == pytest.approx([2])
    assert batch_medians(np.array([1.0, 2, 3, 7]), 3) == pytest.approx([2])
    assert batch_medians(np.array([nan, 5, nan]), 3) == pytest.approx([5])
    assert len(batch_medians(np.array([nan, nan]), 3)) == 0
    assert len(batch_medians(np.array([]), 3)) == 0


def test_the_interval_is_students():
    # Mean 2, standard deviation 1, three sessions: t(0.975, 2) = 4.3027.
    found = interval(np.array([1.0, 2.0, 3.0]))
    assert math.log(found.value) == pytest.approx(2)
    assert math.log(found.high) == pytest.approx(2 + 4.302652729911275 / math.sqrt(3))
    assert math.log(found.low) == pytest.approx(2 - 4.302652729911275 / math.sqrt(3))


def test_one_session_tells_nothing_of_its_error():
    found = interval(np.array([0.0]))
    assert (found.value, found.low, found.high) == (1.0, 0.0, math.inf)
    assert found.half_width == math.inf


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=12))
def test_a_ratio_and_its_inverse_say_the_same(values):
    there, back = interval(np.array(values)), interval(-np.array(values))
    assert back.value == pytest.approx(1 / there.value)
    assert back.low == pytest.approx(1 / there.high)
    assert back.high == pytest.approx(1 / there.low)


def test_several_looks_cost_wider_intervals_and_one_does_not():
    assert alpha_of(PLAN) == ALPHA_LOOKS
    assert alpha_of(replace(PLAN, looks=(5, 8))) == ALPHA
    assert alpha_of(replace(PLAN, looks=(12,))) == ALPHA


def noisy_samples(sessions: int, noise=MODELS["correlated"], rounds=24):
    rng = np.random.default_rng(5)
    return [samples_of(session_of(PLAN, noise, rng, i, rounds), 2) for i in range(sessions)]


def test_the_bootstrap_needs_eight_sessions_and_repeats():
    few, many = (series_of(noisy_samples(n), 6, 1) for n in (7, 12))
    assert bootstrap(few, seed=1) is None
    found, student = bootstrap(many, seed=1), interval(many.values)
    assert found == bootstrap(many, seed=1)
    assert found != bootstrap(many, seed=2)
    assert found.value == student.value
    assert found.low < found.value < found.high
    assert 0.5 < found.half_width / student.half_width < 1.2


def test_the_bootstrap_takes_sessions_of_unlike_length():
    samples = [*noisy_samples(5), *noisy_samples(5, rounds=60)]
    found = bootstrap(series_of(samples, 6, 0), seed=3)
    assert found.low < 101e-6 < found.high * 1.05


def test_the_bootstrap_of_exact_times_has_no_width():
    found = bootstrap(series_of(noisy_samples(8, Noise()), 6, 0), seed=1)
    assert found.half_width == pytest.approx(0, abs=1e-12)


def test_spread_of_known_samples():
    found = spread([np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0])])
    assert (found.samples, found.median_s, found.mad_s) == (5, 3, 1)
    assert found.cv == pytest.approx(math.sqrt(2.5) / 3)
    assert (found.p5_s, found.p95_s) == pytest.approx((1.2, 4.8))
    # Around each session's mean: (-1, 0, 1) and (-.5, .5); lagged products 0, 0 and -.25.
    assert found.autocorrelation == pytest.approx(-0.25 / 2.5)
    assert spread([np.array([2.0])]).cv == 0


def test_correlation_is_seen_within_sessions_and_not_between():
    rng = np.random.default_rng(1)
    levels = [np.full(200, level) + rng.normal(0, 0.01, 200) for level in (1.0, 2.0, 3.0)]
    assert abs(spread(levels).autocorrelation) < 0.1
    walks = [np.exp(s.log_s[0]) for s in noisy_samples(4, Noise(within=0.01, phi=0.5), 300)]
    assert 0.4 < spread(walks).autocorrelation < 0.6


@pytest.mark.parametrize("seed", range(20))
def test_one_mode_is_one_mode(seed):
    rng = np.random.default_rng(seed)
    assert not bimodal([rng.normal(1, 0.01, 60) for _ in range(8)])
    assert not bimodal([rng.random(60) for _ in range(8)])
    assert not bimodal([rng.standard_t(3, 60) for _ in range(8)])
    spiky = [rng.normal(1, 0.01, 60) * np.where(rng.random(60) < 0.05, 1.5, 1) for _ in range(8)]
    assert not bimodal(spiky)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_two_modes_within_sessions_are_seen(share):
    rng = np.random.default_rng(2)
    mixed = [rng.normal(1, 0.01, 60) + 0.1 * (rng.random(60) < share) for _ in range(8)]
    assert bimodal(mixed)


def test_levels_of_sessions_are_no_modes():
    rng = np.random.default_rng(2)
    assert not bimodal([rng.normal(1 + 0.1 * (i % 2), 0.003, 60) for i in range(8)])
    assert not bimodal([np.ones(60)])
