"""The device's own clock: two events around a block, where a device can time its events.

Must not know any vendor: whether events work is found by trying them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from crossgrade.targets.protocol import Kernel, Target
from crossgrade.values.audit import TimerKind


class Event(Protocol):
    """What is asked of an event; torch's events have it."""

    def record(self) -> Any:
        """Mark this place in the device's current stream."""

    def synchronize(self) -> Any:
        """Wait until the device has come to the mark."""

    def elapsed_time(self, end_event: Any, /) -> float:
        """Return the time from this mark to another, ms."""


MakeEvent = Callable[[], Event]


@dataclass(frozen=True, slots=True)
class EventTimer:
    """Two events on the device's clock."""

    target: Target
    make_event: MakeEvent
    _events: tuple[Event, Event] = field(init=False)

    def __post_init__(self) -> None:
        # The pair is used again and again: making an event costs more than recording one.
        object.__setattr__(self, "_events", (self.make_event(), self.make_event()))

    @property
    def kind(self) -> TimerKind:
        """Return `device-event`."""
        return "device-event"

    def span_ns(self, kernel: Kernel, count: int) -> float:
        """Return the device's time of `count` calls, ns."""
        start, end = self._events
        launch = kernel.launch
        self.target.synchronize()
        start.record()
        for _ in range(count):
            launch()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) * 1e6


def event_maker(device: torch.device) -> MakeEvent | None:
    """Return what makes timing events for a device, None where it has none that work."""
    if device.type == "cpu":
        return None
    module = _module(device)
    own = getattr(module, "Event", None)
    makers: list[MakeEvent] = [lambda: torch.Event(device, enable_timing=True)]
    if own is not None:
        makers.append(lambda: own(enable_timing=True))
    return next((make for make in makers if _works(make, device)), None)


def _module(device: torch.device) -> Any:
    try:
        return torch.get_device_module(device)
    except RuntimeError:
        return None


def _works(make: MakeEvent, device: torch.device) -> bool:
    """Return whether two events around a small kernel give a time."""
    try:
        start, end = make(), make()
        buffer = torch.zeros(1024, device=device)
        start.record()
        buffer.add_(1)
        end.record()
        end.synchronize()
        return math.isfinite(start.elapsed_time(end))
    # Whatever it raises: a device without timing events is normal, and the wall timers remain.
    except Exception:
        return False
