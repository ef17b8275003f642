"""One set of parameters per launched kernel of routed experts, and which kernel a shape launches.

A stack has several kernels for one operation; measured rows tell which of them ran. A set is held
near the parameters of all rows together, so a kernel with few rows is not left alone. Which kernel
an unseen shape launches is put to the vote of the fitted rows that are most like it. Must not know
kernels or chips by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.fitting import fit
from crossgrade.predict.silicon.model import KernelModel, Terms, starting
from crossgrade.values.kernel import KernelRows

FIT_ROWS = 300
"""Rows that one set is fitted to; more hardly change it."""
LEAST_ROWS = 5
"""A kernel with fewer rows keeps the parameters of all together."""
_TERMS = ("total", "compute", "vector", "memory", "floor")
Region = tuple[float | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelSets:
    """Parameters of every kernel of one chip and format."""

    together: Mapping[str, float]
    """Parameters of all rows as if one kernel."""
    by_kernel: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Name of a launched kernel -> its parameters."""
    votes: Mapping[Region, str] = field(default_factory=dict)
    """Region, from narrow to wide -> the kernel that most of its fitted rows launched."""

    def launched(self, rows: KernelRows) -> NDArray[np.str_]:
        """Return the kernel that each row would launch, shape [kernels]; empty where untold."""
        names = [
            next((self.votes[region] for region in widening if region in self.votes), "")
            for widening in _regions(rows)
        ]
        return np.array(names, dtype=np.str_)

    def values(self, kernel: str) -> Mapping[str, float]:
        """Return the parameters of a kernel, those of all together where it is not known."""
        return self.by_kernel.get(kernel, self.together)


def unfitted(model: KernelModel) -> KernelSets:
    """Return what is known without any measurement."""
    return KernelSets(together=starting(model))


def fitted(
    model: KernelModel, parts: Sequence[KernelRows], facts: Facts, prior: KernelSets | None = None
) -> KernelSets:
    """Return the sets of measured rows.

    Args:
        model: the formula.
        parts: rows of one chip and format with `seconds` and `launched`, by operation.
        facts: the chip.
        prior: what is believed before, such as the sets of another chip.
    """
    before = prior or unfitted(model)
    largest = max(parts, key=len)
    together = fit(model, _thinned(largest), facts, before.together, starts=1)
    by_kernel = dict(before.by_kernel)
    for name in sorted({str(n) for part in parts for n in _names(part)}):
        own = max((part.take(_names(part) == name) for part in parts), key=len)
        if len(own) >= LEAST_ROWS:
            believed = before.by_kernel.get(name, together)
            by_kernel[name] = fit(model, _thinned(own), facts, believed, starts=1)
    votes = {**before.votes, **_counted(parts)}
    return KernelSets(together=together, by_kernel=by_kernel, votes=votes)


def priced(model: KernelModel, rows: KernelRows, facts: Facts, sets: KernelSets) -> Terms:
    """Return the terms of rows, each with the parameters of the kernel that it would launch."""
    names = sets.launched(rows)
    columns = {name: np.zeros(len(rows)) for name in _TERMS}
    for name in np.unique(names):
        at = names == name
        terms = model.terms(rows.take(at), facts, sets.values(str(name)))
        for column, filled in columns.items():
            filled[at] = getattr(terms, column)
    return Terms(**columns)


def _thinned(rows: KernelRows) -> KernelRows:
    """Return at most FIT_ROWS rows, evenly from first to last."""
    if len(rows) <= FIT_ROWS:
        return rows
    return rows.take(np.linspace(0, len(rows) - 1, FIT_ROWS).astype(np.int64))


def _names(rows: KernelRows) -> NDArray[np.str_]:
    return np.full(len(rows), "") if rows.launched is None else rows.launched


def _counted(parts: Sequence[KernelRows]) -> dict[Region, str]:
    counts: dict[Region, Counter[str]] = {}
    for part in parts:
        for name, widening in zip(_names(part).tolist(), _regions(part), strict=True):
            for region in widening:
                counts.setdefault(region, Counter())[name] += 1
    return {region: count.most_common(1)[0][0] for region, count in counts.items()}


def _regions(rows: KernelRows) -> Iterator[tuple[Region, ...]]:
    """Yield the regions of each row, from narrow to wide.

    Engines choose by whether experts are split over ranks, by how the router scores (which the
    number of choices stands for) and by the activation.
    """
    split, topk = rows.sizes["ep"] > 1, rows.sizes["topk"]
    for apart, choices in zip(split.tolist(), topk.tolist(), strict=True):
        yield (apart, choices, rows.op), (apart, choices), (apart,), ()
