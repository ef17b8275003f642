"""One set of parameters per launched kernel, and which kernel a shape launches.

A stack has several kernels for one operation; measured rows tell which of them ran. A set is held
near the parameters of all rows together, so a kernel with few rows is not left alone. Must not know
kernels or chips by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.fitting import fit
from crossgrade.predict.silicon.launched import Names, OneKernel, Votes, votes_of
from crossgrade.predict.silicon.model import TERMS, KernelModel, Terms
from crossgrade.values.kernel import KernelRows

FIT_ROWS = 600
"""Rows that one set is fitted to; more hardly change it."""
LEAST_ROWS = 5
"""A kernel with fewer rows keeps the parameters of all together."""
TermsOf = Callable[[KernelModel, KernelRows, Facts, Mapping[str, float]], Terms]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelSets:
    """Parameters of every kernel of one chip and format."""

    together: Mapping[str, float]
    """Parameters of all rows as if one kernel."""
    by_kernel: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Name of a launched kernel -> its parameters."""
    votes: Votes = field(default_factory=OneKernel)
    """Which kernel runs."""

    def launched(self, rows: KernelRows) -> Names:
        """Return the kernel that each row would launch, shape [kernels]; empty where untold."""
        return self.votes.of(rows)

    def values(self, kernel: str) -> Mapping[str, float]:
        """Return the parameters of a kernel, those of all together where it is not known."""
        return self.by_kernel.get(kernel, self.together)


def fitted(
    model: KernelModel,
    parts: Sequence[KernelRows],
    facts: Facts,
    prior: Mapping[str, float] | None = None,
) -> KernelSets:
    """Return the sets of measured rows.

    Args:
        model: the formula.
        parts: rows of one chip and format with `seconds`, by operation.
        facts: the chip.
        prior: parameters that are believed before; the model's starting values if None.

    Raises:
        ValueError: no measured row.
    """
    votes = votes_of(parts)
    largest = max(parts, key=len)
    # Few rows leave several valleys.
    starts = 1 if len(largest) >= FIT_ROWS else 3
    together = fit(model, thinned(largest, FIT_ROWS), facts, prior, starts=starts)
    names = [votes.of(part) for part in parts]
    by_kernel = {}
    for name in sorted({str(n) for some in names for n in some}):
        own = [part.take(some == name) for part, some in zip(parts, names, strict=True)]
        most = max(own, key=len)
        if len(most) >= LEAST_ROWS:
            by_kernel[name] = fit(model, thinned(most, FIT_ROWS), facts, together, starts=1)
    return KernelSets(together=together, by_kernel=by_kernel, votes=votes)


def priced(
    model: KernelModel,
    rows: KernelRows,
    facts: Facts,
    sets: KernelSets,
    terms_of: TermsOf = lambda model, rows, facts, values: model.terms(rows, facts, values),
) -> Terms:
    """Return the terms of rows, each with the parameters of the kernel that it would launch.

    Args:
        model: the formula.
        rows: kernels of its family.
        facts: the chip.
        sets: the parameters.
        terms_of: how the formula is asked; as of rows of a table if left out.
    """
    names = sets.launched(rows)
    columns = {name: np.zeros(len(rows)) for name in TERMS}
    for name in np.unique(names):
        at = names == name
        terms = terms_of(model, rows.take(at), facts, sets.values(str(name)))
        for column, filled in columns.items():
            filled[at] = getattr(terms, column)
    return Terms(**columns)


def thinned(rows: KernelRows, most: int) -> KernelRows:
    """Return at most `most` rows, evenly from first to last."""
    if len(rows) <= most:
        return rows
    return rows.take(np.linspace(0, len(rows) - 1, most).astype(np.int64))
