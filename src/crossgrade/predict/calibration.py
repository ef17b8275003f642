"""Measured kernels of one device -> parameters of the kernel models, and how far off they are.

Each kind is fitted near the starting parameters; what is told of its error is of points whose site
(weights, heads, length of a row) no fit had seen. Needs scipy. Must not know how points are
measured, nor records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.silicon.bands import condensed
from crossgrade.predict.silicon.facts import facts_of
from crossgrade.predict.silicon.fitting import Batch, fit_all, seconds_of, totals
from crossgrade.predict.silicon.held_out import Held, validated_by
from crossgrade.predict.silicon.knowledge import Fit, Kind, regime
from crossgrade.predict.silicon.model import UNKNOWN, Floats, KernelModel, starting
from crossgrade.predict.silicon.models import model_for, priced_as
from crossgrade.predict.silicon.score import Score, score
from crossgrade.predict.silicon.splits import shares
from crossgrade.predict.silicon.vector import Vector
from crossgrade.values.chip import Chip
from crossgrade.values.kernel import SIZES, Family, KernelRows
from crossgrade.values.kernel_calibration import KernelPoint, KindScore, PointErrors

LEAST_POINTS: Final = 5
"""Points of a kind without which nothing is fitted: a fold needs one."""
FOLDS: Final = 5
"""Parts of the points, each predicted from the others."""
FEWEST_FOLDS: Final = 3
"""A band of a fold comes from fits that saw neither it nor a second one."""
LOOSENESS: Final = (1.0, 4.0)
"""Factors on what the prior allows, of which the one with the smaller held-out error is taken. The
starting parameters and their spreads are of chips with hundreds of cores; a device of another build
is further away. 4 was found on the points of one CPU."""
SITES: Final[Mapping[Family, tuple[str, ...]]] = {
    "matmul": ("n", "k"),
    "attention": ("heads", "kv_heads", "qk_size", "keys"),
    "vector": ("bytes_written", "rows"),
}
"""Sizes that points of one site have in common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """What points gave."""

    fits: tuple[Fit, ...]
    """Parameters with their bands, one per kind that has enough points."""
    scores: tuple[KindScore, ...]
    """How far off the predictor is on every kind, before and after."""


def calibrated(
    points: Sequence[KernelPoint], chip: Chip, stack: str, source: str
) -> Calibrated:  # fmt: skip
    """Return the parameters that measured points give, and how far off they are.

    Args:
        points: measured kernels; those without a time, or with a noisy one, are left out.
        chip: description of the device.
        stack: whose kernels they are.
        source: where the points come from, for a person.
    """
    fits: list[Fit] = []
    scores: list[KindScore] = []
    priors: dict[tuple[Family, str], dict[str, float]] = {}
    for kind, several in kinds_of(points, stack).items():
        batches = [
            Batch(rows=rows, facts=facts_of(chip, priced_as(rows.family, rows.format)))
            for rows in several
        ]
        model = model_for(kind.family, several[0].op, batches[0].facts)
        if kind.family == "vector":
            model = Vector(ops=tuple(sorted(rows.op for rows in several)))
        # A further format has few points: what the first one gave is nearer than the start.
        prior = priors.get((kind.family, kind.op))
        before, (fit, after, why) = _start(model, batches), _fitted(model, batches, kind, prior)
        scores.append(_score(kind, batches, before, after, why))
        if fit is not None:
            fits.append(replace(fit, chip=chip.name, source=source))
            priors.setdefault((kind.family, kind.op), dict(fit.values))
    return Calibrated(fits=tuple(fits), scores=tuple(scores))


