"""Which kernel a stack launches for a shape, learnt from rows that tell the name.

A serving engine chooses an attention kernel by head size, and another one for a single query; so
a name is known for each such pair that was measured, and the nearest head size decides for others.
Must not know kernels by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossgrade.values.kernel import KernelRows

Shape = tuple[float, bool]
"""Size of a head, and whether there is one query only."""


@dataclass(frozen=True, slots=True)
class Launched:
    """Name of the kernel by shape."""

    names: Mapping[Shape, str]
    """What most rows of the shape launched."""

    @classmethod
    def learn(cls, rows: KernelRows) -> Launched:
        """Return what measured rows tell; one nameless kernel if they tell nothing."""
        if rows.launched is None:
            return cls({(1.0, False): ""})
        seen: dict[Shape, dict[str, int]] = {}
        shapes = np.stack([_head(rows), rows.sizes["queries"] == 1], axis=1)
        for shape in np.unique(shapes, axis=0):
            at = (shapes == shape).all(axis=1)
            names, counts = np.unique(rows.launched[at], return_counts=True)
            votes = dict(zip(names.tolist(), counts.tolist(), strict=True))
            seen[float(shape[0]), bool(shape[1])] = votes
        return cls({shape: max(votes, key=lambda n: votes[n]) for shape, votes in seen.items()})

    def of(self, rows: KernelRows) -> NDArray[np.str_]:
        """Return the name that each row would launch, shape [kernels]."""
        known = list(self.names)
        size = np.log([shape[0] for shape in known])
        one = np.array([shape[1] for shape in known])
        off = np.abs(np.log(_head(rows))[:, None] - size[None])
        # Head size decides; of two as near, the one with as many queries.
        off = off + 1e-3 * ((rows.sizes["queries"] == 1)[:, None] != one[None])
        names: NDArray[np.str_] = np.array([self.names[shape] for shape in known])
        return np.asarray(names[off.argmin(axis=1)])


def _head(rows: KernelRows) -> NDArray[np.float64]:
    """Return the size of a head; of latent attention, that of the latent."""
    return rows.sizes["qk_size"] if "qk_size" in rows.sizes else rows.sizes["rank"]
