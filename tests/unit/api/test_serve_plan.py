"""Options of `bench serve` become a plan; what would be another measurement has another plan."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.tiny_models import tiny_config

from crossgrade.api import ServeOptions, serve_plan
from crossgrade.errors import BadOption
from crossgrade.serving.loads import schedule_of

URL = "http://127.0.0.1:1/v1"


def options(**given):
    return ServeOptions(**{"url": URL, **given})


def local(folder, **given):
    return serve_plan(ServeOptions(local=str(folder), **given))


@pytest.fixture
def model(tmp_path):
    def written(name, **changes):
        folder = tmp_path / name / "hf"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(tiny_config(**changes)))
        return folder

    return written


def trace(folder, name, first):
    folder.mkdir()
    lines = [{"timestamp": 10 * i, "input_length": first + i, "output_length": 4}
             for i in range(30)]  # fmt: skip
    (folder / name).write_text("\n".join(map(json.dumps, lines)))
    return str(folder / name)


@pytest.mark.parametrize("rates", [(2.0, 4.0), (1.0,), (20.0,)])
def test_the_arrivals_of_an_open_loop_fit_into_its_share_of_the_budget(rates):
    plan = serve_plan(options(rates=rates))
    share_s = plan.budget_s / plan.least_sessions / len(plan.loads)
    for place, load in enumerate(plan.loads):
        lasts = [schedule_of(load, seed=0, index=i, place=place).offsets_s[-1] for i in range(40)]
        assert np.mean(np.array(lasts) > 0.8 * share_s) <= 0.05
        assert load.requests >= 10


def test_a_rate_that_is_too_seldom_is_refused_with_the_budget_that_would_do():
    with pytest.raises(BadOption) as refused:
        serve_plan(options(rates=(0.1,)))
    budget = float(refused.value.hint.split()[1].rstrip(","))
    assert serve_plan(options(rates=(0.1,), budget_s=budget)).loads[0].requests >= 10
    assert serve_plan(options(rates=(0.1,), requests=3)).loads[0].requests == 3


def test_users_have_warm_ups_and_enough_requests():
    few, many = serve_plan(options(users=(2, 200))).loads
    assert (few.requests, few.warmups) == (100, 8)
    assert (many.requests, many.warmups) == (800, 200)
    assert serve_plan(options(users=(16,), warmups=0)).loads[0].warmups == 16


def test_an_address_is_kept_without_what_is_secret():
    plan = serve_plan(options(url="http://me:secret@host:8000/v1/?token=secret#x"))
    assert plan.endpoint == "http://host:8000/v1"


def test_models_of_one_name_are_told_apart_by_what_is_in_them(model):
    one, same, other = model("a"), model("b"), model("c", hidden_size=128)
    assert local(one).server == local(same).server
    assert local(one).server != local(other).server
    assert str(one.parent) not in json.dumps(dict(local(one).server))


def test_weights_are_told_apart_too(model, tmp_path):
    plans = []
    for name, size in (("w1", 10), ("w2", 20)):
        folder = tmp_path / name / "weights"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"x" * size)
        plans.append(local(model(name + "m"), weights=folder).server["weights"])
    assert plans[0] != plans[1]
    assert all(found.startswith("weights ") for found in plans)


def test_traces_are_told_apart_by_what_is_in_them(tmp_path):
    one = trace(tmp_path / "a", "x.jsonl", 10)
    other = trace(tmp_path / "b", "x.jsonl", 20)
    digests = {serve_plan(options(traces=(t,))).loads[0].trace_digest for t in (one, other)}
    assert len(digests) == 2
    with pytest.raises(BadOption, match="two loads are called trace-x"):
        serve_plan(options(traces=(one, other)))


def test_rates_that_look_alike_are_refused():
    with pytest.raises(BadOption, match="two loads are called rate-10"):
        serve_plan(options(rates=(10.0, 10.0000001)))


@pytest.mark.parametrize(("given", "option"), [
    ({"dtype": "fp32"}, "--dtype"), ({"slots": 4}, "--slots"), ({"device": "cuda"}, "--device"),
    ({"pace": 2.0}, "--pace"), ({"most_in_flight": 4}, "--max-concurrency"),
    ({"users": (5, 0)}, "--concurrency 0"), ({"rates": (1e7,)}, "--rate 1e+07"),
    ({"budget_s": float("nan")}, "--budget nan"), ({"least_sessions": 3}, "--sessions 3"),
    ({"requests": 0}, "--requests 0"), ({"half_width": 0.9}, "--half-width"),
])  # fmt: skip
def test_what_makes_no_sense_is_named(given, option):
    with pytest.raises(BadOption) as refused:
        serve_plan(options(**given))
    assert option in refused.value.message


@pytest.mark.parametrize("given", [{"key_env": "X"}, {"model": "m"}])
def test_what_is_for_an_address_is_refused_beside_a_local_server(model, given):
    with pytest.raises(BadOption, match="is for --url"):
        local(model("m"), **given)
