"""`bench model` as a user calls it, on a model that is small in every size."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.tiny_models import tiny_config

from crossgrade.cli.main import cli, main
from crossgrade.records.codec import load

QUICK = ("--budget", "30", "--half-width", "0.5", "--sessions", "5", "--dtype", "fp32")


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Stand in a folder with a small config.json, and return its name."""
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny/config.json").write_text(json.dumps(tiny_config()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # tests run side by side on few cores
    return "tiny"


def run(*arguments):
    return CliRunner().invoke(cli, ["bench", "model", *arguments])


def refusal(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["bench", "model", *arguments, "--json"])
    return ended.value.code, json.loads(capsys.readouterr().out)["error"]


def test_two_phases_on_two_runtimes(model):
    if importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("onnxruntime is not installed")
    done = run(model, "--on", "cpu", "--on", "onnxruntime", "--tokens", "8", "--context", "8",
               *QUICK, "--out", "run", "--json")  # fmt: skip
    answer = json.loads(done.stdout)
    assert answer["command"] == "bench model"
    rows = answer["data"]["rows"]
    assert [r["result"]["plan"]["variants"][0]["case"]["phase"] for r in rows] == [
        "prefill", "decode"]  # fmt: skip
    for row in rows:
        cpu, runtime, anchor = row["result"]["variants"]
        assert (cpu["status"], runtime["status"], anchor["name"]) == ("ok", "ok", "anchor")
        assert cpu["flop"] > 0
        for seen in row["result"]["observed"].values():
            assert seen["accuracy"]["passed"]
            assert seen["memory"]["peak_bytes"] > 0
            energy = seen["energy"]
            assert (energy["joules_per_call"] is None) == (energy["reason"] is not None)
        record = load(Path(row["record"]))
        assert record.kind == "bench"
        assert record.data["observed"] == row["result"]["observed"]


def test_a_slice_is_kept_verified_shown_and_not_measured_again(model):
    asked = ("--layers", "1", "--phase", "decode", "--context", "8", "--budget", "20",
             "--half-width", "0.5", "--dtype", "fp32", "--out", "run")  # fmt: skip
    first = json.loads(run(model, *asked, "--json").stdout)["data"]["rows"][0]["result"]
    case = first["plan"]["variants"][0]["case"]
    assert case["model"]["name"] == "tiny[1 layers]"
    assert case["config"]["num_hidden_layers"] == 1
    assert case["config"]["layer_types"] == ["full_attention"]
    verified = CliRunner().invoke(cli, ["records", "verify", "run", "--json"])
    assert json.loads(verified.stdout)["verdict"] == "sound"
    shown = CliRunner().invoke(cli, ["records", "show", "run"]).stdout
    assert "tiny[1 layers] decode float32 batch=1 tokens=1 context=8" in shown
    assert "error" in shown
    again = json.loads(run(model, *asked, "--json").stdout)["data"]["rows"][0]["result"]
    assert again == first


def test_a_training_step_has_no_graph_and_says_so(model):
    if importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("onnxruntime is not installed")
    done = run(model, "--phase", "train", "--tokens", "8", "--on", "cpu", "--on", "onnxruntime",
               *QUICK, "--no-record", "--json")  # fmt: skip
    trained, graph, _ = json.loads(done.stdout)["data"]["rows"][0]["result"]["variants"]
    assert trained["status"] == "ok"
    assert (graph["status"], graph["reason"]) == ("absent", "unsupported-operator")


@pytest.mark.parametrize(("arguments", "words"), [
    (["no-such-model"], "no model"),
    (["tiny", "--layers", "3"], "has 2 layers"),
    (["tiny", "--on", "cpu", "--on", "cpu"], "named twice"),
    (["tiny", "--sessions", "6"], "--sessions 6"),
    (["tiny", "--budget", "0"], "--budget 0"),
    (["tiny", "--weights", "tiny"], "no *.safetensors"),
    (["tiny", "--size", "image=9"], "no such size"),
    (["tiny", "--size", "image"], "--size image"),
    (["tiny", "--phase", "decode", "--phase", "decode"], "names one twice"),
    (["tiny", "--dtype", "int8"], "int8"),
    (["recommender"], "no model of transformers"),
])  # fmt: skip
def test_bad_input_is_refused_before_anything_is_built(model, capsys, arguments, words):
    from crossgrade.workloads.resolve import preset_names

    if arguments == ["recommender"]:
        from crossgrade.workloads.resolve import find_model

        arguments = [next(n for n in preset_names()
                          if "crossgrade_model" in (find_model(n).config or {}))]  # fmt: skip
    code, error = refusal(capsys, *arguments)
    assert code == 2
    assert words in error["message"]


@pytest.mark.skipif(sys.platform != "linux", reason="signals as Linux has them")
def test_a_killed_run_is_taken_up_and_measures_nothing_twice(model):
    command = ["bench", "model", model, "--phase", "decode", "--context", "8", "--dtype", "fp32",
               "--budget", "60", "--half-width", "0.5", "--sessions", "12", "--out", "run",
               "--json"]  # fmt: skip
    journal = Path("run/journal.jsonl")
    with subprocess.Popen([sys.executable, "-m", "crossgrade", *command],
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:  # fmt: skip
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if journal.exists() and journal.read_text().count('"Sampled"') >= 2:
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    kept = journal.read_text().count('"Sampled"')
    assert 2 <= kept < 12
    answer = json.loads(CliRunner().invoke(cli, command).stdout)["data"]
    (row,) = answer["rows"]
    assert answer["taken_up"] == kept
    assert [s["index"] for s in row["result"]["sessions"]] == list(range(12))
    assert len(row["result"]["observed"]) == 1
    assert journal.read_text().count('"Observed"') == 1
