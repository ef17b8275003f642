"""What changed between two assessments: causes first, nothing invented."""

from __future__ import annotations

import copy
import json

import pytest

from crossgrade import api
from crossgrade.records.changes import changes
from crossgrade.records.codec import to_json
from crossgrade.values.record import Record


@pytest.fixture(scope="module")
def new(moe_config):
    options = api.AssessOptions(on=("ascend-950dt", "h200"), phases=("decode",), context=64)
    return json.loads(json.dumps(to_json(api.assess(str(moe_config), options))))


def record(data) -> Record:
    return Record(kind="assessment", created="2026-01-01T00:00:00+00:00", passed={}, resolved={},
                  environment={}, verdict="runs", data=data, digest="0123456789")  # fmt: skip


def test_nothing_changed_since_itself(new):
    found = changes(record(new), new)
    assert found.entries == ()
    assert found.remarks == ()
    assert found.record == "01234567"


def test_causes_come_before_what_follows(new):
    old = copy.deepcopy(new)
    chip = old["chips"][0]
    bandwidth = next(c for c in chip["constants"] if c["name"] == "memory_bandwidth")
    bandwidth["value"] /= 2
    chip["operator_table"] = "npu 2.7"
    phase = chip["phases"][0]
    phase["operators"][0]["level"] = "missing"
    phase["speed"]["time_s"]["low"] *= 2
    phase["findings"] = []
    old["assumptions"][0]["optimistic"] = 0.5
    old["environment"]["torch"] = "2.11.0"
    found = changes(record(old), new)
    areas = [c.area for c in found.entries]
    assert list(dict.fromkeys(areas)) == ["versions", "constants", "assumptions", "operators",
                                          "findings", "speed"]  # fmt: skip
    (constant,) = [c for c in found.entries if c.area == "constants"]
    assert constant.ratio == pytest.approx(2)
    assert constant.kind == "claimed"
    assert "https://" in constant.evidence[0]
    (operator,) = [c for c in found.entries if c.area == "operators"]
    assert operator.before == "missing"
    assert operator.evidence
    (speed,) = [c for c in found.entries if c.area == "speed"]
    assert speed.ratio == pytest.approx(0.5)
    assert all(c.before == "" for c in found.entries if c.area == "findings")


def test_before_and_after_mirror_each_other(new):
    old = copy.deepcopy(new)
    old["chips"][1]["phases"][0]["memory"]["weights"] *= 3
    old["chips"][1]["phases"][0]["operators"].pop()
    old["chips"][1]["constants"].pop()
    there, back = changes(record(old), new), changes(record(new), old)
    assert len(there.entries) == len(back.entries) == 3
    for a, b in zip(sorted(there.entries, key=lambda c: c.place),
                    sorted(back.entries, key=lambda c: c.place), strict=True):  # fmt: skip
        assert (a.before, a.after) == (b.after, b.before)
        assert a.ratio is None or a.ratio * b.ratio == pytest.approx(1)


def test_a_figure_in_a_title_makes_no_other_finding(new):
    old = copy.deepcopy(new)
    for finding in old["chips"][0]["phases"][0]["findings"]:
        finding["title"] = finding["title"].replace("1", "7").replace("2", "9")
    assert [c for c in changes(record(old), new).entries if c.area == "findings"] == []


def test_what_cannot_be_compared_is_said(new):
    old = copy.deepcopy(new)
    old["chips"][0]["chip"] = "another"
    old["chips"][1]["phases"][0]["context"] = 1
    found = changes(record(old), new)
    assert len(found.remarks) == 3
    assert found.entries == ()


def test_another_model_is_said(new):
    old = copy.deepcopy(new)
    old["model"]["name"] = "another"
    found = changes(record(old), new)
    assert "another model" in found.remarks[0]
    assert [c.place for c in found.entries] == ["model"]


def test_what_is_empty_in_both_is_no_change(new):
    old = copy.deepcopy(new)
    old["environment"] = {k: v for k, v in old["environment"].items() if v}
    assert changes(record(old), new).entries == ()
