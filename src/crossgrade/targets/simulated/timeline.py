"""Two clocks of a made-up host and device: the host runs ahead, the device works off a queue.

Times are in ns since the target was opened. A block of calls is queued in closed form, so that its
length costs nothing. Must not know cases or noise.
"""

from __future__ import annotations

from dataclasses import dataclass

from crossgrade.targets.simulated.faults import Faults


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCosts:
    """What things cost on the host; made up, of the size of those of a discrete accelerator."""

    launch_ns: float = 1_000.0
    """One launch."""
    synchronize_ns: float = 4_000.0
    """A synchronisation of an idle device."""
    read_ns: float = 9_000.0
    """Reading one element from an idle device."""
    event_ns: float = 300.0
    """Recording an event."""
    clock_ns: float = 25.0
    """Reading the clock; above zero, so that a loop that waits for a time comes to an end."""
    flush_ns: float = 200_000.0
    """Clearing the caches."""


FREE = HostCosts(
    launch_ns=0.0, synchronize_ns=0.0, read_ns=0.0, event_ns=0.0, clock_ns=1.0, flush_ns=0.0
)
"""A host that costs nothing: spans are the device's times alone."""


class Timeline:
    """The host's time, the device's queue, and what the faults do to waiting."""

    __slots__ = ("_costs", "_faults", "_free", "_host", "_last_call", "_pending")

    def __init__(self, costs: HostCosts, faults: Faults) -> None:
        """Begin at zero with an empty queue."""
        self._costs = costs
        self._faults = faults
        self._host = 0.0
        self._free = 0.0
        self._last_call = 0.0
        self._pending: float | None = None

    def clock_ns(self) -> int:
        """Return the host's clock, ns."""
        self._host += self._costs.clock_ns
        return int(self._host)

    def now_ns(self) -> float:
        """Return when the device would start what is launched now, ns."""
        return max(self._host, self._free)

    def launch(self, call_ns: float, count: int) -> None:
        """Queue `count` calls of `call_ns` each, ns; a lazy device holds the last one back."""
        if not count:
            return
        first = self._host + self._costs.launch_ns
        self._host += count * self._costs.launch_ns
        if not self._faults.lazy:
            self._queue(call_ns, count, first)
            return
        self._run_pending(first)
        if count > 1:
            self._queue(call_ns, count - 1, first + self._costs.launch_ns)
        self._pending = call_ns

    def _queue(self, call_ns: float, count: int, first: float) -> None:
        """Work off calls of which the first arrives at `first`.

        The end of call n is the latest of: the queue before it and n calls; the first arrival and
        n calls; the last arrival and one call. Nothing between can be later, as arrivals and calls
        are evenly spaced.
        """
        last = first + (count - 1) * self._costs.launch_ns
        self._free = max(max(self._free, first) + count * call_ns, last + call_ns)
        self._last_call = call_ns

    def _run_pending(self, at: float) -> None:
        if self._pending is not None:
            self._queue(self._pending, 1, at)
            self._pending = None

    def synchronize(self) -> None:
        """Wait for the queue, if the device is honest; a lazy one leaves what it holds back."""
        if not self._faults.lying_synchronize:
            self._host = max(self._host, self._free)
        self._host += self._costs.synchronize_ns

    def read(self) -> None:
        """Wait for everything and fetch one element."""
        self._run_pending(self._host)
        self._host = max(self._host, self._free) + self._costs.read_ns

    def flush(self) -> None:
        """Wait for everything and clear the caches."""
        self._run_pending(self._host)
        self._host = max(self._host, self._free) + self._costs.flush_ns
        self._free = self._host

    def record(self, *, early: float = 0.0) -> float:
        """Return the device's time at which an event that is recorded now fires, ns.

        `early` is the share of a running call before whose end it fires already.
        """
        self._host += self._costs.event_ns
        return max(self._host, self._free - early * self._last_call)

    def wait(self, stamp_ns: float) -> None:
        """Wait for an event, if the device is honest."""
        if not self._faults.lying_synchronize:
            self._host = max(self._host, stamp_ns)
