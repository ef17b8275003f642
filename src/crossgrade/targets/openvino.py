"""OpenVINO as a target: operator cases, converted from torch's exported program, on one device.

Models run in the precision they are written in. Must not be imported before it is asked for, and
sends nothing over the network: OpenVINO's converter reports its use where it can, and is kept
from it here.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from crossgrade.errors import TargetAbsent, UnknownTarget
from crossgrade.targets.exported import OperatorModule, quietly, raw, without_empty_parts
from crossgrade.targets.graph_runtime import Bound, GraphTarget, Turn
from crossgrade.targets.protocol import Opening
from crossgrade.targets.torch_kernel import Inputs, first_element
from crossgrade.values.operator_case import CannotRun
from crossgrade.workloads.operators import BuiltOperator

_MODEL = "model.xml"
_REPORTER = "openvino_telemetry"
_KNOWN = ("CPU", "GPU", "NPU", "AUTO", "HETERO", "MULTI", "BATCH")
"""Device names of OpenVINO; what of them is here it says itself."""
_TYPES: Mapping[str, torch.dtype] = {
    "bf16": torch.bfloat16,
    "boolean": torch.bool,
    "f16": torch.float16,
    "f32": torch.float32,
    "f64": torch.float64,
    "f8e4m3": torch.float8_e4m3fn,
    "f8e5m2": torch.float8_e5m2,
    "i16": torch.int16,
    "i32": torch.int32,
    "i64": torch.int64,
    "i8": torch.int8,
    "u8": torch.uint8,
}
"""Element type in OpenVINO's words -> torch's."""
_FLOATS = {name for name, dtype in _TYPES.items() if dtype.is_floating_point}


def _load() -> Any:
    """Return the module `openvino`, whose converter reports to nobody.

    It falls back to a stub of its own where the package that reports is not there, so that one is
    hidden while it loads; where it is loaded already, the stub is put in its place.
    """
    if "openvino" not in sys.modules:
        hidden = sys.modules.get(_REPORTER)
        sys.modules[_REPORTER] = None  # type: ignore[assignment]
        try:
            with quietly():
                importlib.import_module("openvino")
        finally:
            del sys.modules[_REPORTER]
            if hidden is not None:
                sys.modules[_REPORTER] = hidden
    stub = importlib.import_module("openvino.tools.ovc.telemetry_stub")
    for name in ("telemetry_utils", "convert_impl"):
        module = importlib.import_module(f"openvino.tools.ovc.{name}")
        if hasattr(module, "tm"):
            module.tm = stub  # type: ignore[attr-defined]
    return sys.modules["openvino"]


ov: Any = _load()


class OpenVinoTarget(GraphTarget):
    """One device of OpenVINO."""

    runtime = "openvino"
    graph = "graph"

    def __init__(self, core: Any, device: str, scratch: str = "") -> None:
        """Take a device by OpenVINO's name, such as `GPU.0`."""
        super().__init__(scratch)
        self._core = core
        self.device = device

    @property
    def spec(self) -> str:
        """Return `openvino` for the CPU, else with the device, such as `openvino:gpu.0`."""
        return "openvino" if self.device == "CPU" else f"openvino:{self.device.lower()}"

    @property
    def forkable(self) -> bool:
        """Return True for the CPU, from a parent that has not imported the runtime."""
        return self.device.startswith("CPU")

    @property
    def device_kind(self) -> str:
        """Return `cpu`, else OpenVINO's name: its numbers are not those of other runtimes."""
        return "cpu" if self.device == "CPU" else f"openvino {self.device}"

    def facts(self) -> Mapping[str, str]:
        """Return device and versions."""
        return {
            "device": str(self._core.get_property(self.device, "FULL_DEVICE_NAME")),
            "runtime": f"openvino {ov.__version__}",
            "plugin": self.device,
            "execution_mode": "accuracy: the precision of the model",
            "exporter": f"torch {torch.__version__}",
        }

    def _exported(self, built: BuiltOperator, inputs: Inputs) -> Any:
        return _model(OperatorModule(built.run).eval(), inputs)

    def _write(self, module: torch.nn.Module, inputs: Inputs, folder: Path) -> None:
        # Compressed to float16, as it is by default, the model would be another one.
        ov.save_model(_model(module, inputs), folder / _MODEL, compress_to_fp16=False)

    def _read(self, folder: Path, sets: Sequence[Inputs]) -> Bound:
        return self._bound(self._core.read_model(folder / _MODEL), sets)

    def _bound(self, model: Any, sets: Sequence[Inputs]) -> Bound:
        hint = {"EXECUTION_MODE_HINT": "ACCURACY"}
        compiled = self._core.compile_model(model, self.device, hint)
        return Bound(turns=[_turn(compiled, s) for s in sets], notes=_emulation(compiled))


