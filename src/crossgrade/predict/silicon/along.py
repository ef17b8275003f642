"""Measured over modelled, interpolated along one size: what a formula misses, where it was timed.

Between two measured sizes the logarithm of the ratio is linear in the logarithm of the size;
outside them the nearest ratio holds. All other sizes must match exactly. Must not know families,
chips or where rows come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.silicon.model import Floats
from crossgrade.values.kernel import KernelRows

Key = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Along:
    """Ratios of one operation on one chip."""

    size: str
    """Along which size it interpolates, such as `bytes`."""
    lines: Mapping[Key, tuple[Floats, Floats]]
    """All other sizes -> (logarithms of the size, ascending; logarithms of the ratio)."""

    @classmethod
    def of(cls, rows: KernelRows, modelled: Floats, size: str) -> Along:
        """Return the ratios of measured rows; rows alike in all sizes count by their mean.

        Args:
            rows: kernels with `seconds`.
            modelled: what the formula says of them, s.
            size: along which size to interpolate.

        Raises:
            ValueError: rows have no measured time.
        """
        if rows.seconds is None:
            raise ValueError("ratios need measured rows")
        ratio, at = np.log(rows.seconds / modelled), np.log(rows.sizes[size])
        keys = _keys(rows, size)
        lines = {}
        for key in set(keys):
            mine = np.array([k == key for k in keys])
            points, index = np.unique(at[mine], return_inverse=True)
            sums = np.bincount(index.reshape(-1), weights=ratio[mine])
            lines[key] = points, sums / np.bincount(index.reshape(-1))
        return cls(size=size, lines=lines)

    def ratio(self, rows: KernelRows) -> Floats:
        """Return measured over modelled for rows, 1 where nothing alike was measured."""
        found = np.ones(len(rows))
        for i, (key, at) in enumerate(
            zip(_keys(rows, self.size), np.log(rows.sizes[self.size]), strict=True)
        ):
            if key in self.lines:
                found[i] = np.exp(np.interp(at, *self.lines[key]))
        return found


def _keys(rows: KernelRows, size: str) -> list[Key]:
    others = [column for name, column in rows.sizes.items() if name != size]
    return [tuple(values) for values in np.stack(others, axis=1).tolist()]
