"""The runtime's own reading of power: the last resort. Must not know any runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from crossgrade.targets.energy.meter import CannotRead, EnergyDevice, EnergyMeter, Place, Reading

_POLL_S: Final = 0.1


def open_runtime(device: EnergyDevice, place: Place) -> EnergyMeter:
    """Return what the runtime of the device says of its power.

    It is taken for averaged: torch documents a mean over the past sample period.

    Raises:
        CannotRead: it says nothing.
    """
    if device.power_w is None:
        raise CannotRead("no-sensor", "")
    return Reading(
        sensor=device.power_name,
        kind="averaged",
        scope="board",
        poll_s=_POLL_S,
        ask=_guarded(device.power_w, device.power_name),
    )


def _guarded(ask: Callable[[], float], name: str) -> Callable[[], float]:
    def power_w() -> float:
        try:
            return ask()
        except Exception as error:
            words = " ".join(str(error).split())[:160]
            raise CannotRead("no-sensor", f"{name}: {words}") from error

    return power_w
