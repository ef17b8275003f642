"""A record played back: its samples come again, in order."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from crossgrade.errors import BadRecord
from crossgrade.measure.audit import audit
from crossgrade.records.codec import to_json
from crossgrade.targets.protocol import Opening
from crossgrade.targets.simulated import open_simulated
from crossgrade.values.bench import BenchPlan, BenchResult, Session, Variant
from crossgrade.values.operator_case import CannotRun, OperatorCase


def case(n: int) -> OperatorCase:
    return OperatorCase(op="gemm", dtype="float32", arguments={"m": n, "k": n, "n": n})


BASE, OTHER, ANCHOR = case(64), case(128), case(320)


def session(index: int, spans_ns: tuple[float, ...]) -> Session:
    return Session(
        index=index, start="fresh", timers=("wall-synchronize",) * 3, counts=(10, 5, 2),
        order=(0, 1, 2, 1, 0, 2), spans_ns=spans_ns, censored=(), steady=True, primed_s=0.0,
        spent_s=0.0,
    )  # fmt: skip


def result(*sessions: Session, other: OperatorCase = OTHER) -> BenchResult:
    variants = (
        Variant(name="base", target="cpu", case=BASE),
        Variant(name="other", target="cuda:0", case=other),
    )
    return BenchResult(
        plan=BenchPlan(variants=variants, anchor=ANCHOR), verdict="measured", audits=(),
        sessions=sessions, variants=(), spent_s=1.0,
    )  # fmt: skip


TWO = (
    session(0, (1000.0, 600.0, 400.0, 700.0, 2000.0, 500.0)),
    session(1, (1010.0, 610.0, 410.0, 710.0, 2010.0, 510.0)),
)


@pytest.fixture
def record(tmp_path):
    def write(data, name="record.json"):
        path = tmp_path / name
        path.write_text(json.dumps({"schema": 4, "kind": "bench", "data": to_json(data)}))
        return path

    return write


def played(path, what: OperatorCase, blocks: int, *, index: int = 0, suffix: str = ""):
    device = open_simulated(f"replay:{path}{suffix}", Opening(session=index))
    timer, kernel = device.timers()[0], device.prepare(what)
    return [pytest.approx(timer.span_ns(kernel, 3) / 3) for _ in range(blocks)]


def test_samples_come_in_order_per_call_and_begin_anew(record):
    path = record(result(*TWO))
    assert played(path, BASE, 5) == [100.0, 200.0, 100.0, 200.0, 100.0]
    assert played(path, OTHER, 3) == [120.0, 140.0, 120.0]
    assert played(path, ANCHOR, 3) == [200.0, 250.0, 200.0]


def test_blocks_that_do_not_count_are_left_out(record):
    first = replace(TWO[0], censored=((0, "throttled"), (1, "throttled"), (2, "clock-low")))
    gone = replace(TWO[1], censored=tuple((block, "throttled") for block in range(6)))
    path = record(result(first, gone))
    assert played(path, BASE, 2) == [200.0, 200.0]
    assert played(path, OTHER, 2) == [140.0, 140.0]
    assert played(path, ANCHOR, 2, index=1) == [250.0, 250.0]
    with pytest.raises(BadRecord, match="has no samples"):
        open_simulated(f"replay:{record(result(gone))}")


def test_each_session_has_its_own(record):
    path = record(result(*TWO))
    assert played(path, BASE, 2, index=1) == [101.0, 201.0]
    assert played(path, BASE, 2, index=2) == [100.0, 200.0]


def test_the_timer_of_a_replay_passes_the_audit(record):
    path = record(result(*TWO))
    assert played(path, BASE, 2, index=-1) == [150.0, 150.0]
    device = open_simulated(f"replay:{path}", Opening(session=-1))
    assert audit(device, ANCHOR).chosen == "device-event"


def test_of_two_variants_of_one_case_the_name_decides(record):
    path = record(result(*TWO, other=BASE))
    assert played(path, BASE, 2) == [100.0, 200.0]
    assert played(path, BASE, 2, suffix="#other") == [120.0, 140.0]
    assert played(path, ANCHOR, 1, suffix="#other") == [200.0]


def test_a_case_that_was_not_measured_cannot_run(record):
    device = open_simulated(f"replay:{record(result(*TWO))}")
    with pytest.raises(CannotRun) as raised:
        device.prepare(case(65))
    assert raised.value.reason == "unsupported-operator"


def without_sessions():
    return {**to_json(result()), "sessions": []}


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "{}", '{"data": null}', '{"data": {"plan": {}, "sessions": []}}',
        json.dumps({"data": to_json(result())}),
        json.dumps({"data": {**to_json(result(*TWO)), "sessions": [{"counts": [1]}]}}),
        json.dumps({"data": {**to_json(result(*TWO)), "sessions": [
            {"counts": [0, 0, 0], "order": [0], "spans_ns": [1.0], "censored": []}]}}),
        json.dumps({"data": {**to_json(result(*TWO)), "sessions": [
            {"counts": [1, 1, 1], "censored": [], "order": [7], "spans_ns": [1.0]}]}}),
        json.dumps({"data": {**to_json(result(*TWO)), "sessions": [
            {"counts": [1, 1, 1], "censored": [], "order": [0, 1], "spans_ns": [1.0]}]}}),
        json.dumps({"data": {**to_json(result(*TWO)), "sessions": [
            {"counts": [1, 1, 1], "censored": [], "order": [0], "spans_ns": ["soon"]}]}}),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(BadRecord) as raised:
        open_simulated(f"replay:{path}")
    assert raised.value.hint


def test_a_missing_file_and_a_missing_variant_are_refused(tmp_path, record):
    with pytest.raises(BadRecord):
        open_simulated(f"replay:{tmp_path / 'none.json'}")
    only_anchor = f"replay:{record(result(*TWO))}#nobody"
    with pytest.raises(BadRecord, match="nobody"):
        open_simulated(only_anchor)
