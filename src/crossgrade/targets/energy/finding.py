"""The sensor of a device: the first of the table that answers, or why none does.

Must not know any sensor.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from crossgrade.targets.energy.meter import (
    CannotRead,
    EnergyDevice,
    EnergyMeter,
    Metered,
    NoMeter,
    Place,
)
from crossgrade.targets.energy.table import SENSORS
from crossgrade.values.observation import EnergyReason

_WORDS: Final[tuple[EnergyReason, ...]] = ("not-permitted", "error", "no-sensor")
"""Of several reasons the first is told: it is the one that somebody can act on."""


def here() -> Place:
    """Return this machine."""
    return Place(root=Path("/"), env=dict(os.environ))


def meter_of(target: object, place: Place | None = None) -> EnergyMeter | NoMeter:
    """Return the sensor of a target's device, or why there is none; `close` it after use.

    Args:
        target: a target; one that is not `Metered` has no sensor.
        place: where to look; this machine if not given.
    """
    if not isinstance(target, Metered):
        return NoMeter(reason="no-sensor", detail="the target does not say which device it runs on")
    return device_meter(target.energy_device(), place or here())


def device_meter(
    device: EnergyDevice, place: Place, broken: Collection[str] = ()
) -> EnergyMeter | NoMeter:
    """Return the sensor of a device, which has answered once, or why there is none.

    Args:
        device: what energy is asked of.
        place: where to look.
        broken: packages that are not to be imported, because that is known to fail.
    """
    refused: list[CannotRead] = []
    for row in SENSORS:
        if row.kinds and device.kind not in row.kinds:
            continue
        if row.package in broken:
            refused.append(CannotRead("error", f"{row.package} is broken"))
            continue
        try:
            return _answering(row.opens(device, place))
        except CannotRead as error:
            refused.append(error)
    reason = next(word for word in _WORDS if any(error.reason == word for error in refused))
    details = dict.fromkeys(error.detail for error in refused if error.reason == reason)
    tried = "; ".join(filter(None, details))
    return NoMeter(reason=reason, detail=tried or f"no sensor of `{device.kind}` is known")


def _answering(meter: EnergyMeter) -> EnergyMeter:
    try:
        meter.read()
    except CannotRead:
        meter.close()
        raise
    return meter
