"""`calibrate` as a user runs it, and what `bench op` and `records` make of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.e2e.bench_lines import gemm, one_record, suite

from crossgrade.records.codec import dump, load, seal


def test_it_is_a_table_with_the_record_behind_it(cg, tmp_path):
    code, out, err = cg("calibrate", "--on", "null")
    assert code == 0
    assert "# simulated through null: measured" in out
    for work in ("copy", "matmul fp64", "matmul tf32", "matmul bf16", "matmul fp8", "matmul int8"):
        assert f"| {work} |" in out
    assert "no described chip is known to be `simulated`" in out
    assert re.search(rf"record: {tmp_path}/home/records/\S+-calibration-\S+/calibration.json", out)
    assert err == "auditing the timers of null\n"


def test_it_is_one_document(cg):
    code, out, _ = cg("calibrate", "--on", "null", "--json", "--no-record")
    document = json.loads(out)
    assert (code, document["command"], document["verdict"]) == (0, "calibrate", "measured")
    data = document["data"]
    assert data["record"] == ""
    assert data["ceilings"]["rates"][0]["rate"]["value"] == pytest.approx(1e11, rel=1e-3)
    assert data["ceilings"]["measurements"][0]["sessions"][0]["spans_ns"]
    assert data["sheet"] == [None] * len(data["ceilings"]["rates"])


def test_bench_shows_shares_of_it_and_names_it(cg):
    cg("calibrate", "--on", "null", "--out", "made")
    digest = load(one_record("made")).digest
    code, out, _ = cg("bench", "op", "gemm", "--on", "null", "--m", 512, "--n", 512, "--k", 512)
    assert code == 0
    assert "| null | 100 % of compute fp32 | no-data-sheet | no-chip |  |" in out
    assert f"null: ceilings of calibration {digest[:8]} of " in out
    _, out, _ = cg("bench", "op", "add", "--on", "null", "--json")
    data = json.loads(out)["data"]
    assert data["ceilings"][0]["digest"] == digest
    (beside,) = data["rows"][0]["beside"]
    assert beside["ceiling"]["bound"] == "bandwidth"
    assert 0.9 < beside["ceiling"]["bandwidth"] < 1
    record = load(Path(data["rows"][0]["record"]))
    assert "beside" not in json.dumps(record.data)


def test_without_one_bench_says_once_how_it_is_made(cg):
    path = suite("s.json", gemm(), gemm(128))
    _, out, _ = cg("bench", "op", "--suite", path, "--on", "null", "--out", "run")
    assert out.count("no measured ceilings of this device: crossgrade calibrate --on null") == 1
    assert "beside the measured times" not in out


def test_a_later_calibration_serves_an_older_record(cg):
    cg("bench", "op", "gemm", "--on", "null", "--out", "run")
    before = one_record("run").read_bytes()
    cg("calibrate", "--on", "null")
    code, out, _ = cg("records", "show", "run")
    assert code == 0
    assert "of the measured ceiling" in out
    assert one_record("run").read_bytes() == before


def test_one_of_another_software_is_told_and_not_used(cg, tmp_path):
    cg("calibrate", "--on", "null", "--out", "made")
    (copy,) = (tmp_path / "home/records").glob("*-calibration-*.json")
    record = load(copy)
    data = {**record.data, "facts": {**record.data["facts"], "runtime": "null 0.1"}}
    fields = {f: getattr(record, f) for f in record.__dataclass_fields__}
    dump(seal(type(record)(**{**fields, "data": data})), copy)
    _, out, _ = cg("bench", "op", "gemm", "--on", "null")
    assert "does not hold here (runtime: null 0.1 -> null): crossgrade calibrate --on null" in out
    assert "of the measured ceiling" not in out


def test_its_record_is_verified_and_shown(cg):
    _, first, _ = cg("calibrate", "--on", "null", "--out", "made")
    code, out, _ = cg("records", "verify", "made")
    assert code == 0
    assert "its statistics follow from its samples" in out
    code, out, _ = cg("records", "show", one_record("made"))
    assert code == 0
    assert out == first
    text = one_record("made").read_text().replace('"work": "copy"', '"work": "matmul"')
    one_record("made").write_text(text)
    assert cg("records", "verify", "made")[0] == 1


def test_a_finished_one_in_a_folder_is_shown_again(cg):
    line = ("calibrate", "--on", "null", "--out", "made")
    _, first, _ = cg(*line)
    _, second, err = cg(*line)
    assert (second, err) == (first, "")


@pytest.mark.parametrize(("words", "code", "said"), [
    (("--on", "nul"), 2, "did you mean null"),
    (("--on", "h100"), 2, "assess MODEL --on h100"),
    (("--on", "npu:0"), 3, "hint: "),
    (("--budget", "0"), 2, "a second or more"),
    (("--budget", "nan"), 2, "a second or more"),
    (("--on", "null", "--out", "file/here"), 2, "cannot write in the folder"),
    (("--points", "5"), 2, "30 to 300"),
    (("--points", "60", "--budget", "9"), 2, "too short for 60 points"),
    (("--points", "30", "--chip", "h1000"), 2, "did you mean"),
    (("--fit", "file"), 2, "file"),
    (("--fit", "file", "--points", "60"), 2, "--fit measures nothing"),
])  # fmt: skip
def test_what_is_wrong_is_one_line_with_a_hint_and_leaves_nothing(cg, tmp_path, words, code, said):
    Path("file").touch()
    found, out, err = cg("calibrate", *words)
    (line,) = [ln for ln in err.splitlines() if not ln.startswith("auditing")]
    assert (found, out) == (code, "")
    assert line.startswith("error[CG-E")
    assert said in line
    assert list(tmp_path.glob("home/records/*")) == []


def test_a_folder_of_another_calibration_is_left_as_it_is(cg):
    cg("calibrate", "--on", "null", "--out", "made")
    code, _, err = cg("calibrate", "--on", "null", "--out", "made", "--seed", 1)
    assert code == 2
    assert "holds a run with other cases or options" in err


def test_a_real_cpu_has_rates_a_probe_beside_them_and_reasons(cg):
    pytest.importorskip("torch")
    code, out, err = cg("calibrate", "--on", "cpu", "--budget", 4, "--json", "--out", "made")
    assert code in (0, 3), err
    data = json.loads(out)["data"]
    rates = {one["precision"]: one for one in data["ceilings"]["rates"]}
    fp32 = rates["fp32"]  # On a busy machine four seconds may be too few for it.
    assert fp32["reason"] or fp32["rate"]["value"] > 0
    assert rates["tf32"]["rate"] is None
    assert rates["tf32"]["reason"] == "unsupported-format"
    assert data["ceilings"]["probed"]["name"] == "cpu"
    assert {row["kind"] for row in data["sheet"] if row} == {"measured"}
    for one in data["ceilings"]["rates"]:
        assert (one["rate"] is None) == (one["reason"] is not None)
    assert cg("records", "verify", "made")[0] == 0


@pytest.mark.slow  # forty seconds; under load, fewer points get a time
def test_points_on_a_real_cpu_are_measured_fitted_and_kept(cg, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("scipy")
    # A quarter of the fits, for time.
    monkeypatch.setattr("crossgrade.predict.calibration.LOOSENESS", (1.0,))
    monkeypatch.setattr("crossgrade.predict.calibration.FOLDS", 3)
    code, out, err = cg("calibrate", "--points", 30, "--budget", 16, "--out", "made", "--json")
    assert code in (0, 3), err
    kernels = json.loads(out)["data"]["kernels"]
    assert (kernels["chip"], kernels["stack"], kernels["wanted"]) == ("cpu", "torch", 30)
    assert {point["family"] for point in kernels["points"]} == {"matmul", "vector", "attention"}
    for point in kernels["points"]:
        assert (point["seconds"] is None) == (point["reason"] is not None)
    assert load(one_record("made")).data["kernels"]["points"] == kernels["points"]


def test_points_of_a_made_up_device_are_a_table_and_shown_again(cg, monkeypatch):
    pytest.importorskip("scipy")
    monkeypatch.setattr("crossgrade.predict.calibration.LOOSENESS", (1.0,))
    code, out, _ = cg("calibrate", "--on", "null", "--points", 30,
                      "--chip", "mlu370", "--out", "made")  # fmt: skip
    assert code == 0
    assert "30 kernel points to fit, of 30 asked for, through null" in out
    for kind in ("matmul bf16", "attention decode bf16", "vector bf16"):
        assert f"| {kind} |" in out
    assert "fitted for mlu370" in out
    assert cg("records", "show", one_record("made"))[1] == out
    code, answer, err = cg("assess", "qwen3-0.6b", "--on", "mlu370", "--phase", "decode",
                           "--calibration", one_record("made"), "--out", "answers")  # fmt: skip
    assert code == 0, err
    assert "this chip" in answer
    assert json.loads(one_record("answers").read_text())["passed"]["calibrations"] == [
        str(one_record("made"))
    ]
    code, out, _ = cg("calibrate", "--fit", one_record("made"), "--no-record")
    assert code == 3
    assert "nothing is fitted: no described chip is known to be `simulated`" in out
    assert "record:" not in out
