"""Measurements that are killed and interrupted at any moment, and taken up by the same command."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from importlib import metadata
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(
        not metadata.entry_points(group="crossgrade.targets", name="example"),
        reason="the example plug-in is not installed: pip install ./tests/plugin",
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are listed by /proc"),
]
KILLS = 10
GEMM = {"op": "gemm", "dtype": "float32"}
CASES = [GEMM | {"arguments": {"M": n, "K": n, "N": n}} for n in (32, 48, 64)]


class Started:
    """The command in a process; its workers are known by a mark in their environment."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.mark = f"CROSSGRADE_TEST_MARK={uuid.uuid4().hex}"
        name, value = self.mark.split("=")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "crossgrade", "bench", "op", *arguments, "--json"],
            env={**os.environ, "CROSSGRADE_HOME": str(home), name: value}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def living(self) -> list[int]:
        """Return its processes, workers included; zombies have no environment."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
        return found

    def end(self, number: int) -> str:
        """Send a signal, see that no process is left, and return what it said on stderr."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=60)
        deadline = time.monotonic() + 10
        while self.living() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self.living() == []
        return err

    def document(self) -> dict:
        """Return what it printed in the end."""
        out, err = self.process.communicate(timeout=120)
        assert self.process.returncode in (0, 3), err
        assert self.living() == []
        return json.loads(out)["data"]


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "three.json"
    path.write_text(json.dumps({"schema": 1, "cases": CASES}))
    return ["--suite", str(path), "--on", "example", "--budget", "1.5", "--sessions", "5"]


def lines_of(journal: Path) -> list[bytes]:
    """Return the whole lines of a journal."""
    text = journal.read_bytes() if journal.exists() else b""
    return [line + b"\n" for line in text.split(b"\n")[:-1]]


def wait_for_lines(journal: Path, wanted: int, started: Started) -> None:
    """Wait until the journal has that many lines, or the command has ended."""
    deadline = time.monotonic() + 60
    while (
        len(lines_of(journal)) < wanted
        and started.process.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.005)


def entries_of(lines: list[bytes]) -> list[dict]:
    return [json.loads(line)["entry"] for line in lines]


def test_a_run_killed_ten_times_loses_nothing_and_measures_nothing_twice(tmp_path, suite):
    rng = random.Random(7)
    journal = tmp_path / "run" / "journal.jsonl"
    command = [*suite, "--out", str(journal.parent)]
    before: list[bytes] = []
    for _ in range(KILLS):
        started = Started(tmp_path, *command)
        # Anywhere: during imports, the audit, a session, or while a line is written.
        wait_for_lines(journal, len(before) + rng.choice([0, 1, 1, 2, 3]), started)
        time.sleep(rng.uniform(0.0, 0.4))
        started.end(signal.SIGKILL)
        after = lines_of(journal)
        assert after[: len(before)] == before
        before = after
    data = Started(tmp_path, *command).document()

    lines = lines_of(journal)
    assert lines[: len(before)] == before
    entries = entries_of(lines)
    taken = [(e["key"], e["session"]["index"]) for e in entries if e.get("event") == "Sampled"]
    taken += [(e["key"], e["index"]) for e in entries if e.get("event") == "Lost"]
    assert len(taken) == len(set(taken))
    keys = {key for key, _ in taken}
    assert len(keys) == len(CASES)
    for key in keys:
        assert sorted(i for k, i in taken if k == key) == list(
            range(sum(k == key for k, _ in taken))
        )
    for event in ("Audited", "Ready"):
        told = [json.dumps(e, sort_keys=True) for e in entries if e.get("event") == event]
        assert len(told) == {"Audited": 1, "Ready": len(CASES)}[event]

    assert [row["result"]["verdict"] != "unmeasured" for row in data["rows"]] == [True] * len(CASES)
    for row in data["rows"]:
        indexes = [s["index"] for s in row["result"]["sessions"]]
        assert indexes == [i for k, i in taken if k == row["key"]]
    records = [row["record"] for row in data["rows"]]
    assert len(set(records)) == len(CASES)
    done = subprocess.run([sys.executable, "-m", "crossgrade", "records", "verify", *records,
                           "--json"], capture_output=True, text=True, timeout=60)  # fmt: skip
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "sound"), done.stdout
    assert not list(journal.parent.glob("*.tmp"))


def test_an_interrupted_run_is_found_again_by_its_plan(tmp_path, suite):
    """SIGINT is one line and 130; the same command without --out goes on where it was."""
    started = Started(tmp_path, *suite)
    deadline = time.monotonic() + 60
    while not (found := list(tmp_path.glob("records/*/journal.jsonl"))):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (journal,) = found
    wait_for_lines(journal, 7, started)
    err = started.end(signal.SIGINT)
    assert started.process.returncode == 130, err
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    kept = lines_of(journal)
    sessions = [e for e in entries_of(kept) if e.get("event") in ("Sampled", "Lost")]
    assert sessions

    data = Started(tmp_path, *suite).document()
    assert data["folder"] == str(journal.parent)
    assert data["taken_up"] == len(sessions)
    assert lines_of(journal)[: len(kept)] == kept
