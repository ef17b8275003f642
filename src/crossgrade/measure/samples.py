"""A session's spans as numbers per variant and round, and their batch medians.

A round is every variant and the anchor once, so the k-th block of a variant belongs to round k.
Numbers of `order` are places in the plan, the anchor last; a variant that is absent has no
blocks. Must not know intervals or verdicts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crossgrade.values.bench import Session

Floats = NDArray[np.float64]
NOT_POSITIVE: Final = "not-positive"
"""Why a span of zero or less, or none that is finite, does not count: it has no logarithm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSamples:
    """Samples of one session that count."""

    log_s: Floats
    """[variants + 1, rounds] logarithm of seconds per call; NaN where none counts."""
    censored: tuple[Mapping[str, int], ...]
    """Samples that do not count, by reason, per variant, the anchor last."""

    def ratio(self, variant: int, over: int | None) -> Floats:
        """Return [rounds] logarithm of a variant's time, over that of another where one is given.

        NaN where one of them does not count in that round.
        """
        own: Floats = self.log_s[variant]
        return own if over is None else own - self.log_s[over]


def samples_of(session: Session, variants: int) -> SessionSamples:
    """Return the samples of a session by variant and round.

    Args:
        session: as it ran.
        variants: number of variants in the plan, the anchor not counted.
    """
    order = np.asarray(session.order, dtype=np.int64)
    fixed = np.asarray(session.fixed_ns or (0.0,) * (variants + 1))
    spans = np.asarray(session.spans_ns, dtype=np.float64) - fixed[order]
    witness: dict[int, str] = dict(session.censored)
    bad = ~(np.isfinite(spans) & (spans > 0))
    for block in np.flatnonzero(bad):
        witness.setdefault(int(block), NOT_POSITIVE)
    spans[list(witness)] = math.nan
    places = [np.flatnonzero(order == v) for v in range(variants + 1)]
    log_s = np.full((variants + 1, max((len(p) for p in places), default=0)), math.nan)
    for v, where in enumerate(places):
        if len(where):
            log_s[v, : len(where)] = np.log(spans[where] * 1e-9 / session.counts[v])
    counted: list[Counter[str]] = [Counter() for _ in range(variants + 1)]
    for place, why in witness.items():
        counted[session.order[place]][why] += 1
    return SessionSamples(log_s=log_s, censored=tuple(dict(sorted(c.items())) for c in counted))


def batch_medians(rounds: Floats, batch: int) -> Floats:
    """Return the median of each batch of consecutive rounds, [batches].

    A batch of which less than half counts is left out, unless no batch has as much.
    """
    if not len(rounds):
        return rounds
    padded = np.full(-(-len(rounds) // batch) * batch, math.nan)
    padded[: len(rounds)] = rounds
    grid = padded.reshape(-1, batch)
    if not np.isnan(grid).any():
        return np.asarray(np.median(grid, axis=1))
    counting = (~np.isnan(grid)).sum(axis=1)
    least = -(-batch // 2) if (counting * 2 >= batch).any() else 1
    kept = grid[counting >= least]
    return np.asarray(np.nanmedian(kept, axis=1)) if len(kept) else kept[:, 0]
