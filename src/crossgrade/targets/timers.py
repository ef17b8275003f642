"""The two timers that every target has: the host's clock around a block.

Must not know any target.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from crossgrade.targets.protocol import Kernel, LaunchesMany, Target
from crossgrade.values.audit import TimerKind


@functools.cache
def _launches_many(kind: type) -> bool:
    """Return whether kernels of a class do; asking a protocol costs microseconds per block."""
    return issubclass(kind, LaunchesMany)


def burst(kernel: Kernel) -> Callable[[int], None]:
    """Return what launches a number of calls of the kernel; asked for outside of a span."""
    if _launches_many(type(kernel)):
        return cast(LaunchesMany, kernel).launch_many
    launch = kernel.launch

    def one_by_one(count: int) -> None:
        for _ in range(count):
            launch()

    return one_by_one


@dataclass(frozen=True, slots=True)
class SynchronizeTimer:
    """The host's clock between two synchronisations."""

    target: Target

    @property
    def kind(self) -> TimerKind:
        """Return `wall-synchronize`."""
        return "wall-synchronize"

    def span_ns(self, kernel: Kernel, count: int) -> float:
        """Return the time of `count` calls, ns."""
        target, launch = self.target, burst(kernel)
        target.synchronize()
        start = target.clock_ns()
        launch(count)
        target.synchronize()
        return float(target.clock_ns() - start)


@dataclass(frozen=True, slots=True)
class ReadTimer:
    """The host's clock until one element of the output has been read.

    A read before the start drains the queue: a synchronisation may lie, or leave lazy work behind.
    """

    target: Target

    @property
    def kind(self) -> TimerKind:
        """Return `wall-read`."""
        return "wall-read"

    def span_ns(self, kernel: Kernel, count: int) -> float:
        """Return the time of `count` calls and one read, ns."""
        target, launch = self.target, burst(kernel)
        target.synchronize()
        kernel.read()
        start = target.clock_ns()
        launch(count)
        kernel.read()
        return float(target.clock_ns() - start)
