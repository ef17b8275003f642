"""NVML: energy counter or power of NVIDIA GPUs, by the package nvidia-ml-py.

Source of units: https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from crossgrade.targets.energy.meter import CannotRead, EnergyDevice, EnergyMeter, Place, Reading
from crossgrade.targets.energy.visible import machine_index
from crossgrade.values.observation import EnergySensor

_MILLI: Final = 1e-3
_POLL_S: Final = 0.02
_ASKED: Final[tuple[tuple[str, str, EnergySensor], ...]] = (
    ("nvmlDeviceGetTotalEnergyConsumption", "total energy", "counter"),
    ("nvmlDeviceGetPowerUsage", "power usage", "averaged"),
)
"""Function, what it is called, what it gives. Documented units: millijoules (Volta and newer) and
milliwatts (averaged over a second on most newer GPUs)."""

_ABSENT: Final = (
    "NVML_ERROR_INVALID_ARGUMENT", "NVML_ERROR_NOT_SUPPORTED", "NVML_ERROR_NOT_FOUND",
    "NVML_ERROR_DRIVER_NOT_LOADED", "NVML_ERROR_LIBRARY_NOT_FOUND",
    "NVML_ERROR_FUNCTION_NOT_FOUND",
)  # fmt: skip
"""Errors that say that something is not there. An invalid argument is the name of no GPU."""


def open_nvml(device: EnergyDevice, place: Place) -> EnergyMeter:
    """Return the energy counter of a GPU, else its power.

    Raises:
        CannotRead: package, driver, GPU or sensor is not there.
    """
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError as error:
        detail = "NVML needs `pip install nvidia-ml-py`"
        raise CannotRead("no-sensor", detail) from error
    except Exception as error:
        detail = f"pynvml does not import: {type(error).__name__}: {error}"
        raise CannotRead("error", detail[:200]) from error
    _asked(nvml, nvml.nvmlInit)
    try:
        return _opened(nvml, device, place)
    except CannotRead:
        nvml.nvmlShutdown()
        raise


def _opened(nvml: Any, device: EnergyDevice, place: Place) -> EnergyMeter:
    handle = _handle(nvml, device, place)
    if _shared(nvml, handle):
        raise CannotRead("no-sensor", "NVML counts the whole board, and MIG shares it out")
    for function, what, kind in _ASKED:
        ask = _asking(nvml, getattr(nvml, function), handle)
        try:
            ask()
        except CannotRead as error:
            if error.reason != "no-sensor":
                raise
            continue
        return Reading(
            sensor=f"NVML {what}",
            kind=kind,
            scope="board",
            poll_s=_POLL_S,
            ask=ask,
            end=nvml.nvmlShutdown,
        )
    raise CannotRead("no-sensor", "NVML gives neither energy nor power of this GPU")


def _asking(nvml: Any, function: Callable[[Any], Any], handle: Any) -> Callable[[], float]:
    return lambda: float(_asked(nvml, function, handle)) * _MILLI


def _handle(nvml: Any, device: EnergyDevice, place: Place) -> Any:
    """Return NVML's handle of a device: by identity, by PCI address, at last by index."""
    for function, name in _names(nvml, device):
        try:
            return _asked(nvml, function, name)
        except CannotRead as error:
            if error.reason != "no-sensor":
                raise
    count = int(_asked(nvml, nvml.nvmlDeviceGetCount))
    if count > 1 and place.env.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        detail = f"NVML sees {count} GPUs, and which of them torch means is not known"
        raise CannotRead("no-sensor", detail)
    index = machine_index(device.index, place.env, ("CUDA_VISIBLE_DEVICES",))
    return _asked(nvml, nvml.nvmlDeviceGetHandleByIndex, index)


def _names(nvml: Any, device: EnergyDevice) -> Iterator[tuple[Callable[[Any], Any], str]]:
    if device.uuid:
        bare = device.uuid.removeprefix("GPU-")
        yield nvml.nvmlDeviceGetHandleByUUID, f"GPU-{bare}"
    if device.pci:
        yield nvml.nvmlDeviceGetHandleByPciBusId, device.pci


def _shared(nvml: Any, handle: Any) -> bool:
    """Return whether MIG is on; GPUs without MIG refuse the question."""
    try:
        return bool(_asked(nvml, nvml.nvmlDeviceGetMigMode, handle)[0])
    except CannotRead:
        return False


def _asked(nvml: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function of NVML gives.

    Raises:
        CannotRead: it refuses; `no-sensor` where library, driver, device or sensor is not there.
    """
    try:
        return function(*arguments)
    except nvml.NVMLError as error:
        value = getattr(error, "value", None)
        if value == nvml.NVML_ERROR_NO_PERMISSION:
            raise CannotRead("not-permitted", f"NVML: {error}") from error
        absent = value in {getattr(nvml, name) for name in _ABSENT}
        raise CannotRead("no-sensor" if absent else "error", f"NVML: {error}") from error
