"""Measured kernels that somebody has of a chip: the table that they make, built when it is asked.

Must not know where rows come from, nor what a stack launches.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from crossgrade.errors import BadOption
from crossgrade.predict.silicon.facts import ARITHMETIC
from crossgrade.predict.silicon.knowledge import Kind
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.silicon.models import facts_for, model_for
from crossgrade.predict.silicon.table import Table
from crossgrade.units import count, things
from crossgrade.values.chip import Chip
from crossgrade.values.kernel import Family, KernelRows

TOGETHER: tuple[Family, ...] = ("matmul", "experts")
"""Families whose operations are of one formula and one table."""


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: the table is kept in the instance
class Measured:
    """Measured kernels of one kind on one chip."""

    chip: Chip
    """What they ran on."""
    kind: Kind
    """Which kernels; the operation is empty where a table has several."""
    parts: tuple[KernelRows, ...]
    """The rows, by operation."""
    prior: Mapping[str, float]
    """Parameters that are believed before."""
    source: str
    """Where they come from, for a person."""

    @functools.cached_property
    def table(self) -> Table:
        """Return the table; needs scipy."""
        first = self.parts[0]
        facts = facts_for(first, self.chip)
        model = model_for(self.kind.family, first.op, facts)
        return Table.build(model, self.parts, facts, self.prior)

    def text(self, asked: KernelRows, exact: np.ndarray) -> str:
        """Return what times of some sizes rest on.

        Args:
            asked: the sizes.
            exact: which of them were measured, shape [kernels].
        """
        rows = sum(map(len, self.parts))
        text = f"{count(rows)} measured kernels of {self.chip.name} ({self.source})"
        text += f": {int(exact.sum())} of {things(len(asked), 'size')} among them"
        beyond = int((self._beyond(asked) & ~exact).sum())
        return f"{text}, {beyond} beyond them" if beyond else text

    def _beyond(self, asked: KernelRows) -> np.ndarray:
        """Return which rows have a size smaller or larger than any measured one."""
        found = np.zeros(len(asked), dtype=np.bool_)
        for name, column in asked.sizes.items():
            known = np.concatenate([part.sizes[name] for part in self.parts])
            found |= (column < known.min()) | (column > known.max())
        return found


def measured(
    kinds: Iterable[KernelRows],
    chip: Chip,
    source: str,
    prior: Callable[[Kind], Mapping[str, float]],
) -> tuple[Measured, ...]:
    """Return measured kernels by what is priced together.

    Args:
        kinds: rows with `seconds`, each of one kind.
        chip: what they ran on.
        source: where they come from, for a person.
        prior: kind -> parameters that are believed before.

    Raises:
        BadOption: a format or an operation that no formula knows.
    """
    groups: dict[Kind, list[KernelRows]] = {}
    for rows in kinds:
        check(rows, chip)
        op = "" if rows.family in TOGETHER else rows.op
        kind = Kind(family=rows.family, op=op, format=rows.format, stack=rows.stack)
        groups.setdefault(kind, []).append(rows)
    return tuple(
        Measured(chip=chip, kind=kind, parts=tuple(parts), source=source, prior=prior(kind))
        for kind, parts in groups.items()
    )


def check(rows: KernelRows, chip: Chip) -> None:
    """Refuse rows that no formula prices.

    Raises:
        BadOption: a format or an operation that is not known.
    """
    where = f"{rows.family} {rows.op}"
    if rows.family not in ("latent-attention",) and rows.format not in ARITHMETIC:
        raise BadOption(f"no format {rows.format!r}", where=where,
                        hint=f"formats: {', '.join(ARITHMETIC)}")  # fmt: skip
    try:
        facts = facts_for(rows, chip)
        model = model_for(rows.family, rows.op, facts)
        model.terms(rows.take(np.arange(min(1, len(rows)))), facts, starting(model))
    except (KeyError, ValueError) as error:
        raise BadOption(f"no formula for format {rows.format!r}, operation {rows.op!r}: {error}",
                        where=where) from error  # fmt: skip
