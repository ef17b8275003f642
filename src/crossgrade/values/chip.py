"""A described accelerator: peaks, memory, links, power, each constant with its source.

Must not know any particular chip: those are the files in `crossgrade/chips/data`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from crossgrade.values.evidence import Constant, Source
from crossgrade.values.precision import Precision

Engine = Literal["matrix", "vector"]
"""`matrix`: cube unit, tensor core, MFMA, MME. `vector`: SIMT or vector unit."""
Scope = Literal["die", "package", "card", "node"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Dense peak rate of one engine in one precision."""

    engine: Engine
    """Which unit does the work."""
    precision: Precision
    """Format of the inputs."""
    rate: Constant
    """Dense operations per second (multiply and add count two), unit `FLOP/s`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """A cache or an on-chip buffer."""

    name: str
    """The vendor's name, such as `L2`, `UB`, `L0C`, `shared memory`."""
    capacity: Constant
    """Bytes, for the scope that the constant names."""
    per: Literal["chip", "core"]
    """Whether the capacity is of the whole chip or of each core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A way to other chips."""

    name: str
    """The vendor's name, such as `NVLink 4`, `HCCS`, `RoCE`."""
    level: Literal["die-to-die", "scale-up", "scale-out", "host"]
    """How far it reaches."""
    bandwidth: Constant
    """One direction, bytes/s, for one chip of the description's scope."""
    domain: int | None
    """How many chips one domain of it joins; None where unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericsNote:
    """A documented way in which arithmetic on the chip differs from IEEE on a CPU."""

    id: str
    """Stable id, such as `hf32-conv-default`."""
    title: str
    """One line for a person."""
    applies_to: str
    """Which calls it touches, one of `crossgrade.chips.validate.SELECTORS`."""
    severity: Literal["warning", "note"]
    """How a finding about it is graded when the workload has such calls."""
    hint: str
    """What to do."""
    source: str
    """Id of the `Source` in the same description."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Another value that a source gives for a constant of the same description."""

    constant: str
    """Key of the constant, as `crossgrade.chips.validate.constants` names it."""
    other: Constant
    """What the other source says; same unit and scope as the constant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undescribed:
    """A chip that is known by name and has no description, because no reliable number is public."""

    name: str
    """Lower case, as a description would be named."""
    title: str
    """The vendor's name of the product."""
    aliases: tuple[str, ...]
    """Other names that users type."""
    vendor: str
    """Who sells it."""
    origin: str
    """Country of the vendor's seat, ISO 3166 alpha-2."""
    why: str
    """What is missing or contradictory, and where that was looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """One accelerator SKU at one scope. A constant nobody published is None, never a guess."""

    name: str
    """Lower case, family then model, such as `ascend-910b2`."""
    title: str
    """The vendor's name of the product."""
    aliases: tuple[str, ...]
    """Other names that users type; printed when used."""
    vendor: str
    """Who sells it."""
    origin: str
    """Country of the vendor's seat, ISO 3166 alpha-2."""
    scope: Scope
    """What one `chip` is here; every constant counts for this."""
    available: str | None
    """Year, quarter or ISO date of general availability, as published; None unknown."""
    available_source: str | None
    """Id of the source of `available`."""
    op_table: str
    """Which operator table speaks for it: `cpu`, `cuda`, `rocm`, `npu`, `xpu`, `hpu` ..."""
    soc: str | None
    """Key of SoC limits inside that table, such as `A2`, `A3`, `950DT`."""
    architecture: str
    """Family for launch and efficiency assumptions, such as `ascend-220x`, `hopper`, `cdna3`."""
    peaks: tuple[Peak, ...]
    """Dense peaks by engine and precision."""
    memory_capacity: Constant | None
    """Device memory, bytes."""
    memory_bandwidth: Constant | None
    """Peak device memory bandwidth, bytes/s."""
    buffers: tuple[Buffer, ...]
    """Caches and on-chip buffers."""
    links: tuple[Link, ...]
    """Links to other chips and the host."""
    power: Constant | None
    """Board or package power limit, W."""
    cores: Constant | None
    """Number of matrix-capable cores (SM, CU, cube core, MME), unit `1`."""
    clock: Constant | None
    """Clock that the peaks assume, Hz."""
    numerics: tuple[NumericsNote, ...]
    """Documented differences of arithmetic."""
    sources: tuple[Source, ...]
    """Every document named by the constants."""
    notes: tuple[str, ...] = ()
    """What a reader should know: what is unknown, and what is meant."""
    disagreements: tuple[Disagreement, ...] = ()
    """What other sources say of the same constants."""

    def peak(self, engine: Engine, precision: Precision) -> Peak | None:
        """Return the dense peak of `engine` in `precision`, or None where none is published."""
        for peak in self.peaks:
            if peak.engine == engine and peak.precision == precision:
                return peak
        return None

    def source(self, source_id: str) -> Source:
        """Return the source with this id.

        Raises:
            KeyError: no such source in this description.
        """
        for source in self.sources:
            if source.id == source_id:
                return source
        raise KeyError(source_id)

    def link(self, level: Literal["die-to-die", "scale-up", "scale-out", "host"]) -> Link | None:
        """Return the first link of that level, or None."""
        return next((link for link in self.links if link.level == level), None)

    @property
    def total_processing_performance(self) -> float | None:
        """TPP: the largest dense rate (TOPS) times bit length, over matrix precisions; derived.

        Source of the formula: U.S. ECCN 3A090, note 2 (15 CFR 774): TPP = 2 x MacTOPS x bit
        length, aggregated over the package; here 2 x MacTOPS is the dense peak in TOPS.
        """
        bits = PRECISION_BITS
        rates = [
            p.rate.value / 1e12 * bits[p.precision] for p in self.peaks if p.engine == "matrix"
        ]
        return max(rates, default=None)


PRECISION_BITS: dict[str, int] = {
    "fp64": 64, "fp32": 32, "tf32": 19, "hf32": 20, "bf16": 16, "fp16": 16, "fp8": 8,
    "mxfp8": 8, "hif8": 8, "fp6": 6, "mxfp6": 6, "fp4": 4, "mxfp4": 4, "nvfp4": 4,
    "int32": 32, "int16": 16, "int8": 8, "int4": 4,
}  # fmt: skip
"""Bit length of a precision, for total processing performance."""
