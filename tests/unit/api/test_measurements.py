"""Records of `bench model` come before a prediction in `assess`, where they are of the same."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from tests.tiny_models import tiny_config
from tests.unit.measure.simulated import keyed, plan, source

from crossgrade import api
from crossgrade.api.bench_book import bench_record
from crossgrade.environment.fingerprint import fingerprint
from crossgrade.measure.harness import run
from crossgrade.records.codec import dump, seal
from crossgrade.values.bench import Interval
from crossgrade.values.model_case import ModelCase
from crossgrade.values.workload import ModelRef

H100 = {"device": "NVIDIA H100 80GB HBM3", "runtime": "torch 2.9"}
TIME = Interval(value=0.004, low=0.0039, high=0.0041)


@pytest.fixture(scope="module")
def simulated():
    (result,) = dict(run(keyed(plan()), source())).values()
    return result


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSGRADE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "records"


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(tiny_config()))
    return folder


@pytest.fixture
def keep(simulated, home):
    """Return what writes a record of one decode step as if it had been measured on a device."""

    def kept(facts=None, time=TIME, folder=None, environment=None, target="cuda:0", **changes):
        ref = ModelRef(passed="other", name="other", kind="config", runs_code=False)
        fields = {"phase": "decode", "batch": 1, "tokens": 1, "context": 32, "dtype": "bfloat16"}
        case = ModelCase(model=ref, config=tiny_config(), **{**fields, **changes})
        variant = replace(simulated.plan.variants[0], case=case, target=target)
        audit = replace(simulated.audits[0], target=target, facts=tuple((facts or H100).items()))
        row = replace(simulated.variants[0], time_s=time)
        result = replace(
            simulated, plan=replace(simulated.plan, variants=(variant,)), audits=(audit,),
            variants=(row, simulated.variants[1]),
        )  # fmt: skip
        record = bench_record(result, {}, fingerprint() if environment is None else environment)
        place = (folder or home / "20260102T030405Z-bench-x") / f"{case.key}.json"
        dump(record, place)
        return record, place

    return kept


def asked(model, *on, **options):
    given = {"phases": ("decode",), "context": 32, **options}
    answer = api.assess(str(model), api.AssessOptions(on=on or ("h100",), **given))
    return answer, answer.chips[0].phases[0]


def test_the_same_phase_on_such_a_device_is_found_whatever_its_name(model, keep):
    record, path = keep()
    answer, phase = asked(model)
    (one,) = phase.measured
    assert (one.kind, one.target, one.time_s, one.digest) == (
        "measured",
        "cuda:0",
        TIME,
        record.digest,
    )
    assert one.tokens_per_s.value == pytest.approx(250)
    assert one.tokens_per_s.low < 250 < one.tokens_per_s.high
    assert one.record == f"{path.parent.name}/{path.name}"
    assert phase.speed is not None
    assert phase.speed.time_s.high < TIME.value
    assert one.place == "above"
    text = api.render(answer)
    assert "speed (measured; the band beside it is predicted)" in text
    assert "4.00 ms" in text


@pytest.mark.parametrize(("time", "place"), [(1e-9, "below"), (3e-4, "inside"), (1.0, "above")])
def test_it_lies_somewhere_in_the_band(model, keep, time, place):
    keep(time=Interval(value=time, low=time, high=time))
    assert asked(model)[1].measured[0].place == place


def test_one_session_has_no_interval_and_a_time(model, keep):
    keep(time=Interval(value=0.004, low=0.0, high=math.inf))
    answer, phase = asked(model)
    (one,) = phase.measured
    assert (one.verdict, one.tokens_per_s.high) == ("noisy", math.inf)
    assert "4.00 ms, interval unknown" in api.render(answer)
    assert "unknown" in api.html_report(answer, command="x", created="2026-01-02T03:04:05+00:00")


def test_what_is_known_well_comes_before_what_is_fast(model, keep, home):
    wide = Interval(value=0.001, low=0.0005, high=0.002)
    narrow = Interval(value=0.004, low=0.00399, high=0.00401)
    keep(folder=home / "a", target="compile:cuda:0", time=wide)
    keep(folder=home / "b", time=narrow)
    measured = asked(model)[1].measured
    assert [(one.target, one.verdict) for one in measured] == [
        ("cuda:0", "measured"), ("compile:cuda:0", "noisy")
    ]  # fmt: skip


def test_a_step_of_training_is_the_same_with_the_same_optimizer_alone(model, keep):
    keep(phase="train", tokens=16, context=0, optimizer="sgd")
    given = {"phases": ("train",), "tokens": 16, "context": None}
    assert len(asked(model, optimizer="sgd", **given)[1].measured) == 1
    _, phase = asked(model, optimizer="adamw", **given)
    assert phase.measured == ()
    assert "--optimizer sgd" in phase.measured_near[0]


def test_weights_of_a_checkpoint_and_random_ones_are_two_rows(model, keep, home):
    keep(folder=home / "a")
    keep(folder=home / "b", weights="/somewhere/real")
    assert sorted(one.weights for one in asked(model)[1].measured) == ["random", "real"]


def test_a_link_that_leads_nowhere_is_passed_over(model, keep, home):
    keep()
    (home / "x-decode-1.json").symlink_to(home / "gone")
    assert len(asked(model)[1].measured) == 1


@pytest.mark.parametrize("other", [
    {"context": 33}, {"batch": 2}, {"dtype": "float32"}, {"config": tiny_config(hidden_size=128)},
    {"compute": "float32"}, {"phase": "prefill", "tokens": 32, "context": 0},
])  # fmt: skip
def test_what_is_not_the_same_is_not_taken(model, keep, other):
    if "config" in other:
        config = other.pop("config")
        keep(**other)  # the usual one, and beside it one of another model
        (model / "config.json").write_text(json.dumps(config))
    else:
        keep(**other)
    assert asked(model)[1].measured == ()


def test_a_cache_in_another_format_was_not_measured(model, keep):
    keep()
    assert len(asked(model)[1].measured) == 1
    _, phase = asked(model, kv="fp8")
    assert (phase.measured, phase.measured_near) == ((), ())


def test_other_sizes_that_are_measured_are_told(model, keep):
    keep(context=64)
    answer, phase = asked(model)
    assert phase.measured_near == ("--phase decode --batch 1 --tokens 1 --context 64 --dtype bf16",)
    assert "--context 64" in api.render(answer)


def test_another_device_is_not_the_chip(model, keep):
    keep()
    assert asked(model, "ascend-910b2")[1].measured == ()


def test_a_folder_is_named_or_none_is_looked_at(model, keep, tmp_path):
    keep(folder=tmp_path / "brought")
    assert asked(model)[1].measured == ()
    brought = (str(tmp_path / "brought"),)
    assert len(asked(model, measured_in=brought)[1].measured) == 1
    assert asked(model, measured_in=brought, measured=False)[1].measured == ()


def test_the_newest_of_a_target_counts_and_the_fastest_comes_first(model, keep, home):
    first, _ = keep(folder=home / "a")
    old = replace(first, created="2020-01-01T00:00:00+00:00")
    keep(folder=home / "c", target="compile:cuda:0", time=Interval(value=1e-3, low=1e-3, high=1e-3))
    dump(seal(replace(old, digest="")), home / "b" / "other-decode-0.json")
    measured = asked(model)[1].measured
    assert [one.target for one in measured] == ["compile:cuda:0", "cuda:0"]
    assert measured[1].created == first.created


def test_this_machine_is_the_cpu_and_another_one_is_not(model, keep):
    here = {"device": fingerprint()["cpu"], "runtime": "torch 1.0", "threads": "2"}
    keep(facts=here, target="cpu", environment={**fingerprint(), "torch": "1.0"})
    (one,) = asked(model, "cpu")[1].measured
    assert any("torch 1.0, now" in remark for remark in one.remarks)
    keep(facts=here, target="cpu", environment={**fingerprint(), "cpus": "1000"})
    assert asked(model, "cpu")[1].measured == ()


def test_a_changed_record_is_told_and_not_used(model, keep):
    _, path = keep()
    path.write_text(path.read_text().replace('"cuda:0"', '"cuda:1"'))
    answer, phase = asked(model)
    assert phase.measured == ()
    assert any("no measured time" in note and path.name in note for note in answer.notes)


def test_several_chips_are_not_compared_with_a_measurement_of_one(model, keep):
    keep(time=Interval(value=0.00321, low=0.0032, high=0.0033))
    answer, phase = asked(model, chips=2)
    assert phase.measured[0].place is None
    assert phase.answer is None
    assert "measured, of one device" in api.render(answer)
    assert "3.21 ms (measured" not in api.markdown_report(answer, command="x")


def test_pages_and_pull_requests_show_it(model, keep):
    keep(time=Interval(value=0.00321, low=0.0032, high=0.0033))
    answer, _ = asked(model)
    page = api.html_report(answer, command="x", created="2026-01-02T03:04:05+00:00")
    assert 'id="measured-decode"' in page
    assert "3.21 ms" in page
    assert "no number on this page is measured" not in page
    assert "Predicted, not measured" not in api.markdown_report(answer, command="x")
    assert "3.21 ms (measured, cuda:0)" in api.markdown_report(answer, command="x")
