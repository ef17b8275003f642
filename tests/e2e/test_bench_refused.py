"""What `bench` refuses, with one line and a hint, before it measures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.e2e.made_up import gemm, suite

from crossgrade.jobs.lock import FolderLock

BAD = [
    (["sofmax"], 2, "did you mean softmax"),
    (["gemm", "--on", "nul"], 2, "did you mean null"),
    (["gemm", "--on", "ascend-950dt"], 2, "assess MODEL --on ascend-950dt"),
    (["gemm", "--on", "npu:0"], 3, "hint: "),
    (["gemm", "--on", "faulty:nix"], 2, "lying-synchronize"),
    (["gemm", "--on", "null:1"], 2, "write null"),
    (["gemm", "--on", "replay:nix.json"], 2, "check the path"),
    (["gemm", "--on", "null", "--on", "null"], 2, "named twice"),
    (["gemm", "--on", "null", "--on", "cpu"], 2, "measure them in two runs"),
    (["softmax", "--shapes", "{"], 2, "--shapes is no JSON"),
    (["softmax", "--shapes", "[1]"], 2, "no JSON object"),
    (["softmax", "--shapes", '{"batch": 4}'], 2, "bench op --list"),
    (["softmax", "--shapes", '{"batch_size": NaN, "dim_size": 4}'], 2, "a whole number"),
    (["gemm", "--dtype", "fp17"], 2, "bf16"),
    (["gemm", "--budget", "0"], 2, "seconds above 0"),
    (["gemm", "--budget", "nan"], 2, "seconds above 0"),
    (["gemm", "--half-width", "0"], 2, "a share from"),
    (["gemm", "--sessions", "6"], 2, "5, 8, 12"),
    (["gemm", "--memory", "-1"], 2, "GB above 0"),
    (["gemm", "--most", "2"], 2, "leave them out"),
    (["soft*", "--only", "gemm"], 2, "it has softmax"),
    (["gemm", "--suite", "s.json"], 2, "one of an operator"),
    ([], 2, "bench op gemm --on cpu"),
    (["--suite", "s.json", "--m", "3"], 2, "leave them out"),
    (["--suite", "s.json", "--only", "sofmax"], 2, "it has gemm"),
    (["--suite", "s.json", "--most", "0"], 2, "1 or more"),
    (["--suite", "missing.json"], 2, "no such file or folder"),
    (["--suite", "broken.json"], 2, "not JSON"),
    (["--suite", "empty.json"], 2, "no case in it"),
    (["--suite", "future.json"], 2, "upgrade crossgrade"),
    (["--suite", "nothing"], 2, "no .json and no .csv"),
    (["--from-capture", "s.json"], 2, "--save-captures"),
    (["--list", "sofmax"], 2, "did you mean softmax"),
]


@pytest.mark.parametrize(("words", "code", "said"), BAD, ids=lambda v: " ".join(v)[:60]
                         if isinstance(v, list) else "")  # fmt: skip
def test_what_is_wrong_is_one_line_with_a_hint_and_leaves_nothing(cg, tmp_path, words, code, said):
    suite("s.json", gemm())
    suite("empty.json")
    Path("broken.json").write_text('{"schema": 1, "cases": [')
    Path("future.json").write_text('{"schema": 99, "cases": []}')
    Path("nothing").mkdir()
    on = [] if "--on" in words else ["--on", "null"]
    found, out, err = cg("bench", "op", *words, *on)
    (line,) = [ln for ln in err.splitlines() if not ln.startswith("auditing")]
    assert (found, out) == (code, "")
    assert line.startswith("error[CG-E")
    assert "hint: " in line
    assert said in line
    assert list(tmp_path.glob("home/records/*")) == []


def test_a_failure_is_json_too(cg):
    code, out, _ = cg("bench", "op", "gemm", "--on", "npu:0", "--json")
    error = json.loads(out)["error"]
    assert (code, error["code"], error["kind"]) == (3, "CG-E302", "environment")
    assert error["hint"]


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_measured(cg):
    Path("file").touch()
    code, _, err = cg("bench", "op", "gemm", "--on", "null", "--out", "file/run")
    assert code == 2
    (line,) = err.splitlines()
    assert line.startswith("error[CG-E208]: cannot write in the folder")
    assert "hint: " in line


def test_a_folder_of_another_plan_is_left_as_it_is(cg):
    cg("bench", "op", "gemm", "--on", "null", "--out", "run")
    kept = {p.name: p.read_bytes() for p in Path("run").iterdir()}
    code, _, err = cg("bench", "op", "gemm", "--on", "null", "--out", "run", "--seed", 1)
    assert code == 2
    assert "holds a run with other cases or options" in err
    assert {p.name: p.read_bytes() for p in Path("run").iterdir()} == kept


def test_a_folder_in_use_is_left_alone(cg):
    with FolderLock(Path("run")):
        code, _, err = cg("bench", "op", "gemm", "--on", "null", "--out", "run")
    assert code == 2
    assert f"error[CG-E106]: process {os.getpid()} is writing to the folder (run)" in err


@pytest.mark.parametrize("group", ["bench", "records"])
def test_a_group_without_a_command_shows_its_help(cg, group):
    code, out, err = cg(group)
    assert (code, out) == (2, "")
    assert err.startswith(f"Usage: crossgrade {group}")
