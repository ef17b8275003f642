"""ONNX Runtime and OpenVINO: formats, notes, refusals, and that they keep quiet."""

import dataclasses
import importlib.util
import subprocess
import sys

import pytest
import torch

from crossgrade.errors import TargetAbsent, UnknownTarget
from crossgrade.targets import exported
from crossgrade.targets.exported import blamed, raw
from crossgrade.targets.protocol import CanNote
from crossgrade.targets.registry import available_targets, open_target
from crossgrade.values.operator_case import CannotRun, OperatorCase
from crossgrade.workloads.operators import build

ADD = OperatorCase(op="add", dtype="float32", arguments={"batch_size": 4, "dim_size": 8}, seed=3)
GEMM = OperatorCase(op="gemm", dtype="float32", arguments={"m": 8, "k": 16, "n": 8}, seed=4)

needs_onnxruntime = pytest.mark.skipif(
    not all(importlib.util.find_spec(m) for m in ("onnxruntime", "onnx", "onnxscript")),
    reason="onnxruntime, onnx or onnxscript is not installed",
)
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed"
)
both = pytest.mark.parametrize(
    "spec",
    [
        pytest.param("onnxruntime", marks=needs_onnxruntime),
        pytest.param("openvino", marks=needs_openvino),
    ],
)


def _reference(case):
    built = build(case)
    inputs = built.make_inputs(torch.Generator().manual_seed(case.seed), torch.device("cpu"))
    return float(built.run(*inputs)[0, 0])


@both
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_it_gives_what_torch_gives_in_a_format(spec, dtype):
    case = dataclasses.replace(GEMM, dtype=dtype)
    kernel = open_target(spec).prepare(case, copies=2)
    assert kernel.read() == pytest.approx(
        _reference(case), rel=2e-3 if dtype == "float16" else 1e-5
    )
    assert kernel.work() == (build(case).flop, build(case).bytes)
    kernel.close()


@both
def test_a_closed_kernel_reads_nothing(spec):
    kernel = open_target(spec).prepare(ADD)
    kernel.close()
    with pytest.raises(CannotRun):
        kernel.read()


@both
def test_a_format_that_it_emulates_is_told(spec):
    kernel = open_target(spec).prepare(ADD)
    assert isinstance(kernel, CanNote)
    assert kernel.notes() == ()
    kernel.close()
    kernel = open_target(spec).prepare(dataclasses.replace(ADD, dtype="float64"))
    told = kernel.notes()
    # ONNX Runtime has double on a CPU; OpenVINO computes it in single.
    assert told == () if spec == "onnxruntime" else "f32, not in f64" in told[0]


@needs_onnxruntime
@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_a_missing_format_is_blamed_and_not_the_operator(dtype):
    with pytest.raises(CannotRun) as caught:
        open_target("onnxruntime").prepare(dataclasses.replace(GEMM, dtype=dtype))
    assert caught.value.reason == "unsupported-format"


@needs_onnxruntime
def test_half_precision_on_a_cpu_is_told_to_be_emulated():
    kernel = open_target("onnxruntime").prepare(dataclasses.replace(ADD, dtype="float16"))
    assert "float32" in kernel.notes()[0]


@both
def test_what_is_no_pure_function_has_no_graph(spec, monkeypatch):
    impure = dataclasses.replace(build(ADD), exportable=False)
    monkeypatch.setattr(exported, "built_case", lambda case: impure)
    with pytest.raises(CannotRun, match="unsupported-operator"):
        open_target(spec).prepare(ADD)


@both
def test_what_cannot_be_exported_is_unsupported(spec, monkeypatch):
    def run(a, b):
        return a if float(a.sum()) > 0 else b

    broken = dataclasses.replace(build(ADD), run=run)
    monkeypatch.setattr(exported, "built_case", lambda case: broken)
    with pytest.raises(CannotRun, match="unsupported-operator"):
        open_target(spec).prepare(ADD)


@both
def test_buffers_that_do_not_fit_are_not_tried(spec, monkeypatch):
    monkeypatch.setattr(exported, "host_free_bytes", lambda: 10.0)
    with pytest.raises(CannotRun, match="too-large"):
        open_target(spec).prepare(ADD)


@both
def test_it_prints_nothing_and_reports_to_nobody(spec):
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "from crossgrade.targets.registry import open_target\n"
        "from crossgrade.values.operator_case import OperatorCase\n"
        "case = OperatorCase(op='add', dtype='float32',"
        " arguments={'batch_size': 4, 'dim_size': 8})\n"
        f"open_target({spec!r}).prepare(case).read()\n"
        "assert 'openvino_telemetry' not in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@needs_onnxruntime
@pytest.mark.parametrize("spec", ["onnxruntime:cpu", "onnxruntime:CPUExecutionProvider"])
def test_a_provider_goes_by_its_short_or_full_name(spec):
    assert open_target(spec).spec == "onnxruntime"


@needs_onnxruntime
def test_providers_that_are_unknown_or_not_here():
    with pytest.raises(UnknownTarget, match="no provider `abacus`"):
        open_target("onnxruntime:abacus")
    import onnxruntime

    here = set(onnxruntime.get_available_providers())
    absent = next(p for p in onnxruntime.get_all_providers() if p not in here)
    with pytest.raises(TargetAbsent):
        open_target(f"onnxruntime:{absent}")


@needs_openvino
def test_devices_of_openvino_that_are_unknown_or_not_here():
    assert open_target("openvino:CPU").spec == "openvino"
    with pytest.raises(UnknownTarget, match="no device `abacus`"):
        open_target("openvino:abacus")
    with pytest.raises(TargetAbsent, match=r"gpu\.77"):
        open_target("openvino:gpu.77")


@both
def test_devices_are_listed_when_somebody_looks(spec):
    row = next(row for row in available_targets(look=True) if row.name == spec)
    assert spec in row.devices


def test_raw_memory_is_shared_in_any_format():
    for dtype in (torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.bool):
        tensor = torch.ones(3).to(dtype)
        assert raw(tensor).ctypes.data == tensor.data_ptr()


def test_blame_stays_where_float32_fails_too():
    refused = CannotRun("unsupported-operator", "x")
    case = dataclasses.replace(ADD, dtype="bfloat16")

    def fail(case):
        raise refused

    assert blamed(refused, case, fail) is refused
    assert blamed(refused, ADD, lambda case: None) is refused
    assert blamed(refused, case, lambda case: None).reason == "unsupported-format"


@both
def test_every_output_has_memory_that_lives(spec):
    case = OperatorCase(
        op="topk", dtype="float32", arguments={"batch_size": 64, "dim_size": 512, "k": 8}
    )
    kernel = open_target(spec).prepare(case, copies=4)
    # Memory of an output that was freed would be written to, and end the process.
    for _ in range(200):
        kernel.launch()
        torch.empty(64, 8).fill_(1.0)
    assert torch.isfinite(torch.tensor(kernel.read()))
    kernel.close()
