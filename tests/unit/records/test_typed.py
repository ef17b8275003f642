"""Values come back from JSON as they were, and what does not fit is refused with its place."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrade.errors import BadRecord
from crossgrade.records.codec import to_json
from crossgrade.records.typed import from_json
from crossgrade.values.audit import CHECK_NAMES, TIMER_KINDS, AuditCheck, AuditReport, TimerAudit
from crossgrade.values.bench import (
    BenchPlan,
    BenchResult,
    Interval,
    Session,
    Spread,
    Variant,
    VariantResult,
)
from crossgrade.values.operator_case import OperatorCase


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    word: Literal["a", "b"]
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    leaf: Leaf | None
    leaves: tuple[Leaf, ...]
    pair: tuple[int, str]
    by_name: Mapping[str, Leaf]
    by_number: dict[int, bool]
    either: int | str
    names: list[str]
    some: frozenset[int]
    anything: Any


LEAF = Leaf(word="a", share=0.5)
TREE = Tree(leaf=None, leaves=(LEAF, LEAF), pair=(1, "x"), by_name={"n": LEAF},
            by_number={3: True}, either="e", names=["m"], some=frozenset({1, 2}),
            anything={"k": [1]})  # fmt: skip


def through(value):
    """Return what a file gives back."""
    text = json.dumps(to_json(value), allow_nan=False)
    return from_json(type(value), json.loads(text))


def test_every_kind_of_hint_comes_back():
    assert through(TREE) == TREE
    assert isinstance(through(TREE).leaves, tuple)


@pytest.mark.parametrize("share", [math.inf, -math.inf, 3, 1e-300])
def test_floats_come_back(share):
    found = through(Leaf(word="b", share=share)).share
    assert found == share
    assert isinstance(found, float)
    assert math.isnan(through(Leaf(word="b", share=math.nan)).share)


@pytest.mark.parametrize(
    ("path", "value", "where", "message"),
    [
        (("leaf",), {"word": "c", "share": 1}, "leaf.word", "'c' is none of 'a', 'b'"),
        (("leaves", 1, "share"), "wide", "leaves[1].share", "'wide' is no float"),
        (("leaves", 1, "share"), True, "leaves[1].share", "True is no float"),
        (("leaves",), {}, "leaves", "{} is no list"),
        (("leaves", 0), [], "leaves[0]", "[] is no object"),
        (("pair",), [1], "pair", "1 entries instead of 2"),
        (("pair", 0), True, "pair[0]", "True is no int"),
        (("pair", 0), 1.0, "pair[0]", "1.0 is no int"),
        (("by_name", "n", "colour"), 1, "by_name.n.colour", "unknown field 'colour' of Leaf"),
        (("by_name",), [], "by_name", "[] is no object"),
        (("by_number",), {"x": True}, "by_number", "the key 'x' is no whole number"),
        (("either",), 1.5, "either", "1.5 fits none of 2 types"),
        (("extra",), 1, "extra", "unknown field 'extra' of Tree"),
        (("leaves", 1, "share"), 10**400, "leaves[1].share", "a number that no float holds"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(path, value, where, message):
    data = to_json(TREE)
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(BadRecord) as raised:
        from_json(Tree, data)
    assert raised.value.where == where
    assert message in raised.value.message


def test_a_missing_field_is_refused_even_where_it_has_a_default():
    data = to_json(OperatorCase(op="gemm", dtype="float32"))
    del data["seed"]
    with pytest.raises(BadRecord, match="OperatorCase lacks the field 'seed'"):
        from_json(OperatorCase, data)


def test_the_top_is_named_too():
    with pytest.raises(BadRecord, match="at the top"):
        from_json(Leaf, 3)


def test_a_hint_that_no_reader_knows_is_a_fault_of_ours():
    @dataclass(frozen=True)
    class Odd:
        raw: bytes

    with pytest.raises(TypeError):
        from_json(Odd, {"raw": "x"})


FLOATS = st.floats(allow_nan=False)
MAYBE = st.none() | FLOATS
TEXT = st.text(max_size=5)
CASES = st.builds(OperatorCase, op=TEXT, dtype=TEXT, seed=st.integers(0),
                  arguments=st.dictionaries(TEXT, st.integers() | TEXT | st.lists(st.integers()),
                                            max_size=3))  # fmt: skip
INTERVALS = st.builds(Interval, value=FLOATS, low=FLOATS, high=FLOATS)
SESSIONS = st.builds(
    Session,
    index=st.integers(0),
    start=st.sampled_from(["fresh", "forked", "in-process"]),
    timers=st.lists(st.sampled_from(TIMER_KINDS), max_size=3).map(tuple),
    counts=st.lists(st.integers(), max_size=3).map(tuple),
    order=st.lists(st.integers(), max_size=9).map(tuple),
    spans_ns=st.lists(FLOATS, max_size=9).map(tuple),
    censored=st.lists(
        st.tuples(st.integers(), st.sampled_from(["throttled", "clock-low"])), max_size=3
    ).map(tuple),
    steady=st.booleans(),
    primed_s=FLOATS,
    spent_s=FLOATS,
    telemetry=st.dictionaries(TEXT, st.lists(FLOATS, max_size=2).map(tuple), max_size=2),
    unread=st.dictionaries(TEXT, TEXT, max_size=2),
)
AUDITS = st.builds(
    AuditReport,
    target=TEXT,
    chosen=st.none() | st.sampled_from(TIMER_KINDS),
    timers=st.lists(
        st.builds(
            TimerAudit,
            kind=st.sampled_from(TIMER_KINDS),
            resolution_s=MAYBE,
            overhead_s=MAYBE,
            checks=st.lists(
                st.builds(AuditCheck, name=st.sampled_from(CHECK_NAMES), passed=st.booleans(),
                          value=MAYBE, limit=TEXT, detail=TEXT), max_size=2).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
    seconds=FLOATS,
    facts=st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
)  # fmt: skip
SPREADS = st.builds(
    Spread, samples=st.integers(0), median_s=FLOATS, mad_s=FLOATS, p5_s=FLOATS, p95_s=FLOATS,
    cv=FLOATS, autocorrelation=FLOATS, bimodal=st.booleans(),
)  # fmt: skip
ROWS = st.builds(
    VariantResult,
    name=TEXT,
    status=st.sampled_from(["ok", "absent"]),
    reason=st.none() | st.sampled_from(["crashed", "no-timer"]),
    detail=TEXT,
    time_s=st.none() | INTERVALS,
    per_anchor=st.none() | INTERVALS,
    spread=st.none() | SPREADS,
    censored=st.dictionaries(TEXT, st.integers(0), max_size=2),
    flop=MAYBE,
)
RESULTS = st.builds(
    BenchResult,
    plan=st.builds(
        BenchPlan,
        variants=st.lists(st.builds(Variant, name=TEXT, target=TEXT, case=CASES),
                          max_size=2).map(tuple),
        anchor=CASES,
        cache=st.sampled_from(["hot", "cold"]),
        looks=st.lists(st.integers(1), max_size=4).map(tuple),
        budget_s=FLOATS,
    ),
    verdict=st.sampled_from(["measured", "noisy", "unmeasured"]),
    why=TEXT,
    audits=st.lists(AUDITS, max_size=1).map(tuple),
    sessions=st.lists(SESSIONS, max_size=2).map(tuple),
    variants=st.lists(ROWS, max_size=2).map(tuple),
    spent_s=FLOATS,
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(SESSIONS)
def test_a_session_comes_back(session):
    assert through(session) == session


@settings(max_examples=50, deadline=None)
@given(RESULTS)
def test_a_result_comes_back(result):
    assert through(result) == result
