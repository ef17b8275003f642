"""Memory of one variant, in a process that runs nothing else.

On the host it is memory of the process (resident set) beyond what the imported libraries take, so
it counts whatever the runtime keeps, pages that its allocator has not given back too. On a device
it is what the runtime's own allocator says of live buffers. Must not know torch.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crossgrade.targets.protocol import CanCountMemory, CountsPeak, Target
from crossgrade.values.observation import MemoryPeak

_FORGET_PEAK: Final = "5"
"""What the kernel takes as the wish to forget the peak (man proc_pid_clear_refs)."""


@dataclass(slots=True)
class PeakMemory:
    """The counter, from before a case is prepared until after it has run."""

    _counter: str
    _now: Callable[[], float]
    _most: Callable[[], float]
    _before: float
    _ready: float | None = None

    @classmethod
    def start(cls, target: Target, root: Path = Path("/")) -> PeakMemory:
        """Return a counter that starts now; what is imported later counts.

        Args:
            target: where the case will run.
            root: where `proc` is, another folder in tests.
        """
        counter = target.begin_peak() if isinstance(target, CountsPeak) else ""
        if counter and isinstance(target, CountsPeak) and isinstance(target, CanCountMemory):
            live, peak = target.allocated_bytes, target.peak_bytes
            return cls(counter, lambda: float(live() or 0), lambda: float(peak()), 0.0)
        return _of_process(root)

    def ready(self) -> None:
        """Note what is held now that the case is prepared."""
        self._ready = self._now() - self._before

    def peak(self) -> MemoryPeak:
        """Return what was held when it was ready, and the most since the start."""
        return MemoryPeak(
            ready_bytes=self._ready,
            peak_bytes=max(0.0, self._most() - self._before),
            counter=self._counter,
        )


def _of_process(root: Path) -> PeakMemory:
    status, forget = root / "proc/self/status", root / "proc/self/clear_refs"
    if not status.is_file():
        return PeakMemory("ru_maxrss of the process", _greatest, _greatest, _greatest())

    def resident() -> float:
        return _field(status, "VmRSS")

    try:
        forget.write_text(_FORGET_PEAK)
    except OSError:
        # What the process took earlier, while it imported, may be the peak then.
        return PeakMemory("VmHWM of the process, imports included", resident,
                          lambda: _field(status, "VmHWM"), resident())  # fmt: skip
    return PeakMemory("VmHWM of the process", resident, lambda: _field(status, "VmHWM"),
                      resident())  # fmt: skip


def _field(status: Path, name: str) -> float:
    """Return a field of the kernel's account of a process, bytes."""
    for line in status.read_text().splitlines():
        key, _, rest = line.partition(":")
        if key == name:
            return float(rest.split()[0]) * 1024
    return 0.0


def _greatest() -> float:
    """Return the most memory that this process ever had resident, bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kilobytes, macOS bytes (man getrusage).
    return float(most if sys.platform == "darwin" else most * 1024)
