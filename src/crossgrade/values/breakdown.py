"""Where the time of a phase goes, and what is alive while it runs.

Must not know how kernels are found or priced, nor how this is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from crossgrade.values.evidence import NumberClass
from crossgrade.values.workload import Phase

Limit = Literal["compute", "vector", "memory", "launch", "host", "mixed"]
"""What decides the time of a kernel. `mixed` stands for kernels of several kinds together."""
OTHERS = "others"
"""Label of what is too small for a row of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelGroup:
    """Kernels of one operator in one format that the same thing limits."""

    label: str
    """Operator that names the kernels, or `others`."""
    kind: str
    """`matmul`, `attention`, `vector`, `host` or `collective`; empty for `others`."""
    engine: str
    """Engine whose peak counts: `matrix` or `vector`; empty for `others` and host reads."""
    precision: str
    """Precision of the peak that counts, such as `bf16`; empty for `others`."""
    limit: Limit
    """What decides their time."""
    kernels: int
    """Launches."""
    work: float
    """Matrix operations of one execution, FLOP."""
    vector_ops: float
    """Element operations of one execution."""
    bytes: float
    """Bytes moved by one execution."""
    floor_s: float
    """Time of their floors, s."""
    work_s: float
    """Time of the slowest of arithmetic and memory traffic, s."""
    wait_s: float
    """Time that the device waits for the host, s."""
    time_s: float
    """Sum of the three, s."""


def joined(groups: Sequence[KernelGroup], most: int) -> tuple[KernelGroup, ...]:
    """Return the first `most` groups, and the sum of all others as one where there are more."""
    shown, rest = groups[:most], groups[most:]
    if not rest:
        return tuple(shown)
    names = ("work", "vector_ops", "bytes", "floor_s", "work_s", "wait_s", "time_s")
    sums = {name: float(sum(getattr(g, name) for g in rest)) for name in names}
    others = KernelGroup(label=OTHERS, kind="", engine="", precision="", limit="mixed",
                         kernels=sum(g.kernels for g in rest), **sums)  # fmt: skip
    return (*shown, others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What chips that share the work say to each other in one execution; a lower bound."""

    kind: str
    """Which collectives, in words."""
    rounds: int
    """Collectives one after another."""
    inside_bytes: float
    """Through the scale-up link of each chip."""
    outside_bytes: float
    """Through the scale-out link of each chip."""
    at_once: bool
    """Whether both links work at the same time."""
    seconds: float
    """Latency of the rounds and time of the links, s, before computing covers any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndBreakdown:
    """One end of the band, down to groups of kernels; the parts add up to `total_s`."""

    total_s: float
    """Time of the phase, s."""
    groups: tuple[KernelGroup, ...]
    """The most time first; all smaller ones are the last entry, `others`."""
    by_class: Mapping[str, float]
    """Class of the kernels -> time, s; without composites and collectives."""
    composite_launch_s: float
    """Launches of composites that are not native there, s."""
    composite_host_s: float
    """Host reads of such composites, s."""
    network_s: float
    """Collectives, s."""
    exchange: Exchange | None
    """What they say to each other; None on one chip or without a known link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleTime:
    """Time of one part of the model."""

    module: str
    """Module path with `*` for the numbers of repeated layers; empty: outside of any."""
    fused_s: float
    """Time at the fused end, s. A kernel that joins modules counts for its first."""
    eager_s: float
    """Time at the eager end, s, without composites."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryTimeline:
    """Bytes alive over one eager execution; of several calls the fullest moment is kept."""

    kind: NumberClass = "exact"
    """From shapes, formats and lifetimes of the capture."""
    phase: Phase
    """The phase."""
    calls: int
    """Calls of the execution."""
    at: tuple[int, ...]
    """Call of each moment, ascending."""
    resident: float
    """Weights and optimiser state, bytes, there all the time."""
    kv: tuple[float, ...]
    """Cache or recurrent state, bytes."""
    gradients: tuple[float, ...]
    """Gradients, bytes."""
    activations: tuple[float, ...]
    """Everything else, bytes."""
