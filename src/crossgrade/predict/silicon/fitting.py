"""Measured kernels -> parameters of a model, held near what is already believed.

The estimate is the most probable one (MAP): log time is off by a Laplace-like error, each log
parameter by its `spread` around the prior. With thirty points the prior decides what they cannot;
with three hundred it hardly counts. Uses scipy, which reading a prediction does not need. Must not
know where rows come from.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.model import Floats, KernelModel, starting
from crossgrade.values.kernel import KernelRows

SCALE = 0.1
"""Log error of a good row: smaller errors count as squares, larger ones by their size."""
_STEP = 1e-3
"""Relative step of the numeric gradient: tiles and waves make time a staircase."""


def fit(
    model: KernelModel,
    rows: KernelRows,
    facts: Facts,
    prior: Mapping[str, float] | None = None,
    *,
    starts: int = 3,
) -> dict[str, float]:
    """Return the most probable parameters given measured rows.

    Args:
        model: the formula.
        rows: kernels with `seconds`.
        facts: the chip.
        prior: what is believed before; the model's starting values if None.
        starts: how many searches are begun, the first from the prior, the others beside it.

    Raises:
        ValueError: rows have no measured time.
    """
    from scipy.optimize import least_squares

    if rows.seconds is None:
        raise ValueError("a fit needs measured rows")
    believed = {**starting(model), **(prior or {})}
    centre = np.log([believed[p.name] for p in model.parameters])
    spread = np.array([p.spread for p in model.parameters])
    low = np.log([p.low for p in model.parameters])
    high = np.log([p.high for p in model.parameters])
    measured = np.log(rows.seconds)

    def residuals(theta: Floats) -> Floats:
        values = _named(model, theta)
        off = (np.log(model.terms(rows, facts, values).total) - measured) / SCALE
        soft = np.sign(off) * np.sqrt(2 * (np.sqrt(1 + off**2) - 1))
        return np.concatenate([soft, (theta - centre) / spread])

    rng = np.random.default_rng(0)
    best = None
    for attempt in range(starts):
        begin = centre + (rng.normal(0, 1, len(centre)) * spread * 0.5 if attempt else 0.0)
        begin = np.clip(begin, low + 1e-9, high - 1e-9)
        found = least_squares(residuals, begin, bounds=(low, high), diff_step=_STEP, max_nfev=60)
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    return _named(model, best.x)


def _named(model: KernelModel, theta: Floats) -> dict[str, float]:
    return dict(zip((p.name for p in model.parameters), np.exp(theta).tolist(), strict=True))
