"""Why a phase takes the time that it is predicted to take, and what would make it shorter.

All times and savings are *predicted*. Both ends of the band are kept apart: `fused+graph` and
`eager` launch different kernels. Must not know how kernels are priced, nor how this is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from crossgrade.values.breakdown import ModuleTime
from crossgrade.values.evidence import Band, NumberClass
from crossgrade.values.workload import Phase

if TYPE_CHECKING:
    from crossgrade.values.assessment import Assessment
    from crossgrade.values.schedule import Schedule

EndName = Literal["fused+graph", "eager"]
"""The ends of the band, by what stands for them."""
Tier = Literal["T0", "T1", "T2", "T3"]
"""What a time rests on: data sheet and assumed rates; transferred from other chips; calibrated on
this chip; measured on this chip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelEnd:
    """Kernels that are alike at one end of the band, together."""

    kernels: int
    """Launches, host reads or collectives."""
    time_s: float
    """Time of the phase that they take, s."""
    roofline_s: float
    """Least time that the data sheet permits for their work and bytes, s: peaks without any
    efficiency, no floor, no launch. 0 for host reads."""
    binds: str
    """What binds most of their time: `compute`, `vector`, `memory`, `launch`, `host`, `network`."""
    work: float
    """Matrix operations, FLOP."""
    vector_ops: float
    """Element operations."""
    bytes: float
    """Bytes moved through memory, or through the links by collectives."""
    saves_s: Mapping[str, float]
    """Lever -> time of the phase, s, that one step of it saves on these kernels; 0 left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelExplanation:
    """Kernels of one operator in one part of the model and one precision."""

    label: str
    """Operator that names the kernels; the collective; `composites`."""
    module: str
    """Part of the model, `*` for the numbers of repeated layers; empty outside of any."""
    precision: str
    """Precision of the peak that counts, such as `bf16`; empty for host reads and collectives."""
    kind: str
    """`matmul`, `attention`, `vector`, `host` or `collective`."""
    fused: KernelEnd | None
    """At the fused end; None where no kernel there is named so."""
    eager: KernelEnd | None
    """At the eager end; None where no kernel there is named so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverEnd:
    """What one constant is worth at one end of the band."""

    now: float
    """Its value there, SI units."""
    step_s: float
    """Time that one step saves, s."""
    tenth_s: float
    """Time that ten per cent more of a rate, or less of a time, saves, s."""
    most_s: float
    """Time that an infinite rate, or a time of 0, would save, s: no change saves more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """One constant that would make the phase faster, if it were another."""

    name: str
    """Constant of the chip, such as `memory_bandwidth`, or assumption, such as
    `kernel_floor_s`."""
    unit: str
    """`FLOP/s`, `byte/s` or `s`."""
    step: float
    """The change of one step, in that unit; below 0 where less is better."""
    kind: NumberClass
    """How its present value is known."""
    fused: LeverEnd
    """At the fused end."""
    eager: LeverEnd
    """At the eager end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossover:
    """How much more of what binds until something else binds most of the time."""

    end: EndName
    """End of the band."""
    binds: str
    """What binds most of the time now."""
    share: float
    """Its share of the time, 0 to 1."""
    grows: tuple[str, ...]
    """Constants and assumptions that are multiplied (times: divided) by `factor`."""
    factor: float | None
    """The least factor at which something else binds more; None: there is none up to 1,000."""
    then: str
    """What binds most of the time there; empty without a factor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseExplanation:
    """One phase on one chip: where the time goes, and what would help."""

    chip: str
    """The chip."""
    phase: Phase
    """The phase."""
    chips: int
    """How many chips it is for."""
    tier: Tier
    """What the times rest on."""
    time_s: Band
    """Time of the phase, s; the kernels of an end add up to it."""
    share_by_bound: Mapping[str, float]
    """Share of the fused time by what binds, 0 to 1."""
    share_by_bound_eager: Mapping[str, float]
    """Share of the eager time by what binds, 0 to 1."""
    kernels: tuple[KernelExplanation, ...]
    """The most time at the fused end first, then at the eager end."""
    modules: tuple[ModuleTime, ...]
    """Both ends by part of the model."""
    levers: tuple[Lever, ...]
    """What saves the most at ten per cent first; what can save nothing is left out."""
    crossovers: tuple[Crossover, ...]
    """One per end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """An assessment with what stands behind its times."""

    assessment: Assessment
    """The answer."""
    explanations: tuple[PhaseExplanation, ...] = ()
    """By chip and phase, where a time is predicted; empty where none was asked for."""
    schedules: tuple[Schedule, ...] = ()
    """By chip, phase and end, where a time is predicted; empty where none was asked for."""
