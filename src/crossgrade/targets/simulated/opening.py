"""A specification -> a made-up device: `null`, `replay:FILE`, `faulty:FAULT[,FAULT...]`.

Must not know other targets.
"""

from __future__ import annotations

from typing import Final

from crossgrade.errors import UnknownTarget
from crossgrade.targets.protocol import Opening
from crossgrade.targets.simulated.device import SimulatedDevice
from crossgrade.targets.simulated.faults import broken_by
from crossgrade.targets.simulated.replay import open_replay

SIMULATED_NAMES: Final = ("null", "replay", "faulty")
"""What stands before the colon."""


def open_simulated(spec: str, opening: Opening | None = None) -> SimulatedDevice:
    """Return the device of a specification.

    Raises:
        UnknownTarget: not one of them, or what follows the colon is missing or unknown.
        BadRecord: the file of `replay:` is no measurement.
    """
    name, _, rest = spec.partition(":")
    if name == "null" and not rest:
        return SimulatedDevice(opening=opening, spec=spec)
    if name == "faulty":
        broken = broken_by(rest)
        return SimulatedDevice(broken.noise, broken.faults, opening, spec=spec)
    if name == "replay" and rest:
        return open_replay(rest, opening or Opening(), spec=spec)
    raise UnknownTarget(
        f"'{spec}' is no simulated target",
        hint="write null, replay:FILE or faulty:FAULT[,FAULT...]",
    )


# factories, as the registry calls them ---------------------------------------------------------
def open_null(rest: str, opening: Opening) -> SimulatedDevice:
    """Return the device without noise and faults."""
    return open_simulated(f"null:{rest}" if rest else "null", opening)


def open_faulty(rest: str, opening: Opening) -> SimulatedDevice:
    """Return the device with the faults that `rest` names."""
    return open_simulated(f"faulty:{rest}", opening)


def open_recorded(rest: str, opening: Opening) -> SimulatedDevice:
    """Return the device that plays the record `rest` back."""
    return open_simulated(f"replay:{rest}", opening)
