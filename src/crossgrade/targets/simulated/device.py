"""The made-up device as a target: kernels, three timers, a witness, and times that are known.

Must not know where its faults, its noise or its durations come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from crossgrade.targets.protocol import Kernel, LaunchesMany, Opening, Timer, Witness
from crossgrade.targets.simulated.faults import Faults
from crossgrade.targets.simulated.noise import Noise, NoiseModel
from crossgrade.targets.simulated.timeline import HostCosts, Timeline
from crossgrade.targets.simulated.work import duration_ns, work_of
from crossgrade.targets.timers import ReadTimer, SynchronizeTimer
from crossgrade.values.audit import TimerKind
from crossgrade.values.operator_case import CannotRun, OperatorCase

NOMINAL_HZ = 1e9
"""Clock of the made-up device, Hz."""


class Durations(Protocol):
    """Where the times of calls come from."""

    def of(self, case: OperatorCase) -> Callable[[], float]:
        """Return what gives the time of a call in the next block of the case, ns.

        Raises:
            CannotRun: it has no times for the case.
        """


class NoisyDurations:
    """Times by the cost of the work, with noise."""

    __slots__ = ("_noise",)

    def __init__(self, model: NoiseModel, opening: Opening) -> None:
        """Begin the noise of a session."""
        self._noise = Noise(model, opening)

    def of(self, case: OperatorCase) -> Callable[[], float]:
        """Return what gives the time of a call in the next block of the case, ns."""
        base = duration_ns(case) * self._noise.kernel(case.key)
        block = self._noise.block
        return lambda: base * block()


class SimulatedDevice:
    """An asynchronous device with its own time.

    It costs a few microseconds per block, however long the block is.
    """

    __slots__ = ("_blocks", "_durations", "_faults", "_timeline", "_timers", "spec")

    def __init__(
        self,
        noise: NoiseModel | None = None,
        faults: Faults | None = None,
        opening: Opening | None = None,
        *,
        spec: str = "null",
        costs: HostCosts | None = None,
        durations: Durations | None = None,
    ) -> None:
        """Open it at time zero; `durations` takes the place of the noise."""
        opening = opening or Opening()
        self.spec = spec
        self._faults = faults or Faults()
        self._timeline = Timeline(costs or HostCosts(), self._faults)
        self._durations = durations or NoisyDurations(noise or NoiseModel(), opening)
        self._blocks = 0
        self._timers: tuple[Timer, ...] = (
            EventTimer(self._timeline, self._faults), SynchronizeTimer(self), ReadTimer(self),
        )  # fmt: skip

    @property
    def simulated(self) -> bool:
        """Return True."""
        return True

    @property
    def forkable(self) -> bool:
        """Return True; its sessions need no processes at all."""
        return True

    def facts(self) -> Mapping[str, str]:
        """Return what it is."""
        return {"device": "simulated", "runtime": self.spec}

    def clock_ns(self) -> int:
        """Return its own host clock, ns."""
        return self._timeline.clock_ns()

    def synchronize(self) -> None:
        """Wait until all launched work has run, if it is honest."""
        self._timeline.synchronize()

    def timers(self) -> Sequence[Timer]:
        """Return its event timer and the two of the host."""
        return self._timers

    def prepare(self, case: OperatorCase, *, copies: int = 1) -> Kernel:
        """Return the case as a kernel; `copies` makes no difference to it.

        Raises:
            CannotRun: `bad-arguments`, `unknown-operator`, `out-of-memory`, or what the case itself
                asks for.
        """
        if self._faults.out_of_memory:
            raise CannotRun("out-of-memory", f"no memory for {copies} of {case.title}")
        return SimulatedKernel(self, case, self._durations.of(case))

    def flush(self) -> None:
        """Clear the caches; takes time and changes no other."""
        self._timeline.flush()

    def witness(self) -> Witness:
        """Return clock, temperature and whether it is throttled now."""
        throttled = self._throttled()
        clock = NOMINAL_HZ * (1.0 - self._faults.throttle if throttled else 1.0)
        readings = {
            "clock_hz": clock, "clock_nominal_hz": NOMINAL_HZ, "load": 0.0,
            "temperature_c": 90.0 if throttled else 50.0, "throttled": float(throttled),
        }  # fmt: skip
        return Witness(readings=readings, unread={"power_w": "a simulated device draws no power"})

    def true_time_s(self, case: OperatorCase) -> float:
        """Return the time of one call without noise, s: what a measurement should come to."""
        return duration_ns(case) / 1e9

    def close(self) -> None:
        """Free nothing."""

    def launch(self, call_ns: float, count: int) -> None:
        """Queue a block of calls of `call_ns` each, ns; for its kernels."""
        self._blocks += 1
        if self._faults.alternating and self._blocks % 2 == 0:
            call_ns *= 1.0 + self._faults.alternating
        if self._throttled():
            call_ns /= 1.0 - self._faults.throttle
        self._timeline.launch(call_ns, count)

    def read(self) -> float:
        """Wait for everything and return an element; for its kernels."""
        self._timeline.read()
        return math.nan if self._faults.nan_output else 1.0

    def _throttled(self) -> bool:
        return self._timeline.now_ns() >= self._faults.throttle_after_ns


class SimulatedKernel(LaunchesMany):
    """A case on a made-up device."""

    __slots__ = ("_call_ns", "_case", "_device")

    def __init__(
        self, device: SimulatedDevice, case: OperatorCase, call_ns: Callable[[], float]
    ) -> None:
        """Keep where it runs and what gives its times."""
        self._device = device
        self._case = case
        self._call_ns = call_ns

    def launch(self) -> None:
        """Queue one call."""
        self._device.launch(self._call_ns(), 1)

    def launch_many(self, count: int) -> None:
        """Queue a block of calls, which share one draw of the noise."""
        self._device.launch(self._call_ns(), count)

    def read(self) -> float:
        """Return one element of the output; waits for everything."""
        return self._device.read()

    def work(self) -> tuple[float | None, float | None]:
        """Return floating-point operations and bytes; unknown where the case gives its time."""
        if "sim_us" in self._case.arguments:
            return None, None
        work = work_of(self._case)
        return work.flop, work.bytes

    def close(self) -> None:
        """Free nothing."""


class EventTimer:
    """Two events on the device's timeline, and what faults make of them."""

    __slots__ = ("_faults", "_spans", "_timeline")

    def __init__(self, timeline: Timeline, faults: Faults) -> None:
        """Keep the timeline that stamps the events."""
        self._timeline = timeline
        self._faults = faults
        self._spans = 0

    @property
    def kind(self) -> TimerKind:
        """Return `device-event`."""
        return "device-event"

    def span_ns(self, kernel: Kernel, count: int) -> float:
        """Return the time of `count` calls between two events, ns."""
        assert isinstance(kernel, SimulatedKernel)
        start = self._timeline.record(early=self._faults.event_leak)
        kernel.launch_many(count)
        end = self._timeline.record()
        end -= self._faults.event_early * (end - start)
        self._timeline.wait(end)
        step = self._faults.event_step_ns
        if step:
            start, end = (math.floor(stamp / step) * step for stamp in (start, end))
        return self._told(end - start)

    def _told(self, span: float) -> float:
        """Return what the events say of a span, ns."""
        faults = self._faults
        self._spans += 1
        if faults.event_zero:
            return 0.0
        if faults.event_nan_every and self._spans % faults.event_nan_every == 0:
            return math.nan
        if faults.event_negative_every and self._spans % faults.event_negative_every == 0:
            return -span
        if faults.event_ceiling_ns < math.inf:
            span = faults.event_ceiling_ns * -math.expm1(-span / faults.event_ceiling_ns)
        return span * faults.event_scale + faults.event_offset_ns
