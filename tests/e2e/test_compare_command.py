"""`compare` as a user runs it, on runs of made-up devices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.e2e.made_up import gemm, one_record, slowed, suite


@pytest.fixture
def runs(cg):
    """Write runs of the same cases: `a` and `b` alike but for their noise."""
    path = suite("s.json", gemm(), gemm(192))
    for name, seed in (("a", 1), ("b", 2)):
        line = ("bench", "op", "--suite", path, "--on", "faulty:jitter", "--seed", seed)
        assert cg(*line, "--out", name)[0] == 0
    return path


def test_the_same_twice_is_the_same(cg, runs):
    code, out, _ = cg("compare", "a", "b", "--json")
    document = json.loads(out)
    assert (code, document["verdict"]) == (0, "SAME")
    assert [c["verdict"] for c in document["data"]["cases"]] == ["SAME", "SAME"]
    assert cg("compare", "a", "a")[0] == 0


def test_what_takes_longer_is_slower_and_the_other_way_round_faster(cg, record):
    slow = slowed(record, 0.1, "slow.json")
    assert cg("records", "verify", slow)[0] == 0
    code, out, _ = cg("compare", record, slow, "--json")
    (case,) = json.loads(out)["data"]["cases"]
    assert (code, case["verdict"]) == (1, "SLOWER")
    assert case["ratio"]["value"] == pytest.approx(1.1, rel=1e-3)
    code, out, _ = cg("compare", slow, record)
    assert code == 0
    assert "FASTER" in out
    assert cg("compare", record, slow, "--margin", 0.2)[0] == 0


def test_noise_that_is_wider_than_the_margin_is_inconclusive(cg, runs):
    code, out, _ = cg("compare", "a", "b", "--margin", 0.0001)
    assert code == 3
    assert "INCONCLUSIVE" in out


def test_different_work_is_not_compared(cg):
    for name, n in (("one", 128), ("two", 129)):
        cg("bench", "op", "--suite", suite(f"{name}.json", gemm(n)), "--on", "null", "--out", name)
    code, _, err = cg("compare", one_record("one"), one_record("two"))
    assert code == 2
    assert "are not the same case; hint: time them as variants of one run" in err


def test_a_comment_for_a_pull_request_is_written(cg, record):
    quick, slow = record, slowed(record, 0.1, "slow.json")
    code, _, err = cg("compare", quick, slow, "--markdown", "out/comment.md")
    assert code == 1
    assert err == "written: out/comment.md\n"
    assert Path("out/comment.md").read_text().startswith("## 1 slower (margin ±2.0 %)")
    Path("file").touch()
    code, out, err = cg("compare", quick, slow, "--markdown", "file/comment.md")
    assert code == 2
    assert "SLOWER" in out, "what was found is not lost with the file"
    assert "error[CG-E208]" in err


def test_runs_on_two_targets_are_matched_by_case(cg, runs):
    cg("bench", "op", "--suite", runs, "--on", "null", "--out", "n")
    code, out, _ = cg("compare", "n", "a", "--json")
    cases = json.loads(out)["data"]["cases"]
    assert code == 0
    assert {(c["before"], c["after"], c["basis"]) for c in cases} == {
        ("null", "faulty:jitter", "absolute")
    }


def test_a_run_of_one_variant_has_nothing_to_be_compared_with(cg, runs):
    code, _, err = cg("compare", "a")
    assert code == 2
    assert "hint: compare two runs" in err


@pytest.mark.parametrize("margin", ["0", "-1", "nan", "1"])
def test_a_margin_that_makes_no_sense_is_refused(cg, runs, margin):
    for line in (["compare", "a", "b"], ["reproduce", next(Path("a").glob("*.json"))]):
        code, out, err = cg(*line, "--margin", margin)
        assert (code, out) == (2, "")
        (told,) = err.splitlines()
        assert told.startswith("error[CG-E103]: a margin")
