"""Which kernel a stack launches for a shape, put to the vote of measured rows that tell its name.

A serving engine chooses an attention kernel by head size, and another one for a single query; a
kernel of routed experts by how tokens are routed. Must not know kernels by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crossgrade.values.kernel import KernelRows

Names = NDArray[np.str_]
Shape = tuple[float, bool]
"""Size of a head, and whether there is one query only."""
Region = tuple[float | str, ...]


class Votes(Protocol):
    """What measured rows say about which kernel runs."""

    def of(self, rows: KernelRows) -> Names:
        """Return the name of the kernel that each row would launch; empty where untold."""


@dataclass(frozen=True, slots=True)
class OneKernel:
    """All rows are of one kernel, or nobody told of which."""

    def of(self, rows: KernelRows) -> Names:
        """Return no name for each row."""
        return np.full(len(rows), "", dtype=np.str_)


@dataclass(frozen=True, slots=True)
class ByHead:
    """Attention: the nearest measured head size decides, and whether there is one query."""

    names: Mapping[Shape, str]
    """What most rows of the shape launched."""

    @classmethod
    def learnt(cls, parts: Sequence[KernelRows]) -> ByHead:
        """Return what measured rows tell."""
        seen: dict[Shape, Counter[str]] = {}
        for rows in parts:
            shapes = zip(_head(rows).tolist(), (rows.sizes["queries"] == 1).tolist(), strict=True)
            for shape, name in zip(shapes, names_of(rows).tolist(), strict=True):
                seen.setdefault(shape, Counter())[name] += 1
        # Of names with as many rows the first in the alphabet, whatever the order of the rows.
        return cls({s: min(c, key=lambda n: (-c[n], n)) for s, c in sorted(seen.items())})

    def of(self, rows: KernelRows) -> Names:
        """Return the name of the kernel that each row would launch."""
        known = list(self.names)
        size = np.log([shape[0] for shape in known])
        one = np.array([shape[1] for shape in known])
        off = np.abs(np.log(_head(rows))[:, None] - size[None])
        # Head size decides; of two as near, the one with as many queries.
        off = off + 1e-3 * ((rows.sizes["queries"] == 1)[:, None] != one[None])
        names: Names = np.array([self.names[shape] for shape in known])
        return np.asarray(names[off.argmin(axis=1)])


def _head(rows: KernelRows) -> NDArray[np.float64]:
    """Return the size of a head; of latent attention, that of the latent."""
    return rows.sizes["qk_size"] if "qk_size" in rows.sizes else rows.sizes["rank"]


@dataclass(frozen=True, slots=True)
class ByRouting:
    """Routed experts: the narrowest region with measured rows decides."""

    names: Mapping[Region, str] = field(default_factory=dict)
    """Region, from narrow to wide -> the kernel that most of its rows launched."""

    @classmethod
    def learnt(cls, parts: Sequence[KernelRows]) -> ByRouting:
        """Return what measured rows tell."""
        counts: dict[Region, Counter[str]] = {}
        for part in parts:
            for name, widening in zip(names_of(part).tolist(), _regions(part), strict=True):
                for region in widening:
                    counts.setdefault(region, Counter())[name] += 1
        return cls({region: count.most_common(1)[0][0] for region, count in counts.items()})

    def of(self, rows: KernelRows) -> Names:
        """Return the name of the kernel that each row would launch."""
        names = [
            next((self.names[region] for region in widening if region in self.names), "")
            for widening in _regions(rows)
        ]
        return np.array(names, dtype=np.str_)


def _regions(rows: KernelRows) -> Iterator[tuple[Region, ...]]:
    """Yield the regions of each row, from narrow to wide.

    Engines choose by whether experts are split over ranks, by how the router scores (which the
    number of choices stands for) and by the activation.
    """
    split, topk = rows.sizes["ep"] > 1, rows.sizes["topk"]
    for apart, choices in zip(split.tolist(), topk.tolist(), strict=True):
        yield (apart, choices, rows.op), (apart, choices), (apart,), ()


def names_of(rows: KernelRows) -> Names:
    """Return the kernel that each row was measured with; no name where none is told."""
    return np.full(len(rows), "", dtype=np.str_) if rows.launched is None else rows.launched


def votes_of(parts: Sequence[KernelRows]) -> Votes:
    """Return what measured rows of one family say about which kernel runs."""
    match parts[0].family:
        case "attention" | "latent-attention":
            return ByHead.learnt(parts)
        case "experts":
            return ByRouting.learnt(parts)
        case _:
            return OneKernel()
