"""A record of a load on a served model: it comes back whole, and what was changed is found."""

from __future__ import annotations

import dataclasses
import json
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.serving.made import (
    CLOSED,
    ENDPOINT,
    OPEN,
    failing,
    plan,
    queue,
    requests,
    session,
    steady,
    unsent,
)

from crossgrade.api.keeping import load_record, serving_result, verify_records
from crossgrade.errors import BadRecord
from crossgrade.records.codec import dump, seal, to_json
from crossgrade.records.contradictions_serving import serving_contradictions
from crossgrade.records.typed import from_json
from crossgrade.serving import analysis
from crossgrade.values.bench import LostSession
from crossgrade.values.record import Record
from crossgrade.values.serving import OUTCOMES, Limits, ServingResult


@cache
def rich():
    """Return a result that has something in every field, None and infinity too."""
    rows = [session(steady(i, n=60), i, 0) for i in range(3)]
    rows += [session(unsent(failing(steady(i, n=60), range(20, 30)), [40]), i, 1)
             for i in range(2)]  # fmt: skip
    rows += [session(queue(np.random.default_rng(4), 1.5), 0, 2, null_per_s=None)]
    made = plan(OPEN, CLOSED, OPEN, limits=Limits(ttft_s=0.1))
    lost = LostSession(index=3, reason="crashed", detail="it died")
    return analysis.serving_result(plan=made, endpoint=ENDPOINT, sessions=rows, lost=(lost,),
                                   notes=("mind the gap",), spent_s=9.0)  # fmt: skip


def record_of(found: ServingResult) -> Record:
    return seal(Record(kind="serving", created="2026-01-01T00:00:00+00:00", passed={},
                       resolved=to_json(found.plan), environment={}, verdict=found.verdict,
                       data=to_json(found)))  # fmt: skip


def leaves(value):
    if dataclasses.is_dataclass(value):
        yield from (x for f in dataclasses.fields(value) for x in leaves(getattr(value, f.name)))
    elif isinstance(value, dict):
        yield from (x for item in value.values() for x in leaves(item))
    elif isinstance(value, tuple):
        yield from (x for item in value for x in leaves(item))
    else:
        yield value


def test_a_result_comes_back_from_json_as_it_was():
    found = rich()
    text = json.dumps(to_json(found), allow_nan=False)
    assert from_json(ServingResult, json.loads(text)) == found


def test_it_holds_plain_numbers_and_words_only():
    assert {type(leaf) for leaf in leaves(rich())} <= {int, float, str, bool, type(None)}


times = st.none() | st.floats(0, 2.0**60)
gaps = st.lists(st.floats(0, 1e9), max_size=3).map(tuple)
rows = st.tuples(times, times, st.sampled_from(OUTCOMES), st.text(max_size=9), gaps)


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, max_size=6))
def test_any_request_comes_back(drawn):
    n = len(drawn)
    base = requests([0.0] * n, 0.1, 0.2, warmups=0)
    made = dataclasses.replace(
        base, first_ns=tuple(r[0] for r in drawn), ended_ns=tuple(r[1] for r in drawn),
        outcomes=tuple(r[2] for r in drawn), details=tuple(r[3] for r in drawn),
        gaps_ns=tuple(r[4] for r in drawn))  # fmt: skip
    text = json.dumps(to_json(made), allow_nan=False)
    assert from_json(type(made), json.loads(text)) == made


def test_an_honest_record_is_sound(tmp_path):
    path = tmp_path / "r.json"
    dump(record_of(rich()), path)
    [row] = verify_records([path])
    assert (row.state, row.faults) == ("sound", ())
    assert "its statistics follow from its samples" in row.checks


def tampered(change, tmp_path):
    """Return what is found of a record that somebody edited and sealed anew."""
    raw = to_json(record_of(rich()))
    change(raw)
    path = tmp_path / "r.json"
    dump(seal(Record(**{**raw, "digest": ""})), path)
    [row] = verify_records([path])
    assert row.state == "inconsistent"
    return "\n".join(row.faults)


def put(*path, value):
    def change(raw):
        place = raw["data"]
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


REQUEST = ("sessions", 0, "requests")


@pytest.mark.parametrize(("change", "said"), [
    (put("loads", 0, "metrics", 0, "percentiles", 3, "value_s", value=0.05), "percentiles[3]"),
    (put("loads", 0, "metrics", 3, "median_s", "high", value=0.5), "median_s.high"),
    (put("loads", 0, "requests_per_s", "value", value=1e3), "requests_per_s.value"),
    (put("loads", 0, "good", "low", value=0.9), "good.low"),
    (put("loads", 2, "saturation", "saturated", value=False), "saturation.saturated"),
    (put("loads", 1, "outcomes", value={"ok": 108}), "outcomes"),
    (put("loads", 1, "verdict", value="measured"), "loads[1].verdict"),
    (put("loads", 0, "client", "headroom", value=99.0), "client.headroom"),
    (put("loads", 0, "counting", "short", value=7), "counting.short"),
    (put("verdict", value="measured"), "the verdict of the record"),
    (put("plan", "half_width", value=0.5), "not the plan of its data"),
    (put(*REQUEST, "first_ns", 20, value=1.0), "in this order"),
    (put(*REQUEST, "sent_ns", 20, value=None), "it was sent and did not end"),
    (put(*REQUEST, "outcomes", value=["ok"]), "other lengths than due_ns"),
    (put(*REQUEST, "warmups", value=99), "are warm-ups"),
    (put(*REQUEST, "gaps_ns", 20, value=[1.0, 1.0, 1.0]), "its gaps are not"),
    (put(*REQUEST, "gaps_ns", 20, value=[1.0]), "have 1 gaps"),
    (put(*REQUEST, "chunks", 20, value=0), "text without a time"),
    (put(*REQUEST, "text_bytes", 20, value=0), "have 0 bytes"),
    (put(*REQUEST, "due_ns", 20, value="NaN"), "a time is no number"),
    (put("sessions", 0, "null_per_s", value=-1.0), "null_per_s is -1.0"),
    (put("sessions", 0, "load", value=9), "the plan has 3"),
    (put("sessions", 1, "index", value=0), "2 times"),
    (put("sessions", 0, "load", value=-1), "has load -1"),
    (put("loads", 0, "key", value="users-9"), "not those of its plan"),
    (put("plan", "loads", 0, "requests", value=10), "10 were planned"),
])  # fmt: skip
def test_what_was_changed_is_found(change, said, tmp_path):
    assert said in tampered(change, tmp_path)


def test_one_never_sent_has_no_answer():
    made = steady(n=20)
    gone = dataclasses.replace(made, sent_ns=(None, *made.sent_ns[1:]),
                               ended_ns=(None, *made.ended_ns[1:]))  # fmt: skip
    found = analysis.serving_result(plan=plan(), endpoint=ENDPOINT, sessions=[session(gone)],
                                    spent_s=1.0)  # fmt: skip
    assert any("never sent, and it is ok" in f
               for f in serving_contradictions(record_of(found), found))  # fmt: skip


def test_the_loader_refuses_another_kind(tmp_path):
    path = tmp_path / "r.json"
    dump(record_of(rich()), path)
    assert serving_result(load_record(path), path) == rich()
    other = dataclasses.replace(load_record(path), kind="bench")
    with pytest.raises(BadRecord, match="of kind bench"):
        serving_result(other, path)
