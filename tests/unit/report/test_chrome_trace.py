"""A trace holds to the trace event format: what Perfetto and chrome://tracing need to draw it."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.predict.test_explanation import execution, sharded

from crossgrade.predict.tracing import trace_phase
from crossgrade.report.chrome_trace import render_chrome_trace
from crossgrade.values.schedule import Alive, Schedule, SliceKind, Slices

REQUIRED = {"X": {"name", "ph", "ts", "dur", "pid", "tid"}, "M": {"name", "ph", "pid", "args"},
            "C": {"name", "ph", "ts", "pid", "args"}}  # fmt: skip
METADATA = {"process_name": "name", "thread_name": "name", "process_sort_index": "sort_index",
            "thread_sort_index": "sort_index"}  # fmt: skip


def check(text: str) -> dict:
    """Return a trace after checking it against the rules of the format."""
    found = json.loads(text)
    assert found["displayTimeUnit"] in ("ms", "ns")
    named, used = set(), set()
    tracks = defaultdict(list)
    for event in found["traceEvents"]:
        assert event.keys() >= REQUIRED[event["ph"]]
        assert isinstance(event["name"], str)
        assert event["name"]
        assert type(event["pid"]) is int
        assert isinstance(event.get("args", {}), dict)
        if event["ph"] == "M":
            assert METADATA[event["name"]] in event["args"]
            if event["name"].endswith("_name"):
                named.add((event["name"][0], event["pid"], event["tid"]))
            continue
        assert event["ts"] >= 0
        if event["ph"] == "C":
            assert all(type(value) in (int, float) for value in event["args"].values())
            continue
        assert event["dur"] >= 0
        assert type(event["tid"]) is int
        assert isinstance(event["cat"], str)
        used |= {("p", event["pid"], 0), ("t", event["pid"], event["tid"])}
        tracks[event["pid"], event["tid"]].append((event["ts"], event["dur"]))
    assert used <= named, "every track that is used has a name"
    for slices in tracks.values():
        ends = [round((ts + dur) * 1000) for ts, dur in slices]
        begins = [round(ts * 1000) for ts, _ in slices]
        assert all(end <= begin for end, begin in zip(ends, begins[1:], strict=False))
    return found


@pytest.mark.parametrize("name", ["one", "four", "sharded"])
def test_a_phase_is_a_valid_trace_that_ends_when_it_is_predicted_to(name, moe_decode, moe_train):
    cases = {"one": lambda: execution(moe_decode), "four": lambda: execution(moe_decode, chips=4),
             "sharded": lambda: sharded(moe_train)}  # fmt: skip
    schedules = trace_phase(cases[name]())
    found = check(render_chrome_trace(schedules, about={"command": "crossgrade"}))
    for pid, schedule in enumerate(schedules, 1):
        ends = [e["ts"] + e["dur"] for e in found["traceEvents"]
                if e["ph"] == "X" and e["pid"] == pid]  # fmt: skip
        assert max(ends) == pytest.approx(schedule.total_s * 1e6, abs=0.002)
    slices = [e for e in found["traceEvents"] if e["ph"] == "X"]
    assert len(slices) == sum(len(s.start_s) for one in schedules for s in one.streams)
    products = [e for e in slices if e["name"] == "mm"]
    for event in products:
        args = event["args"]
        assert args["known"] == "predicted, T0"
        assert args["module"].startswith(("model.", "lm_head"))
        assert args["bound"] in ("compute", "memory", "launch")
        assert args["bytes"] > 0
        assert args["matrix FLOP"] > 0
        assert args["roofline us"] <= event["dur"]


def made(name: str, start, end) -> Schedule:
    kind = SliceKind(name=name, kind="matmul", precision="bf16", sizes="", binds="memory", work=1.0,
                     vector_ops=0.0, bytes=2.0, roofline_s=1e-6, calls=1)  # fmt: skip
    rows = np.zeros(len(start), dtype=np.int64)
    slices = Slices(stream="compute", start_s=start, end_s=end, kind=rows, module=rows)
    alive = Alive(at_s=start, parts=(("cache", np.ones(len(start)) * 1e9),))
    return Schedule(chip="h100", phase="decode", view="eager end", chips=2,
                    total_s=float(end[-1]), kinds=(kind,), modules=(name,), streams=(slices,),
                    alive=alive)  # fmt: skip


@given(st.lists(st.floats(0, 1e-2), min_size=1, max_size=50))
def test_rounding_lets_nothing_overlap(durations):
    end = np.cumsum(durations)
    start = np.concatenate([[0.0], end[:-1]])
    check(render_chrome_trace([made("mm", start, end)], about={}))


@given(st.text(min_size=1))
def test_no_name_breaks_the_document(name):
    schedule = made(name, np.array([0.0]), np.array([1e-6]))
    found = check(render_chrome_trace([schedule], about={name: name}))
    (event,) = (e for e in found["traceEvents"] if e["ph"] == "X")
    assert (event["name"], event["args"]["module"], found["otherData"][name]) == (name, name, name)


def test_no_schedule_is_an_empty_trace():
    assert check(render_chrome_trace([], about={}))["traceEvents"] == []
