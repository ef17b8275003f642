"""`assess --table`: measured kernels that the user has of a chip. Must not know formulas."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from crossgrade.errors import BadOption, MissingExtra
from crossgrade.units import things

if TYPE_CHECKING:
    from crossgrade.predict.silicon.knowledge import Kind, Knowledge
    from crossgrade.values.chip import Chip
    from crossgrade.values.kernel import KernelRows

Narrate = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTable:
    """A file of measured kernels."""

    chip: str
    """Name of the chip that they ran on."""
    kinds: tuple[KernelRows, ...]
    """Its rows, one entry per kind."""
    source: str
    """Name and digest of the file."""


LEAST_ROWS = 20
"""Measured kernels of one kind without which a table would say less than the fits that ship."""


def user_tables(
    given: Sequence[tuple[str, Path]], described: Sequence[tuple[str, Chip]], narrate: Narrate
) -> tuple[UserTable, ...]:
    """Return the measured kernels of files.

    Args:
        given: (chip, file), as typed.
        described: (name as typed, chip) of every chip that is assessed.
        narrate: told of kinds that are left out.

    Raises:
        BadOption: a chip that is not assessed; no such file, or its content breaks the form.
        MissingExtra: scipy or, for Parquet, pyarrow is not installed.
    """
    from crossgrade.predict.silicon.measured import check
    from crossgrade.predict.sources.brought import brought

    known = {name: chip for passed, chip in described for name in (passed, chip.name)}
    tables = []
    for name, path in given:
        if name not in known:
            raise BadOption(f"--table {name}={path}: {name} is not among --on",
                            hint=f"one of {', '.join(sorted(known))}")  # fmt: skip
        _check_installed(path)
        kinds = []
        for rows in brought(path):
            check(rows, known[name])
            if len(rows) >= LEAST_ROWS:
                kinds.append(rows)
            else:
                kind = f"{things(len(rows), 'kernel')} of {rows.op} {rows.format}, {rows.stack}"
                narrate(f"{path.name}: {kind}: too few for a table, which takes {LEAST_ROWS}")
        if not kinds:
            raise BadOption("no kind of kernel has enough measured ones for a table",
                            where=str(path), hint=f"{LEAST_ROWS} of one kind")  # fmt: skip
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        source = f"{path.name}, sha256 {digest[:8]}"
        tables.append(UserTable(chip=known[name].name, kinds=tuple(kinds), source=source))
    return tuple(tables)


def _check_installed(path: Path) -> None:
    wanted = ["scipy"] + ["pyarrow"] * (path.suffix == ".parquet")
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"--table needs {' and '.join(missing)}", where=str(path),
                           hint="pip install 'crossgrade[scorecard]'")  # fmt: skip


def with_tables(knowledge: Knowledge, chip: Chip, tables: Sequence[UserTable]) -> Knowledge:
    """Return what is known of kernels with the user's tables of a chip, which go before all else.

    Args:
        knowledge: fits, which the tables' formulas are held near.
        chip: the chip.
        tables: of this chip and of others.
    """
    from crossgrade.predict.silicon.estimate import basis_of
    from crossgrade.predict.silicon.measured import Measured, measured

    def prior(kind: Kind) -> dict[str, float]:
        return dict(basis_of(kind, chip, knowledge).values)

    found: list[Measured] = []
    for table in tables:
        if table.chip == chip.name:
            found += measured(table.kinds, chip, table.source, prior)
    return replace(knowledge, tables=tuple(found)) if found else knowledge
