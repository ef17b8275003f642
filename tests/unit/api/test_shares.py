"""Shares of ceilings and data sheets, and the predictor's band, beside a measured time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.unit.measure.simulated import keyed, plan, source

from crossgrade.api import AssessOptions, assess
from crossgrade.api.predicting import predicted_for
from crossgrade.api.shares import described, sheet_rate, with_beside
from crossgrade.chips.loader import load_chip
from crossgrade.measure.harness import run
from crossgrade.predict.phase import predict, prepare
from crossgrade.records.codec import dump, seal, to_json
from crossgrade.values.bench import BenchRow, BenchRun, Interval
from crossgrade.values.beside import Predicted
from crossgrade.values.calibration import Ceiling, Ceilings
from crossgrade.values.evidence import Band
from crossgrade.values.layout import Layout
from crossgrade.values.model_case import ModelCase
from crossgrade.values.operator_case import OperatorCase
from crossgrade.values.record import Record
from crossgrade.workloads.resolve import find_model

H100 = "NVIDIA H100 80GB HBM3"
GEMM = OperatorCase(op="gemm", dtype="bfloat16", arguments={"M": 512, "K": 512, "N": 512})
FACTS = {"device": H100, "runtime": "torch 2.9"}
ENVIRONMENT = {"platform": "Linux", "kernel": "6"}


@pytest.fixture(scope="module")
def measured():
    (result,) = dict(run(keyed(plan(GEMM)), source())).values()
    return result


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSGRADE_HOME", str(tmp_path))
    return tmp_path / "records"


def row(measured, time_s=1e-3, flop=1e9, moved=1e6, facts=None, case=GEMM):
    """Return a case as if it had been measured on that device."""
    audit = replace(measured.audits[0], facts=tuple((facts or FACTS).items()))
    time = Interval(value=time_s, low=time_s, high=time_s) if time_s else None
    mine = replace(measured.variants[0], time_s=time, flop=flop, bytes=moved)
    variant = replace(measured.plan.variants[0], case=case)
    plan_ = replace(measured.plan, variants=(variant,))
    return replace(measured, plan=plan_, audits=(audit,), variants=(mine, measured.variants[1]))


def beside(result):
    run_ = BenchRun(name="x", rows=(BenchRow(key="k", result=result),), notes=(), folder="",
                    environment=ENVIRONMENT)  # fmt: skip
    found = with_beside(run_)
    (one,) = found.rows[0].beside
    return one, found.ceilings[0]


def ceiling(work, precision, rate):
    return Ceiling(work=work, precision=precision, unit="byte/s" if work == "copy" else "FLOP/s",
                   rate=Interval(value=rate, low=rate, high=rate), case=GEMM, sessions=5, sizes=1,
                   narrow=True)  # fmt: skip


def calibrated(home, facts=None):
    """Keep a calibration of 2 TFLOP/s in bf16 and 10 GB/s."""
    ceilings = Ceilings(target="null", facts=facts or FACTS, verdict="measured",
                        rates=(ceiling("copy", None, 1e10), ceiling("matmul", "bf16", 2e12)),
                        sheet="", probed=None, measurements=(), spent_s=0.0)  # fmt: skip
    record = seal(Record(kind="calibration", created="2026-01-02T03:04:05+00:00", passed={},
                         resolved={}, environment=ENVIRONMENT, verdict="measured",
                         data=to_json(ceilings)))  # fmt: skip
    dump(record, home / "20260102T030405Z-calibration-x.json")
    return record


def test_both_shares_and_the_bound_follow_from_the_rates(home, measured):
    record = calibrated(home)
    one, used = beside(row(measured))
    assert used.digest == record.digest
    assert one.ceiling.compute == pytest.approx(1e9 / 1e-3 / 2e12)
    assert one.ceiling.bandwidth == pytest.approx(1e6 / 1e-3 / 1e10)
    assert (one.ceiling.bound, one.ceiling.precision) == ("compute", "bf16")
    assert one.ceiling.value == one.ceiling.compute
    assert one.ceiling.of == f"calibration {record.digest[:8]}"
    assert beside(row(measured, flop=1e6))[0].ceiling.bound == "bandwidth"


def test_the_data_sheet_is_that_of_the_device(home, measured):
    one, used = beside(row(measured))
    h100 = load_chip("h100")
    assert (used.sheet, one.sheet.of, one.sheet.kind) == ("h100", "h100", "claimed")
    assert one.sheet.compute == pytest.approx(1e12 / h100.peak("matrix", "bf16").rate.value)
    assert one.sheet.bandwidth == pytest.approx(1e9 / h100.memory_bandwidth.value)
    assert (one.ceiling.value, one.ceiling.reason) == (None, "no-ceilings")


@pytest.mark.parametrize("name", ["NVIDIA H100 NVL", "something new"])
def test_a_device_that_no_source_names_has_no_data_sheet(home, measured, name):
    one, used = beside(row(measured, facts={**FACTS, "device": name}))
    assert (used.sheet, one.sheet.reason, one.predicted.reason) == ("", "no-data-sheet", "no-chip")
    assert one.place is None


def test_a_stale_calibration_is_not_used(home, measured):
    calibrated(home, {**FACTS, "runtime": "torch 2.8"})
    one, used = beside(row(measured))
    assert (one.ceiling.value, one.ceiling.reason) == (None, "stale-ceilings")
    assert used.stale == ("runtime: torch 2.8 -> torch 2.9",)
    assert "torch 2.8" in one.ceiling.detail


def test_what_is_not_known_has_its_reason(home, measured):
    calibrated(home)
    assert beside(row(measured, flop=None, moved=None))[0].ceiling.reason == "no-work-count"
    assert beside(row(measured, time_s=None))[0].ceiling.reason == "no-time"
    assert beside(row(measured, time_s=None))[0].predicted.reason == "no-time"
    fp64 = replace(GEMM, dtype="float64")
    assert beside(row(measured, moved=None, case=fp64))[0].ceiling.reason == "no-rate"
    half = beside(row(measured, case=fp64))[0].ceiling
    assert (half.compute, half.bound, half.reason) == (None, None, None)
    assert half.value == half.bandwidth


def test_a_rate_of_another_format_does_not_stand_in():
    h100 = load_chip("h100")
    assert sheet_rate(h100, "matmul", "fp32").value == h100.peak("vector", "fp32").rate.value
    assert sheet_rate(h100, "matmul", "mxfp4") is None
    assert sheet_rate(load_chip("mi308x"), "copy", None) is None
    assert sheet_rate(None, "copy", None) is None


def test_a_description_is_the_data_sheet_before_a_probe():
    assert described("h20", None).name == "h20"
    assert described("", None) is None


# the band --------------------------------------------------------------------------------------
def test_the_band_is_that_of_the_predictor():
    from crossgrade.capture.operator import capture_operator

    h100 = load_chip("h100")
    band = predict(prepare(capture_operator(GEMM)), h100, Layout(chips=1)).time_s
    assert predicted_for(GEMM, h100) == Predicted(chip="h100", band=band)


def test_a_band_that_cannot_be_has_its_reason():
    no_values = OperatorCase(op="moe_swiglu_dynamic_quant", dtype="bfloat16", arguments={
        "num_tokens": 64, "hidden_size": 256, "num_experts": 16, "topk": 4, "ep_size": 4,
    })  # fmt: skip
    h100 = load_chip("h100")
    assert predicted_for(GEMM, None).reason == "no-chip"
    assert predicted_for(GEMM, load_chip("mi308x")).reason == "no-prediction"
    assert predicted_for(no_values, h100).reason == "no-capture"
    unknown = predicted_for(replace(GEMM, op="nix"), h100)
    assert (unknown.reason, "nix" in unknown.detail) == ("no-capture", True)
    no_peak = predicted_for(GEMM, load_chip("mtt-s5000"))
    assert (no_peak.reason, no_peak.detail) == ("no-prediction", "no peak of bf16 is known")


@pytest.mark.parametrize(("time_s", "place"), [(1.5, "inside"), (1, "inside"), (2.5, "above"),
                                               (0.5, "below")])  # fmt: skip
def test_a_time_lies_inside_above_or_below(time_s, place):
    band = Band(low=1, high=2, low_name="a", high_name="b", unit="s", kind="predicted")
    assert Predicted(chip="x", band=band).place(time_s) == place
    assert Predicted(chip="x", band=None).place(time_s) is None


def test_the_place_stands_beside_the_time(home, measured):
    band = predicted_for(GEMM, load_chip("h100")).band
    for time_s, place in ((band.low * 0.9, "below"), (band.low, "inside"),
                          (band.high * 1.1, "above")):  # fmt: skip
        one, _ = beside(row(measured, time_s=time_s))
        assert (one.predicted.band, one.place) == (band, place)


SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 512,
         "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}  # fmt: skip


def test_the_band_of_a_model_is_that_of_assess(tmp_path):
    config = {**find_model("qwen3-0.6b").config, **SMALL}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = find_model(str(tmp_path))
    case = ModelCase(model=found.ref, config=found.config, phase="prefill", batch=2, tokens=16,
                     dtype="bfloat16")  # fmt: skip
    asked = AssessOptions(on=("h100",), phases=("prefill",), batch=2, tokens=16, dtype="bf16")
    (answer,) = assess(str(tmp_path), asked).chips
    assert predicted_for(case, load_chip("h100")).band == answer.phases[0].speed.time_s
