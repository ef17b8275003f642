"""Kernel points are kept with a calibration, fitted, fitted again, and used where they hold."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossgrade.api import (
    AssessOptions,
    CalibrateOptions,
    assess,
    calibrate,
    ceilings_for,
    fit_stored,
    knowledge_for,
    verify_records,
)
from crossgrade.api.calibrating import stored_calibration
from crossgrade.api.calibrating_kernels import calibrated_chip, stack_of
from crossgrade.chips.loader import load_chip
from crossgrade.errors import BadOption, BadRecord, UnknownChip
from crossgrade.measure.point_kinds import kind_of, product, vector
from crossgrade.predict.silicon.estimate import estimate
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.records.codec import dump, load, seal
from crossgrade.targets.simulated.work import duration_ns
from crossgrade.values.kernel import SIZES, KernelRows

pytest.importorskip("scipy")
_BARE = load_chip("mlu370")


def _rate(constant, value):
    return replace(constant, value=value)


CHIP = replace(
    _BARE, memory_bandwidth=_rate(_BARE.memory_bandwidth, 1.2e11),
    peaks=tuple(replace(peak, rate=_rate(peak.rate, 1.3e12)) for peak in _BARE.peaks),
)  # fmt: skip
"""A chip with a data sheet like what the made-up device does: 1 TFLOP/s and 100 GB/s."""
OLD = Path(__file__).parents[2] / "data/calibrations/without-points.json"
POINTS = CalibrateOptions(on="null", points=40, chip="mlu370")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a calibration of the made-up device with points, and the folder of its records."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSGRADE_HOME", str(home))
        patch.setattr("crossgrade.chips.loader.load_chip", lambda name: CHIP)
        return calibrate(POINTS), home / "records"


def rows_of(case) -> KernelRows:
    kind = kind_of(case)
    columns = {name: np.array([kind.sizes[name]]) for name in SIZES[kind.family]}
    return KernelRows(family=kind.family, op=kind.op, format=kind.format, stack="null",
                      sizes=columns)  # fmt: skip


def resealed(record, **fields):
    return seal(replace(record, digest="", **fields))


def test_every_point_has_a_time_and_every_family_a_fit(made):
    kernels = made[0].kernels
    assert (kernels.chip, kernels.stack, kernels.wanted) == ("mlu370", "null", 40)
    assert len(kernels.points) == len(kernels.measurements) == 40
    assert all(point.seconds and point.sessions >= 5 for point in kernels.points)
    assert {score.family for score in kernels.scores} == {"matmul", "vector", "attention"}
    assert made[0].exit_code == 0


def test_times_of_the_made_up_device_come_back_at_sizes_never_seen(made):
    known = knowledge_for(CHIP, folder=made[1])
    # Of vector kernels it knows elements and no traffic: operations differ from what they move.
    for case, near in (
        (product("bfloat16", 900, 1100, 1300), 0.15), (product("bfloat16", 3000, 700, 2000), 0.15),
        (vector("add", "bfloat16", 700, 3000), 0.35), (vector("mul", "bfloat16", 90, 9000), 0.35),
    ):  # fmt: skip
        found = estimate(rows_of(case), CHIP, known)
        assert found.tier == "T2"
        assert found.mid[0] == pytest.approx(duration_ns(case) / 1e9, rel=near), case


def test_points_beside_the_record_read_back_as_they_were(made):
    again = stored_calibration(Path(made[0].record))
    assert again.kernels == made[0].kernels
    assert again.ceilings == made[0].ceilings
    found = ceilings_for("null", made[0].ceilings.facts, None, made[1])
    assert found.ceilings == made[0].ceilings


def test_a_record_without_points_has_none_and_knows_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSGRADE_HOME", str(tmp_path))
    found = calibrate(CalibrateOptions(on="null", budget_s=5.0))
    assert found.kernels is None
    assert "kernels" not in load(Path(found.record)).data
    assert stored_calibration(Path(found.record)).kernels is None
    assert knowledge_for(CHIP).fits == shipped().fits
    with pytest.raises(BadRecord, match="has no fitted kernels"):
        knowledge_for(CHIP, calibrations=[Path(found.record)])
    with pytest.raises(BadRecord, match="no kernel points"):
        fit_stored(Path(found.record))


def test_a_record_of_a_version_that_knew_no_points_is_read():
    found = stored_calibration(OLD)
    assert found.kernels is None
    assert found.ceilings.rate("matmul", "fp32").rate.value == pytest.approx(1e12, rel=0.05)
    assert [v.state for v in verify_records([OLD])] == ["sound"]


def test_its_points_follow_from_its_samples(made, tmp_path):
    (sound,) = verify_records([Path(made[0].record)])
    assert sound.state == "sound"
    record = load(Path(made[0].record))
    data = json.loads(json.dumps(record.data))
    data["kernels"]["points"][3]["seconds"]["value"] *= 1.5
    dump(resealed(record, data=data), tmp_path / "changed.json")
    (found,) = verify_records([tmp_path / "changed.json"])
    assert found.state == "inconsistent"
    assert any("kernels.points" in fault for fault in found.faults)


def test_it_holds_for_its_chip_alone(made):
    assert knowledge_for(load_chip("a100"), folder=made[1]).fits == shipped().fits
    named = knowledge_for(load_chip("a100"), calibrations=[Path(made[0].record)], folder=made[1])
    assert named.fits == shipped().fits


def test_one_that_no_chip_can_use_is_refused(made):
    path = Path(made[0].record)
    assert calibrated_chip(path)[0] == "mlu370"
    with pytest.raises(BadOption, match="of mlu370, which is not asked for"):
        assess("qwen3-0.6b", AssessOptions(on=("a100",), calibrations=(path,)))


def test_the_newest_rules_and_a_named_one_goes_before_it(made, tmp_path):
    record = load(Path(made[0].record))
    for hour, error in (("01", 0.11), ("02", 0.22)):
        data = json.loads(json.dumps(record.data))
        for fit in data["kernels"]["fits"]:
            fit["error"] = error
        dump(resealed(record, data=data), tmp_path / f"20260101T{hour}0000Z-calibration-x.json")
    newest = knowledge_for(CHIP, folder=tmp_path)
    assert {f.error for f in newest.fits if f.chip == "mlu370"} == {0.22}
    named = knowledge_for(CHIP, calibrations=[tmp_path / "20260101T010000Z-calibration-x.json"],
                          folder=tmp_path)  # fmt: skip
    assert {f.error for f in named.fits if f.chip == "mlu370"} == {0.11}


def test_one_of_a_probed_processor_holds_there_with_the_same_settings_only(
    made, tmp_path, monkeypatch
):
    record = load(Path(made[0].record))
    probed = {**json.loads(json.dumps(record.data)), "probed": {"name": "cpu", "title": "This one"}}
    probed["kernels"]["chip"] = "cpu"
    for fit in probed["kernels"]["fits"]:
        fit["chip"] = "cpu"
    dump(resealed(record, data=probed), tmp_path / "20260101T010000Z-calibration-x.json")
    here = replace(CHIP, name="cpu", title="This one")
    assert any(f.chip == "cpu" for f in knowledge_for(here, folder=tmp_path).fits)
    other = knowledge_for(replace(here, title="Another"), folder=tmp_path)
    assert not any(f.chip == "cpu" for f in other.fits)
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    assert not any(f.chip == "cpu" for f in knowledge_for(here, folder=tmp_path).fits)


def test_a_file_that_cannot_be_read_hides_no_other(made, tmp_path):
    dump(load(Path(made[0].record)), tmp_path / "20260101T000000Z-calibration-good.json")
    (tmp_path / "20260102T000000Z-calibration-bad.json").write_text("{")
    assert any(f.chip == "mlu370" for f in knowledge_for(CHIP, folder=tmp_path).fits)


def test_without_scipy_the_points_are_kept_and_fitted_later(made, tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSGRADE_HOME", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "scipy", None)
        bare = calibrate(replace(POINTS, points=30, budget_s=60.0))
    assert bare.kernels.fits == ()
    assert "pip install 'crossgrade[fit]'" in bare.kernels.why
    assert len(bare.kernels.points) == 30
    assert bare.exit_code == 3
    later = fit_stored(Path(bare.record), "mlu370")
    assert later.kernels.points == bare.kernels.points
    assert later.kernels.fits
    assert later.kernels.why == ""
    record = load(Path(later.record))
    assert record.resolved["fitted_from"] == bare.digest
    assert [v.state for v in verify_records([Path(later.record)])] == ["sound"]
    assert any(f.chip == "mlu370" for f in knowledge_for(CHIP).fits)


def test_a_device_that_nobody_describes_keeps_its_points_and_says_what_to_do(made):
    found = fit_stored(Path(made[0].record), record=False)
    assert (found.kernels.chip, found.kernels.fits, found.record) == ("", (), "")
    assert "--fit RECORD --chip NAME" in found.kernels.why


def test_an_interrupted_run_is_taken_up_among_its_points(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSGRADE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "scipy", None)  # a fit takes time and has no part in it
    options = replace(POINTS, points=30, budget_s=60.0)
    told: list[str] = []

    def stop(text):
        told.append(text)
        if "of 10 cases done" in text and text.startswith("4 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(options, narrate=stop)
    before = sum("session" in text for text in told)
    again = calibrate(options)
    assert again.taken_up == before > 30
    assert len(list((tmp_path / "records").iterdir())) == 1
    whole = calibrate(options, record=False).kernels
    assert [p.case for p in again.kernels.points] == [p.case for p in whole.points]
    assert [p.seconds.value for p in again.kernels.points] == pytest.approx(
        [p.seconds.value for p in whole.points], rel=1e-3
    )


def test_formats_that_a_device_refuses_and_kernels_that_fail_are_rows(monkeypatch):
    from crossgrade.measure import points as module

    broken = module.vector

    def failing(op, dtype, rows, columns, *, seed=0):
        case = broken(op, dtype, rows, columns, seed=seed)
        more = {"sim_fail": "out-of-memory"} if op == "softmax" else {}
        return replace(case, arguments={**case.arguments, **more})

    monkeypatch.setattr(module, "vector", failing)
    monkeypatch.setitem(sys.modules, "scipy", None)
    kernels = calibrate(replace(POINTS, points=30, budget_s=60.0), record=False).kernels
    lost = [point for point in kernels.points if point.seconds is None]
    assert {(point.op, point.reason) for point in lost} == {("softmax", "out-of-memory")}
    assert len(kernels.points) == 30


@pytest.mark.parametrize("change", [
    {"points": 5}, {"points": 29}, {"points": 301}, {"points": -30},
    {"points": 60, "budget_s": 10.0},
])  # fmt: skip
def test_what_makes_no_sense_is_refused(change):
    with pytest.raises(BadOption):
        calibrate(replace(POINTS, **change))


def test_an_unknown_chip_is_refused_before_anything_is_measured():
    with pytest.raises(UnknownChip):
        calibrate(replace(POINTS, chip="h1000"), narrate=lambda text: pytest.fail(text))


def test_time_is_shared_between_ceilings_and_points():
    usual = CalibrateOptions(on="cpu", points=60)
    assert (usual.seconds, usual.points_s) == (40.0, 360.0)
    given = replace(usual, budget_s=80.0)
    assert (given.seconds, given.points_s) == (20.0, 60.0)
    assert replace(usual, budget_s=1000.0).seconds == 40.0
    assert replace(usual, points=0, budget_s=1000.0).seconds == 1000.0


def test_the_stack_is_the_compiler_or_the_runtime():
    torch = {"runtime": "torch 2.13.0"}
    assert stack_of("cpu", torch) == "torch"
    assert stack_of("compile:cpu", {**torch, "compiler": "inductor"}) == "compile"
    assert stack_of("onnxruntime:cuda", {"runtime": "onnxruntime 1.22"}) == "onnxruntime"
    assert stack_of("faulty:jitter", {"runtime": "faulty:jitter"}) == "faulty"
