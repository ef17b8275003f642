"""What each stream does when over one predicted execution. Columnar: one row per slice.

Must not know how it was worked out, nor how it is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from crossgrade.values.explanation import Tier
from crossgrade.values.workload import Phase

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Column = NDArray[np.float64]

Stream = Literal["host", "compute", "communication"]
"""Who works: the host that launches and reads, the device, the links."""
STREAMS: tuple[Stream, ...] = ("host", "compute", "communication")


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceKind:
    """What slices that are alike stand for; quantities are of one slice."""

    name: str
    """Operator that names the kernel; for the host, what it does."""
    kind: str
    """`matmul`, `attention`, `vector`, `host`, `collective`, `launch`."""
    precision: str = ""
    """Precision of the peak that counts; empty where none does."""
    sizes: str = ""
    """Shapes of its first captured call, such as `[1, 4096] x [4096, 512]`, or sizes of the kernel,
    such as `m 1, n 4096, k 512`; empty if unknown."""
    binds: str = ""
    """What binds it: `compute`, `vector`, `memory`, `launch`, `host`, `network`; empty for
    launches."""
    work: float = 0.0
    """Matrix operations over all chips that share the work, FLOP."""
    vector_ops: float = 0.0
    """Element operations over all of them."""
    bytes: float = 0.0
    """Bytes moved over all of them; of a collective, through the links of each chip."""
    roofline_s: float = 0.0
    """Least time that the data sheet permits, s."""
    calls: int = 0
    """Captured calls that one slice stands for."""
    tier: Tier = "T0"
    """What its time rests on."""
    band_s: tuple[float, float] | None = None
    """P10 and P90 of its time, s; None where only the time itself is predicted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """What one stream does, in order and without overlap."""

    stream: Stream
    """Who works."""
    start_s: Column
    """Begin since the begin of the phase, s, shape [slices]."""
    end_s: Column
    """End, s, shape [slices]."""
    kind: NDArray[np.int64]
    """Row in `kinds` of the schedule, shape [slices]."""
    module: NDArray[np.int64]
    """Row in `modules` of the schedule, shape [slices]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """Bytes alive at moments of a schedule; all chips that share the work together."""

    at_s: Column
    """Moments, s, ascending, shape [moments]."""
    parts: tuple[tuple[str, Column], ...]
    """Name -> bytes, shape [moments]: `weights`, `cache`, `gradients`, `activations`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One phase on one chip as one answer has it, slice by slice; all times are predicted."""

    chip: str
    """The chip."""
    phase: Phase
    """The phase."""
    view: str
    """Which answer it shows: an end of the band, or P50 of a stack."""
    chips: int
    """How many chips it is for; the streams are those of one of them."""
    total_s: float
    """Predicted time of the phase, s: where the last slice ends."""
    kinds: tuple[SliceKind, ...]
    """Distinct slices."""
    modules: tuple[str, ...]
    """Distinct module paths, with the numbers of layers."""
    streams: tuple[Slices, ...]
    """Streams that do anything."""
    alive: Alive | None
    """Memory, exact for eager execution; None elsewhere, where lifetimes differ."""
