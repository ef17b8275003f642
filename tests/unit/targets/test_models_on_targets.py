"""Phases of a small model on every target that is here: all give what the trusted run gives."""

from __future__ import annotations

import dataclasses
import importlib.util

import numpy as np
import pytest
from tests.tiny_models import tiny_case

from crossgrade.targets.protocol import GivesOutput, Opening, RunsModels
from crossgrade.targets.registry import open_target
from crossgrade.values.operator_case import CannotRun

SPECS = ["cpu", "compile:cpu", "onnxruntime", "openvino"]
GRAPHS = ["onnxruntime", "openvino"]


@pytest.fixture(params=SPECS)
def spec(request):
    if request.param in GRAPHS and importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return str(tmp_path_factory.mktemp("scratch"))


def output(spec, case, scratch=""):
    target = open_target(spec, Opening(scratch=scratch))
    assert isinstance(target, RunsModels)
    kernel = target.prepare_model(case)
    assert isinstance(kernel, GivesOutput)
    kernel.launch()
    found = kernel.output_array().copy()
    kernel.close()
    target.close()
    return found


def trusted(case):
    return output("cpu", dataclasses.replace(case, compute="float64"))


def off(found, wanted):
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_it_gives_what_the_trusted_run_gives(spec, phase, scratch):
    case = tiny_case(phase=phase)
    assert off(output(spec, case, scratch), trusted(case)) < 1e-5


def test_a_graph_that_was_kept_gives_the_same_again(scratch):
    case = tiny_case(seed=3)
    assert np.array_equal(output("onnxruntime", case, scratch),
                          output("onnxruntime", case, scratch))  # fmt: skip


def test_graphs_that_nobody_keeps_go_with_the_target(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    output("onnxruntime", tiny_case())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("graphs", GRAPHS)
def test_there_is_no_graph_of_a_training_step(graphs):
    with pytest.raises(CannotRun, match="changes weights") as refused:
        output(graphs, tiny_case(phase="train"))
    assert refused.value.reason == "unsupported-operator"


@pytest.mark.slow  # compiles a backward pass: two minutes
def test_training_steps_give_the_same_losses_compiled(scratch):
    case = tiny_case(phase="train")
    assert output("compile:cpu", case) == pytest.approx(output("cpu", case), rel=1e-5)


def test_what_does_not_fit_is_not_tried(monkeypatch):
    monkeypatch.setattr("crossgrade.targets.torch_device.host_free_bytes", lambda: 1000.0)
    with pytest.raises(CannotRun) as refused:
        output("cpu", tiny_case(seed=77))
    assert refused.value.reason == "too-large"
