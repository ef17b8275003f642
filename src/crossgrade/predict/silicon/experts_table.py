"""A measured table of routed experts: a formula per launched kernel, kriging of what is left over.

Models leave the table as a whole when it asks itself how wrong it is, so the band speaks of models
that were not measured. Must not know chips or kernels by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.silicon.experts import Experts, features
from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.kernel_sets import KernelSets, fitted, priced
from crossgrade.predict.silicon.kriging import Kriging
from crossgrade.predict.silicon.model import Floats
from crossgrade.values.kernel import KernelRows

LEAST_ROWS = 50
"""A kernel with fewer measured rows has a formula and no field."""
FARTHEST = 1.5
"""Largest |log(measured / model)| that the field believes of one row."""
BAND_ROWS = 2000
"""Left-out rows that the width of the band is taken from."""
_FOLDS = 4
_LIMITS = (4.0, 32.0, 256.0)
"""Tokens between which the band has a width of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Seconds with a band, each shape [kernels]."""

    p50: Floats
    """Median, s."""
    p10: Floats
    """Lower end, s."""
    p90: Floats
    """Upper end, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertsTable:
    """Measured rows of one chip and format, ready to be asked for others."""

    facts: Facts
    """The chip."""
    sets: KernelSets
    """Parameters and choice of kernels."""
    fields: Mapping[str, Kriging]
    """Launched kernel -> log(measured / model) over `features`."""
    low: Floats
    """Per range of tokens: 10 % of left-out rows are off by less than this (log)."""
    high: Floats
    """Per range of tokens: 90 % of left-out rows are off by less than this (log)."""

    @classmethod
    def build(
        cls,
        parts: Sequence[KernelRows],
        facts: Facts,
        groups: Sequence[Floats],
        prior: KernelSets | None = None,
    ) -> ExpertsTable:
        """Return a table of measured rows.

        Args:
            parts: rows with `seconds` and `launched`, by operation.
            facts: the chip.
            groups: of each part, a number per row that rows of one model share.
            prior: what is believed before.
        """
        sets = fitted(Experts(), parts, facts, prior)
        everything = _Known.joined(
            [_Known.of(part, facts, sets, group) for part, group in zip(parts, groups, strict=True)]
        )
        off, tokens = _left_out(everything)
        low, high = (
            np.array([_quantile(off, tokens, at, q) for at in range(len(_LIMITS) + 1)])
            for q in (0.1, 0.9)
        )
        return cls(facts=facts, sets=sets, fields=everything.fields(), low=low, high=high)

    def estimate(self, rows: KernelRows) -> Estimate:
        """Return seconds of rows, measured or not."""
        base = priced(Experts(), rows, self.facts, self.sets).total
        names = self.sets.launched(rows)
        left = _mean(self.fields, names, _points(rows, self.facts, self.sets, names))
        middle = np.log(base) + left
        kind = np.digitize(rows.sizes["tokens"], _LIMITS)
        return Estimate(
            p50=np.exp(middle),
            p10=np.exp(middle + self.low[kind]),
            p90=np.exp(middle + self.high[kind]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """Rows of a table as its fields see them; every array has one entry per row."""

    points: Floats
    left: Floats
    names: NDArray[np.str_]
    groups: Floats
    tokens: Floats

    @classmethod
    def of(cls, rows: KernelRows, facts: Facts, sets: KernelSets, groups: Floats) -> _Known:
        assert rows.seconds is not None
        names = sets.launched(rows)
        base = priced(Experts(), rows, facts, sets).total
        return cls(
            points=_points(rows, facts, sets, names),
            left=np.clip(np.log(rows.seconds / base), -FARTHEST, FARTHEST),
            names=names,
            groups=groups,
            tokens=rows.sizes["tokens"],
        )

    @classmethod
    def joined(cls, some: Sequence[_Known]) -> _Known:
        return cls(
            **{name: np.concatenate([getattr(one, name) for one in some]) for name in cls.__slots__}
        )

    def take(self, at: NDArray[np.bool_] | NDArray[np.int64]) -> _Known:
        return _Known(**{name: getattr(self, name)[at] for name in _Known.__slots__})

    def fields(self) -> dict[str, Kriging]:
        """Return the field of each kernel that has rows enough."""
        at = {str(name): self.names == name for name in np.unique(self.names)}
        return {
            name: Kriging.build(self.points[own], self.left[own])
            for name, own in at.items()
            if own.sum() >= LEAST_ROWS
        }


def _points(rows: KernelRows, facts: Facts, sets: KernelSets, names: NDArray[np.str_]) -> Floats:
    found = [(names == name, sets.values(str(name))) for name in np.unique(names)]
    parts = [(at, features(rows.take(at), facts, values)) for at, values in found]
    points = np.zeros((len(rows), parts[0][1].shape[1] if parts else 0))
    for at, part in parts:
        points[at] = part
    return points


def _mean(fields: Mapping[str, Kriging], names: NDArray[np.str_], points: Floats) -> Floats:
    left = np.zeros(len(points))
    for name, field in fields.items():
        at = names == name
        if at.any():
            left[at] = field.at(points[at]).mean
    return left


def _left_out(known: _Known) -> tuple[Floats, Floats]:
    """Return how far off rows of left-out models are (log), and their tokens.

    The parameters have seen these rows, the field has not: ten numbers against thousands of rows.
    """
    rank = np.unique(known.groups, return_inverse=True)[1].reshape(-1)
    off, tokens = [np.zeros(0)], [np.zeros(0)]
    for fold in range(_FOLDS):
        out = np.flatnonzero(rank % _FOLDS == fold)
        kept = known.take(rank % _FOLDS != fold)
        if not len(out) or not len(kept.left):
            continue
        asked = known.take(out[:: max(1, len(known.left) // BAND_ROWS)])
        off.append(asked.left - _mean(kept.fields(), asked.names, asked.points))
        tokens.append(asked.tokens)
    return np.concatenate(off), np.concatenate(tokens)


def _quantile(off: Floats, tokens: Floats, kind: int, share: float) -> float:
    """Return the quantile of one range of tokens; of all where the range has few rows."""
    own = off[np.digitize(tokens, _LIMITS) == kind]
    chosen = own if len(own) >= 20 else off
    return float(np.quantile(chosen, share)) if len(chosen) else 0.0
