"""Measured kernels that somebody has of a chip: the table that they make, built when it is asked.

Must not know where rows come from, nor what a stack launches.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crossgrade.errors import BadOption
from crossgrade.predict.silicon.facts import ARITHMETIC
from crossgrade.predict.silicon.knowledge import Kind
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.silicon.models import facts_for, model_for
from crossgrade.predict.silicon.table import Smooth, Table
from crossgrade.units import count
from crossgrade.values.chip import Chip
from crossgrade.values.kernel import SITES, Family, KernelRows

LEAST_SIZES, LEAST_SITES = 20, 5
"""Distinct sizes of one kind, and sites among them, without which a table cannot say how far off it
is: its band comes from sites that it leaves out."""
TOGETHER: tuple[Family, ...] = ("matmul", "experts")
"""Families whose operations are of one formula and one table."""
PRODUCT = "mm"
"""Operation of every dense product in a table, whatever it is called where it was measured."""
Mask = NDArray[np.bool_]


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

    @property
    def asked(self) -> bool:
        """Return whether anything was priced by it so far."""
        return "table" in vars(self)

    @property
    def enough(self) -> bool:
        """Return whether it has sizes and sites enough for a table."""
        names = SITES[self.kind.family]
        sizes = {row for part in self.parts for row in _rows(part, tuple(part.sizes))}
        sites = {row for part in self.parts for row in _rows(part, names)}
        return len(sizes) >= LEAST_SIZES and len(sites) >= LEAST_SITES

    def beyond(self, rows: KernelRows) -> Mask:
        """Return which rows have a size smaller or larger than any measured one."""
        found = np.zeros(len(rows), dtype=np.bool_)
        for name, column in rows.sizes.items():
            known = np.concatenate([part.sizes[name] for part in self.parts])
            found |= (column < known.min()) | (column > known.max())
        return found

    def text(self) -> str:
        """Return what it is, for a person."""
        rows = sum(map(len, self.parts))
        return f"{count(rows)} measured kernels of {self.chip.name} ({self.source})"


def _rows(part: KernelRows, names: tuple[str, ...]) -> set[tuple[str | float, ...]]:
    return {(part.op, *row) for row in zip(*(part.sizes[n].tolist() for n in names), strict=True)}


def measured(
    kinds: Iterable[tuple[str, KernelRows]],
    chip: Chip,
    prior: Callable[[Kind], Mapping[str, float]],
) -> tuple[Measured, ...]:
    """Return measured kernels by what is priced together.

    Args:
        kinds: (where they come from, rows with `seconds`), each of one kind.
        chip: what they ran on.
        prior: kind -> parameters that are believed before.
    """
    groups: dict[Kind, list[tuple[str, KernelRows]]] = {}
    for source, rows in kinds:
        named = replace(rows, op=PRODUCT) if rows.family == "matmul" else rows
        op = "" if rows.family in TOGETHER else rows.op
        kind = Kind(family=rows.family, op=op, format=rows.format, stack=rows.stack)
        groups.setdefault(kind, []).append((source, named))
    return tuple(
        Measured(chip=chip, kind=kind, parts=_by_operation(rows for _, rows in some),
                 source="; ".join(dict.fromkeys(source for source, _ in some)), prior=prior(kind))
        for kind, some in groups.items()
    )  # fmt: skip


def _by_operation(several: Iterable[KernelRows]) -> tuple[KernelRows, ...]:
    """Return rows of one operation as one value."""
    groups: dict[str, list[KernelRows]] = {}
    for rows in several:
        groups.setdefault(rows.op, []).append(rows)
    return tuple(_joined(some) for some in groups.values())


def _joined(some: list[KernelRows]) -> KernelRows:
    names = [np.full(len(r), "") if r.launched is None else r.launched for r in some]
    return replace(
        some[0],
        sizes={name: np.concatenate([r.sizes[name] for r in some]) for name in some[0].sizes},
        seconds=np.concatenate([r.seconds for r in some if r.seconds is not None]),
        launched=np.concatenate(names),
    )


def check(rows: KernelRows, chip: Chip) -> None:
    """Refuse rows that no formula prices.

    Raises:
        BadOption: a format or an operation that is not known, or a size that makes no sense.
    """
    where = f"{rows.family} {rows.op}"
    if rows.family != "latent-attention" and rows.format not in ARITHMETIC:
        raise BadOption(f"no format {rows.format!r}", where=where,
                        hint=f"formats: {', '.join(ARITHMETIC)}")  # fmt: skip
    try:
        facts = facts_for(rows, chip)
        model = model_for(rows.family, rows.op, facts)
        with np.errstate(all="ignore"):
            model.terms(rows, facts, starting(model))
            if isinstance(model, Smooth):
                model.features(rows, facts, starting(model))
    except (ArithmeticError, KeyError, ValueError) as error:
        raise BadOption(f"no formula for format {rows.format!r}, operation {rows.op!r}: {error}",
                        where=where) from error  # fmt: skip
