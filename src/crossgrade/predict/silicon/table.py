"""A measured table of one chip: exact where it was measured, interpolated near it, the model afar.

What is interpolated is log(measured / model), which is flatter than time, by kriging per launched
kernel. The band comes from folds inside the table that leave out whole sites (weights, head
configurations, models), so it speaks of sites that were not measured. Must not know chips by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.kernel_sets import KernelSets, fitted, priced
from crossgrade.predict.silicon.kriging import Kriging
from crossgrade.predict.silicon.launched import Names
from crossgrade.predict.silicon.model import UNKNOWN, Floats, KernelModel, Terms
from crossgrade.predict.silicon.splits import shares
from crossgrade.values.kernel import SITES, KernelRows

LEAST_ROWS = 10
"""A kernel with fewer measured rows has a formula and no field."""
FARTHEST = 1.5
"""Largest |log(measured / model)| that the field believes of one row. Chosen on sites that may be
fitted, five folds inside them: experts are off by 15.1 % with it, 15.3 % with 2, 16.0 % without;
attention does not care."""
BAND_ROWS = 3000
"""Left-out rows that the width of a band is taken from."""
MANY_ROWS = 1000
"""Rows from which on parameters are not fitted anew without a left-out site: ten numbers against a
thousand rows have seen too little of it to matter."""
TAIL = 0.1
"""Share of rows that may lie below P10, and above P90."""
FEW = 20
"""With fewer left-out rows a kernel has the band of all kernels together."""
TENTH = 1.2816
"""Standard normal quantile of 0.9."""
_FOLDS = 4
Key = tuple[str | float, ...]


@runtime_checkable
class Smooth(Protocol):
    """A model that knows in what its error is smooth, better than the sizes alone."""

    def features(self, rows: KernelRows, facts: Facts, values: Mapping[str, float]) -> Floats:
        """Return coordinates in units of a correlation length, [rows, coordinates].

        Args:
            rows: kernels of the model's family.
            facts: the chip.
            values: the model's parameters.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Tabled:
    """What a table says of kernels; each array of shape [kernels]."""

    terms: Terms
    """The formula with the parameters of the kernel that runs, s."""
    p50: Floats
    """Median, s."""
    p10: Floats
    """Lower end, s."""
    p90: Floats
    """Upper end, s."""
    exact: np.ndarray
    """Whether this very size was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Ends of the band, as logarithms."""

    low: float
    """A tenth of left-out rows lie further below the mean than this."""
    high: float
    """A tenth of left-out rows lie further above the mean than this."""
    scaled: bool
    """Whether both are in deviations of the field; else they hold wherever a row lies."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """Measurements of one size."""

    seconds: float
    """Their geometric mean, s."""
    spread: float
    """Standard deviation of their logarithm; 0 of a single one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """Measured kernels of one chip and format, ready to be asked for others."""

    model: KernelModel
    """The formula."""
    facts: Facts
    """The chip."""
    sets: KernelSets
    """Parameters, and which kernel runs."""
    fields: Mapping[str, Kriging]
    """Launched kernel -> log(measured / model)."""
    bands: Mapping[str, Band]
    """Launched kernel -> its band; the empty name has that of all together."""
    known: Mapping[Key, Repeated]
    """Operation and sizes -> what was measured of them."""

    @classmethod
    def build(
        cls,
        model: KernelModel,
        parts: Sequence[KernelRows],
        facts: Facts,
        prior: Mapping[str, float] | None = None,
    ) -> Table:
        """Return the table of measured rows.

        Args:
            model: the formula; where it is `Smooth`, its features are used.
            parts: rows of one family, format and stack with `seconds`, by operation.
            facts: the chip.
            prior: parameters that are believed before; the model's starting values if None.

        Raises:
            ValueError: no measured row.
        """
        given = [part for part in parts if len(part)]
        if not given or any(part.seconds is None for part in given):
            raise ValueError("a table needs measured rows")
        known = _known(given)
        single = [_single(part, known) for part in given]
        sets = fitted(model, single, facts, prior)
        rows = _Rows.joined([_Rows.of(model, part, facts, sets) for part in single])
        return cls(
            model=model, facts=facts, sets=sets, fields=rows.fields(), known=known,
            bands=_bands(_left_out(model, single, facts, prior, rows)),
        )  # fmt: skip

    def estimate(self, rows: KernelRows) -> Tabled:
        """Return the times of rows, measured or not; a measured size has its measured time."""
        terms = priced(self.model, rows, self.facts, self.sets)
        names = self.sets.launched(rows)
        points = _points(self.model, rows, self.facts, self.sets, names)
        mean, deviation = _at(self.fields, names, points)
        bands = [self.bands.get(name, self.bands[""]) for name in names.tolist()]
        width = np.where([band.scaled for band in bands], deviation, 1.0)
        found = [self.known.get(key) for key in _keys(rows)]
        exact = np.array([one is not None for one in found], dtype=np.bool_)
        measured = np.array([one.seconds if one else np.nan for one in found])
        # A size that was measured repeatedly is no better known than its repeats agree.
        spread = TENTH * np.array([one.spread if one else 0.0 for one in found])
        p50 = np.where(exact, measured, terms.total * np.exp(mean))
        low = np.minimum([band.low for band in bands] * width, -spread)
        high = np.maximum([band.high for band in bands] * width, spread)
        return Tabled(terms=terms, p50=p50, p10=p50 * np.exp(np.minimum(low, 0.0)),
                      p90=p50 * np.exp(np.maximum(high, 0.0)), exact=exact)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Rows of a table as its fields see them; every array has one entry per row."""

    points: Floats
    """Where they lie, shape [rows, coordinates]."""
    left: Floats
    """log(measured / model)."""
    names: Names
    """Which kernel each would launch."""
    sites: Floats
    """A number that rows of one site share."""

    @classmethod
    def of(cls, model: KernelModel, rows: KernelRows, facts: Facts, sets: KernelSets) -> _Rows:
        assert rows.seconds is not None
        names = sets.launched(rows)
        base = priced(model, rows, facts, sets).total
        return cls(
            points=_points(model, rows, facts, sets, names),
            left=np.clip(np.log(rows.seconds / base), -FARTHEST, FARTHEST),
            names=names,
            sites=shares(rows, SITES[rows.family]),
        )

    @classmethod
    def joined(cls, some: Sequence[_Rows]) -> _Rows:
        names = cls.__slots__
        return cls(**{name: np.concatenate([getattr(one, name) for one in some]) for name in names})

    def take(self, at: np.ndarray) -> _Rows:
        return _Rows(**{name: getattr(self, name)[at] for name in _Rows.__slots__})

    def fields(self) -> dict[str, Kriging]:
        """Return the field of each kernel that has rows enough."""
        at = {str(name): self.names == name for name in np.unique(self.names)}
        return {
            name: Kriging.build(self.points[own], self.left[own])
            for name, own in at.items()
            if own.sum() >= LEAST_ROWS
        }


def _points(
    model: KernelModel, rows: KernelRows, facts: Facts, sets: KernelSets, names: Names
) -> Floats:
    """Return where rows lie in the field of the kernel that each would launch."""
    found = [(names == name, sets.values(str(name))) for name in np.unique(names)]
    parts = [(at, _features(model, rows.take(at), facts, values)) for at, values in found]
    points = np.zeros((len(rows), parts[0][1].shape[1] if parts else 0))
    for at, part in parts:
        points[at] = part
    return points


def _features(
    model: KernelModel, rows: KernelRows, facts: Facts, values: Mapping[str, float]
) -> Floats:
    """Return the model's own coordinates, else one per size: log2(1 + size)."""
    if isinstance(model, Smooth):
        return model.features(rows, facts, values)
    return np.stack([np.log2(1.0 + column) for column in rows.sizes.values()], axis=1)


