"""`bench op` as a user runs it, on made-up devices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from tests.e2e.made_up import gemm, one_record, suite

from crossgrade.api import bench_book
from crossgrade.capture.codec import save
from crossgrade.records.codec import load

XPU_PERF = Path(__file__).parents[1] / "data" / "xpu-perf"


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
    assert code == 0
    assert [r["result"]["variants"][0]["reason"] for r in rows] == [
        None, "bad-arguments", "out-of-memory",
    ]  # fmt: skip
    assert all(Path(r["record"]).is_file() for r in rows)


def test_operators_that_nobody_knows_are_named_and_have_no_number(cg):
    path = suite("s.json", gemm(), {"op": "nix", "arguments": {}})
    _, out, _ = cg("bench", "op", "--suite", path, "--on", "null")
    assert "note: 1 case of `nix`, which the catalogue does not have" in out
    assert "unknown-operator" in out


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
