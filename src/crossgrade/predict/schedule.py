"""Durations in order -> when each item starts and ends on its stream.

Three streams. The host launches items in order and may be some items ahead of the device; it reads
values for which it waits until the device is idle. The device computes one kernel at a time, each
after its launch. Collectives run beside it: one that is needed waits for the kernels before it, and
the kernels after it wait; one that may overlap waits for nothing.

The phase repeats: its first item was launched during the execution before, and the launches end
with the first one of the next. Then a phase with `ahead` 1 takes the sum over its items of the
longer of device and launch, which is the price of the eager end. Must not know kernels, chips or
what the items are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.price import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """What is done, in order."""

    seconds: Floats
    """Time that each item keeps its stream busy, s, shape [items]; of a read: from the moment the
    device is idle until the next kernel can start."""
    is_read: NDArray[np.bool_]
    """Whether the host waits for the device, shape [items]."""
    is_collective: NDArray[np.bool_]
    """Whether it runs on the links, shape [items]."""
    launch_s: float
    """Time that the host takes to launch one item, s; 0 where a captured graph launches."""
    overlaps: bool = False
    """Whether collectives wait for nothing, no launch either, and no kernel waits for them."""
    ahead: int = 1
    """How many items the host may be ahead of what runs, at least 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When each item runs and is launched; arrays of shape [items], s."""

    start: Floats
    """Begin of the item on its stream; of a read on the host."""
    end: Floats
    """End there; a read ends when the host can launch again."""
    launch_start: Floats
    """Begin of its launch; of the first item the launch for the next execution; 0 where nobody
    launches it."""
    launch_end: Floats
    """End of its launch; 0 where nobody launches it."""
    total: float
    """When everything is done, s."""


def schedule(items: Items) -> Times:
    """Return when each item starts and ends."""
    count, ahead, launch = len(items.seconds), items.ahead, items.launch_s
    start, end = [0.0] * count, [0.0] * count
    launch_start, launch_end = [0.0] * count, [0.0] * count
    reads, collectives = items.is_read.tolist(), items.is_collective.tolist()
    host = device = links = 0.0
    launched: list[int] = []
    for index, seconds in enumerate(items.seconds.tolist()):
        if collectives[index] and items.overlaps:
            start[index] = links
            links = end[index] = links + seconds
            continue
        ready = 0.0
        if launched:
            before = start[launched[-ahead]] if len(launched) >= ahead else 0.0
            launch_start[index] = max(host, before)
            host = ready = launch_end[index] = launch_start[index] + launch
        launched.append(index)
        start[index] = max(ready, device, 0.0 if items.overlaps else links)
        end[index] = start[index] + seconds
        if collectives[index]:
            links = end[index]
        else:
            device = end[index]
        if reads[index]:
            # The launch of what follows is inside the time of a read.
            host = end[index] = start[index] + max(seconds - launch, 0.0)
    if launched:
        first, last = launched[0], start[launched[-min(ahead, len(launched))]]
        launch_start[first] = max(host, last)
        host = launch_end[first] = launch_start[first] + launch
    return Times(start=np.array(start), end=np.array(end), launch_start=np.array(launch_start),
                 launch_end=np.array(launch_end), total=max(host, device, links))  # fmt: skip
