"""ONNX Runtime as a target: operator cases, exported to ONNX, on one execution provider.

Inputs and outputs lie where the provider wants them before the first launch, so that a launch
copies nothing. Must not be imported before it is asked for: its libraries take seconds to load.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import onnx
import onnxruntime as ort
import torch

from crossgrade.errors import TargetAbsent, UnknownTarget
from crossgrade.targets.exported import OperatorModule, raw
from crossgrade.targets.graph_runtime import Bound, GraphTarget, Turn
from crossgrade.targets.host import host
from crossgrade.targets.protocol import Opening
from crossgrade.targets.torch_kernel import Inputs, first_element
from crossgrade.values.operator_case import CannotRun
from crossgrade.workloads.operators import BuiltOperator

_MODEL: Final = "model.onnx"
_NOTES: Final = "notes.json"
_SUFFIX: Final = "ExecutionProvider"
_CPU: Final = "CPUExecutionProvider"
_MEMORY: Mapping[str, str] = {
    "CANNExecutionProvider": "cann",
    "CUDAExecutionProvider": "cuda",
    "DmlExecutionProvider": "dml",
    "MIGraphXExecutionProvider": "cuda",
    "ROCMExecutionProvider": "cuda",
    "TensorrtExecutionProvider": "cuda",
}
"""Provider -> its memory as ONNX Runtime calls it; one that is not here takes host memory."""
_KINDS: Mapping[str, str] = {
    "CANNExecutionProvider": "npu",
    "CPUExecutionProvider": "cpu",
    "CUDAExecutionProvider": "cuda",
    "DnnlExecutionProvider": "cpu",
    "MIGraphXExecutionProvider": "cuda",
    "ROCMExecutionProvider": "cuda",
    "TensorrtExecutionProvider": "cuda",
    "XnnpackExecutionProvider": "cpu",
}
"""Provider -> kind of device, in torch's words; of others it is not known what they run on."""
_TYPES: Mapping[str, torch.dtype] = {
    "bfloat16": torch.bfloat16,
    "bool": torch.bool,
    "double": torch.float64,
    "float": torch.float32,
    "float16": torch.float16,
    "float8e4m3fn": torch.float8_e4m3fn,
    "float8e5m2": torch.float8_e5m2,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "int8": torch.int8,
    "uint8": torch.uint8,
}
"""Element type in ONNX Runtime's words -> torch's."""


class OnnxRuntimeTarget(GraphTarget):
    """One execution provider."""

    runtime = "onnxruntime"
    graph = "ONNX"

    def __init__(self, provider: str, scratch: str = "") -> None:
        """Take a provider by its full name."""
        super().__init__(scratch)
        self.provider = provider

    @property
    def spec(self) -> str:
        """Return `onnxruntime` for the CPU, else with the provider, such as `onnxruntime:cuda`."""
        return "onnxruntime" if self.provider == _CPU else f"onnxruntime:{_short(self.provider)}"

    @property
    def forkable(self) -> bool:
        """Return True for the CPU, from a parent that has not imported the runtime."""
        return self.provider == _CPU

    @property
    def device_kind(self) -> str:
        """Return the kind of device in torch's words, else the provider's name."""
        return _KINDS.get(self.provider, self.provider)

    def facts(self) -> Mapping[str, str]:
        """Return provider and versions."""
        return {
            "device": host().model if self.provider == _CPU else self.provider,
            "runtime": f"onnxruntime {ort.__version__}",
            "provider": self.provider,
            "exporter": f"torch {torch.__version__}, onnx {onnx.__version__}",
        }

    def _exported(self, built: BuiltOperator, inputs: Inputs) -> bytes:
        return _model(built, inputs)

    def _bound(self, model: bytes, sets: Sequence[Inputs]) -> Bound:
        with TemporaryDirectory() as folder:
            session, notes = _looked_at(model, self.provider, Path(folder))
        return self._bind(session, notes, sets)

    def _write(self, module: torch.nn.Module, inputs: Inputs, folder: Path) -> None:
        program: Any = torch.onnx.export(module, inputs, dynamo=True, verbose=False)
        # A protocol buffer holds at most 2 GB, so the weights lie beside it.
        program.save(folder / _MODEL, external_data=True)

    def _read(self, folder: Path, sets: Sequence[Inputs]) -> Bound:
        notes = folder / _NOTES
        if notes.exists():
            session = _session(str(folder / _MODEL), self.provider, None)
            return self._bind(session, tuple(json.loads(notes.read_text())), sets)
        with TemporaryDirectory(dir=folder) as looking:
            session, found = _looked_at(str(folder / _MODEL), self.provider, Path(looking))
        notes.write_text(json.dumps(found))
        return self._bind(session, found, sets)

    def _bind(self, session: Any, notes: tuple[str, ...], sets: Sequence[Inputs]) -> Bound:
        bind = _bind_device if self.provider in _MEMORY else _bind_host
        memory = _MEMORY.get(self.provider, "cpu")
        return Bound(turns=[bind(session, inputs, memory) for inputs in sets], notes=notes)


def open_onnxruntime(rest: str, opening: Opening) -> OnnxRuntimeTarget:
    """Return `onnxruntime[:PROVIDER]`; a provider goes by its full name, or without the ending.

    Raises:
        UnknownTarget: ONNX Runtime has no such provider at all.
        TargetAbsent: this build or this machine does not have it.
    """
    wanted = (rest or "cpu").lower().removesuffix(_SUFFIX.lower())
    by_key = {_short(name): name for name in ort.get_available_providers()}
    if wanted in by_key:
        return OnnxRuntimeTarget(by_key[wanted], opening.scratch)
    here = ", ".join(sorted(by_key))
    if wanted in {_short(name) for name in ort.get_all_providers()}:
        raise TargetAbsent(
            f"this onnxruntime has no provider `{rest}`",
            hint=f"here are {here}; other providers come in packages of their own, such as "
            "onnxruntime-gpu",
        )
    raise UnknownTarget(f"onnxruntime knows no provider `{rest}`", hint=f"here are {here}")


