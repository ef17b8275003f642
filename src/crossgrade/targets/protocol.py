"""The seam: what a target must be able to do so that it can be measured.

A target opens by name (`crossgrade.targets.registry`), says which timers it has, and prepares an
operator case as a kernel that can be launched. Optional abilities are protocols of their own, asked
with `isinstance`. Must not know any target, nor torch.

A target that stands for real hardware reads the host's clock; a simulated one brings its own time,
so that tests take none and are exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from crossgrade.values.audit import TimerKind
from crossgrade.values.model_case import ModelCase
from crossgrade.values.operator_case import OperatorCase

if TYPE_CHECKING:
    from crossgrade.targets.arrays import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a target is opened."""

    session: int = 0
    """Number of the session that opens it; -1: the audit. Simulated targets alone look at it."""
    seed: int = 0
    """Seed of simulated noise."""
    scratch: str = ""
    """Folder in which what takes long to make is kept for further sessions; empty: none."""


class Kernel(Protocol):
    """An operator case, ready to be launched; inputs and outputs lie on the device."""

    def launch(self) -> None:
        """Start one call and return, on an asynchronous device before it has run.

        With several copies of the buffers each call takes the next copy.
        """

    def read(self) -> float:
        """Return one element of the newest output on the host; waits until it is there.

        Before the first launch there is none: it waits for what is queued and returns NaN.
        """

    def work(self) -> tuple[float | None, float | None]:
        """Return floating-point operations and bytes (least traffic) of one call; None unknown."""

    def close(self) -> None:
        """Free the buffers."""


@runtime_checkable
class LaunchesMany(Protocol):
    """A kernel that starts many calls at once, without a loop on the host."""

    def launch_many(self, count: int) -> None:
        """Start `count` calls and return, on an asynchronous device before they have run."""


@runtime_checkable
class GivesOutput(Protocol):
    """A kernel whose newest output can be looked at."""

    def output_array(self) -> Array:
        """Return the first output of the newest launch on the host, float64; waits for it."""


class Timer(Protocol):
    """A way to time a block of calls."""

    @property
    def kind(self) -> TimerKind:
        """Return which way."""

    def span_ns(self, kernel: Kernel, count: int) -> float:
        """Launch `count` calls and return how long they took, ns; it has waited for their end.

        With a count of 0 it returns what its own doing takes, which is taken off later.
        """


class Target(Protocol):
    """Something that executes operator cases."""

    @property
    def spec(self) -> str:
        """Return the specification that opens it again, such as `cuda:0`."""

    @property
    def forkable(self) -> bool:
        """Return whether sessions may be forked from a parent that has imported what it may."""

    def facts(self) -> Mapping[str, str]:
        """Return what it is: `device`, `runtime`, versions; identities are hashed."""

    def clock_ns(self) -> int:
        """Return the host's clock, ns; simulated targets bring their own."""

    def synchronize(self) -> None:
        """Wait until all launched work has run."""

    def timers(self) -> Sequence[Timer]:
        """Return the timers it has, the most exact one first."""

    def prepare(self, case: OperatorCase, *, copies: int = 1) -> Kernel:
        """Return the case as a kernel with `copies` sets of buffers that take turns.

        Raises:
            CannotRun: it cannot, with the reason.
        """

    def close(self) -> None:
        """Free what it holds."""


@runtime_checkable
class RunsModels(Protocol):
    """A target that executes phases of whole models too."""

    def load_libraries(self) -> None:
        """Import what running a model takes, so that it is not counted as the model's memory."""

    def prepare_model(self, case: ModelCase, *, copies: int = 1) -> Kernel:
        """Return the execution as a kernel; weights and cache lie on the device.

        Every launch does the same work on the same inputs, but for a training step, which changes
        the weights. The cache of a decode step has the same length each time.

        Raises:
            CannotRun: it cannot, with the reason.
        """


@runtime_checkable
class CanFlush(Protocol):
    """A target whose caches can be cleared."""

    def flush(self) -> None:
        """Read and write more memory than the last-level cache holds, and wait for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """What the platform says of itself now."""

    readings: Mapping[str, float]
    """`clock_hz`, `clock_nominal_hz`, `temperature_c`, `power_w`, `load`, `throttled` (0 or 1),
    `steal_s` (time that the hypervisor took since the start)."""
    unread: Mapping[str, str]
    """Reading that cannot be had -> why."""


@runtime_checkable
class CanWitness(Protocol):
    """A target that can tell clock, temperature, power or load."""

    def witness(self) -> Witness:
        """Return what the platform says now; must cost less than a millisecond."""


@runtime_checkable
class CanNote(Protocol):
    """A kernel that runs in another way than its case says."""

    def notes(self) -> tuple[str, ...]:
        """Return what a reader of its time should know, one sentence each; empty: nothing."""


@runtime_checkable
class CanCountMemory(Protocol):
    """A target that can tell how much memory live buffers take on it."""

    def allocated_bytes(self) -> int | None:
        """Return the memory of live buffers on the device, bytes; None where nobody counts it."""


class PeakCounter(Protocol):
    """Something that counts the memory held on a device, and the most since it was set back."""

    @property
    def name(self) -> str:
        """Return what counts, such as `torch.cuda.max_memory_allocated`."""

    @property
    def can_reset(self) -> bool:
        """Return whether it can be set back; else the most is that since the process began."""

    def reset(self) -> None:
        """Set the most back to what is held now; nothing where it cannot."""

    def held_bytes(self) -> float:
        """Return what is held now, bytes; the most so far where nothing tells."""

    def peak_bytes(self) -> float:
        """Return the most that was held since it was set back, bytes."""


@runtime_checkable
class CountsPeakMemory(Protocol):
    """A target that knows what counts the memory of its device."""

    def peak_counter(self) -> PeakCounter | None:
        """Return what counts it; None where nothing does."""


@runtime_checkable
class Simulated(Protocol):
    """A target whose time is its own; its sessions need no processes."""

    @property
    def simulated(self) -> bool:
        """Return True."""


MODEL_LIBRARIES = "crossgrade.workloads.running.libraries"
"""Module that imports what running a model takes; it may be preloaded for forked sessions."""
DEFAULT_ANCHOR = OperatorCase(op="gemm", dtype="float32", arguments={"m": 256, "k": 256, "n": 256})
"""The anchor kernel of targets that name none: a third of a millisecond on a core of a CPU."""


@runtime_checkable
class HasAnchor(Protocol):
    """A target that wants another anchor kernel than the default, which is too small for it."""

    def anchor(self) -> OperatorCase:
        """Return the fixed kernel that is timed beside every case on such a device."""
