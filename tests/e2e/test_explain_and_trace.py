"""`assess --explain` and `assess --trace` as a user runs them."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from tests.unit.report.test_chrome_trace import check

ASKED = ("--on", "h100", "--on", "ascend-950dt", "--tokens", "64", "--context", "64", "--no-record")


def test_the_explanation_is_printed_in_place_of_the_answer(cg, dense_config):
    code, out, _ = cg("assess", dense_config, *ASKED, "--explain")
    assert code == 0
    for phase in ("prefill", "decode"):
        for chip in ("h100", "ascend-950dt"):
            assert f"## {phase} of {dense_config.name} on {chip}: " in out
    for table in ("what binds", "kernels", "parts of the model", "what would help"):
        assert out.count(f"**{table} (predicted") == 4
    assert out.count("memory bandwidth | ") == 4
    assert out.count("fused+graph: ") == out.count("eager: ") == 4
    assert "memory of all chips" not in out
    assert "others: add --all" in out
    assert "others: add --all" not in cg("assess", dense_config, *ASKED, "--explain", "--all")[1]


def test_the_explanation_may_be_asked_for_by_name_ahead_of_the_model(cg, dense_config):
    named = cg("assess", "--explain", "kernels", dense_config, *ASKED)
    assert named[:2] == cg("assess", dense_config, *ASKED, "--explain")[:2]
    code, _, err = cg("assess", "--explain", dense_config, *ASKED)
    assert (code, "MODEL" in err) == (2, True), "what follows is taken for the value"


def test_json_has_the_answer_and_the_explanation(cg, dense_config):
    code, out, _ = cg("assess", dense_config, *ASKED, "--explain", "--json")
    assert code == 0
    data = json.loads(out)["data"]
    assert [(e["chip"], e["phase"]) for e in data["explanations"]] == [
        ("h100", "prefill"), ("h100", "decode"), ("ascend-950dt", "prefill"),
        ("ascend-950dt", "decode"),
    ]  # fmt: skip
    for e in data["explanations"]:
        chip = next(c for c in data["chips"] if c["chip"] == e["chip"])
        speed = next(p for p in chip["phases"] if p["phase"] == e["phase"])["speed"]
        assert e["time_s"] == speed["time_s"]
        assert sum(k["fused"]["time_s"] for k in e["kernels"] if k["fused"]) == pytest.approx(
            e["time_s"]["low"]
        )
    without = json.loads(cg("assess", dense_config, *ASKED, "--json")[1])
    assert "explanations" not in without["data"]


def test_a_chip_without_a_time_is_said_to_have_none(cg, dense_config):
    code, out, _ = cg("assess", dense_config, "--on", "mi308x", "--on", "h100", "--phase", "decode",
                      "--explain", "--no-record", "--trace", "t.json")  # fmt: skip
    assert code in (0, 1, 3)
    assert "on mi308x" in out
    assert out.count("no time is predicted") == 1
    names = {e["args"]["name"] for e in check(Path("t.json").read_text())["traceEvents"]
             if e["name"] == "process_name"}  # fmt: skip
    assert {name.split(", ")[1] for name in names} == {"vllm", "fused+graph end", "eager end"}


@pytest.mark.parametrize("name", ["trace.json", "new/folder/trace.json.gz"])
def test_a_trace_is_written_beside_the_answer(cg, dense_config, tmp_path, name):
    code, out, err = cg("assess", dense_config, *ASKED, "--trace", name)
    assert code == 0
    assert "memory of all chips" in out, "the answer is printed all the same"
    assert f"trace: {name}" in err
    data = (tmp_path / name).read_bytes()
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode()
    found = check(text)
    names = [e["args"]["name"] for e in found["traceEvents"] if e["name"] == "process_name"]
    assert names[:2] == ["h100 prefill, vllm, P50, 1 chip, predicted (T2)",
                         "h100 prefill, fused+graph end, 1 chip, predicted (T0)"]  # fmt: skip
    assert len(names) == 12
    assert found["otherData"]["command"].startswith("crossgrade assess ")
    assert list((tmp_path / name).parent.glob(".*tmp")) == []
    before = (tmp_path / name).read_bytes()
    (tmp_path / name).write_text("old")
    assert cg("assess", dense_config, *ASKED, "--trace", name)[0] == 0
    assert (tmp_path / name).read_bytes() == before, "it is replaced, and the same answer again"


def test_a_trace_that_cannot_be_written_is_refused_before_any_work(cg, dense_config, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in ("file/trace.json", "folder"):
        code, out, err = cg("assess", dense_config, *ASKED, "--trace", path)
        assert (code, out) == (2, "")
        assert f"error[CG-E208]: cannot write '{path}'" in err
        assert "building" not in err


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_refused_before_any_work(cg, dense_config, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    code, out, err = cg("assess", dense_config, *ASKED, "--trace", closed / "t.json")
    assert (code, out) == (2, "")
    assert "may not be written to" in err


def test_a_trace_and_a_report_in_one_file_are_refused(cg, dense_config):
    code, _, err = cg("assess", dense_config, *ASKED, "--trace", "a", "--html", "a")
    assert code == 2
    assert "name one file twice" in err
