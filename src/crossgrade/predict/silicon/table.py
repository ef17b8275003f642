"""A measured table of one chip: exact where it was measured, interpolated near it, the model afar.

What is interpolated is log(measured / model), which is flatter than time, by kriging on nearest
neighbours (Matheron 1963; Vecchia 1988 for the neighbours) with one length per feature. Works for
every family: features are the logarithms of the sizes unless the family gives better ones. Must not
know families or chips. Uses scipy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.model import Floats, KernelModel
from crossgrade.values.kernel import KernelRows

NEIGHBOURS = 32
"""Rows that a price is interpolated from: with 24 or 48 the errors are the same."""
NOISE = 0.05
"""Variance of a measurement that no neighbour shares, over the variance of the residual: repeated
public rows differ by 1 to 2 %, residuals of a fitted model by 8 %."""
_FAR_SHARE, _FAR = 0.3, 4.0
"""Share of the variance that reaches further, and how much further."""
_PROBES = 600
_BLOCK = 1024
_TENTH = 1.2816
"""Standard normal quantile of 0.9."""


@runtime_checkable
class Smooth(Protocol):
    """A model that knows in what its error is smooth, better than the sizes alone."""

    def features(self, rows: KernelRows, facts: Facts) -> Floats:
        """Return features, [rows, features], each in units of a likely length."""


def log_sizes(rows: KernelRows, facts: Facts) -> Floats:
    """Return log2(1 + size) of each size, [rows, sizes]: what a table is smooth in by default."""
    del facts  # The sizes do not depend on the chip; other features do.
    return np.stack([np.log2(1.0 + column) for column in rows.sizes.values()], axis=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """Measured kernels of one chip, format and stack, and the model that carries them."""

    model: KernelModel
    """What time is without the table."""
    values: dict[str, float]
    """Its parameters."""
    lengths: Floats
    """Length of each feature, shape [features]."""
    kind: tuple[str, str, str, str]
    """(family, op, format, stack) of its rows."""
    known: dict[tuple[float, ...], float]
    """Sizes -> measured time, s; the geometric mean where a size was measured more than once."""
    points: Floats
    """Features of the measured rows, shape [rows, features]."""
    residuals: Floats
    """log(measured / model), shape [rows]."""
    deviation: float
    """Standard deviation of the residual where nothing is known, of its logarithm."""
    tree: Any
    """Search tree over points / lengths."""

    @classmethod
    def build(
        cls,
        model: KernelModel,
        values: dict[str, float],
        rows: KernelRows,
        facts: Facts,
        *,
        groups: Sequence[float] | Floats | None = None,
    ) -> Table:
        """Return the table of measured rows; lengths are learned from groups that are left out.

        Args:
            model: the family's model; where it is `Smooth`, its features are used.
            values: its parameters on this chip.
            rows: measured kernels.
            facts: the chip.
            groups: rows that come together, such as all m of one weight: a future kernel will share
                no group with the table; each row by itself if None.

        Raises:
            ValueError: no measured row.
        """
        if rows.seconds is None or not len(rows):
            raise ValueError("a table needs measured rows")
        residuals = np.log(rows.seconds / model.terms(rows, facts, values).total)
        fine = np.isfinite(residuals)
        points, residuals = _features(model, rows, facts)[fine], residuals[fine]
        group = np.arange(len(rows)) if groups is None else np.asarray(groups)
        table = cls(
            model=model, values=values, kind=_kind(rows), known=_known(rows),
            points=points, residuals=residuals, deviation=float(residuals.std()),
            lengths=np.ones(points.shape[1]), tree=None,
        )  # fmt: skip
        return _learned(table, np.unique(group[fine], return_inverse=True)[1])

    def seconds(self, rows: KernelRows, facts: Facts) -> tuple[Floats, Floats]:
        """Return (P50 in s, standard deviation of its logarithm), each of shape [kernels].

        A measured size has its measured time and a deviation of the noise alone.

        Raises:
            ValueError: rows of another kind than the table's.
        """
        if _kind(rows) != self.kind:
            raise ValueError(f"a table of {self.kind} does not know {_kind(rows)}")
        expected, deviation = _kriged(self, _features(self.model, rows, facts))
        p50 = self.model.terms(rows, facts, self.values).total * np.exp(expected)
        for i, size in enumerate(_keys(rows)):
            measured = self.known.get(size)
            if measured is not None:
                p50[i], deviation[i] = measured, self.deviation * np.sqrt(NOISE)
        return p50, deviation


def _features(model: KernelModel, rows: KernelRows, facts: Facts) -> Floats:
    return model.features(rows, facts) if isinstance(model, Smooth) else log_sizes(rows, facts)


def _kind(rows: KernelRows) -> tuple[str, str, str, str]:
    return rows.family, rows.op, rows.format, rows.stack


def _keys(rows: KernelRows) -> list[tuple[float, ...]]:
    return list(zip(*(column.tolist() for column in rows.sizes.values()), strict=True))


def _known(rows: KernelRows) -> dict[tuple[float, ...], float]:
    times: dict[tuple[float, ...], list[float]] = {}
    assert rows.seconds is not None
    for size, time_s in zip(_keys(rows), np.log(rows.seconds).tolist(), strict=True):
        times.setdefault(size, []).append(time_s)
    return {size: float(np.exp(np.mean(t))) for size, t in times.items()}


def _learned(table: Table, group: np.ndarray) -> Table:
    """Return the table with lengths and deviation under which left-out groups are best told."""
    probes = np.flatnonzero(group % 5 == 0) if len(np.unique(group)) >= 5 else np.array([], int)
    if len(probes) > _PROBES:
        probes = probes[np.linspace(0, len(probes) - 1, _PROBES).astype(int)]
    base = np.flatnonzero(group % 5 != 0)
    if len(probes) < 10:
        return _treed(table)
    part = replace(table, points=table.points[base], residuals=table.residuals[base])

    def off(lengths: Floats) -> tuple[Floats, Floats]:
        expected, deviation = _kriged(_treed(replace(part, lengths=lengths)), table.points[probes])
        return np.abs(table.residuals[probes] - expected), deviation

    lengths = table.lengths
    least = float(off(lengths)[0].mean())
    varied = np.flatnonzero(table.points.std(axis=0) > 0)
    for factor in (2.0, 1.5):
        for i in varied:
            for way in (factor, 1 / factor):
                tried = lengths.copy()
                tried[i] *= way
                found = float(off(tried)[0].mean())
                if found < least:
                    lengths, least = tried, found
                    break
    missed, deviation = off(lengths)
    # The band is to hold four fifths of left-out rows: scaled by that quantile, not by the mean
    # square, which a few wild rows rule.
    scale = float(np.quantile(missed / np.maximum(deviation, 1e-12), 0.8)) / _TENTH
    return _treed(replace(table, lengths=lengths, deviation=table.deviation * scale))


def _treed(table: Table) -> Table:
    from scipy.spatial import cKDTree

    return replace(table, tree=cKDTree(table.points / table.lengths))


def _covariance(distance: Floats) -> Floats:
    return (1 - _FAR_SHARE) * np.exp(-distance) + _FAR_SHARE * np.exp(-distance / _FAR)


def _kriged(table: Table, points: Floats) -> tuple[Floats, Floats]:
    """Return (expected residual, its standard deviation) at points, each of shape [points]."""
    expected, deviation = np.empty((2, len(points)))
    count = min(NEIGHBOURS, len(table.residuals))
    scaled = table.tree.data
    for begin in range(0, len(points), _BLOCK):
        at = slice(begin, begin + _BLOCK)
        distance, near = table.tree.query(points[at] / table.lengths, k=[*range(1, count + 1)])
        found = scaled[near]
        square = (found**2).sum(axis=2)
        between = square[:, :, None] + square[:, None, :] - 2 * found @ found.transpose(0, 2, 1)
        matrix = _covariance(np.sqrt(np.maximum(between, 0.0))) + NOISE * np.eye(count)
        towards = _covariance(distance)
        weights = np.linalg.solve(matrix, towards[..., None])[..., 0]
        expected[at] = (weights * table.residuals[near]).sum(axis=1)
        left = 1 + NOISE - (weights * towards).sum(axis=1)
        deviation[at] = table.deviation * np.sqrt(np.maximum(left, NOISE))
    return expected, deviation
