"""Measured kernels -> parameters of a model, held near what is already believed.

The estimate is the most probable one (MAP): log time is off by a Laplace-like error, each log
parameter by its `spread` around the prior. With thirty points the prior decides what they cannot;
with three hundred it hardly counts. Uses scipy, which reading a prediction does not need. Must not
know where rows come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.model import Floats, KernelModel, starting
from crossgrade.values.kernel import KernelRows

SCALE = 0.1
"""Log error of a good row: smaller errors count as squares, larger ones by their size."""
_STEP = 1e-3
"""Relative step of the numeric gradient: tiles and waves make time a staircase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Measured kernels on one chip."""

    rows: KernelRows
    """With `seconds`."""
    facts: Facts
    """The chip, for the rows' format."""


def seconds_of(batches: Sequence[Batch]) -> Floats:
    """Return the measured times of all batches, s, one after another.

    Raises:
        ValueError: rows have no measured time.
    """
    times = [b.rows.seconds for b in batches if b.rows.seconds is not None]
    if len(times) != len(batches):
        raise ValueError("a batch has no measured times")
    return np.concatenate(times)


def totals(model: KernelModel, batches: Sequence[Batch], values: Mapping[str, float]) -> Floats:
    """Return the modelled times of all batches, s, one after another."""
    return np.concatenate([model.terms(b.rows, b.facts, values).total for b in batches])


def fit(
    model: KernelModel,
    rows: KernelRows,
    facts: Facts,
    prior: Mapping[str, float] | None = None,
    *,
    starts: int = 3,
) -> dict[str, float]:
    """Return the most probable parameters given measured rows of one kind; see `fit_all`.

    Args:
        model: the formula.
        rows: kernels with `seconds`.
        facts: the chip.
        prior: what is believed before; the model's starting values if None.
        starts: how many searches are begun, the first from the prior, the others beside it.

    Raises:
        ValueError: rows have no measured time.
    """
    return fit_all(model, [Batch(rows=rows, facts=facts)], prior, starts=starts)


def fit_all(
    model: KernelModel,
    batches: Sequence[Batch],
    prior: Mapping[str, float] | None = None,
    *,
    starts: int = 3,
    looseness: float = 1.0,
) -> dict[str, float]:
    """Return the most probable parameters given measured rows of several kinds.

    Args:
        model: the formula.
        batches: what was measured.
        prior: what is believed before; the model's starting values if None.
        starts: how many searches are begun, the first from the prior, the others beside it.
        looseness: factor on the spread of every parameter: how much less the prior is believed.

    Raises:
        ValueError: no measured rows.
    """
    kept = [b for b in batches if len(b.rows)]
    if not kept:
        raise ValueError("a fit needs measured rows")
    believed = {**starting(model), **(prior or {})}
    names = [p.name for p in model.parameters]
    centre = np.log([believed[name] for name in names])
    spread = looseness * np.array([p.spread for p in model.parameters])
    low = np.log([p.low for p in model.parameters])
    high = np.log([p.high for p in model.parameters])
    measured = np.log(seconds_of(kept))

    def residuals(theta: Floats) -> Floats:
        values = dict(zip(names, np.exp(theta).tolist(), strict=True))
        off = (np.log(totals(model, kept, values)) - measured) / SCALE
        soft = np.sign(off) * np.sqrt(2 * (np.sqrt(1 + off**2) - 1))
        return np.concatenate([soft, (theta - centre) / spread])

    best = _least(residuals, np.stack([centre, spread, low, high]), starts)
    return dict(zip(names, np.exp(best).tolist(), strict=True))


def _least(residuals: Callable[[Floats], Floats], space: Floats, starts: int) -> Floats:
    """Return where the squares are least, of several searches.

    Args:
        residuals: logarithms of parameters -> what is squared and summed.
        space: centre, spread, least and greatest of each logarithm, shape [4, parameters].
        starts: how many searches; the first begins at the centre.
    """
    from scipy.optimize import least_squares

    centre, spread, low, high = space
    rng = np.random.default_rng(0)
    found = []
    for attempt in range(starts):
        begin = centre + (rng.normal(0, 1, len(centre)) * spread * 0.5 if attempt else 0.0)
        begin = np.clip(begin, low + 1e-9, high - 1e-9)
        found.append(
            least_squares(residuals, begin, bounds=(low, high), diff_step=_STEP, max_nfev=60)
        )
    best: Floats = min(found, key=lambda result: float(result.cost)).x
    return best
