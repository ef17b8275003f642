"""Calibrations are kept, found again while they hold, and not used when they do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from crossgrade.api import CalibrateOptions, calibrate, ceilings_for, verify_records
from crossgrade.api.calibrating import BUDGET_FRESH_S, BUDGET_S, stored_calibration
from crossgrade.environment.fingerprint import fingerprint
from crossgrade.errors import BadOption, BadRecord, TargetAbsent
from crossgrade.records.codec import dump, load, seal
from crossgrade.records.store import default_folder

NULL = CalibrateOptions(on="null")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a calibration of the made-up device, and the folder of its records."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSGRADE_HOME", str(home))
        return calibrate(NULL), home / "records"


def look(made, facts=None, environment=None, target="null"):
    found, folder = made
    return ceilings_for(target, facts or found.ceilings.facts, environment, folder)


def test_it_is_found_again(made):
    found = look(made)
    assert found.ceilings == made[0].ceilings
    assert found.used.digest == made[0].digest
    assert Path(found.used.path) == Path(made[0].record)
    assert found.used.stale == ()


@pytest.mark.parametrize(("name", "value"), [
    ("runtime", "torch 99"), ("threads", "1"), ("uuid_sha256", "0123456789abcdef"),
])  # fmt: skip
def test_another_state_of_the_target_makes_it_stale_and_is_told(made, name, value):
    before = made[0].ceilings.facts
    found = look(made, {**before, name: value})
    assert found.ceilings is None
    assert found.used.stale == (f"{name}: {before.get(name, 'none')} -> {value}",)
    assert found.used.created
    assert found.used.digest == ""


@pytest.mark.parametrize("name", ["nvidia_driver", "kernel", "cpus", "$OMP_NUM_THREADS"])
def test_another_driver_system_or_setting_makes_it_stale(made, name):
    found = look(made, environment={**fingerprint(), name: "another"})
    assert found.ceilings is None
    assert [text.partition(":")[0] for text in found.used.stale] == [name]


@pytest.mark.parametrize("name", ["code_sha256", "crossgrade", "transformers", "python"])
def test_what_no_rate_depends_on_does_not(made, name):
    assert look(made, environment={**fingerprint(), name: "another"}).ceilings is not None


def test_another_device_or_runtime_has_none(made):
    facts = made[0].ceilings.facts
    for found in (look(made, {**facts, "device": "another"}), look(made, target="faulty:jitter")):
        assert found.ceilings is None
        assert found.used.stale == ()
    assert found.used.command == "crossgrade calibrate --on faulty:jitter"


def test_the_newest_that_holds_is_used(made, tmp_path):
    record = load(Path(made[0].record))
    for hour, runtime in (("01", "null"), ("02", "null"), ("03", "torch 99")):
        data = {**record.data, "facts": {"device": "simulated", "runtime": runtime}}
        other = seal(replace(record, data=data, created=f"2026-01-01T{hour}:00:00+00:00"))
        dump(other, tmp_path / f"20260101T{hour}0000Z-calibration-x.json")
    found = ceilings_for("null", made[0].ceilings.facts, None, tmp_path)
    assert found.used.created.startswith("2026-01-01T02")


def test_a_file_that_cannot_be_read_is_told_and_hides_no_other(made, tmp_path):
    dump(load(Path(made[0].record)), tmp_path / "20260101T000000Z-calibration-good.json")
    (tmp_path / "20260102T000000Z-calibration-bad.json").write_text("{")
    found = ceilings_for("null", made[0].ceilings.facts, None, tmp_path)
    assert found.ceilings is not None
    (told,) = found.used.unreadable
    assert told.startswith("20260102T000000Z-calibration-bad.json: ")


def test_a_record_follows_from_its_samples(made):
    (found,) = verify_records([Path(made[0].record)])
    assert (found.state, found.kind) == ("sound", "calibration")
    assert "its statistics follow from its samples" in found.checks


@pytest.mark.parametrize("change", ["rate", "sample", "verdict"])
def test_a_changed_rate_is_found_though_it_is_sealed_anew(made, tmp_path, change):
    record = load(Path(made[0].record))
    data = json.loads(json.dumps(record.data))
    if change == "rate":
        data["rates"][1]["rate"]["value"] *= 1.1
    elif change == "sample":
        spans = data["measurements"][0]["sessions"][0]["spans_ns"]
        data["measurements"][0]["sessions"][0]["spans_ns"] = [s * 2 for s in spans]
    else:
        data["verdict"] = "incomplete"
    dump(seal(replace(record, data=data)), tmp_path / "changed.json")
    (found,) = verify_records([tmp_path / "changed.json"])
    assert found.state == "inconsistent"
    assert found.faults


def test_a_folder_of_ones_own_gets_the_record_and_the_home_a_copy(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSGRADE_HOME", str(tmp_path / "home"))
    found = calibrate(replace(NULL, budget_s=5.0, folder=tmp_path / "here"))
    assert Path(found.record).parent == tmp_path / "here"
    used = ceilings_for("null", found.ceilings.facts).used
    assert used.digest == found.digest
    assert Path(used.path).parent == default_folder()


def test_without_a_record_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSGRADE_HOME", str(tmp_path / "home"))
    found = calibrate(replace(NULL, budget_s=5.0), record=False)
    assert found.record == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("after", [3, 60])
def test_an_interrupted_one_is_taken_up(tmp_path, monkeypatch, after):
    monkeypatch.setenv("CROSSGRADE_HOME", str(tmp_path / "home"))
    told = []

    def stop(text):
        told.append(text)
        if len(told) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(NULL, narrate=stop)
    again = calibrate(NULL)
    assert again.taken_up == sum("session" in text for text in told)
    assert len(list((tmp_path / "home/records").iterdir())) == 1
    whole = calibrate(NULL, record=False).ceilings.rates
    assert [one.case for one in again.ceilings.rates] == [one.case for one in whole]
    # Sessions come in another order, and the made-up clock rounds to its own time.
    assert [one.rate.value for one in again.ceilings.rates] == pytest.approx(
        [one.rate.value for one in whole], rel=1e-4
    )


def test_what_makes_no_sense_is_refused(tmp_path):
    for options in (CalibrateOptions(on=""), CalibrateOptions(budget_s=0.5),
                    CalibrateOptions(budget_s=float("nan"))):  # fmt: skip
        with pytest.raises(BadOption):
            calibrate(options)
    with pytest.raises(TargetAbsent):
        calibrate(CalibrateOptions(on="npu:0"), record=False)
    with pytest.raises(BadRecord):
        stored_calibration(tmp_path / "none.json")


def test_the_time_depends_on_what_a_session_costs():
    assert CalibrateOptions(on="cpu").seconds == NULL.seconds == BUDGET_S
    assert CalibrateOptions(on="npu:0").seconds == BUDGET_FRESH_S
    assert CalibrateOptions(on="npu:0", budget_s=7).seconds == 7
