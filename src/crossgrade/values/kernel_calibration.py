"""Kernels measured on one device, the parameters fitted to them, and how far off these are.

The part of a calibration that the predictor uses. Must not know how kernels are chosen, measured or
fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crossgrade.values.bench import BenchResult, Interval
from crossgrade.values.kernel import Family
from crossgrade.values.operator_case import AbsentReason, OperatorCase

POINTS_SEMANTICS: Final = 1
"""Generation of the meaning of points and sizes; fits of another one are not used."""
FEWEST_POINTS: Final = 30
"""Fewest kernels that are worth a fit: some of each kind."""
MOST_POINTS: Final = 300
"""Most kernels; parameters of formulas hardly change with more."""
WIDEST: Final = 0.5
"""Half width of the 95 % interval, as a share, above which a time says little: it may be off by a
factor of two, which is more than the formulas are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelPoint:
    """One kernel that was tried."""

    family: Family
    """Which sizes count."""
    op: str
    """What is done, as in kernel rows: `mm`, `prefill`, `rms_norm` ..."""
    format: str
    """Arithmetic and operands, as in kernel rows: `bf16`, `fp32` ..."""
    sizes: Mapping[str, float]
    """Sizes of the family by name, as in `values.kernel.SIZES`."""
    case: OperatorCase
    """What was run."""
    seconds: Interval | None
    """Time per call, s (measured); None with a reason."""
    sessions: int
    """Sessions that it rests on."""
    reason: AbsentReason | None = None
    """Why there is no time."""
    detail: str = ""
    """What happened, for a person."""

    @property
    def usable(self) -> bool:
        """Whether its time is known well enough to be fitted or scored."""
        return self.seconds is not None and self.seconds.half_width <= WIDEST


@dataclass(frozen=True, slots=True, kw_only=True)
class PointErrors:
    """How far predictions are from measured points."""

    mape: float
    """Mean of |predicted / measured - 1|."""
    median: float
    """Median of it."""
    p90: float
    """90th percentile of it."""
    inside: float
    """Share of the points between P10 and P90, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindScore:
    """What a fit is worth for kernels of one kind."""

    family: Family
    """Family of the kernels."""
    op: str
    """Operation; empty: all of the family, fitted together."""
    format: str
    """Arithmetic and operands."""
    points: int
    """Points that are usable."""
    before: PointErrors | None
    """Of the starting parameters and the data sheet (T0); None where no chip is described."""
    after: PointErrors | None
    """Of fits that had not seen the point nor its site (T2, held out); None with a reason."""
    why: str = ""
    """Why there is no fit, for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelCalibration:
    """Points of one device through one runtime, and what was fitted to them."""

    semantics: int = POINTS_SEMANTICS
    """Generation of the meaning of points and sizes."""
    wanted: int
    """Points that were asked for."""
    chip: str
    """Described chip that the parameters are for, `cpu` of a probed one; empty: none is known."""
    stack: str
    """Whose kernels they are, as kernel rows name it: `torch`, `compile`, `onnxruntime` ..."""
    points: tuple[KernelPoint, ...]
    """Points, the cheap ones first."""
    measurements: tuple[BenchResult, ...]
    """The same with all samples; the points follow from these."""
    scores: tuple[KindScore, ...] = ()
    """Per kind of kernel."""
    fits: tuple[Mapping[str, Any], ...] = ()
    """Parameters with their bands, as `crossgrade.predict.silicon.knowledge` writes them."""
    why: str = ""
    """Why nothing is fitted, and what to do; empty where something is."""