def open_openvino(rest: str, opening: Opening) -> OpenVinoTarget:
    """Return `openvino[:DEVICE]`, a device by OpenVINO's name in any case.

    Raises:
        UnknownTarget: OpenVINO has no such device type.
        TargetAbsent: no such device is here.
    """
    core = ov.Core()
    here = list(core.available_devices)
    wanted = (rest or "cpu").upper()
    found = next((d for d in here if d == wanted or d == f"{wanted}.0"), None)
    if found is not None:
        return OpenVinoTarget(core, found, opening.scratch)
    listed = ", ".join(d.lower() for d in here)
    if wanted.partition(".")[0] in _KNOWN:
        raise TargetAbsent(
            f"OpenVINO finds no device `{rest}` here",
            hint=f"it finds {listed}; a GPU or NPU needs its driver",
        )
    raise UnknownTarget(f"OpenVINO knows no device `{rest}`", hint=f"here are {listed}")


def devices() -> tuple[str, ...]:
    """Return the specifications of the devices that are here."""
    core = ov.Core()
    return tuple(OpenVinoTarget(core, name).spec for name in core.available_devices)


def _model(module: torch.nn.Module, inputs: Inputs) -> Any:
    """Return a module as a model of OpenVINO with fixed shapes."""
    model = ov.convert_model(without_empty_parts(torch.export.export(module, inputs)))
    if len(model.inputs) != len(inputs):
        raise CannotRun(
            "unsupported-operator", f"its graph has {len(model.inputs)} inputs, not {len(inputs)}"
        )
    model.reshape({port: list(t.shape) for port, t in zip(model.inputs, inputs, strict=True)})
    return model


def _turn(compiled: Any, inputs: Inputs) -> Turn:
    """Return a request on these inputs whose outputs go to tensors of its own."""
    request = compiled.create_infer_request()
    for port, tensor in zip(compiled.inputs, inputs, strict=True):
        request.set_tensor(port, _tensor(port, tensor))
    outputs = []
    for port in compiled.outputs:
        if port.get_partial_shape().is_dynamic:
            raise CannotRun("unsupported-operator", "its output has no fixed shape")
        tensor = torch.empty(tuple(port.get_shape()), dtype=_dtype(port))
        outputs.append(tensor)
        request.set_tensor(port, _tensor(port, tensor))
    first = outputs[0]
    return Turn(
        launch=functools.partial(request.infer, share_outputs=True),
        read=lambda: first_element(first),
        output=lambda: first,
        # A request uses the tensors' memory and does not keep it alive, that of later outputs
        # neither.
        kept=(*inputs, *outputs),
    )


def _tensor(port: Any, tensor: torch.Tensor) -> Any:
    """Return a tensor of OpenVINO on the same memory."""
    if _dtype(port) != tensor.dtype:
        raise CannotRun(
            "unsupported-format", f"OpenVINO makes {port.get_element_type()} of {tensor.dtype}"
        )
    return ov.Tensor(raw(tensor), ov.Shape(tuple(tensor.shape)), port.get_element_type())


def _dtype(port: Any) -> torch.dtype:
    name = port.get_element_type().get_type_name()
    if name not in _TYPES:
        raise CannotRun("unsupported-format", f"OpenVINO's {name} has no buffer here")
    return _TYPES[name]


def _emulation(compiled: Any) -> tuple[str, ...]:
    """Return a note where it computes in a precision that neither inputs nor outputs have."""
    ports = (*compiled.inputs, *compiled.outputs)
    written = {port.get_element_type().get_type_name() for port in ports} & _FLOATS
    used = set()
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = {key: _text(value) for key, value in node.get_rt_info().items()}
        if node.get_type_name() == "ExecutionNode" and info.get("layerType") not in (
            "Convert", "Reorder",
        ):  # fmt: skip
            used.add(info.get("runtimePrecision", ""))
    other = sorted((used & _FLOATS) - written)
    if not written or not other:
        return ()
    return (f"openvino computes it in {', '.join(other)}, not in {', '.join(sorted(written))}",)


def _text(value: Any) -> str:
    return str(value.astype(str)) if hasattr(value, "astype") else str(value)