def kinds_of(points: Sequence[KernelPoint], stack: str) -> dict[Kind, list[KernelRows]]:
    """Return the usable points as rows, by the kind that they are fitted with.

    Products of one format are one kind, single and batched; so are all vector kernels. Of attention
    prefill and decode are two. The kind with the most points of a family comes first.
    """
    groups: dict[Kind, dict[str, list[KernelPoint]]] = {}
    for point in (p for p in points if p.usable):
        op = point.op if point.family == "attention" else ""
        kind = Kind(family=point.family, op=op, format=point.format, stack=stack)
        groups.setdefault(kind, {}).setdefault(point.op, []).append(point)
    order = sorted(groups, key=lambda k: (list(SIZES).index(k.family), k.op,
                                          -sum(map(len, groups[k].values()))))  # fmt: skip
    return {k: [_rows(own, stack) for _, own in sorted(groups[k].items())] for k in order}


def _rows(points: Sequence[KernelPoint], stack: str) -> KernelRows:
    first = points[0]
    columns = {n: np.array([p.sizes[n] for p in points]) for n in SIZES[first.family]}
    seconds = np.array([p.seconds.value for p in points if p.seconds is not None])
    return KernelRows(family=first.family, op=first.op, format=first.format, stack=stack,
                      sizes=columns, seconds=seconds)  # fmt: skip


def _start(model: KernelModel, batches: Sequence[Batch]) -> Held:
    """Return the points as the starting parameters have them, with the band of what is unknown."""
    said = totals(model, batches, starting(model))
    return Held(predicted=said, low=said * UNKNOWN[0], high=said * UNKNOWN[1],
                measured=seconds_of(batches))  # fmt: skip


def _fitted(
    model: KernelModel, batches: Sequence[Batch], kind: Kind, prior: Mapping[str, float] | None
) -> tuple[Fit | None, Held | None, str]:
    """Return the fit, the points as predicted without their sites, and why there is neither."""
    count = sum(len(b.rows) for b in batches)
    folds = _folds(batches, SITES[kind.family])
    if count < LEAST_POINTS or len(np.unique(np.concatenate(folds))) < FEWEST_FOLDS:
        return None, None, f"{count} points are too few, {LEAST_POINTS} at {FEWEST_FOLDS} sites do"
    if not np.isfinite(totals(model, batches, starting(model))).all():
        return None, None, "the description lacks a rate that the formula needs"
    every = {loose: validated_by(model, batches, folds, prior, loose) for loose in LOOSENESS}
    loose = min(every, key=lambda one: float(np.abs(_off(every[one])).mean()))
    held, values = every[loose], fit_all(model, batches, prior, looseness=loose)
    off = _off(held)
    where = np.concatenate([regime(model.terms(b.rows, b.facts, values)) for b in batches])
    found = Fit(
        chip="", kind=kind, values=values, rows=count, band=condensed(off, where), source="",
        error=float(np.median(np.abs(np.expm1(-off)))),
    )  # fmt: skip
    return found, held, ""


def _off(held: Held) -> Floats:
    return np.asarray(np.log(held.measured / held.predicted))


def _folds(batches: Sequence[Batch], by: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return the fold of each row: sites in the order of their hash, dealt out in turn.

    The hash alone would leave folds of few points empty.
    """
    parts = [shares(b.rows, by) for b in batches]
    sites = np.unique(np.concatenate(parts))
    return [np.searchsorted(sites, part) % min(FOLDS, len(sites)) for part in parts]


def _score(
    kind: Kind, batches: Sequence[Batch], before: Held, after: Held | None, why: str
) -> KindScore:
    known = bool(np.isfinite(before.predicted).any())
    return KindScore(
        family=kind.family, op=kind.op, format=kind.format,
        points=sum(len(b.rows) for b in batches),
        before=_errors(before) if known else None,
        after=None if after is None else _errors(after), why=why,
    )  # fmt: skip


def _errors(held: Held) -> PointErrors:
    known = np.isfinite(held.predicted)
    found: Score = score(*(_kept(column, known) for column in
                           (held.predicted, held.measured, held.low, held.high)))  # fmt: skip
    return PointErrors(mape=found.mape, median=found.median, p90=found.p90, inside=found.inside)


def _kept(column: Floats, known: NDArray[np.bool_]) -> Floats:
    return column[known]
