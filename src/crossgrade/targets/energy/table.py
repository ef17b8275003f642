"""Which sensors may count which device, in the order in which they are tried. Data, no logic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from crossgrade.targets.energy.amd_smi import open_amd_smi, open_rocm_smi
from crossgrade.targets.energy.hwmon import opener_of
from crossgrade.targets.energy.meter import EnergyDevice, EnergyMeter, Place
from crossgrade.targets.energy.npu_smi import open_npu_smi
from crossgrade.targets.energy.nvml import open_nvml
from crossgrade.targets.energy.rapl import open_rapl
from crossgrade.targets.energy.runtime import open_runtime
from crossgrade.targets.energy.xpu_smi import open_xpu_smi


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorRow:
    """One way to count energy."""

    name: str
    """What it is called in an answer."""
    kinds: tuple[str, ...]
    """Device types that it may count; empty: any."""
    opens: Callable[[EnergyDevice, Place], EnergyMeter]
    """Opens it, or raises `CannotRead`."""
    package: str = ""
    """Package that it imports; empty for none."""


SENSORS: Final[tuple[SensorRow, ...]] = (
    SensorRow(name="RAPL", kinds=("cpu",), opens=open_rapl),
    SensorRow(name="ACPI power meter", kinds=("cpu",),
              opens=opener_of(("power_meter",), "machine")),
    SensorRow(name="NVML", kinds=("cuda",), opens=open_nvml, package="pynvml"),
    SensorRow(name="hwmon", kinds=("cuda",), opens=opener_of(("amdgpu",), "package")),
    SensorRow(name="amd-smi", kinds=("cuda",), opens=open_amd_smi),
    SensorRow(name="rocm-smi", kinds=("cuda",), opens=open_rocm_smi),
    SensorRow(name="npu-smi", kinds=("npu",), opens=open_npu_smi),
    SensorRow(name="hwmon", kinds=("xpu",), opens=opener_of(("xe", "i915"), "package")),
    SensorRow(name="xpu-smi", kinds=("xpu",), opens=open_xpu_smi),
    SensorRow(name="runtime", kinds=(), opens=open_runtime),
)  # fmt: skip
"""Counters before power, files before programs, the runtime's own word last."""
KINDS: Final = tuple(dict.fromkeys(kind for row in SENSORS for kind in row.kinds))
"""Device types that have a sensor of their own, in order."""
