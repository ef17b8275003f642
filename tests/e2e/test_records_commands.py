"""`records` as a user runs it: what is sound, what was changed, what contradicts itself."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from tests.e2e.bench_lines import gemm, one_record, suite

from crossgrade.records.codec import RECORD_SCHEMA, dump, load, seal
from crossgrade.values.record import Record


def test_a_record_is_sound_and_shown_as_bench_printed_it(cg, record):
    code, out, _ = cg("records", "verify", "run", "--json")
    (found,) = json.loads(out)["data"]
    assert (code, found["state"], found["faults"]) == (0, "sound", [])
    assert "its statistics follow from its samples" in found["checks"]
    _, printed, _ = cg("bench", "op", "gemm", "--on", "null", "--no-record")
    code, shown, _ = cg("records", "show", record)
    assert code == 0
    assert shown.startswith(printed.strip())


def test_one_changed_digit_is_found(cg, record):
    text = record.read_text()
    first = text.index('"spans_ns": [') + len('"spans_ns": [')
    digit = next(i for i in range(first, len(text)) if text[i].isdigit())
    changed = text[:digit] + str((int(text[digit]) + 1) % 10) + text[digit + 1 :]
    record.write_text(changed)
    code, out, _ = cg("records", "verify", record)
    assert code == 1
    assert "changed" in out
    for command in (["records", "show"], ["reproduce"], ["compare", record]):
        code, _, err = cg(*command, record)
        assert code == 2
        assert "error[CG-E210]" in err


def test_statistics_that_do_not_follow_from_the_samples_are_found(cg, record):
    raw = json.loads(record.read_text())
    raw["data"]["variants"][0]["time_s"]["value"] *= 0.9
    dump(seal(Record(**{**raw, "digest": ""})), record)
    code, out, _ = cg("records", "verify", record)
    assert code == 1
    assert "inconsistent" in out
    assert "variants[0].time_s.value:" in out


def resealed(record, change, out="broken.json"):
    """Write the record as somebody would who edits it and seals it anew; return its path."""
    raw = json.loads(record.read_text())
    change(raw)
    dump(seal(Record(**{**raw, "digest": ""})), Path(out))
    return Path(out)


def other_verdict(raw):
    raw["verdict"] = "noisy"


def other_plan(raw):
    raw["resolved"]["half_width"] = 0.5


def other_timer(raw):
    raw["data"]["sessions"][2]["timers"][0] = "wall-read"


def no_audit(raw):
    raw["data"]["audits"] = []


def no_timer(raw):
    raw["data"]["audits"][0]["chosen"] = None


def made_up_throttling(raw):
    session = raw["data"]["sessions"][0]
    session["censored"] = [[0, "throttled"], [1, "throttled"]]
    session["telemetry"]["throttled"] = [0.0, 0.0]


def no_such_block(raw):
    raw["data"]["sessions"][0]["censored"] = [[99999, "clock-low"]]


def no_calls(raw):
    raw["data"]["sessions"][0]["counts"] = [0, 0]


def no_batch(raw):
    raw["data"]["plan"]["batch"] = raw["resolved"]["batch"] = 0


def no_variants(raw):
    raw["data"]["plan"]["variants"] = raw["resolved"]["variants"] = []


CONTRADICTIONS = [
    (other_verdict, "the verdict of the record is noisy, that of its data measured"),
    (other_plan, "what was resolved is not the plan of its data"),
    (other_timer, "session 2 was timed by wall-read on null, the audit chose device-event"),
    (no_timer, "no timer of null passed an audit"),
    (no_audit, "no timer of null passed an audit"),
    (made_up_throttling, "session 0 leaves out 2 of its blocks as throttled, and no reading"),
    (no_such_block, "its numbers cannot be worked out: IndexError: "),
    (no_calls, "variants[0].time_s.value:"),
    (no_batch, "its numbers cannot be worked out: ZeroDivisionError: "),
    (no_variants, "IndexError"),
]


@pytest.mark.parametrize(
    ("change", "said"), CONTRADICTIONS, ids=lambda v: getattr(v, "__name__", "")
)
def test_parts_that_contradict_each_other_are_found(cg, record, change, said):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code, out, err = cg("records", "verify", resealed(record, change))
    assert (code, err) == (1, "")
    assert "broken.json: inconsistent" in out
    assert said in out


def test_a_throttled_device_is_sound(cg):
    cg("bench", "op", "gemm", "--on", "faulty:throttling", "--out", "run")
    found = load(one_record("run"))
    assert any(s["censored"] for s in found.data["sessions"])
    assert cg("records", "verify", "run")[0] == 0


def test_of_several_files_one_that_cannot_be_read_is_a_row(cg, record):
    Path("text.json").write_text("hello")
    raw = json.loads(record.read_text())
    Path("future.json").write_text(json.dumps({**raw, "schema": RECORD_SCHEMA + 1}))
    Path("nothing").mkdir()
    line = ("records", "verify", "text.json", "future.json", "nothing", record)
    code, out, err = cg(*line, "--json")
    text, future, nothing, good = json.loads(out)["data"]
    assert (code, err, good["state"]) == (2, "", "sound")
    assert {v["state"] for v in (text, future, nothing)} == {"unreadable"}
    assert "'text.json' is not a record" in text["faults"][0]
    assert "hint: upgrade crossgrade" in future["faults"][0]
    assert "'nothing' " in nothing["faults"][0]
    code, out, _ = cg(*line, resealed(record, other_verdict))
    assert code == 1, "what must not be believed is worse than what cannot be read"
    assert "future.json: unreadable" in out
    assert "broken.json: inconsistent" in out


def test_a_record_of_the_future_is_refused_politely(cg, record):
    raw = json.loads(record.read_text())
    record.write_text(json.dumps({**raw, "schema": RECORD_SCHEMA + 1}))
    for command in (["records", "verify"], ["records", "show"], ["reproduce"]):
        code, out, err = cg(*command, record)
        assert (code, out) == (2, "")
        assert "error[CG-E206]" in err
        assert "hint: upgrade crossgrade" in err


@pytest.mark.parametrize("name", ["s.json", "missing.json", "nothing", "text.json"])
def test_what_is_no_record_is_said_to_be_none(cg, name):
    suite("s.json", gemm())
    Path("nothing").mkdir()
    Path("text.json").write_text("hello")
    for command in (["records", "verify"], ["records", "show"], ["reproduce"], ["compare"]):
        code, out, err = cg(*command, name)
        assert (code, out) == (2, ""), command
        assert len(err.splitlines()) == 1
        assert err.startswith("error[CG-E205]")
        assert "hint: " in err
        assert "__init__" not in err
