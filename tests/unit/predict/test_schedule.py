"""No stream does two things at once, nothing starts before what it waits for, nothing is lost."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.predict.schedule import Items, schedule

TIMES = st.integers(0, 400).map(lambda n: n / 4)
"""Quarters: sums of them are exact."""


@st.composite
def some_items(draw):
    kinds = draw(st.lists(st.sampled_from(["kernel", "kernel", "read", "collective"]), min_size=1,
                          max_size=30))  # fmt: skip
    launch = draw(TIMES)
    longer = {"read": launch, "collective": launch, "kernel": 0.0}
    seconds = [draw(TIMES) + longer[kind] for kind in kinds]
    return Items(
        seconds=np.array(seconds),
        is_read=np.array([k == "read" for k in kinds]),
        is_collective=np.array([k == "collective" for k in kinds]),
        launch_s=launch,
        overlaps=draw(st.booleans()),
        ahead=draw(st.integers(1, 4)),
    )


def do_not_overlap(start, end):
    order = np.lexsort((end, start))
    return bool((start[order][1:] >= end[order][:-1]).all())


@given(some_items())
def test_no_stream_does_two_things_at_once(items):
    t = schedule(items)
    reads, links = items.is_read, items.is_collective
    device = ~reads & ~links
    assert do_not_overlap(t.start[device], t.end[device])
    assert do_not_overlap(t.start[links], t.end[links])
    launched = ~(links & items.overlaps)
    host = (np.concatenate([t.launch_start[launched], t.start[reads]]),
            np.concatenate([t.launch_end[launched], t.end[reads]]))  # fmt: skip
    assert do_not_overlap(*host)


@given(some_items())
def test_what_something_waits_for_comes_before_it(items):
    t = schedule(items)
    waiting = [i for i, c in enumerate(items.is_collective) if not (c and items.overlaps)]
    for place, i in enumerate(waiting[1:], 1):
        before = waiting[place - 1]
        assert t.start[i] >= t.launch_end[i], "it was launched"
        assert t.start[i] >= t.end[before], "it comes after what is before it"
        if place >= items.ahead:
            assert t.launch_start[i] >= t.start[waiting[place - items.ahead]], "not further ahead"
        if items.is_read[before]:
            assert t.start[i] >= t.start[before] + items.seconds[before]


@given(some_items())
def test_nothing_is_lost_and_the_end_is_the_last_end(items):
    t = schedule(items)
    nobody = items.is_collective & items.overlaps
    lasts = np.where(items.is_read, items.seconds - items.launch_s, items.seconds)
    assert (t.end - t.start == lasts).all()
    assert (t.launch_end - t.launch_start == np.where(nobody, 0.0, items.launch_s)).all()
    computing = items.seconds[~items.is_collective].sum()
    assert t.total >= max(computing, items.seconds[items.is_collective].sum())
    assert t.total >= (~nobody).sum() * items.launch_s
    assert t.total >= max(t.end.max(), t.launch_end.max())


@given(some_items(), st.data())
def test_more_work_never_ends_earlier(items, data):
    index = data.draw(st.integers(0, len(items.seconds) - 1))
    longer = items.seconds.copy()
    longer[index] += data.draw(TIMES)
    assert schedule(dataclasses.replace(items, seconds=longer)).total >= schedule(items).total


@given(some_items())
def test_a_host_that_is_further_ahead_never_ends_later(items):
    further = dataclasses.replace(items, ahead=items.ahead + 1)
    assert schedule(further).total <= schedule(items).total


@given(some_items())
def test_one_item_ahead_is_the_sum_of_the_longer_of_device_and_launch(items):
    """The price of the eager end: t = sum of max(device, launch), reads and collectives whole."""
    items = dataclasses.replace(items, overlaps=False, ahead=1)
    assert schedule(items).total == np.maximum(items.seconds, items.launch_s).sum()


@given(some_items())
def test_a_graph_that_covers_its_collectives_takes_the_longer_of_both(items):
    items = dataclasses.replace(items, overlaps=True, launch_s=0.0)
    computing = items.seconds[~items.is_collective].sum()
    assert schedule(items).total == max(computing, items.seconds[items.is_collective].sum())


def test_a_host_far_ahead_hides_launches_behind_long_kernels():
    none = np.zeros(4, dtype=bool)
    items = Items(seconds=np.array([8.0, 1, 1, 1]), is_read=none, is_collective=none, launch_s=2.0)
    assert schedule(items).total == pytest.approx(8 + 2 + 2 + 2)
    assert schedule(dataclasses.replace(items, ahead=4)).total == pytest.approx(8 + 1 + 1 + 1)


def test_nothing_takes_no_time():
    empty = np.zeros(0)
    nothing = Items(seconds=empty, is_read=empty.astype(bool), is_collective=empty.astype(bool),
                    launch_s=1.0)  # fmt: skip
    assert schedule(nothing).total == 0.0
