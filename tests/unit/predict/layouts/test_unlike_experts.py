"""Loads of routed experts that are unlike, and copies of those with the most rows."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from tests.conftest import capture_of

from crossgrade.chips.loader import load_chip
from crossgrade.predict.layouts.faults import layout_faults
from crossgrade.predict.layouts.pieces import pieces_of
from crossgrade.predict.layouts.step import rank_memory, step_times
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.predict.silicon.routing import loads, relieved
from crossgrade.values.layout import Layout

MANY = {"tokens": 4096.0, "topk": 8.0, "experts": 256.0, "ep": 32.0, "skew": 1.2}


def test_copies_never_add_rows_and_enough_of_them_make_ranks_alike():
    found = [relieved(**MANY, redundant=float(n)) for n in (0, 32, 64, 128, 256)]
    assert all(more <= few * 1.001 for few, more in itertools.pairwise(found))
    assert found[0] > 1.2
    assert 1.0 <= found[-1] < 1.05


@pytest.mark.parametrize("redundant", [0, 32, 96])
def test_the_busiest_rank_has_the_largest_part_and_no_less_than_the_mean(redundant):
    rows = loads(MANY["tokens"], MANY["topk"], 256, MANY["skew"])
    most = relieved(**MANY, redundant=float(redundant)) * rows.sum() / 32
    assert most >= rows.mean() * 8
    if not redundant:
        assert most >= rows.max()


@pytest.fixture(scope="module")
def steps(moe_config):
    """Decode steps of eight experts: without preference, and with loads by a power law."""
    sizes = {"batch": 64, "tokens": 1, "context": 256}
    return [pieces_of(capture_of(moe_config, "decode", skew=skew, **sizes), "vllm")
            for skew in (None, 1.2)]  # fmt: skip


def layout(redundant: int) -> Layout:
    return Layout(chips=4, kind="sharded", tp=1, dp=4, ep=4, redundant=redundant)


def times(pieces, one: Layout) -> float:
    found = step_times(pieces, load_chip("h100"), [one], [4096], "vllm", shipped())
    return float(found.mid[0])


def test_unlike_loads_take_longer_and_copies_take_that_back(steps):
    plain, unlike = steps
    assert times(plain, layout(0)) < times(unlike, layout(0))
    assert times(unlike, layout(8)) < times(unlike, layout(0))
    # Without preference no expert is known to have more rows than another one.
    assert times(plain, layout(8)) == times(plain, layout(0))


def test_copies_take_memory(steps):
    weights = [float(rank_memory(steps[0], [layout(n)], [64]).weights[0]) for n in (0, 4, 8)]
    assert np.diff(weights)[0] == pytest.approx(np.diff(weights)[1])
    experts = sum(row.bytes for row in steps[0].weights if row.role == "experts")
    assert weights[2] - weights[0] == pytest.approx(experts / 4)


def test_copies_that_ranks_cannot_share_are_a_fault(steps):
    assert list(layout_faults(steps[0], layout(4))) == []
    assert any("8 experts and 3 copies" in one for one in layout_faults(steps[0], layout(3)))
    with pytest.raises(ValueError, match="copies of experts"):
        dataclasses.replace(layout(4), ep=1)
