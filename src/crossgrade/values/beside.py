"""What stands beside a measured time: shares of measured and published rates, a predicted band.

Derived from a record and from others (a calibration, a chip description), which are named, so that
it can be worked out again; nothing of it is part of a record. Must not know how it is worked out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from crossgrade.values.evidence import Band, NumberClass

Bound = Literal["compute", "bandwidth"]
"""Which of the two rates a call uses the larger share of; the other one is not what limits it."""
Place = Literal["inside", "above", "below"]
"""Where the measured time lies: above means slower than the band."""
BesideReason = Literal[
    "no-ceilings", "stale-ceilings", "no-data-sheet", "no-rate", "no-work-count", "no-time",
    "no-chip", "no-capture", "no-prediction",
]  # fmt: skip
"""Why something is not beside a time; a closed list.

no-ceilings: the device was not calibrated. stale-ceilings: it was, with another runtime, driver or
settings. no-data-sheet: no described chip is known to be this device. no-rate: neither a rate of
that format nor a bandwidth is known. no-work-count: operations and bytes of a call are not known.
no-time: the case has no time. no-chip: there is no description to predict with. no-capture: the
case could not be followed on fake tensors. no-prediction: the description lacks a rate that decides
the time.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A measured time as a share of two rates."""

    of: str
    """Where the rates come from, such as `h100` or `calibration 1f3a9c02`; empty: nowhere."""
    kind: NumberClass | None
    """How these rates are known; None where there are none."""
    compute: float | None
    """Operations per second over the matmul rate of the format; None unknown."""
    bandwidth: float | None
    """Bytes per second, at the least traffic, over the memory's rate; None unknown. Above 1 where
    caches serve a part."""
    bound: Bound | None
    """Which of the two is larger; None where one of them is not known."""
    precision: str = ""
    """Format whose matmul rate is meant; empty: none."""
    reason: BesideReason | None = None
    """Why there is neither."""
    detail: str = ""
    """More, for a person."""

    @property
    def value(self) -> float | None:
        """Return the larger share: how near the time is to the least that these rates allow."""
        known = [share for share in (self.compute, self.bandwidth) if share is not None]
        return max(known, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """The band that the predictor gives for a case."""

    chip: str
    """Chip whose description it rests on; empty: none."""
    band: Band | None
    """Time of a call, s (predicted); None with a reason."""
    reason: BesideReason | None = None
    """Why there is none."""
    detail: str = ""
    """What happened, for a person."""

    def place(self, time_s: float) -> Place | None:
        """Return where a measured time lies; None without a band."""
        if self.band is None:
            return None
        if self.band.holds(time_s):
            return "inside"
        return "above" if time_s > self.band.high else "below"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What stands beside the time of one variant."""

    variant: str
    """Name of the variant."""
    ceiling: Share
    """Of the device's measured ceilings."""
    sheet: Share
    """Of the data sheet's peaks (claimed); of a CPU, of what numpy reaches (measured)."""
    predicted: Predicted
    """The predictor's band."""
    place: Place | None
    """Where the time lies; None without a band."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CeilingsUsed:
    """Which calibration stands behind the shares of a target, or why none does."""

    target: str
    """Specification of the target."""
    device: str
    """Name of the device, as the target gives it."""
    sheet: str
    """Described chip that the device is; empty: none is known."""
    digest: str = ""
    """Digest of the record of the calibration that is used; empty: none is."""
    path: str = ""
    """Its file."""
    created: str = ""
    """When it was made, ISO 8601; of a stale one too."""
    stale: tuple[str, ...] = ()
    """Where there is only one that does not hold: what has changed since, such as `runtime: torch
    2.9.0 -> torch 2.10.0`."""
    unreadable: tuple[str, ...] = ()
    """Calibrations that cannot be read, and why."""

    @property
    def command(self) -> str:
        """Return the command that makes one."""
        return f"crossgrade calibrate --on {self.target}"