def _at(fields: Mapping[str, Kriging], names: Names, points: Floats) -> tuple[Floats, Floats]:
    """Return (mean, deviation) of the fields; where there is none, 0 and the widest: 1."""
    mean, deviation = np.zeros(len(points)), np.ones(len(points))
    for name, field in fields.items():
        at = names == name
        if at.any():
            found = field.at(points[at])
            mean[at], deviation[at] = found.mean, found.deviation
    return mean, deviation


def _left_out(
    model: KernelModel,
    parts: Sequence[KernelRows],
    facts: Facts,
    prior: Mapping[str, float] | None,
    rows: _Rows,
) -> tuple[Floats, Names]:
    """Return how many deviations off the rows of left-out sites are, and their kernels.

    Neither the field nor, in a small table, the parameters have seen those sites.
    """
    rank = np.unique(rows.sites, return_inverse=True)[1].reshape(-1)
    shuffled = np.random.default_rng(0).permutation(len(rank))[:BAND_ROWS]
    ends = np.cumsum([len(part) for part in parts])[:-1]
    off, names = [np.zeros(0)], [np.zeros(0, dtype=np.str_)]
    for fold in range(_FOLDS):
        out, kept = shuffled[rank[shuffled] % _FOLDS == fold], rank % _FOLDS != fold
        if not len(out) or not kept.any():
            continue
        seen = rows
        if len(rank) < MANY_ROWS:
            some = [p.take(at) for p, at in zip(parts, np.split(kept, ends), strict=True)]
            sets = fitted(model, [part for part in some if len(part)], facts, prior)
            seen = _Rows.joined([_Rows.of(model, part, facts, sets) for part in parts])
        asked = seen.take(out)
        mean, deviation = _at(seen.take(kept).fields(), asked.names, asked.points)
        off.append((asked.left - mean) / deviation)
        names.append(asked.names)
    return np.concatenate(off), np.concatenate(names)


