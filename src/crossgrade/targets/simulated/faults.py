"""The ways in which a made-up device or its timers go wrong; a closed list with known truth.

Each is one that users of real devices have met, such as a synchronisation that returns at once or
an event with a negative time. Must not know how a fault is carried out, nor how it is found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from crossgrade.errors import UnknownTarget
from crossgrade.targets.simulated.noise import NoiseModel
from crossgrade.values.audit import TIMER_KINDS, TimerKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is wrong with a device; nothing by default."""

    lying_synchronize: bool = False
    """Whether every wait, for the queue or for an event, returns at once."""
    lazy: bool = False
    """Whether the last call is held back until something else is launched or read."""
    nan_output: bool = False
    """Whether the output is NaN."""
    out_of_memory: bool = False
    """Whether no case can be prepared."""
    alternating: float = 0.0
    """Share by which every second block runs longer."""
    throttle_after_ns: float = math.inf
    """Device time after which the clock falls, ns."""
    throttle: float = 0.0
    """Share by which it falls."""
    event_step_ns: float = 100.0
    """Resolution of events, ns; 0: they are exact."""
    event_scale: float = 1.0
    """Factor on every event span."""
    event_offset_ns: float = 0.0
    """Time added to every event span, ns."""
    event_ceiling_ns: float = math.inf
    """What an event span tends to however long the work is, ns."""
    event_early: float = 0.0
    """Share of the span before whose end the end event fires."""
    event_leak: float = 0.0
    """Share of a call that still runs which counts as part of the span."""
    event_nan_every: int = 0
    """Every so many event spans one is NaN; 0: none."""
    event_negative_every: int = 0
    """Every so many event spans one is negative; 0: none."""
    event_zero: bool = False
    """Whether all event spans are zero."""


FaultName = Literal[
    "lying-synchronize", "lazy", "negative-events", "zero-events", "nan-events", "coarse-clock",
    "nonlinear-events", "offset-events", "scaled-events", "early-events", "leaky-events",
    "alternating", "throttling", "jitter", "nan-output", "out-of-memory",
]  # fmt: skip
"""Closed list; what each does stands in FAULTS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault that can be asked for by name."""

    says: str
    """What goes wrong, in a line."""
    lies: tuple[TimerKind, ...] = ()
    """Timers that do not tell the truth under it; the others must be believed."""
    faults: Mapping[str, Any] = field(default_factory=dict)
    """Fields of Faults that it sets."""
    noise: Mapping[str, float] = field(default_factory=dict)
    """Fields of NoiseModel that it sets."""


_EVENT: Final[tuple[TimerKind, ...]] = ("device-event",)
_WAITING: Final[tuple[TimerKind, ...]] = ("device-event", "wall-synchronize")

FAULTS: Final[Mapping[FaultName, Fault]] = {
    "lying-synchronize": Fault(
        says="waiting for the queue or for an event returns at once",
        lies=_WAITING, faults={"lying_synchronize": True},
    ),
    "lazy": Fault(
        says="the last call runs only when something else is launched or read",
        lies=_WAITING, faults={"lazy": True},
    ),
    "negative-events": Fault(
        says="every seventh event span is negative",
        lies=_EVENT, faults={"event_negative_every": 7},
    ),
    "zero-events": Fault(
        says="every event span is zero", lies=_EVENT, faults={"event_zero": True}
    ),
    "nan-events": Fault(
        says="every seventh event span is NaN", lies=_EVENT, faults={"event_nan_every": 7}
    ),
    "coarse-clock": Fault(
        says="events are stamped in steps of 1 ms", lies=_EVENT, faults={"event_step_ns": 1e6}
    ),
    "nonlinear-events": Fault(
        says="long event spans come out too short and tend to 20 ms",
        lies=_EVENT, faults={"event_ceiling_ns": 20e6},
    ),
    "offset-events": Fault(
        says="every event span is 200 us too long", lies=_EVENT, faults={"event_offset_ns": 200e3}
    ),
    "scaled-events": Fault(
        says="every event span is 25 % too long", lies=_EVENT, faults={"event_scale": 1.25}
    ),
    "early-events": Fault(
        says="the end event fires when 90 % of the work has run",
        lies=_EVENT, faults={"event_early": 0.1},
    ),
    "leaky-events": Fault(
        says="the start event fires while half a call of the work before is still to run",
        lies=_EVENT, faults={"event_leak": 0.5},
    ),
    "alternating": Fault(
        says="every second block runs 3 % longer, whatever is in it",
        lies=TIMER_KINDS, faults={"alternating": 0.03},
    ),
    "throttling": Fault(
        says="the clock falls by 30 % after 0.3 s; the device tells it",
        faults={"throttle_after_ns": 0.3e9, "throttle": 0.3},
    ),
    "jitter": Fault(
        says="blocks scatter by 3 %, and one in twenty takes five times as long",
        noise={"within_sd": 0.03, "phi": 0.5, "spike_rate": 0.05, "spike": 4.0},
    ),
    "nan-output": Fault(says="the output is NaN", faults={"nan_output": True}),
    "out-of-memory": Fault(says="no case can be prepared", faults={"out_of_memory": True}),
}  # fmt: skip
"""Name -> what goes wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Several faults as one device."""

    faults: Faults
    """What is wrong."""
    noise: NoiseModel
    """How it scatters."""


def broken_by(names: str) -> Broken:
    """Return the device that has the faults of a list such as `lazy,jitter`.

    Raises:
        UnknownTarget: a name is not in FAULTS.
    """
    faults, noise = Faults(), NoiseModel()
    for name in filter(None, (part.strip() for part in names.split(","))):
        fault = next((f for known, f in FAULTS.items() if known == name), None)
        if fault is None:
            raise _unknown(f"no fault is called '{name}'", names)
        faults, noise = replace(faults, **fault.faults), replace(noise, **fault.noise)
    if faults == Faults() and noise == NoiseModel():
        raise _unknown("no fault is named", names)
    return Broken(faults=faults, noise=noise)


def _unknown(message: str, names: str) -> UnknownTarget:
    known = ", ".join(FAULTS)
    return UnknownTarget(
        message, where=f"faulty:{names}", hint=f"write faulty:FAULT[,FAULT...], of {known}"
    )
