"""torch.compile in front of a device: whether a case runs as one graph is said."""

import dataclasses

import pytest
import torch

from crossgrade.errors import TargetAbsent
from crossgrade.targets import torch_kernel
from crossgrade.targets.registry import open_target
from crossgrade.values.operator_case import OperatorCase
from crossgrade.workloads.operators import build

ADD = OperatorCase(op="add", dtype="float32", arguments={"batch_size": 4, "dim_size": 8}, seed=3)


@pytest.fixture
def compiled():
    try:
        target = open_target("compile:cpu")
    except TargetAbsent as absent:
        pytest.skip(str(absent))
    yield target
    target.close()


def _branching(a, b):
    """Add, in a way that depends on a value: no single graph has both ways."""
    return a + b if a.sum().item() > 1e9 else b + a


def test_a_case_in_one_graph_has_no_note(compiled):
    kernel = compiled.prepare(ADD)
    assert kernel.notes() == ()
    kernel.close()


def test_a_case_with_a_graph_break_is_timed_and_says_so(compiled, monkeypatch):
    built = dataclasses.replace(build(ADD), run=_branching, note="of the case")
    monkeypatch.setattr(torch_kernel, "build", lambda case: built)
    kernel = compiled.prepare(ADD)
    assert kernel.notes() == ("of the case", "runs with graph breaks: parts run eagerly")
    inputs = build(ADD).make_inputs(torch.Generator().manual_seed(3), torch.device("cpu"))
    kernel.launch()
    assert kernel.read() == pytest.approx(float(torch.add(*inputs)[0, 0]))
    kernel.close()
