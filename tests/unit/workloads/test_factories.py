"""The user's own code and archives: accepted shapes, errors, sizes."""

import sys
import textwrap

import pytest
import torch
from torch import nn

from crossgrade.capture.device import ensure_device
from crossgrade.capture.run import CaptureSession
from crossgrade.errors import BadModelFile, FactoryFailed
from crossgrade.values.workload import Workload
from crossgrade.workloads.resolve import find_model

ensure_device()
GOOD = """
    import torch
    from torch import nn

    def plain():
        return nn.Linear(4, 2), (torch.empty(3, 4),)

    def single():
        return nn.Linear(4, 2), torch.empty(3, 4)

    def listed():
        return nn.Linear(4, 2), [torch.empty(3, 4)]

    def named():
        return nn.Linear(4, 2), {"input": torch.empty(3, 4)}

    def both():
        return nn.Bilinear(4, 5, 2), (torch.empty(3, 4),), {"input2": torch.empty(3, 5)}

    class Own(nn.Linear):
        def __init__(self):
            super().__init__(4, 2)

        def example_inputs(self):
            return (torch.empty(3, 4),)

    class Box:
        @staticmethod
        def inner():
            return nn.Linear(4, 2), (torch.empty(3, 4),)

    def sized(batch=3, tokens=5):
        return nn.Linear(4, 2), (torch.empty(batch, tokens, 4),)

    def large():
        return nn.Linear(1 << 20, 1 << 20), (torch.empty(1, 1 << 20),)

    def reads_values():
        x = torch.ones(3, 4)
        assert x.sum().item() == 12
        return nn.Linear(4, 2), (x,)
"""
BAD = """
    def raises():
        raise RuntimeError("no weights here")

    def nothing():
        return None

    def number():
        return 3

    def pair():
        return 1, 2

    def lone():
        from torch import nn
        return nn.Linear(1, 1)

    def four():
        from torch import nn
        return nn.Linear(1, 1), (), {}, 4

    def leaves():
        raise SystemExit(3)

    def needs(argument):
        return argument

    constant = 7
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that writes an importable module and gives its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


def capture(spec, batch=1, tokens=1, phase="prefill"):
    found = find_model(spec)
    asked = Workload(
        model=found.ref, phase=phase, batch=batch, tokens=tokens, context=0, dtype=None
    )
    return CaptureSession(found.build(None)).capture(asked)


def shapes(captured):
    return [captured.meta(m).shape for m in captured.columns["value_meta"].tolist()]


@pytest.mark.parametrize(
    "name", ["plain", "single", "listed", "named", "both", "Own", "Box.inner", "reads_values"]
)
def test_accepted_shapes(module, name):
    spec = f"{module('good_models', GOOD)}:{name}"
    assert find_model(spec).ref.runs_code
    captured = capture(spec)
    assert (3, 2) in shapes(captured)
    assert captured.notes == ("sizes are those of the factory's example inputs",)


def test_sizes_are_passed_where_the_factory_takes_them(module):
    captured = capture(f"{module('good_models', GOOD)}:sized", batch=7, tokens=11)
    assert (7, 11, 4) in shapes(captured)
    assert captured.notes == ()


def test_large_model_takes_no_memory(module):
    captured = capture(f"{module('good_models', GOOD)}:large")
    assert captured.columns["storage_bytes"].max() == 4 << 40


def test_training_of_a_factory(module):
    captured = capture(f"{module('good_models', GOOD)}:plain", phase="train")
    assert set(captured.columns["call_stage"].tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("name", "text"),
    [("raises", "no weights here"), ("nothing", "NoneType"), ("number", "int"), ("pair", "tuple"),
     ("lone", "Linear"), ("four", "tuple"), ("needs", "argument"), ("constant", "not callable"),
     ("absent", "absent")],
)  # fmt: skip
def test_refused_factories(module, name, text):
    spec = f"{module('bad_models', BAD)}:{name}"
    with pytest.raises(FactoryFailed, match=text) as caught:
        find_model(spec).build(None)
    assert caught.value.hint


def test_factory_that_ends_the_process_is_refused(module):
    with pytest.raises(FactoryFailed):
        find_model(f"{module('bad_models', BAD)}:leaves").build(None)


@pytest.mark.parametrize(
    "text", ["import no_such_package", "def f(:", "1 / 0", "raise SystemExit(2)", "\0"]
)
def test_module_that_cannot_be_imported(module, text):
    spec = f"{module('broken_module', text)}:f"
    with pytest.raises(FactoryFailed, match="cannot import"):
        find_model(spec).build(None)


def test_module_that_does_not_exist():
    with pytest.raises(FactoryFailed, match="cannot import"):
        find_model("no_such_module_here:f").build(None)


def exported(path, inputs=(3, 4)):
    net = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))
    torch.export.save(torch.export.export(net, (torch.zeros(*inputs),)), str(path))
    return str(path)


def test_archive_round_trip(tmp_path):
    spec = exported(tmp_path / "net.pt2")
    found = find_model(spec)
    assert (found.ref.kind, found.ref.name, found.ref.runs_code) == ("pt2", "net", True)
    captured = capture(spec)
    assert (3, 2) in shapes(captured)
    held = [n for n in captured.tables["names"] if n.endswith("weight")]
    assert len(held) == 2


def test_archive_can_be_trained(tmp_path):
    captured = capture(exported(tmp_path / "net.pt2"), phase="train")
    assert set(captured.columns["call_stage"].tolist()) == {0, 1, 2}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04.", b"{}"])
def test_file_that_is_no_archive(tmp_path, content):
    path = tmp_path / "net.pt2"
    path.write_bytes(content)
    with pytest.raises(BadModelFile, match="cannot load") as caught:
        find_model(str(path)).build(None)
    assert caught.value.hint
