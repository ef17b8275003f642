"""What all checks of the timer audit share: two kernels, the host's clock, and the time allowed.

The host's clock around work that ends in a read is the truth to which timers are held, because a
value cannot be on the host before it exists. Must not know what is checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from crossgrade.measure import audit_limits as limits
from crossgrade.targets.protocol import Kernel, Target, Timer
from crossgrade.targets.timers import burst
from crossgrade.values.operator_case import OperatorCase

EMPTY = OperatorCase(op="add", dtype="float32", arguments=limits.EMPTY_CASE_SIZES)
"""As good as no operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A target with its kernels, and what the host's clock says of them."""

    target: Target
    """What is audited."""
    heavy: Kernel
    """The anchor kernel."""
    empty: Kernel
    """An operator that does next to nothing."""
    launch: Callable[[int], None]
    """Launches the heavy kernel a number of times."""
    call_ns: float
    """Time of one call of the heavy kernel by the host's clock, ns (measured)."""
    read_ns: float
    """What a read costs on an idle device, ns (measured)."""
    share_ns: float
    """Time for one timer, ns."""

    def count(self, least_ns: float) -> int:
        """Return how many calls of the heavy kernel take that long."""
        return max(1, math.ceil(least_ns / self.call_ns))

    def drain(self) -> None:
        """Wait until nothing runs, whatever a synchronisation does."""
        _drain(self.target, self.heavy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One timer in the scene, with the spans that several checks look at."""

    scene: Scene
    """Where it is tried."""
    timer: Timer
    """What is tried."""
    deadline_ns: float
    """Reading of the host's clock after which nothing is tried again, ns."""
    work_ns: tuple[float, ...]
    """Spans of real work, ns, as the timer told them."""
    ramp_ns: tuple[float, ...]
    """Spans of 1, 2, 3 ... empty calls, ns, as the timer told them."""
    overhead_ns: float | None
    """What an empty block costs by this timer, ns; None unknown."""

    @property
    def wall(self) -> bool:
        """Return whether the timer is the host's clock, so that its spans hold a wait as well."""
        return self.timer.kind != "device-event"

    @property
    def fixed_ns(self) -> float:
        """Return the cost of a wait that is part of every span, ns; events have none."""
        return (self.overhead_ns or 0.0) if self.wall else 0.0

    def span(self, count: int) -> float:
        """Return the span of so many calls of the heavy kernel, ns, as the timer tells it."""
        return self.timer.span_ns(self.scene.heavy, count)

    def empty_span(self) -> float:
        """Return the span of one empty call, ns, as the timer tells it."""
        return self.timer.span_ns(self.scene.empty, 1)

    def affordable(self, part: str, each_ns: float, wanted: int, least: int = 3) -> int:
        """Return how often something that takes `each_ns` is done: as wanted, or as time allows."""
        allowed = limits.SHARES[part] * self.scene.share_ns / each_ns
        return max(least, min(wanted, int(allowed)))

    def tries(self, wanted: int = limits.TRIES) -> Iterator[int]:
        """Yield 1, 2 ... as long as there is time for another try."""
        for number in range(1, wanted + 1):
            if number == 1 or self.scene.target.clock_ns() < self.deadline_ns:
                yield number


def set_scene(target: Target, anchor: OperatorCase, share_ns: float) -> Scene:
    """Return the scene, with both kernels launched before.

    Raises:
        CannotRun: the target cannot run the anchor or the empty operator.
    """
    heavy, empty = target.prepare(anchor), target.prepare(EMPTY)
    launch = burst(heavy)
    for _ in range(3):  # the first calls compile, allocate and load
        launch(1)
        empty.launch()
        empty.read()
        _drain(target, heavy)
    read_ns = lower_quartile([_idle_read_ns(target, heavy) for _ in range(limits.REPEATS)])
    count = 1
    while (spent := _wall_ns(target, heavy, launch, count)) < limits.BLOCK_NS:
        count = max(2 * count, math.ceil(count * limits.BLOCK_NS / max(spent, 1.0)) // 4)
    spent = min(_wall_ns(target, heavy, launch, count) for _ in range(3))
    call_ns = max(spent - read_ns, 1.0) / count
    return Scene(
        target=target, heavy=heavy, empty=empty, launch=launch, call_ns=call_ns,
        read_ns=read_ns, share_ns=share_ns,
    )  # fmt: skip


def set_probe(scene: Scene, timer: Timer) -> Probe:
    """Return one timer in the scene, with its first spans."""
    deadline_ns = scene.target.clock_ns() + limits.PATIENCE * scene.share_ns
    scene.drain()
    ramp = tuple(
        timer.span_ns(scene.empty, calls)
        for _ in range(limits.RAMP_REPEATS)
        for calls in range(1, limits.RAMP_CALLS + 1)
    )
    single = believable([timer.span_ns(scene.empty, 1) for _ in range(limits.REPEATS)])
    count = scene.count(limits.WORK_NS)
    allowed = limits.SHARES["work"] * scene.share_ns / (count * scene.call_ns)
    spans = max(limits.LEAST_WORK_SPANS, min(limits.WORK_SPANS, int(allowed)))
    work = tuple(timer.span_ns(scene.heavy, count) for _ in range(spans))
    return Probe(
        scene=scene, timer=timer, deadline_ns=deadline_ns, work_ns=work, ramp_ns=ramp,
        overhead_ns=lower_quartile(single) if single else None,
    )  # fmt: skip


def believable(spans: Sequence[float]) -> list[float]:
    """Return the spans that could be true; the others have checks of their own."""
    return [span for span in spans if math.isfinite(span) and span > 0.0]


def lower_quartile(spans: Sequence[float]) -> float:
    """Return the value below which a quarter of the spans lie: what others add hardly moves it."""
    return sorted(spans)[len(spans) // 4]


def _drain(target: Target, kernel: Kernel) -> None:
    kernel.read()
    target.synchronize()


def _idle_read_ns(target: Target, kernel: Kernel) -> float:
    _drain(target, kernel)
    start = target.clock_ns()
    kernel.read()
    return float(target.clock_ns() - start)


def _wall_ns(target: Target, kernel: Kernel, launch: Callable[[int], None], count: int) -> float:
    _drain(target, kernel)
    start = target.clock_ns()
    launch(count)
    kernel.read()
    return float(target.clock_ns() - start)