def devices() -> tuple[str, ...]:
    """Return the specifications of the providers that are here."""
    return tuple(sorted(OnnxRuntimeTarget(name).spec for name in ort.get_available_providers()))


def _short(provider: str) -> str:
    return provider.removesuffix(_SUFFIX).lower()


def _model(built: BuiltOperator, inputs: Inputs) -> bytes:
    """Return the case as an ONNX model in memory."""
    module = OperatorModule(built.run).eval()
    program: Any = torch.onnx.export(module, inputs, dynamo=True, verbose=False)
    serialized: bytes = program.model_proto.SerializeToString()
    return serialized


def _looked_at(model: bytes | str, provider: str, folder: Path) -> tuple[Any, tuple[str, ...]]:
    """Return a session of the model, and notes on how it runs.

    The model as the runtime runs it is written into the folder to look at.
    """
    optimized = folder / "optimized.onnx" if provider == _CPU else None
    session = _session(model, provider, optimized)
    return session, _emulation(optimized) if optimized else ()


def _session(model: bytes | str, provider: str, optimized: Path | None) -> Any:
    """Return a session of the model on one provider alone.

    Args:
        model: its bytes, or its file.
        provider: by its full name.
        optimized: gets the model as the runtime runs it, weights in a file beside it.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if provider != _CPU:
        # Without this a node that the provider cannot run would run on the CPU, silently.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
        outside = "session.optimized_model_external_initializers_"
        options.add_session_config_entry(f"{outside}file_name", "weights")
        options.add_session_config_entry(f"{outside}min_size_in_bytes", "1024")
    session = ort.InferenceSession(model, options, providers=[provider])
    if session.get_providers()[0] != provider:
        raise CannotRun("target-absent", f"{provider} is installed and does not start")
    return session


def _emulation(optimized: Path) -> tuple[str, ...]:
    """Return a note where the runtime puts conversions around operators it lacks in a format."""
    model = onnx.load(str(optimized), load_external_data=False)
    # So the runtime names the conversions that it adds for this reason; others are the model's own.
    if not any(n.name.startswith("InsertedPrecisionFreeCast") for n in model.graph.node):
        return ()
    return ("onnxruntime converts to float32 and back around it: it lacks it in this format",)


def _pairs(session: Any, inputs: Inputs) -> Sequence[tuple[Any, torch.Tensor]]:
    """Return inputs of a session beside their tensors.

    Raises:
        CannotRun: the exporter has dropped some, so that which is which is not known.
    """
    wanted = session.get_inputs()
    if len(wanted) != len(inputs):
        raise CannotRun(
            "unsupported-operator", f"its graph has {len(wanted)} inputs, not {len(inputs)}"
        )
    return list(zip(wanted, inputs, strict=True))


def _bind_host(session: Any, inputs: Inputs, memory: str) -> Turn:
    """Return a turn whose buffers are torch tensors in host memory."""
    binding = session.io_binding()
    kept: list[torch.Tensor] = []
    for wanted, tensor in _pairs(session, inputs):
        kept.append(tensor)
        binding.bind_input(wanted.name, *_place(wanted.type, tensor))
    outputs = []
    for given in session.get_outputs():
        tensor = torch.empty(_static(given), dtype=_dtype(given.type))
        outputs.append(tensor)
        binding.bind_output(given.name, *_place(given.type, tensor))
    first = outputs[0]
    return Turn(
        launch=functools.partial(session.run_with_iobinding, binding),
        read=lambda: first_element(first),
        output=lambda: first,
        kept=(*kept, *outputs),
    )


def _place(kind: str, tensor: torch.Tensor) -> tuple[str, int, int, list[int], int]:
    name = kind.removeprefix("tensor(").removesuffix(")").upper()
    element = onnx.TensorProto.DataType.Value(name)
    return "cpu", 0, element, list(tensor.shape), tensor.data_ptr()


def _bind_device(session: Any, inputs: Inputs, memory: str) -> Turn:
    """Return a turn whose buffers lie in the provider's memory."""
    binding = session.io_binding()
    kept = []
    for wanted, tensor in _pairs(session, inputs):
        if _dtype(wanted.type) in (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2):
            raise CannotRun(
                "unsupported-format", f"no numpy array of {tensor.dtype} to copy to the device"
            )
        value = ort.OrtValue.ortvalue_from_numpy(raw(tensor), memory, 0)
        kept.append(value)
        binding.bind_ortvalue_input(wanted.name, value)
    for given in session.get_outputs():
        binding.bind_output(given.name, memory, 0)
    return Turn(
        launch=functools.partial(session.run_with_iobinding, binding),
        read=lambda: float(binding.get_outputs()[0].numpy().flat[0]),
        output=lambda: torch.from_numpy(binding.get_outputs()[0].numpy()),
        kept=tuple(kept),
    )


def _static(given: Any) -> tuple[int, ...]:
    if not all(isinstance(size, int) for size in given.shape):
        raise CannotRun("unsupported-operator", f"its output has no fixed shape: {given.shape}")
    return tuple(given.shape)


def _dtype(kind: str) -> torch.dtype:
    name = kind.removeprefix("tensor(").removesuffix(")")
    if name not in _TYPES:
        raise CannotRun("unsupported-format", f"onnxruntime's {kind} has no buffer here")
    return _TYPES[name]
