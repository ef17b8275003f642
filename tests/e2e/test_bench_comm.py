"""`bench comm` as a user types it: over gloo on this machine, small sizes, short budgets."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from crossgrade.records.codec import load, seal
from crossgrade.values.collective import OPS

pytest.importorskip("torch")
QUICK = ("--sizes", "1KiB,16KiB", "--budget", "3", "--half-width", "0.5")


def test_a_table_a_record_and_the_record_again(cg):
    code, out, err = cg("bench", "comm", "all-reduce", "all_gather", *QUICK, "--out", "run")
    assert code in (0, 3), err
    assert out.startswith("# 2 ranks on cpu (gloo): ")
    head = next(line for line in out.splitlines() if line.startswith("| collective"))
    assert [c.strip() for c in head.strip("|").split("|")] == [
        "collective", "size", "time", "95 % interval", "algorithm", "bus", "sessions"
    ]  # fmt: skip
    rows = [line for line in out.splitlines() if line.startswith("| all-")]
    assert [r.split("|")[1].strip() for r in rows] == ["all-reduce"] * 2 + ["all-gather"] * 2
    assert [r.split("|")[2].strip() for r in rows] == ["1 KiB", "16 KiB"] * 2
    assert "link: not told, too-few-ranks" in out
    assert "all ranks are on this machine" in out
    assert "record: run/comm-cpu-2.json" in out

    code, shown, _ = cg("records", "show", "run")
    assert code == 0
    assert shown == out
    code, verified, _ = cg("records", "verify", "run")
    assert code == 0
    assert "its statistics follow from its samples" in verified

    record = load(_record("run"))
    assert record.kind == "comm"
    assert record.passed["ranks"] == 2
    assert "folder" not in record.passed
    assert record.environment["rank 1 device"]
    result = record.data
    for row in result["rows"]:
        factor = {"all-reduce": 1.0, "all-gather": 0.5}[row["op"]]
        rate = row["size_bytes"] / row["time_s"]["value"]
        assert row["algorithm_bytes_per_s"]["value"] == pytest.approx(rate)
        assert row["bus_bytes_per_s"]["value"] == pytest.approx(rate * factor)

    _forge("run", lambda data: data["rows"][0]["time_s"].update(value=1e-9))
    code, verified, _ = cg("records", "verify", "run")
    assert code == 1
    assert "rows[0].time_s.value" in verified
    _forge("run", lambda data: data.update(verdict="unmeasured"))
    assert "the verdict of the record is" in cg("records", "verify", "run")[1]
    _forge("run", lambda data: data["sessions"][0]["order"].pop())
    assert "does not fit its order" in cg("records", "verify", "run")[1]


def _record(folder):
    from pathlib import Path

    (found,) = Path(folder).glob("*.json")
    return found


def _forge(folder, change):
    """Change the data of a record, and seal it anew."""
    from dataclasses import replace

    from crossgrade.records.codec import dump

    path = _record(folder)
    record = load(path)
    data = json.loads(json.dumps(record.data))
    change(data)
    dump(seal(replace(record, data=data)), path)


def test_json_has_every_collective_and_three_ranks_have_links(cg):
    code, out, _ = cg("bench", "comm", "--ranks", "3", "--sizes", "3000", "--dtype", "bf16",
                      "--budget", "3", "--no-record", "--json")  # fmt: skip
    assert code in (0, 3)
    document = json.loads(out)
    assert (document["command"], document["verdict"]) == (
        "bench comm", document["data"]["result"]["verdict"]
    )  # fmt: skip
    result = document["data"]["result"]
    assert [r["op"] for r in result["rows"]] == list(OPS)
    # 2,992 bytes are what three shares of 62 times 16 bytes make.
    assert [r["size_bytes"] for r in result["rows"]] == [3000, 2976, 2976, 2976, 3000, 3000]
    assert [r["status"] for r in result["rows"]] == ["ok"] * 6
    assert [s["signal"] for s in result["signals"]] == ["work", "arrival", "link"]
    if len(result["sessions"]) >= 3:
        assert [r["rank"] for r in result["signals"][2]["readings"]] == [0, 1, 2]
    assert document["data"]["record"] == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--ranks", "1"), 2, "a group has 2 ranks or more"),
        (("--ranks", "0"), 2, "a group has 2 ranks or more"),
        (("--ranks", "500"), 2, "127 at most"),
        (("--ranks", "two"), 2, "two"),
        (("all-sum",), 2, "no collective is called `all-sum`"),
        (("--sizes", "lots"), 2, "`lots` is no size"),
        (("--sizes", "64K"), 2, "KiB 1024"),
        (("--sizes", "1MiB..1KiB"), 2, "is the larger"),
        (("--sizes", "1..1GB:1.1"), 2, "more than 64 sizes"),
        (("--sizes", "1KiB..4KiB:1"), 2, "no factor above 1.1"),
        (("--sizes", "-4"), 2, "`-4` is no size"),
        (("--sizes", "16"), 2, "too small for all-gather over 2 ranks"),
        (("--dtype", "fp4"), 2, "whole bytes"),
        (("--dtype", "nonsense"), 2, "--dtype nonsense"),
        (("--on", "cuda:0"), 2, "--on cuda"),
        (("--budget", "-1"), 2, "--budget -1"),
        (("--budget", "nan"), 2, "--budget nan"),
        (("--half-width", "7"), 2, "--half-width 7"),
        (("--sessions", "4"), 2, "5, 8, 12"),
        (("--timeout", "0"), 2, "--timeout 0"),
    ],
)
def test_what_makes_no_sense_is_one_line(cg, arguments, code, said):
    found, out, err = cg("bench", "comm", *arguments)
    assert (found, out) == (code, "")
    assert said in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 4


def test_a_device_that_is_not_here(cg):
    code, _, err = cg("bench", "comm", "--on", "npu", "--ranks", "8")
    assert code == 3
    assert "error[CG-E302]: torch_npu is not installed" in err
    assert "hint: pip install torch-npu" in err


def test_a_killed_run_is_taken_up(tmp_path):
    """No session is lost or taken twice; then the finished run is shown, not measured again."""
    arguments = [sys.executable, "-m", "crossgrade", "bench", "comm", "send-recv", "--sizes",
                 "1KiB", "--budget", "4", "--out", str(tmp_path / "run"), "--json"]  # fmt: skip
    started = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = tmp_path / "run" / "journal.jsonl"
    deadline = time.monotonic() + 60
    while journal_lines(journal) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    started.send_signal(signal.SIGKILL)
    started.wait(30)
    kept = journal.read_bytes().splitlines()
    assert len(kept) >= 3

    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    data = json.loads(done.stdout)["data"]
    assert data["taken_up"] == sum(b'"event":"Sampled"' in line for line in kept)
    assert journal.read_bytes().splitlines()[: len(kept)] == kept
    assert [s["index"] for s in data["result"]["sessions"]] == list(
        range(len(data["result"]["sessions"]))
    )
    again = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert json.loads(again.stdout)["data"]["result"]["rows"] == data["result"]["rows"]


def journal_lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0
