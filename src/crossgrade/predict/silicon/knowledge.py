"""What is known of kernels on chips: fitted parameters with their bands, shipped or calibrated.

A fit is of one chip and one kind of kernel. Bands are kept as factors at a few regimes, so that
reading them needs numpy alone. Must not know captures, readers of tables, or vendors.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from crossgrade.predict.silicon.model import Floats, Terms
from crossgrade.values.kernel import Family, KernelRows
from crossgrade.values.kernel_calibration import POINTS_SEMANTICS

if TYPE_CHECKING:
    from crossgrade.predict.silicon.measured import Measured

SCHEMA = 1
FILE = "data/fits.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What makes two kernels comparable."""

    family: Family
    """Family of the rows."""
    op: str
    """Operation; empty: all of the family, fitted together."""
    format: str
    """Arithmetic and operands; empty: all."""
    stack: str
    """Whose kernel it is."""


def kind_of(rows: KernelRows) -> Kind:
    """Return the kind of rows."""
    return Kind(family=rows.family, op=rows.op, format=rows.format, stack=rows.stack)


def regime(terms: Terms) -> Floats:
    """Return where kernels lie: [log2 of the time, log2 of compute over memory, floor's share].

    The ratio is cut at 8 times either way, and taken as 1 where one side is unknown.
    """
    compute, memory = terms.compute + terms.vector, terms.memory
    ratio = np.log2(np.maximum(compute, 1e-12) / np.maximum(memory, 1e-12))
    ratio = np.nan_to_num(np.clip(ratio, -3, 3))
    share = np.nan_to_num(terms.floor / terms.total)
    return np.stack([np.log2(np.maximum(terms.total, 1e-12)), ratio, share], axis=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Band:
    """P10 and P90 over P50 at some regimes; the nearest one holds."""

    points: Floats
    """Regimes, shape [points, 3]."""
    scale: Floats
    """What counts as one step of each feature, shape [3]."""
    low: Floats
    """P10 over P50 at each point."""
    high: Floats
    """P90 over P50 at each point."""

    def factors(self, features: Floats) -> tuple[Floats, Floats]:
        """Return (P10, P90) over P50, each of shape [kernels]."""
        steps = (features[:, None, :] - self.points[None]) / self.scale
        near = (steps**2).sum(axis=2).argmin(axis=1)
        return self.low[near], self.high[near]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Parameters of a kernel model for one kind on one chip; chip empty: between chips."""

    chip: str
    """Name of the chip; empty: what holds between chips."""
    kind: Kind
    """Which kernels."""
    values: Mapping[str, float]
    """Parameters; empty where a band alone is kept."""
    rows: int
    """Measured rows that it was fitted to."""
    band: Band
    """From rows that it was not fitted to."""
    error: float
    """Median of |predicted / measured - 1| on those rows."""
    source: str
    """Where the rows come from."""
    tier: str = "T2"
    """What the band speaks of: `T0` starting parameters, `T1` transferred, `T2` calibrated."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Knowledge:
    """Fits, found by kind and chip; equal to itself alone, so that answers can be kept."""

    fits: tuple[Fit, ...]
    """All of them."""
    tables: tuple[Measured, ...] = ()
    """Measured kernels that the user has; they go before every fit."""

    def on(self, chip: str, kind: Kind) -> Fit | None:
        """Return the fit of a kind on a chip; None where it was not measured there."""
        return next((f for f in self._calibrated() if f.chip == chip and f.kind == kind), None)

    def elsewhere(self, chip: str, kind: Kind) -> tuple[Fit, ...]:
        """Return the fits of a kind on other chips."""
        return tuple(f for f in self._calibrated() if f.chip != chip and f.kind == kind)

    def between(self, kind: Kind, tier: str) -> Fit | None:
        """Return how far off a transfer, or the start, is for a kind; None where nobody knows."""
        return next(
            (f for f in self.fits if not f.chip and f.kind == kind and f.tier == tier), None
        )

    def measured(self, chip: str, kind: Kind) -> Measured | None:
        """Return the measured kernels of a kind on a chip, of its own stack if there are any.

        None where no kernel of its format was measured there. Of latent attention the layer with
        its projections will do where attention alone was not measured.
        """
        ops = ("", kind.op, f"{kind.op}_module")
        found = [t for t in self.tables if t.chip.name == chip and t.kind.family == kind.family
                 and t.kind.format == kind.format and t.kind.op in ops]  # fmt: skip
        return min(found, key=lambda t: (t.kind.stack != kind.stack, ops.index(t.kind.op),
                                         t.kind.stack), default=None)  # fmt: skip

    def kinds(self, family: str, op: str) -> tuple[Kind, ...]:
        """Return the known kinds that an operation belongs to, in stable order."""
        found = {f.kind for f in self.fits
                 if f.kind.family == family and f.kind.op in ("", op, f"{op}_module")}  # fmt: skip
        return tuple(sorted(found, key=lambda kind: (kind.format, kind.stack)))

    def calibrated(self, chip: str) -> bool:
        """Return whether some kind of kernel was measured on this chip."""
        return any(fit.chip == chip for fit in self.fits) or any(
            table.chip.name == chip for table in self.tables
        )

    def _calibrated(self) -> Iterable[Fit]:
        return (f for f in self.fits if f.chip)

    def joined(self, more: Iterable[Fit]) -> Knowledge:
        """Return this with further fits, which go before those of the same chip and kind."""
        first = tuple(more)
        known = {(f.chip, f.kind) for f in first}
        rest = tuple(f for f in self.fits if (f.chip, f.kind) not in known)
        return replace(self, fits=first + rest)


@functools.cache
def shipped() -> Knowledge:
    """Return the fits that come with the package."""
    text = resources.files("crossgrade.predict.silicon").joinpath(FILE).read_text("utf-8")
    return decoded(json.loads(text))


def encoded(knowledge: Knowledge) -> dict[str, Any]:
    """Return fits as JSON objects by family, numbers with five digits."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for fit in knowledge.fits:
        groups.setdefault(fit.kind.family, []).append(_entry(fit))
    return {"schema": SCHEMA, "fits": groups}


def decoded(data: Mapping[str, Any]) -> Knowledge:
    """Return the fits of JSON objects.

    Raises:
        ValueError: a newer schema.
    """
    if data["schema"] > SCHEMA:
        raise ValueError(f"fits of schema {data['schema']}; this reads up to {SCHEMA}")
    return Knowledge(fits=tuple(_fit(e) for group in data["fits"].values() for e in group))


def from_calibration(data: Mapping[str, Any]) -> tuple[Fit, ...]:
    """Return the fits that the record of a calibration carries; none where it has no points.

    Args:
        data: `data` of the record.

    Raises:
        ValueError: points or fits of a newer crossgrade.
    """
    kernels = data.get("kernels")
    if not kernels:
        return ()
    if kernels["semantics"] != POINTS_SEMANTICS:
        raise ValueError(f"points of generation {kernels['semantics']}; this reads "
                         f"{POINTS_SEMANTICS}")  # fmt: skip
    return tuple(_fit(entry) for entry in kernels["fits"])


def entries(fits: Iterable[Fit]) -> tuple[dict[str, Any], ...]:
    """Return fits as JSON objects, numbers with five digits."""
    return tuple(_entry(fit) for fit in fits)


def _entry(fit: Fit) -> dict[str, Any]:
    band = fit.band
    return {
        "chip": fit.chip, "tier": fit.tier, "family": fit.kind.family, "op": fit.kind.op,
        "format": fit.kind.format, "stack": fit.kind.stack,
        "rows": fit.rows, "error": _short(fit.error), "source": fit.source,
        "values": {name: _short(value) for name, value in fit.values.items()},
        "band": {"points": [[_short(x) for x in row] for row in band.points.tolist()],
                 "scale": [_short(x) for x in band.scale.tolist()],
                 "low": [_short(x) for x in band.low.tolist()],
                 "high": [_short(x) for x in band.high.tolist()]},
    }  # fmt: skip


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _fit(entry: Mapping[str, Any]) -> Fit:
    band = {name: np.array(column, dtype=np.float64) for name, column in entry["band"].items()}
    kind = {name: entry[name] for name in ("family", "op", "format", "stack")}
    rest = {name: entry[name] for name in ("chip", "tier", "rows", "error", "source", "values")}
    return Fit(kind=Kind(**kind), band=Band(**band), **rest)
