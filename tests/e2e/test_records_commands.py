"""`records` and `reproduce` as a user runs them, on records of made-up devices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.e2e.made_up import gemm, slowed, suite

from crossgrade.records.codec import RECORD_SCHEMA, dump, seal
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
    assert "variants[0].time_s.value is" in out


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


# reproduce -------------------------------------------------------------------------------------
def test_a_fresh_record_is_reproduced(cg, record):
    code, out, _ = cg("reproduce", record, "--out", "again", "--json")
    document = json.loads(out)
    assert (code, document["verdict"]) == (0, "reproduced")
    new = Path(document["data"]["new_record"])
    assert new.parent == Path("again")
    assert cg("records", "verify", new)[0] == 0


def test_a_record_that_comes_out_otherwise_is_not_reproduced(cg, record):
    slow = slowed(record, 0.1, "slow.json")
    code, out, _ = cg("reproduce", slow, "--no-record")
    assert code == 1
    assert out.startswith("# slow.json: not-reproduced")
    code, out, _ = cg("reproduce", record, "--on", "faulty:alternating", "--no-record")
    assert code == 3
    assert out.startswith(f"# {record.name}: inconclusive")
    assert "no-timer" in out


@pytest.mark.parametrize(("words", "said"), [
    (["--budget", "0"], "seconds above 0"),
    (["--out", "file/run"], "cannot write in the folder"),
    (["--on", "nul"], "did you mean null"),
])  # fmt: skip
def test_reproduce_refuses_before_it_measures(cg, record, words, said):
    Path("file").touch()
    code, out, err = cg("reproduce", record, *words)
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]
