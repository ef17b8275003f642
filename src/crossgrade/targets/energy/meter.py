"""What a sensor of energy is: the protocol, the device that it belongs to, and why there is none.

Must not know any sensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from crossgrade.values.observation import EnergyReason, EnergySensor


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyDevice:
    """What energy is asked of, as its runtime knows it."""

    kind: str
    """Device type in torch's words: `cpu`, `cuda`, `npu`, `xpu` ..."""
    index: int = 0
    """Index among the devices that this process may see."""
    uuid: str = ""
    """Identity as the runtime gives it; empty where it gives none."""
    pci: str = ""
    """PCI address such as `0000:c1:00.0`, lower case; empty where the runtime tells none."""
    power_w: Callable[[], float] | None = None
    """The runtime's own reading of power, W; None where it has none."""
    power_name: str = ""
    """What that reading is called, such as `torch.cuda.power_draw`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where sensors are looked for."""

    root: Path
    """Folder in which `sys` lies, `/` on a real machine."""
    env: Mapping[str, str]
    """Environment: where programs are, which devices a process may see."""


class CannotRead(Exception):
    """A sensor is not there or cannot be read; a result, not a failure of the program."""

    def __init__(self, reason: EnergyReason, detail: str) -> None:
        """Keep the reason from the closed list and what happened."""
        super().__init__(f"{reason}: {detail}")
        self.reason: EnergyReason = reason
        self.detail = detail


class EnergyMeter(Protocol):
    """A sensor, opened."""

    @property
    def sensor(self) -> str:
        """Return what is read, such as `RAPL package-0`."""

    @property
    def kind(self) -> EnergySensor:
        """Return what it gives."""

    @property
    def scope(self) -> str:
        """Return what it counts: `package`, `board`, `module`, `machine`."""

    @property
    def poll_s(self) -> float:
        """Return how long to wait between two readings, s: long beside what a reading costs."""

    def read(self) -> float:
        """Return joules since some start for a `counter`, which never falls; else watts.

        Raises:
            CannotRead: it failed.
        """

    def close(self) -> None:
        """Let go of what it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMeter:
    """No sensor counts a device."""

    reason: EnergyReason
    """Why."""
    detail: str
    """What was tried, and what to do, for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A sensor that one function reads; an `EnergyMeter`."""

    sensor: str
    """What is read."""
    kind: EnergySensor
    """What it gives."""
    scope: str
    """What it counts."""
    poll_s: float
    """How long to wait between two readings, s."""
    ask: Callable[[], float]
    """Gives J or W, or raises `CannotRead`."""
    end: Callable[[], None] | None = None
    """Lets go of what it holds."""

    def read(self) -> float:
        """Return joules or watts.

        Raises:
            CannotRead: it failed.
        """
        return self.ask()

    def close(self) -> None:
        """Let go of what it holds."""
        if self.end is not None:
            self.end()


@runtime_checkable
class Metered(Protocol):
    """A target whose device may have a sensor of energy."""

    def energy_device(self) -> EnergyDevice:
        """Return which device that is."""
