"""When requests come: pure in load and seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.errors import BadOption
from crossgrade.serving.loads import schedule_of
from crossgrade.serving.traces import Trace
from crossgrade.values.serving import Load

seeds = st.integers(-5, 2**40)


def open_loop(**changes) -> Load:
    return Load(kind="open-loop", **({"rate_per_s": 2.0, "requests": 20, "warmups": 3} | changes))


@given(seeds, st.integers(0, 50), st.integers(0, 5), st.floats(0.01, 1e4))
def test_same_seed_same_arrivals_and_they_increase(seed, index, place, rate):
    load = open_loop(rate_per_s=rate)
    one = schedule_of(load, seed=seed, index=index, place=place)
    two = schedule_of(load, seed=seed, index=index, place=place)
    assert np.array_equal(one.offsets_s, two.offsets_s)
    assert (np.diff(one.offsets_s) > 0).all()
    assert one.offsets_s[0] > 0
    assert len(one) == len(one.offsets_s) == len(one.output_tokens) == 23
    other = schedule_of(load, seed=seed, index=index + 1, place=place)
    assert not np.array_equal(one.offsets_s, other.offsets_s)


@given(st.integers(0, 1000), st.floats(0.1, 100))
def test_the_mean_rate_and_the_spread_are_those_of_a_poisson_process(seed, rate):
    load = open_loop(rate_per_s=rate, requests=20_000, warmups=0)
    offsets = schedule_of(load, seed=seed, index=0, place=0).offsets_s
    gaps = np.diff(offsets, prepend=0.0) * rate
    assert abs(gaps.mean() - 1) < 6 / np.sqrt(20_000)
    assert abs(gaps.std() - 1) < 0.07


def test_users_have_no_times_and_each_a_warmup():
    load = Load(kind="closed-loop", concurrency=12, warmups=4, requests=10)
    schedule = schedule_of(load, seed=0, index=0, place=0)
    assert (schedule.offsets_s, schedule.warmups, len(schedule)) == (None, 12, 22)


TRACE = Trace(
    name="t",
    offsets_s=(0.0, 1.0, 1.0, 4.0, 6.0),
    input_tokens=(5, 900, 7, 8, 9),
    output_tokens=(1, 2, 3, 4, 5),
)


def test_a_trace_is_replayed_from_its_beginning():
    load = Load(kind="trace", trace="t", pace=2.0, requests=3, warmups=1)
    one = schedule_of(load, seed=1, index=0, place=0, trace=TRACE)
    assert one.offsets_s.tolist() == [0, 0.5, 0.5, 2]
    assert one.input_tokens.tolist() == [5, 900, 7, 8]
    assert (one.warmups, one.left_out) == (1, 0)


def test_requests_that_are_too_long_are_left_out_and_counted():
    load = Load(kind="trace", trace="t", requests=3, warmups=1)
    one = schedule_of(load, seed=1, index=0, place=0, trace=TRACE, longest_tokens=100)
    assert one.input_tokens.tolist() == [5, 7, 8, 9]
    assert one.offsets_s.tolist() == [0, 1, 4, 6]
    assert one.left_out == 1
    with pytest.raises(BadOption, match="fits into 3 tokens"):
        schedule_of(load, seed=1, index=0, place=0, trace=TRACE, longest_tokens=3)


def test_a_short_trace_gives_what_it_has():
    load = Load(kind="trace", trace="t", requests=300, warmups=8)
    one = schedule_of(load, seed=1, index=0, place=0, trace=TRACE)
    assert (len(one), one.warmups) == (5, 4)


@pytest.mark.parametrize(
    "load",
    [
        open_loop(rate_per_s=None), open_loop(rate_per_s=0.0), open_loop(rate_per_s=float("nan")),
        open_loop(requests=0), open_loop(warmups=-1), open_loop(output_tokens=0),
        Load(kind="closed-loop"), Load(kind="closed-loop", concurrency=0),
        Load(kind="trace", trace="azure-conv", pace=0.0),
    ],
)  # fmt: skip
def test_impossible_loads_are_refused(load):
    with pytest.raises(BadOption, match="cannot have"):
        schedule_of(load, seed=0, index=0, place=0)
