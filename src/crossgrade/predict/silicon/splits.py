"""Which rows may be fitted and which are scored, frozen: a hash decides, not a draw.

A split is by group (site, head configuration, model, size), never by row: rows that share a group
are on one side together. Must not know families or chips.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from crossgrade.values.kernel import KernelRows

FROZEN = "crossgrade-2026-11"
"""Salt of every split; another value would be another split, and every figure another."""
Mask = NDArray[np.bool_]


def shares(rows: KernelRows, by: Sequence[str]) -> NDArray[np.float64]:
    """Return a number in [0, 1) per row, the same for all rows of one group, shape [kernels].

    Args:
        rows: the kernels.
        by: sizes that make a group, such as `("n", "k")`.
    """
    columns = np.stack([rows.sizes[name] for name in by], axis=1)
    groups, index = np.unique(columns, axis=0, return_inverse=True)
    values = np.array([_share(by, group.tolist()) for group in groups])
    return values[index.reshape(-1)]


def _share(by: Sequence[str], group: Sequence[float]) -> float:
    words = ";".join(f"{name}={value:g}" for name, value in zip(by, group, strict=True))
    digest = hashlib.sha256(f"{FROZEN};{words}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def folds(rows: KernelRows, by: Sequence[str], count: int = 5) -> Iterator[tuple[Mask, Mask]]:
    """Yield (fitted, scored) masks; every row is scored once."""
    fold = (shares(rows, by) * count).astype(np.int64)
    for i in range(count):
        yield fold != i, fold == i


def halves(rows: KernelRows, by: Sequence[str], fitted: float = 0.25) -> tuple[Mask, Mask]:
    """Return (may be fitted, scored) masks: groups whose number is below `fitted`, and the rest."""
    share = shares(rows, by)
    return share < fitted, share >= fitted


def spread_out(rows: KernelRows, allowed: Mask, count: int) -> NDArray[np.int64]:
    """Return positions of at most `count` allowed rows that lie far from each other.

    Farthest-point sampling (Gonzalez, 1985), begun at the row nearest to the middle: what somebody
    who picks calibration points would pick, without looking at times. Sizes are measured by their
    rank among the allowed rows, so that points go where rows are and not to empty corners. Ranks
    were chosen over logarithms, k-means and mixtures of these on rows that may be fitted of all
    chips but MI300X and MI355X, thirty of them fitted and others scored: 2 % (standard error 1 %)
    less error than logarithms; 4 % and 6 % less for products and experts, 3 % more for attention.
    """
    at = np.flatnonzero(allowed)
    if len(at) <= count:
        return at
    points = np.stack([_ranks(column[at]) for column in rows.sizes.values()], axis=1)
    chosen = [int(((points - points.mean(axis=0)) ** 2).sum(axis=1).argmin())]
    distance = ((points - points[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < count:
        # Equal rows would be chosen twice once all others are: taken ones are out.
        distance[chosen[-1]] = -1.0
        chosen.append(int(distance.argmax()))
        further = ((points - points[chosen[-1]]) ** 2).sum(axis=1)
        distance = np.minimum(distance, further)
    return at[np.array(sorted(chosen), dtype=np.int64)]


def _ranks(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of rows below each one, half of its equals counted, shape [kernels]."""
    ordered = np.sort(column)
    left, right = (np.searchsorted(ordered, column, side=s) for s in ("left", "right"))
    return np.asarray((left + right) / (2 * len(column)))
