"""The two timers that every target has: the host's clock around a block.

Must not know any target.
"""

from __future__ import annotations

from dataclasses import dataclass

from crossgrade.targets.protocol import Kernel, Target
from crossgrade.values.audit import TimerKind


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
        target, launch = self.target, kernel.launch
        target.synchronize()
        start = target.clock_ns()
        for _ in range(count):
            launch()
        target.synchronize()
        return float(target.clock_ns() - start)


@dataclass(frozen=True, slots=True)
class ReadTimer:
    """The host's clock until one element of the output has been read; no device can lie to it."""

    target: Target

    @property
    def kind(self) -> TimerKind:
        """Return `wall-read`."""
        return "wall-read"

    def span_ns(self, kernel: Kernel, count: int) -> float:
        """Return the time of `count` calls and one read, ns."""
        target, launch = self.target, kernel.launch
        target.synchronize()
        start = target.clock_ns()
        for _ in range(count):
            launch()
        kernel.read()
        return float(target.clock_ns() - start)
