"""`assess --table`: measured kernels that the user has of a chip. Must not know formulas."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from crossgrade.errors import BadOption, MissingExtra

if TYPE_CHECKING:
    from crossgrade.predict.silicon.knowledge import Kind, Knowledge
    from crossgrade.predict.silicon.measured import Measured
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


def user_tables(
    given: Sequence[tuple[str, Path]],
    described: Sequence[tuple[str, Chip]],
    narrate: Narrate = lambda _: None,
) -> tuple[UserTable, ...]:
    """Return the measured kernels of files.

    Args:
        given: (chip, file), as typed.
        described: (name as typed, chip) of every chip that is assessed.
        narrate: told which rows of a file are left out.

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
        kinds = tuple(rows for rows in brought(path, narrate) if len(rows))
        if not kinds:
            raise BadOption("no measured kernel", where=str(path))
        for rows in kinds:
            check(rows, known[name])
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        source = f"{path.name}, sha256 {digest[:8]}"
        tables.append(UserTable(chip=known[name].name, kinds=kinds, source=source))
    return tuple(tables)


def _check_installed(path: Path) -> None:
    wanted = ["scipy"] + ["pyarrow"] * (path.suffix == ".parquet")
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"--table needs {' and '.join(missing)}", where=str(path),
                           hint="pip install 'crossgrade[scorecard]'")  # fmt: skip


def with_tables(
    knowledge: Knowledge, chip: Chip, tables: Sequence[UserTable], narrate: Narrate
) -> Knowledge:
    """Return what is known of kernels with the user's tables of a chip, which go before all else.

    Files that know one kind count together.

    Args:
        knowledge: fits, which the tables' formulas are held near.
        chip: the chip.
        tables: of this chip and of others.
        narrate: told which kinds are too few for a table.
    """
    from crossgrade.predict.silicon.estimate import basis_of
    from crossgrade.predict.silicon.measured import LEAST_SITES, LEAST_SIZES, measured

    def prior(kind: Kind) -> dict[str, float]:
        return dict(basis_of(kind, chip, knowledge).values)

    own = [(t.source, rows) for t in tables if t.chip == chip.name for rows in t.kinds]
    found = measured(own, chip, prior)
    for one in found:
        if not one.enough:
            narrate(f"{one.source}: {in_words(one)} is too little for a table, which takes "
                    f"{LEAST_SIZES} sizes at {LEAST_SITES} sites")  # fmt: skip
    enough = tuple(one for one in found if one.enough)
    return replace(knowledge, tables=enough) if enough else knowledge


def in_words(one: Measured) -> str:
    """Return which kernels a table has."""
    return f"{'/'.join(part.op for part in one.parts)} {one.kind.format} of {one.kind.stack}"


def unasked(knowledge: Knowledge) -> tuple[str, ...]:
    """Return what priced nothing, in words, once everything is priced: a line per file."""
    files: dict[str, list[Measured]] = {}
    for one in knowledge.tables:
        files.setdefault(one.source, []).append(one)
    return tuple(
        f"{source}: no launch was priced by {', '.join(in_words(one) for one in idle)}"
        for source, some in files.items()
        if (idle := [one for one in some if not one.asked])
    )
