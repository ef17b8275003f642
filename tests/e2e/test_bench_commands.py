"""`bench`, `compare` and `reproduce` as a user runs them, on made-up devices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from tests.e2e.bench_lines import gemm, one_record, suite

from crossgrade.api import bench_book
from crossgrade.api.keeping import bench_result
from crossgrade.capture.codec import save
from crossgrade.jobs.lock import FolderLock
from crossgrade.measure import compare as comparing
from crossgrade.measure.result import recomputed
from crossgrade.records.codec import dump, load, seal, to_json

XPU_PERF = Path(__file__).parents[1] / "data" / "xpu-perf"


# bench op --------------------------------------------------------------------------------------
def test_an_operator_is_one_document(cg, tmp_path):
    code, out, err = cg("bench", "op", "gemm", "--on", "null", "--json")
    document = json.loads(out)
    assert list(document) == ["schema", "command", "verdict", "data"]
    assert (code, document["command"], document["verdict"]) == (0, "bench op", "measured")
    (row,) = document["data"]["rows"]
    variant, anchor = row["result"]["variants"]
    assert variant["time_s"]["low"] <= variant["time_s"]["value"] <= variant["time_s"]["high"]
    assert anchor["name"] == "anchor"
    assert row["result"]["audits"][0]["chosen"] == "device-event"
    assert Path(row["record"]).is_file()
    assert str(tmp_path / "home") in row["record"]
    assert err == "auditing the timers of null\n"


def test_text_names_the_record_and_the_command_that_repeats_it(cg):
    code, out, _ = cg("bench", "op", "gemm", "--on", "null", "--out", "a run")
    assert code == 0
    again = next(line for line in out.splitlines() if line.startswith("the same again: "))
    assert again.startswith("the same again: crossgrade reproduce 'a run/gemm-")
    assert "1 case with an interval as narrow as asked" in out


def test_without_a_record_nothing_is_written(cg, tmp_path):
    code, out, _ = cg("bench", "op", "gemm", "--on", "null", "--no-record")
    assert code == 0
    assert "record" not in out
    assert list(tmp_path.iterdir()) == []


def test_timers_that_lie_are_refused_with_their_reason(cg):
    code, out, _ = cg("bench", "op", "gemm", "--on", "faulty:lying-synchronize")
    assert code == 0
    assert "timed by wall-read" in out
    for timer in ("device-event", "wall-synchronize"):
        (line,) = [ln for ln in out.splitlines() if f"refused: {timer}:" in ln]
        assert "synchronizes" in line


def test_a_device_on_which_no_timer_holds_gives_no_number(cg):
    code, out, _ = cg("bench", "op", "gemm", "--on", "faulty:alternating", "--out", "run")
    assert code == 3
    assert "no timer passed the audit, so no number is given" in out
    data = load(one_record("run")).data
    assert data["verdict"] == "unmeasured"
    assert data["variants"][0]["reason"] == "no-timer"
    assert data["audits"][0]["chosen"] is None
    assert "no-timer" in data["why"]


def test_two_targets_are_interleaved_and_compared_with_the_first(cg):
    code, out, _ = cg("bench", "op", "gemm", "--on", "null", "--on", "faulty:jitter", "--out", "r")
    assert code == 0
    assert "over null" in out
    code, out, _ = cg("compare", "r")
    assert "null -> faulty:jitter" in out
    assert "by-round" in out


@pytest.mark.parametrize("folder", ["basic", "xccl_ops/all_gather.json"])
def test_a_suite_of_xpu_perf_is_read_as_it_is(cg, folder):
    code, out, _ = cg("bench", "op", "--suite", XPU_PERF / folder, "--on", "null", "--most", 5,
                      "--json")  # fmt: skip
    data = json.loads(out)["data"]
    assert code == 0
    assert len(data["rows"]) == 5
    assert any("--most: " in note and "left out" in note for note in data["notes"])


def test_a_case_that_cannot_run_is_a_row(cg):
    path = suite("s.json", gemm(), gemm(0), gemm(64, sim_fail="out-of-memory"))
    code, out, _ = cg("bench", "op", "--suite", path, "--on", "null", "--out", "run", "--json")
    rows = json.loads(out)["data"]["rows"]
    assert (code, json.loads(out)["verdict"]) == (3, "incomplete")
    assert [r["result"]["variants"][0]["reason"] for r in rows] == [
        None, "bad-arguments", "out-of-memory",
    ]  # fmt: skip
    assert all(Path(r["record"]).is_file() for r in rows)


def test_operators_that_nobody_knows_are_named_and_have_no_number(cg):
    path = suite("s.json", gemm(), {"op": "nix", "arguments": {}})
    code, out, _ = cg("bench", "op", "--suite", path, "--on", "null")
    assert "note: 1 case of `nix`, which the catalogue does not have" in out
    assert "unknown-operator" in out
    assert code == 3


def test_a_glob_is_a_list_that_can_be_cut_down(cg):
    _, out, _ = cg("bench", "op", "soft*", "--on", "null", "--most", 1, "--json")
    data = json.loads(out)["data"]
    assert len(data["rows"]) == 1
    assert any(note.startswith("--most: ") for note in data["notes"])
    _, out, _ = cg("bench", "op", "soft*", "--on", "null", "--only", "softmax", "--json")
    (row,) = json.loads(out)["data"]["rows"]
    assert row["result"]["plan"]["variants"][0]["case"]["op"] == "softmax"


@pytest.mark.skipif(
    not metadata.entry_points(group="crossgrade.targets", name="example"),
    reason="the example plug-in is not installed: pip install ./tests/plugin",
)
def test_on_a_real_target_an_unknown_operator_is_a_row(cg):
    path = suite("s.json", {"op": "nix", "arguments": {}}, gemm(16))
    code, out, err = cg("bench", "op", "--suite", path, "--on", "example", "--budget", 1,
                        "--sessions", 5, "--json")  # fmt: skip
    assert code in (0, 3), err
    nix, good = json.loads(out)["data"]["rows"]
    assert nix["result"]["variants"][0]["reason"] == "unknown-operator"
    assert good["result"]["variants"][0]["reason"] != "unknown-operator"


def test_the_operators_of_a_capture_are_cases(cg, moe_decode, tmp_path):
    save(moe_decode.capture, tmp_path / "decode.npz")
    code, out, err = cg("bench", "op", "--from-capture", "decode.npz", "--on", "null", "--most", 8,
                        "--budget", 1, "--sessions", 5)  # fmt: skip
    assert code in (0, 3), err
    assert "all calls of these cases in the model" in out
    assert "left out" in out


def test_a_finished_run_is_shown_and_not_measured_again(cg):
    path = suite("s.json", gemm(), gemm(128))
    line = ("bench", "op", "--suite", path, "--on", "null", "--out", "run")
    _, first, _ = cg(*line)
    kept = {p.name: p.read_bytes() for p in Path("run").iterdir()}
    _, second, err = cg(*line)
    assert err == ""
    assert "taken up: 16 sessions of an earlier run, not measured again" in second
    assert first.split("records:")[0] in second.replace(
        "taken up: 16 sessions of an earlier run, not measured again\n\n", ""
    )
    assert {p.name: p.read_bytes() for p in Path("run").iterdir()} == kept


def test_without_a_folder_a_finished_run_starts_anew(cg, monkeypatch):
    line = ("bench", "op", "gemm", "--on", "null", "--json")
    first = json.loads(cg(*line)[1])["data"]
    later = bench_book._now().replace(year=2099)
    monkeypatch.setattr(bench_book, "_now", lambda: later)
    second = json.loads(cg(*line)[1])["data"]
    assert second["taken_up"] == 0
    assert second["folder"] != first["folder"]


# what is refused -------------------------------------------------------------------------------
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


# compare ---------------------------------------------------------------------------------------
@pytest.fixture
def runs(cg):
    """Write runs of the same cases: `a` and `b` alike but for their noise."""
    path = suite("s.json", gemm(), gemm(192))
    for name, seed in (("a", 1), ("b", 2)):
        line = ("bench", "op", "--suite", path, "--on", "faulty:jitter", "--seed", seed)
        assert cg(*line, "--out", name)[0] == 0
    return path


def slowed(record, share, out):
    """Write the record as it would be if its case took longer by a share; return its path."""
    found = load(record)
    result = bench_result(found, record)
    sessions = tuple(
        replace(s, spans_ns=tuple(
            span * (1 + share) if which == 0 else span
            for which, span in zip(s.order, s.spans_ns, strict=True)
        ))
        for s in result.sessions
    )  # fmt: skip
    other = recomputed(replace(result, sessions=sessions))
    dump(seal(replace(found, data=to_json(other))), Path(out))
    return Path(out)


def test_the_same_twice_is_the_same(cg, runs):
    code, out, _ = cg("compare", "a", "b", "--json")
    document = json.loads(out)
    assert (code, document["verdict"]) == (0, "SAME")
    assert [c["verdict"] for c in document["data"]["cases"]] == ["SAME", "SAME"]
    assert cg("compare", "a", "a")[0] == 0


def test_a_run_with_a_case_that_cannot_run_is_the_same_as_itself(cg):
    path = suite("s.json", gemm(), gemm(64, sim_fail="needs-devices"))
    cg("bench", "op", "--suite", path, "--on", "null", "--out", "run")
    code, out, _ = cg("compare", "run", "run")
    assert code == 0
    assert "mind: gemm float32" in out
    assert "neither has a number: needs-devices" in out


def test_variants_of_all_records_of_a_run_are_judged_together(cg, runs, monkeypatch):
    asked = []
    monkeypatch.setattr(
        comparing, "discoveries", lambda p: asked.append(len(p)) or [True for _ in p]
    )
    cg("bench", "op", "--suite", runs, "--on", "null", "--on", "faulty:jitter", "--out", "two")
    _, out, _ = cg("compare", "two")
    assert "over 2 cases, at most" in out
    assert asked == [2]


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


# a real terminal and a real shell --------------------------------------------------------------
def test_in_a_shell_the_answer_goes_to_stdout_alone(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "crossgrade", "bench", "op", "gemm", "--on", "null"],
        capture_output=True, text=True, timeout=60, cwd=tmp_path,
        env={**os.environ, "CROSSGRADE_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == "auditing the timers of null\n"
    assert "\x1b" not in done.stdout
    assert done.stdout.startswith("# gemm")


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_terminal_gets_lines_that_fit_and_a_progress_line_that_goes(tmp_path, columns):
    pty = pytest.importorskip("pty")
    import fcntl
    import struct
    import termios

    own, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "crossgrade", "bench", "op", "gemm", "--on", "null"],
        stdin=subprocess.DEVNULL, stdout=other, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "CROSSGRADE_HOME": str(tmp_path), "NO_COLOR": "1"},
    )  # fmt: skip
    os.close(other)
    shown = b""
    while True:
        try:
            part = os.read(own, 65536)
        except OSError:  # Linux tells the end of the other side so
            break
        if not part:
            break
        shown += part
    os.close(own)
    process.communicate(timeout=60)
    assert process.returncode == 0
    text = shown.decode()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= max(columns, 80)
    assert text.startswith("gemm")