def _bands(left_out: tuple[Floats, Names]) -> dict[str, Band]:
    """Return the band of each kernel with rows enough, and that of all together."""
    off, names = left_out
    return {"": _band(off)} | {
        str(name): _band(off[names == name])
        for name in np.unique(names)
        if (names == name).sum() >= FEW
    }


def _band(off: Floats) -> Band:
    if len(off) < FEW:
        low, high = (float(np.log(factor)) for factor in UNKNOWN)
        return Band(low=low, high=high, scaled=False)
    # The row to be predicted is one more than those left out (conformal correction).
    tail = (TAIL * (len(off) + 1) - 1) / (len(off) - 1)
    low, high = (float(q) for q in np.quantile(off, [tail, 1 - tail]))
    return Band(low=low, high=high, scaled=True)


def _keys(rows: KernelRows) -> list[Key]:
    sizes = zip(*(column.tolist() for column in rows.sizes.values()), strict=True)
    return [(rows.op, *size) for size in sizes]


def _known(parts: Sequence[KernelRows]) -> dict[Key, Repeated]:
    times: dict[Key, list[float]] = {}
    for rows in parts:
        assert rows.seconds is not None
        for key, time in zip(_keys(rows), np.log(rows.seconds).tolist(), strict=True):
            times.setdefault(key, []).append(time)
    return {
        key: Repeated(float(np.exp(np.mean(t))), float(np.std(t, ddof=1)) if len(t) > 1 else 0.0)
        for key, t in times.items()
    }


def _single(rows: KernelRows, known: Mapping[Key, Repeated]) -> KernelRows:
    """Return each size once, with the mean of its times; repeats tell nothing about neighbours."""
    keys = _keys(rows)
    first: dict[Key, int] = {}
    for i, key in enumerate(keys):
        first.setdefault(key, i)
    seconds = np.array([known[key].seconds for key in first])
    return replace(rows.take(np.array(list(first.values()))), seconds=seconds)
