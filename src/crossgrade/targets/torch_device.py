"""Torch devices as targets: the CPU, and whatever accelerator a torch build or extension brings.

Uses public torch interfaces that torch 2.6 has; newer ones are asked for by attribute. No device
is named here: what a device can do is found by asking its module or by trying.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

import torch

from crossgrade.errors import TargetAbsent, UnknownTarget
from crossgrade.targets.energy.meter import EnergyDevice
from crossgrade.targets.event_timer import EventTimer, event_maker
from crossgrade.targets.failures import failing_as_result
from crossgrade.targets.host import (
    check_room,
    flush_bytes,
    host,
    host_free_bytes,
    host_witness,
)
from crossgrade.targets.process_memory import process_memory
from crossgrade.targets.protocol import (
    DEFAULT_ANCHOR,
    MODEL_LIBRARIES,
    Kernel,
    PeakCounter,
    Timer,
    Witness,
)
from crossgrade.targets.timers import ReadTimer, SynchronizeTimer
from crossgrade.targets.torch_kernel import Inputs, TorchKernel, Way, built_case
from crossgrade.targets.torch_memory import torch_memory
from crossgrade.targets.torch_table import BY_NAME
from crossgrade.values.case import Case
from crossgrade.values.model_case import ModelCase
from crossgrade.values.operator_case import OperatorCase
from crossgrade.workloads.operators import BuiltOperator
from crossgrade.workloads.running import Execution, execution_of

_MILLI = 1e-3
_READINGS = (
    # Documented units: MHz, degrees Celsius, milliwatts.
    ("clock_hz", "clock_rate", 1e6),
    ("temperature_c", "temperature", 1.0),
    ("power_w", "power_draw", _MILLI),
)
"""Reading, function of the device module, factor to SI."""
_LARGE_ANCHOR = OperatorCase(
    op="gemm", dtype="float32", arguments={"m": 2048, "k": 2048, "n": 2048}
)
"""The anchor kernel of accelerators: 17 GFLOP, a fraction of a millisecond on a large one."""


class TorchTarget:
    """A torch device that runs operator cases."""

    def __init__(self, device: torch.device) -> None:
        """Take a device that is known to be here; `find_device` gives one."""
        self.device = device
        self._module = device_module(device)
        self._wait = _synchronizer(device, self._module)
        self._make_event = event_maker(device)
        self._cache: torch.Tensor | None = None
        self._unread: dict[str, str] = {}
        if device.index is not None and hasattr(self._module, "set_device"):
            # Events and libraries of kernels follow the current device.
            self._module.set_device(device)

    @property
    def spec(self) -> str:
        """Return the device as torch writes it, such as `cuda:0`."""
        return str(self.device)

    @property
    def forkable(self) -> bool:
        """Return True for the CPU alone: no device survives a fork of its process."""
        return self.device.type == "cpu"

    def facts(self) -> Mapping[str, str]:
        """Return device, runtime and versions; the identity of the device is hashed."""
        facts = {"device": self._device_name(), "runtime": f"torch {torch.__version__}"}
        if self.device.type == "cpu":
            facts["threads"] = str(torch.get_num_threads())
        properties = self._properties()
        uuid = getattr(properties, "uuid", None)
        if uuid is not None:
            facts["uuid_sha256"] = hashlib.sha256(str(uuid).encode()).hexdigest()[:16]
        for toolkit in ("cuda", "hip", "xpu"):
            version = getattr(torch.version, toolkit, None)
            if version and self.device.type != "cpu":
                facts[toolkit] = str(version)
        facts.update(_extension_version(self.device.type))
        return facts

    def clock_ns(self) -> int:
        """Return the host's clock, ns."""
        return time.perf_counter_ns()

    def synchronize(self) -> None:
        """Wait until all launched work has run; at once where torch cannot wait for the device."""
        if self._wait is not None:
            self._wait()

    def timers(self) -> Sequence[Timer]:
        """Return events where the device can time them, then the walls that it can end."""
        timers: list[Timer] = [ReadTimer(self)]
        if self._wait is not None:
            timers.insert(0, SynchronizeTimer(self))
        if self._make_event is not None:
            timers.insert(0, EventTimer(self, self._make_event))
        return timers

    def prepare(self, case: OperatorCase, *, copies: int = 1) -> Kernel:
        """Return the case as a kernel that has run once.

        Raises:
            CannotRun: it cannot run here, or its buffers do not fit.
        """
        built = built_case(case)
        check_room(built.buffer_bytes * copies, self._free_bytes())
        return TorchKernel(
            built,
            self._ways(built, case),
            device=self.device,
            seed=case.seed,
            copies=copies,
            wait=self.synchronize,
        )

    def load_libraries(self) -> None:
        """Import what running a model takes."""
        importlib.import_module(MODEL_LIBRARIES)

    def prepare_model(self, case: ModelCase, *, copies: int = 1) -> Kernel:
        """Return a phase of a model as a kernel that has run once.

        Raises:
            CannotRun: it cannot run here, or its weights do not fit.
        """
        with failing_as_result("building the model"):
            execution = execution_of(case, self.device, room=self._check_room)
        built = _as_operator(execution)
        return TorchKernel(
            built,
            self._ways(built, case),
            device=self.device,
            seed=case.seed,
            copies=copies,
            wait=self.synchronize,
        )

    def _check_room(self, size: float) -> None:
        """Refuse weights that do not fit here, or not in the host where they are made."""
        check_room(size, self._free_bytes())
        check_room(size, host_free_bytes())

    def flush(self) -> None:
        """Read and write twice the last-level cache, and wait for it."""
        if self._cache is None:
            size = flush_bytes(self._cache_bytes())
            self._cache = torch.zeros(size // 4, dtype=torch.int32, device=self.device)
        self._cache.add_(1)
        self.synchronize()

    def witness(self) -> Witness:
        """Return what the platform says of the device now."""
        if self.device.type == "cpu":
            return host_witness()
        readings: dict[str, float] = {}
        for name, function, factor in _READINGS:
            self._read(readings, name, function, factor)
        unread = {
            "throttled": "torch gives no throttling flag",
            "clock_nominal_hz": "torch gives the highest clock, which a power limit never allows",
            **self._unread,
        }
        return Witness(readings=readings, unread=unread)

    def anchor(self) -> OperatorCase:
        """Return the default on a CPU; elsewhere a product that outlasts its launch."""
        return DEFAULT_ANCHOR if self.device.type == "cpu" else _LARGE_ANCHOR

    def allocated_bytes(self) -> int | None:
        """Return the memory of live tensors on the device; None where torch does not count it."""
        for owner in (self._module, torch.accelerator):
            with contextlib.suppress(Exception):
                return int(owner.memory_allocated(self.device))
        return None

    def energy_device(self) -> EnergyDevice:
        """Return the device as sensors of energy look for it."""
        kind, properties = self.device.type, self._properties()
        ask = getattr(self._module, "power_draw", None) if kind != "cpu" else None
        return EnergyDevice(
            kind=kind,
            index=self.device.index or 0,
            uuid=str(getattr(properties, "uuid", "")),
            pci=_pci_address(properties),
            power_w=None if ask is None else lambda: float(ask(self.device)) * _MILLI,
            power_name=f"torch.{kind}.power_draw",
        )

    def peak_counter(self) -> PeakCounter | None:
        """Return the process's own memory for the CPU, else torch's count of live tensors."""
        if self.device.type == "cpu":
            return process_memory()
        return torch_memory(self.device, self._module)

    def close(self) -> None:
        """Free the buffer of `flush`, and what torch keeps for later."""
        self._cache = None
        if hasattr(self._module, "empty_cache"):
            self._module.empty_cache()

    def _ways(self, built: BuiltOperator, case: Case) -> Sequence[Way]:
        """Return how it may be run: the first of these that works is taken."""
        return (Way(run=built.run),)

    def _read(self, readings: dict[str, float], name: str, function: str, factor: float) -> None:
        """Take one reading; one that fails once is not tried again, so that it costs no time."""
        if name in self._unread:
            return
        call = getattr(self._module, function, None)
        if call is None:
            self._unread[name] = f"torch.{self.device.type} has no {function}"
            return
        try:
            readings[name] = float(call(self.device)) * factor
        except Exception as error:
            self._unread[name] = f"torch.{self.device.type}.{function}: {error}"[:200]

    def _properties(self) -> Any:
        with contextlib.suppress(Exception):
            return self._module.get_device_properties(self.device)
        return None

    def _device_name(self) -> str:
        if self.device.type == "cpu":
            return host().model
        with contextlib.suppress(Exception):
            return str(self._module.get_device_name(self.device))
        return str(getattr(self._properties(), "name", self.device.type))

    def _free_bytes(self) -> float | None:
        if self.device.type == "cpu":
            return host_free_bytes()
        asks: tuple[Callable[[], Any], ...] = (
            lambda: self._module.mem_get_info(self.device),
            lambda: torch.accelerator.get_memory_info(self.device),
        )
        for ask in asks:
            with contextlib.suppress(Exception):
                return float(ask()[0])
        return None

    def _cache_bytes(self) -> float:
        if self.device.type == "cpu":
            return host().cache_bytes
        return float(getattr(self._properties(), "L2_cache_size", 0) or 0)


def _as_operator(execution: Execution) -> BuiltOperator:
    """Return a phase of a model in the shape of an operator: a function with inputs."""
    first = itertools.chain([execution.inputs], itertools.repeat(None))

    def inputs(_: torch.Generator, __: torch.device) -> Inputs:
        # The first set is the execution's own, so that one copy takes no memory twice.
        return next(first) or tuple(t.clone() for t in execution.inputs)

    return BuiltOperator(
        run=execution.module,
        make_inputs=inputs,
        flop=None,
        bytes=execution.least_bytes,
        buffer_bytes=execution.held_bytes,
        exportable=execution.exportable,
    )


def open_device(name: str, rest: str) -> TorchTarget:
    """Return a torch device as a target.

    Raises:
        UnknownTarget: torch has no such device type, or `rest` is no index.
        TargetAbsent: the device or what registers it is not here.
    """
    return TorchTarget(find_device(name, rest))


def find_device(name: str, rest: str) -> torch.device:
    """Return the device with its index, seen to be here by a small allocation."""
    if rest and not rest.isdigit():
        raise UnknownTarget(
            f"`{rest}` is no index of a device", hint=f"write `{name}` or `{name}:0`"
        )
    row = BY_NAME.get(name)
    install = row.install if row else ""
    _register(name)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        if row is None:
            raise UnknownTarget(f"torch knows no device type `{name}`") from error
        raise TargetAbsent(f"torch has no device type `{name}` here", hint=install) from error
    if name == "cpu":
        if rest.strip("0"):
            raise TargetAbsent(f"there is no CPU {rest}: torch takes all of them for one device")
        return device
    module = device_module(device)
    device = torch.device(name, int(rest) if rest else _current(module))
    try:
        torch.zeros(1, device=device).cpu()
    # A torch built without the device says so with an AssertionError, others with a RuntimeError.
    except Exception as error:
        words = str(error).partition("\n")[0][:200]
        raise TargetAbsent(f"no device `{device}` is here: {words}", hint=install) from error
    return device


def device_specs(name: str) -> tuple[tuple[str, ...], str]:
    """Return the specifications of one device type that open here, and why there are none."""
    try:
        first = find_device(name, "")
    except (TargetAbsent, UnknownTarget) as error:
        return (), f"{error.message}: {error.hint}" if error.hint else error.message
    if first.type == "cpu":
        return (str(first),), ""
    count = 1
    with contextlib.suppress(Exception):
        count = int(device_module(first).device_count())
    return tuple(f"{name}:{index}" for index in range(count)), ""


def device_module(device: torch.device) -> Any:
    """Return torch's module of a device type, None where it has none."""
    try:
        return torch.get_device_module(device)
    except RuntimeError:
        return None


def _pci_address(properties: Any) -> str:
    """Return the PCI address that a device tells, empty where it tells none."""
    domain, bus, device = (
        getattr(properties, f"pci_{part}_id", None) for part in ("domain", "bus", "device")
    )
    if domain is None or bus is None or device is None:
        return ""
    return f"{domain:04x}:{bus:02x}:{device:02x}.0"


def _current(module: Any) -> int:
    with contextlib.suppress(Exception):
        return int(module.current_device())
    return 0


def _register(name: str) -> None:
    """Import what registers a device type, unless torch has it already.

    Raises:
        TargetAbsent: it is installed and does not import.
    """
    row = BY_NAME.get(name)
    if row is None or row.extension == "torch":
        return
    with contextlib.suppress(Exception):
        if device_module(torch.device(name)).is_available():
            return
    try:
        importlib.import_module(row.extension)
    except ModuleNotFoundError as error:
        if error.name and row.extension.startswith(error.name) and row.built_in:
            return
        if error.name and row.extension.startswith(error.name):
            raise TargetAbsent(f"{row.extension} is not installed", hint=row.install) from error
        raise TargetAbsent(f"{row.extension} does not import: {error}", hint=row.install) from error
    except Exception as error:
        raise TargetAbsent(f"{row.extension} does not import: {error}", hint=row.install) from error


def _extension_version(name: str) -> dict[str, str]:
    row = BY_NAME.get(name)
    if row is None or row.extension == "torch":
        return {}
    package = row.extension.partition(".")[0]
    with contextlib.suppress(metadata.PackageNotFoundError):
        return {package: metadata.version(package)}
    return {}


def _synchronizer(device: torch.device, module: Any) -> Callable[[], None] | None:
    """Return what waits for the device, None where torch has nothing that works."""
    if device.type == "cpu":
        return lambda: None
    own: Any = getattr(module, "synchronize", None)
    takes_device = own is not None and bool(inspect.signature(own).parameters)
    waits: tuple[Callable[[], None] | None, ...] = (
        (lambda: own(device)) if takes_device else own,
        lambda: torch.accelerator.synchronize(device),
    )
    for wait in filter(None, waits):
        with contextlib.suppress(Exception):
            wait()
            return wait
    return None
