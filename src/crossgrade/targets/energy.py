"""Energy sensors of devices: what counts or tells their power here, or why nothing does.

Files of the system, a vendor's library where it is installed, a vendor's tool where it is on the
path, torch's own reading last. Must not know what runs while they are read. Sources: powercap
(docs.kernel.org/power/powercap), NVML (docs.nvidia.com/deploy/nvml-api), npu-smi (Huawei's command
reference, `npu-smi info -t power`).
"""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from crossgrade.values.observation import EnergyReason, EnergySensor


class NoEnergy(Exception):
    """There is no sensor, or it cannot be read; a result, not a failure."""

    def __init__(self, reason: EnergyReason, detail: str) -> None:
        """Keep the reason from the closed list and what happened."""
        super().__init__(f"{reason}: {detail}")
        self.reason: EnergyReason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """Something that tells energy or power of a device."""

    name: str
    """What is read, such as `RAPL package-0`."""
    kind: EnergySensor
    """counter: `read` gives J since some start. averaged, instant: it gives W."""
    scope: str
    """What it counts: `package`, `board`, `module`."""
    read: Callable[[], float]
    """Gives J or W; raises NoEnergy."""
    wraps_at_j: float | None = None
    """Energy at which a counter begins again, J; None: never."""


@runtime_checkable
class HasEnergySensor(Protocol):
    """A target that knows what tells the energy of its device."""

    def energy_sensor(self) -> Sensor:
        """Return the sensor.

        Raises:
            NoEnergy: there is none, or it may not be read.
        """


# the host -----------------------------------------------------------------------------------------
def host_sensor(root: Path = Path("/")) -> Sensor:
    """Return the energy counters of the processor's packages, summed.

    Args:
        root: where `sys` is, another folder in tests.

    Raises:
        NoEnergy: `no-sensor` or `not-permitted`.
    """
    folder = root / "sys/class/powercap"
    packages = [f for f in sorted(folder.glob("intel-rapl:*")) if _name(f).startswith("package")]
    if not packages:
        raise NoEnergy(
            "no-sensor", "no package of the processor is under /sys/class/powercap, as in most "
            "virtual machines"
        )  # fmt: skip
    files = [f / "energy_uj" for f in packages]
    try:
        for file in files:
            file.read_text()
    except PermissionError as error:
        raise NoEnergy(
            "not-permitted", "energy_uj under /sys/class/powercap may be read by root alone; "
            "`chmod a+r` on these files allows it"
        ) from error  # fmt: skip
    limits = [_number(f / "max_energy_range_uj") for f in packages]
    names = " + ".join(_name(f) for f in packages)
    # The sum of several counters wraps where any of them does, which cannot be told apart.
    wraps = limits[0] * 1e-6 if len(limits) == 1 and limits[0] else None
    return Sensor(
        name=f"RAPL {names}",
        kind="counter",
        scope="package",
        read=lambda: sum(_number(f) for f in files) * 1e-6,
        wraps_at_j=wraps,
    )


def _name(folder: Path) -> str:
    try:
        return (folder / "name").read_text().strip()
    except OSError:
        return ""


def _number(file: Path) -> float:
    try:
        return float(file.read_text())
    except (OSError, ValueError) as error:
        raise NoEnergy("error", f"{file.name} cannot be read: {error}") from error


# devices ------------------------------------------------------------------------------------------
def nvml_sensor(uuid: str, index: int) -> Sensor:
    """Return the energy counter of an NVIDIA board, or its power where it has none.

    Args:
        uuid: of the device, as the runtime tells it; empty: unknown.
        index: of the device, where the uuid is unknown.

    Raises:
        NoEnergy: the library or the board is not here.
    """
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
        handle = _nvml_handle(nvml, uuid, index)
    except ImportError as error:
        raise NoEnergy("no-sensor", "the module pynvml (nvidia-ml-py) is not installed") from error
    except Exception as error:
        raise NoEnergy("no-sensor", f"NVML: {error}") from error
    try:
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception:
        # Boards before Volta have no counter.
        read = _guarded(lambda: nvml.nvmlDeviceGetPowerUsage(handle) * 1e-3)
        return Sensor(name="NVML power", kind="averaged", scope="board", read=read)
    return Sensor(
        name="NVML total energy", kind="counter", scope="board",
        read=_guarded(lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) * 1e-3),
    )  # fmt: skip


def _nvml_handle(nvml: Any, uuid: str, index: int) -> Any:
    for name in (uuid, f"GPU-{uuid}") if uuid else ():
        try:
            return nvml.nvmlDeviceGetHandleByUUID(name.encode())
        except Exception:
            continue
    return nvml.nvmlDeviceGetHandleByIndex(index)


_NPU_POWER = re.compile(
    r"(?:NPU Real-time Power|Real-time Power|Power Dissipation)\(W\)\s*:\s*([\d.]+)"
)
_TOOL_S = 5.0


def npu_sensor(index: int, run: Callable[[Sequence[str]], str] | None = None) -> Sensor:
    """Return the power of an Ascend card as npu-smi tells it.

    Args:
        index: of the card.
        run: runs a command and gives what it prints; for tests.

    Raises:
        NoEnergy: the tool is not here, or prints something else.
    """
    tool = shutil.which("npu-smi")
    if tool is None and run is None:
        raise NoEnergy("no-sensor", "npu-smi is not on the path")
    command = (tool or "npu-smi", "info", "-t", "power", "-i", str(index))
    call = run or _printed

    def read() -> float:
        text = call(command)
        found = _NPU_POWER.search(text)
        if found is None:
            raise NoEnergy("error", f"npu-smi tells no power: {' '.join(text.split())[:80]!r}")
        return float(found[1])

    read()
    return Sensor(name="npu-smi power", kind="instant", scope="board", read=read)


def _printed(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TOOL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoEnergy("error", f"{command[0]}: {error}") from error
    return done.stdout + done.stderr


def torch_sensor(module: Any, device: Any) -> Sensor:
    """Return the power of a device as torch's module of its type tells it.

    Raises:
        NoEnergy: it tells none.
    """
    name = f"{getattr(module, '__name__', 'torch')}.power_draw"
    call = getattr(module, "power_draw", None)
    if call is None:
        raise NoEnergy("no-sensor", f"there is no {name}")
    read = _guarded(lambda: float(call(device)) * 1e-3)
    read()
    return Sensor(name=name, kind="averaged", scope="board", read=read)


def _guarded(read: Callable[[], float]) -> Callable[[], float]:
    """Return a reading whose every failure is NoEnergy: drivers raise what they like."""

    def call() -> float:
        try:
            return read()
        except Exception as error:
            raise NoEnergy("error", f"{type(error).__name__}: {error}"[:200]) from error

    return call
