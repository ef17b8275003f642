"""Memory of a variant in a process that runs nothing else.

Three moments: before it is prepared, with the libraries imported; when it is ready; after some
calls. Must not know what counts, nor torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from crossgrade.targets.protocol import CountsPeakMemory, PeakCounter
from crossgrade.values.observation import MemoryPeak


@dataclass(slots=True)
class PeakMemory:
    """A variant's memory, being counted."""

    _counter: PeakCounter | None
    """What counts; None where nothing does."""
    _base_bytes: float = 0.0
    """What was held before."""
    _ready_bytes: float | None = None
    """What was held when it was ready; None until then."""
    _failure: str = ""
    """What failed; empty: nothing."""

    @classmethod
    def start(cls, target: object) -> PeakMemory:
        """Begin, before the case is prepared; the libraries that it takes are imported.

        Args:
            target: what will run it; one that is not `CountsPeakMemory` has no counter.
        """
        counter = target.peak_counter() if isinstance(target, CountsPeakMemory) else None
        memory = cls(counter)
        if counter is not None:
            memory._take(counter, "base")
        return memory

    def ready(self) -> None:
        """Note what it holds now that it is ready, and begin to look for the most."""
        if self._counter is not None:
            self._take(self._counter, "ready")

    def peak(self) -> MemoryPeak:
        """Return the figures, after some calls that have ended."""
        counter = self._counter
        if counter is None:
            return _absent("")
        try:
            most = counter.peak_bytes()
        except Exception as error:
            self._fail(error)
        if self._failure or self._ready_bytes is None:
            return _failed(counter.name, self._failure or "it was never ready")
        # What was freed since the beginning can make the difference negative: it holds nothing.
        return MemoryPeak(
            ready_bytes=max(0.0, self._ready_bytes - self._base_bytes),
            peak_bytes=max(0.0, most - self._base_bytes),
            counter=counter.name,
        )

    def _take(self, counter: PeakCounter, moment: str) -> None:
        try:
            counter.reset()
            held = counter.held_bytes()
        # Counters of vendors fail with whatever their runtime raises; a figure is lost, no more.
        except Exception as error:
            self._fail(error)
            return
        if moment == "base":
            self._base_bytes = held
        else:
            self._ready_bytes = held

    def _fail(self, error: Exception) -> None:
        words = " ".join(str(error).split())
        self._failure = self._failure or f"{type(error).__name__}: {words}"[:200]


def _absent(counter: str) -> MemoryPeak:
    return MemoryPeak(
        ready_bytes=None,
        peak_bytes=None,
        counter=counter,
        reason="no-counter",
        detail="nothing here counts memory of that device",
    )


def _failed(counter: str, detail: str) -> MemoryPeak:
    return MemoryPeak(
        ready_bytes=None, peak_bytes=None, counter=counter, reason="error", detail=detail
    )
