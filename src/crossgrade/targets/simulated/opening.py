"""A specification -> a made-up device: `null`, `replay:FILE`, `faulty:FAULT[,FAULT...]`.

Each factory takes what follows the first colon. Must not know other targets.
"""

from __future__ import annotations

from pathlib import Path

from crossgrade.errors import UnknownTarget
from crossgrade.targets.protocol import Opening
from crossgrade.targets.simulated.device import SimulatedDevice
from crossgrade.targets.simulated.faults import Faults, broken_by
from crossgrade.targets.simulated.replay import ReplayDurations, read_recording
from crossgrade.targets.simulated.timeline import FREE


def open_null(rest: str, opening: Opening) -> SimulatedDevice:
    """Return a device without noise or faults.

    Raises:
        UnknownTarget: something follows the name.
    """
    if rest:
        raise UnknownTarget(f"'null:{rest}': nothing follows null", hint="write null")
    return SimulatedDevice(opening=opening, spec="null")


def open_faulty(rest: str, opening: Opening) -> SimulatedDevice:
    """Return a device with the faults of a list such as `lazy,jitter`.

    Raises:
        UnknownTarget: no fault is named, or one that is unknown.
    """
    broken = broken_by(rest)
    return SimulatedDevice(broken.noise, broken.faults, opening, spec=f"faulty:{rest}")


def open_replay(rest: str, opening: Opening) -> SimulatedDevice:
    """Return a device that plays a record back; `FILE#NAME` takes the variant of that name.

    Raises:
        UnknownTarget: no file is named.
        BadRecord: the file cannot be read or holds no measurement.
    """
    if not rest:
        raise UnknownTarget("replay needs a record", hint="write replay:FILE")
    file, _, variant = rest.partition("#")
    durations = ReplayDurations(read_recording(Path(file), variant), opening)
    exact = Faults(event_step_ns=0.0)
    return SimulatedDevice(faults=exact, spec=f"replay:{rest}", costs=FREE, durations=durations)


FACTORIES = {"null": open_null, "faulty": open_faulty, "replay": open_replay}
"""What stands before the colon -> what opens it."""


def open_simulated(spec: str, opening: Opening | None = None) -> SimulatedDevice:
    """Return the device of a whole specification.

    Raises:
        UnknownTarget: not one of them, or what follows the colon is missing or unknown.
        BadRecord: the file of `replay:` is no measurement.
    """
    name, _, rest = spec.partition(":")
    if name not in FACTORIES:
        raise UnknownTarget(
            f"'{spec}' is no simulated target",
            hint="write null, replay:FILE or faulty:FAULT[,FAULT...]",
        )
    return FACTORIES[name](rest, opening or Opening())
