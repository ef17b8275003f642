"""`bench serve` as a user types it: on endpoints that are well and that are not, and on our own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.serving_endpoints import Script, nobody, scripted
from tests.tiny_models import tiny_config

from crossgrade.records.codec import dump, load, seal

pytest.importorskip("aiohttp")
QUICK = ("--requests", "12", "--input-tokens", "16", "--output-tokens", "6", "--budget", "30",
         "--half-width", "0.5", "--warmups", "2")  # fmt: skip


def serve(cg, endpoint, *more):
    return cg("bench", "serve", "--url", endpoint.address, *QUICK, *more, "--out", "run")


def kept(folder="run"):
    (found,) = Path(folder).glob("serving-*.json")
    return load(found)


def test_a_table_a_record_and_the_record_again(cg):
    with scripted(Script(first_s=0.01, gap_s=0.002)) as endpoint:
        code, out, err = serve(cg, endpoint, "--concurrency", "2", "--rate", "40",
                               "--good", "ttft=5")  # fmt: skip
    assert code in (0, 3), err
    assert out.startswith(f"# scripted at {endpoint.address}: ")
    rows = [line for line in out.splitlines() if line.startswith("| ")]
    assert any("| rate-40 | " in row for row in rows)
    assert any("| concurrency-2 | " in row for row in rows)
    assert "the server was not started afresh" in out

    code, shown, _ = cg("records", "show", "run")
    assert (code, shown) == (0, out)
    assert cg("records", "verify", "run")[0] == 0

    record = kept()
    assert record.kind == "serving"
    assert record.passed["url"] == endpoint.address
    assert {one["key"] for one in record.data["loads"]} == {"rate-40", "concurrency-2"}
    assert record.data["loads"][0]["good"]["value"] == 1

    ttft = record.data["loads"][0]["metrics"][0]
    assert ttft["name"] == "ttft"
    ttft["percentiles"][0]["value_s"] /= 2
    dump(seal(record), next(Path("run").glob("serving-*.json")))
    code, told, _ = cg("records", "verify", "run")
    assert code == 1
    assert "loads[0].metrics[0].percentiles[0].value_s" in told


@pytest.mark.parametrize(("script", "verdict", "says"), [
    (Script(way="status", status=500), "http-error", "out of order"),
    (Script(way="cut-off"), "cut-off", ""),
    (Script(way="silent"), "timed-out", ""),
    (Script(way="garbage"), "malformed", ""),
    (Script(output_reported=1000), "miscounting", "1,000"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_an_endpoint_that_is_not_well_has_a_verdict(cg, script, verdict, says):
    with scripted(script) as endpoint:
        code, out, err = serve(cg, endpoint, "--concurrency", "4", "--timeout", "0.5")
    assert code == 3, err
    assert out.startswith(f"# scripted at {endpoint.address}: {verdict}")
    assert says in out
    assert kept().verdict == verdict
    assert cg("explain", verdict)[0] == 0


def test_nobody_is_there(cg):
    code, out, err = cg("bench", "serve", "--url", nobody(), "--out", "run")
    assert (code, out) == (3, "")
    assert "error[CG-E304]" in err
    assert "hint:" in err
    assert not Path("run").exists()
    code, out, _ = cg("bench", "serve", "--url", nobody(), "--json", "--no-record")
    assert code == 3
    assert json.loads(out)["error"]["code"] == "CG-E304"


def test_what_was_answered_before_it_died_is_kept(cg):
    with scripted(Script(fails_after=20)) as endpoint:
        code, out, _ = serve(cg, endpoint, "--concurrency", "2")
    assert code == 3
    assert "http-error" in out.splitlines()[0]
    (found,) = kept().data["loads"]
    assert found["outcomes"]["ok"] > 5
    assert found["outcomes"]["http-error"] > 5
    assert found["metrics"][0]["count"] > 5


def test_a_key_is_sent_and_is_nowhere_else(cg, monkeypatch, tmp_path):
    monkeypatch.setenv("A_KEY", "sk-very-secret")
    with scripted(Script(needs_key="sk-very-secret")) as endpoint:
        assert serve(cg, endpoint, "--concurrency", "1")[0] == 3  # none was named
        code, out, err = serve(cg, endpoint, "--concurrency", "1", "--key-env", "A_KEY")
    assert code in (0, 3)
    assert set(kept().data["loads"][0]["outcomes"]) == {"ok"}
    assert "very-secret" not in out + err
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"very-secret" not in file.read_bytes()


@pytest.mark.parametrize(("arguments", "says"), [
    ((), "--url"),
    (("--url", "http://x", "--local", "qwen3-0.6b"), "one endpoint"),
    (("--url", "ftp://x"), "http"),
    (("--url", "http://x", "--dtype", "fp32"), "--local"),
    (("--url", "http://x", "--rate", "0"), "--rate"),
    (("--url", "http://x", "--rate", "nan"), "--rate"),
    (("--url", "http://x", "--concurrency", "0"), "--concurrency"),
    (("--url", "http://x", "--concurrency", "2", "--concurrency", "2"), "twice"),
    (("--url", "http://x", "--trace", "no-such"), "shipped traces"),
    (("--url", "http://x", "--good", "speed=1"), "ttft"),
    (("--url", "http://x", "--good", "ttft=-1"), "--good"),
    (("--url", "http://x", "--sessions", "4"), "--sessions"),
    (("--url", "http://x", "--key-env", "NO_SUCH_KEY_HERE"), "NO_SUCH_KEY_HERE"),
    (("--local", "no-such-model"), "no-such-model"),
    (("--local", "qwen3-0.6b", "--dtype", "fp3"), "fp3"),
], ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "")  # fmt: skip
def test_what_makes_no_sense_is_refused_before_anything_is_sent(cg, arguments, says):
    code, out, err = cg("bench", "serve", *arguments, "--out", "run")
    assert (code, out) == (2, "")
    assert err.startswith("error[CG-E")
    assert says in err
    assert not Path("run").exists()


def test_an_interrupted_run_is_taken_up(tmp_path):
    with scripted(Script(first_s=0.02, gap_s=0.01)) as endpoint:
        command = [sys.executable, "-m", "crossgrade", "bench", "serve", "--url", endpoint.address,
                   *QUICK, "--concurrency", "1", "--concurrency", "2", "--out", "run"]  # fmt: skip
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
            journal = tmp_path / "run" / "journal.jsonl"
            deadline = time.monotonic() + 60
            while not (journal.exists() and b"Sampled" in journal.read_bytes()):
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        before = len(journal.read_bytes().splitlines())
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 3), done.stderr
    assert len(journal.read_bytes().splitlines()) > before
    sessions = kept(tmp_path / "run").data["sessions"]
    pairs = [(one["index"], one["load"]) for one in sessions]
    assert sorted(pairs) == [(i, load_) for i in range(5) for load_ in range(2)]
    assert "taken up" in done.stdout


def test_a_trace_of_ones_own(cg):
    lines = [{"timestamp": 40 * i, "input_length": 20 + i, "output_length": 4} for i in range(20)]
    Path("mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with scripted() as endpoint:
        code, out, err = serve(cg, endpoint, "--trace", "mine.jsonl", "--pace", "2")
    assert code in (0, 3), err
    assert "trace-mine-x2" in out
    (found,) = kept().data["plan"]["loads"]
    assert (found["trace"], found["requests"]) == ("mine", 12)
    assert str(Path.cwd()) not in json.dumps(kept().data)


def test_a_server_of_our_own(cg, tmp_path):
    pytest.importorskip("torch")
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(tiny_config()))
    code, out, err = cg(
        "bench", "serve", "--local", folder, *QUICK, "--concurrency", "2", "--out", "run"
    )
    assert code in (0, 3), err
    assert out.startswith("# small at local: ")
    record = kept()
    (found,) = record.data["loads"]
    assert found["outcomes"] == {"ok": 12 * found["sessions"]}
    assert all(one["restarted"] for one in record.data["sessions"])
    assert record.data["plan"]["server"]["model"] == "small"
    (file,) = Path("run").glob("serving-*.json")
    assert str(tmp_path) not in file.read_text()
    logs = sorted(Path("run").glob("server-*.jsonl"))
    begun = found["sessions"] + len(record.data["lost"])
    assert found["sessions"] >= 2
    assert len(logs) in (begun, begun + 1), "the budget may end while a server starts"
    logged = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    assert {one["id"] for one in logged} >= {f"{i}-0-{n}" for i in range(2) for n in range(14)}
    assert cg("records", "verify", "run")[0] == 0
