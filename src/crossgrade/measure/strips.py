"""Sessions and batches of a measurement as what a drawing needs: values of sessions, quantiles.

Must not know drawings.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crossgrade.measure.sides import session_series
from crossgrade.values.bench import BenchResult
from crossgrade.values.strip import QUANTILES, Strip


def strips_of(result: BenchResult) -> tuple[Strip, ...]:
    """Return how the samples of each variant lie that has a number, in the order of the plan."""
    return tuple(_strips(result))


def _strips(result: BenchResult) -> Iterator[Strip]:
    for place, variant in enumerate(result.plan.variants):
        series = session_series(result, place)
        if not series.batches:
            continue
        pooled = np.exp(np.concatenate(series.batches))
        yield Strip(
            variant=variant.name,
            sessions_s=tuple(np.exp(series.values).tolist()),
            batches=len(pooled),
            batch_s=tuple(np.quantile(pooled, QUANTILES).tolist()),
        )
