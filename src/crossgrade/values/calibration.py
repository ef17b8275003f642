"""Measured ceilings of a device: the copy bandwidth and the matmul rate in each format.

A ceiling is a rate that the device was seen to reach, not one that somebody publishes. Must not
know how it is measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from crossgrade.values.bench import BenchResult, Interval
from crossgrade.values.beside import CeilingsUsed
from crossgrade.values.chip import Chip
from crossgrade.values.evidence import NumberClass
from crossgrade.values.operator_case import AbsentReason, OperatorCase
from crossgrade.values.precision import Precision

CEILING_SEMANTICS: Final = 1
"""Generation of the meaning of the rates; a calibration of another one is not used."""

CeilingWork = Literal["copy", "matmul"]
"""copy: a copy inside the memory of the device. matmul: a square matrix product."""
CeilingVerdict = Literal["measured", "noisy", "incomplete", "unmeasured"]
"""measured: every rate that the target can have is known as well as was asked. noisy: one is known
less well. incomplete: one that it should have is missing. unmeasured: there is no rate at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """The highest rate of one kind of work."""

    work: CeilingWork
    """What was done."""
    precision: Precision | None
    """Format of a product's inputs; None for copies."""
    unit: Literal["byte/s", "FLOP/s"]
    """Unit of the rate. Bytes are those read and those written; a multiply-add counts two."""
    rate: Interval | None
    """The rate of the best size (measured), with the interval of that size alone; None with a
    reason."""
    case: OperatorCase | None
    """The best size; None where no size has a rate."""
    sessions: int
    """Sessions that the rate rests on."""
    sizes: int
    """Sizes that have a rate, of which it is the best."""
    narrow: bool
    """Whether it is known as well as was asked."""
    reason: AbsentReason | None = None
    """Why there is no rate: that of the smallest size."""
    detail: str = ""
    """What happened, for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """What one device was seen to reach through one runtime."""

    semantics: int = CEILING_SEMANTICS
    """Generation of the meaning of the rates."""
    target: str
    """Specification of the target."""
    facts: Mapping[str, str]
    """What the target says of itself: device, runtime, versions."""
    verdict: CeilingVerdict
    """How it ended."""
    rates: tuple[Ceiling, ...]
    """Copies first, then a product per format."""
    sheet: str
    """Described chip that the device is, such as `h100`; empty: none is known."""
    probed: Chip | None
    """What numpy reaches, where the device is this machine's CPU: it has no data sheet."""
    measurements: tuple[BenchResult, ...]
    """Every size with all its samples; the rates follow from these."""
    spent_s: float
    """Wall clock of all sessions, s."""

    def rate(self, work: CeilingWork, precision: str | None = None) -> Ceiling | None:
        """Return the ceiling of a kind of work; None where it was not tried."""
        for one in self.rates:
            if one.work == work and one.precision == precision:
                return one
        return None

    @property
    def exit_code(self) -> int:
        """0 every rate is as narrow as asked; 3 anything else."""
        return 0 if self.verdict == "measured" else 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCeilings:
    """The calibration of a device that holds now, if there is one."""

    used: CeilingsUsed
    """Which record it is, or why there is none."""
    ceilings: Ceilings | None
    """What it says; None: there is none that holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRate:
    """The rate that a chip description has for a kind of work."""

    value: float
    """FLOP/s or byte/s."""
    kind: NumberClass
    """claimed: a data sheet. measured: what numpy reaches on this CPU."""
    source: str
    """Title of the source."""
    url: str
    """Where it is."""
