"""What is looked at once per variant, in a process of its own: accuracy, memory, energy.

Must not know how it is found out. A figure that is not there has its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSample:
    """What outputs are compared by: elements at places that the shape alone decides."""

    shape: tuple[int, ...]
    """Shape of the first output of each of `launches` launches."""
    launches: int
    """Launches that were looked at; a training step gives another loss each time."""
    values: tuple[float, ...]
    """Elements at those places, launch by launch."""
    tops: tuple[int, ...]
    """Place of the largest element of each row of the last axis; empty where there is one row of
    one element."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How far outputs lie from those of the trusted run (measured)."""

    reference: str
    """What the trusted run was, for a person."""
    relative_error: float
    """Euclidean norm of the difference over that of the reference."""
    worst: float
    """Largest difference over the largest element of the reference."""
    same_top: float | None
    """Share of rows whose largest element is in the same place; None without such rows."""
    elements: int
    """Elements that were compared."""
    limit: float
    """Largest relative error with which it passes."""
    passed: bool
    """Whether it passes."""


MemoryReason = Literal["no-counter", "error"]
"""no-counter: nothing here counts memory of that device. error: the counter failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPeak:
    """Memory of a variant in a process of its own (measured)."""

    ready_bytes: float | None
    """What it holds once it is ready, beyond the imported libraries: weights, inputs, whatever the
    runtime keeps; None with a reason."""
    peak_bytes: float | None
    """The most that it held while it ran, beyond the imported libraries; None with a reason. Where
    the counter cannot be set back, getting ready is in it; `counter` says so."""
    counter: str
    """What counted, such as `VmHWM of the process` or `torch.cuda.max_memory_allocated`; empty
    where nothing did."""
    reason: MemoryReason | None = None
    """Why there is no figure."""
    detail: str = ""
    """What happened, for a person."""


EnergySensor = Literal["counter", "averaged", "instant"]
"""counter: energy since some start. averaged: power over a window of the sensor's own. instant:
power at the time of asking."""
EnergyReason = Literal["no-sensor", "not-permitted", "too-coarse", "below-idle", "error"]
"""no-sensor: nothing here counts it. not-permitted: it is here and may not be read. too-coarse: it
changed too seldom in the time given. below-idle: working took no more than idling, within what the
sensor tells. error: it failed while it was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Energy of one call (measured)."""

    joules_per_call: float | None
    """Energy of a call with idle power subtracted, J; None with a reason."""
    gross_joules_per_call: float | None
    """The same with idle power in it, J."""
    idle_w: float | None
    """Power while nothing ran, just before, W."""
    active_w: float | None
    """Power while it ran, W."""
    calls: int
    """Calls that it was measured over."""
    seconds: float
    """Time that these took, s."""
    sensor: str
    """What was read, such as `RAPL package-0`."""
    kind: EnergySensor | None
    """What the sensor gives."""
    scope: str
    """What it counts: `package`, `board`, `module` ...; empty where there is none."""
    reason: EnergyReason | None = None
    """Why there is no figure."""
    detail: str = ""
    """What happened, for a person."""
    doubt_joules_per_call: float | None = None
    """Half width of the 95 % interval of `joules_per_call`, J, from the scatter of power over five
    parts each of idling and of working, the sensor's steps and how exactly its changes are dated;
    what the sensor itself gets wrong is not in it."""
    period_s: float | None = None
    """How often the sensor was seen to give a new value, s; None where that was too seldom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was seen of one variant."""

    accuracy: Accuracy | None
    """Beside the trusted run; None where that could not run, see `unchecked`."""
    unchecked: str = ""
    """Why accuracy is not known; empty where it is."""
    memory: MemoryPeak
    """Memory."""
    energy: Energy
    """Energy."""
