"""Energy counters and power readings that Linux drivers show under hwmon.

Source of names and units: https://docs.kernel.org/hwmon/sysfs-interface.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from crossgrade.targets.energy.files import number_in, text_in
from crossgrade.targets.energy.meter import CannotRead, EnergyDevice, EnergyMeter, Place, Reading
from crossgrade.values.observation import EnergySensor

_FILES: Final[tuple[tuple[str, EnergySensor], ...]] = (
    ("energy*_input", "counter"),
    ("power*_average", "averaged"),
    ("power*_input", "instant"),
)
"""Files, the most exact one first. Documented units: microjoules and microwatts."""
_MICRO: Final = 1e-6
_POLL_S: Final = 0.05
_SCOPES: Final = {"card": "board", "pkg": "package"}
"""Label of a driver -> scope."""


def opener_of(drivers: Sequence[str], scope: str) -> Callable[[EnergyDevice, Place], EnergyMeter]:
    """Return what opens the sensor of one of these drivers.

    Args:
        drivers: names that drivers give themselves, such as `amdgpu`.
        scope: what their readings count, where no label says.
    """

    def open_hwmon(device: EnergyDevice, place: Place) -> EnergyMeter:
        return _reading(_folder(device, place, drivers), scope)

    return open_hwmon


def _folder(device: EnergyDevice, place: Place, drivers: Sequence[str]) -> Path:
    """Return the folder of the device: by PCI address, or the only one of the drivers."""
    parent = place.root / "sys/class/hwmon"
    if device.pci:
        parent = place.root / "sys/bus/pci/devices" / device.pci / "hwmon"
    found = [f for f in sorted(parent.glob("hwmon*")) if _name(f) in drivers]
    if not found:
        raise CannotRead("no-sensor", f"no hwmon of {' or '.join(drivers)}")
    if len(found) > 1 or (device.index and not device.pci):
        detail = f"{len(found)} hwmon of {' or '.join(drivers)}, and no PCI address of the device"
        raise CannotRead("no-sensor", detail)
    return found[0]


def _reading(folder: Path, scope: str) -> EnergyMeter:
    for pattern, kind in _FILES:
        for path in sorted(folder.glob(pattern))[:1]:
            label = _label(path)
            return Reading(
                sensor=f"hwmon {_name(folder)} {path.name}{f' ({label})' if label else ''}",
                kind=kind,
                scope=_SCOPES.get(label, scope),
                poll_s=_POLL_S,
                ask=partial(_si, path),
            )
    raise CannotRead("no-sensor", f"hwmon of {_name(folder)} has neither energy nor power")


def _si(path: Path) -> float:
    return number_in(path) * _MICRO


def _name(folder: Path) -> str:
    try:
        return text_in(folder / "name")
    except CannotRead:
        return ""


def _label(path: Path) -> str:
    try:
        return text_in(path.with_name(f"{path.name.partition('_')[0]}_label"))
    except CannotRead:
        return ""
