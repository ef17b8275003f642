"""Columns of a matrix from what a user names: backends with versions, and chips.

Must not know any backend or chip by name: the manifest and the chip files do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from crossgrade.chips.loader import load_chip
from crossgrade.chips.ops.manifest import read_manifest
from crossgrade.chips.ops.matrix import Asked
from crossgrade.chips.optables import backends, operator_table, table_for
from crossgrade.errors import BadOption
from crossgrade.values.operators import OperatorColumn


def columns(specs: Sequence[str], chips: Sequence[str], *, torch: str = "") -> tuple[Asked, ...]:
    """One column per backend and per chip; every backend where none is named.

    Args:
        specs: `NAME` or `NAME@VERSION`; without a version the newest.
        chips: Names of described chips; a backend's own name means the backend.
        torch: Version of torch whose tables are wanted; a backend without one, and any backend
            where it is empty, has its newest.

    Raises:
        BadOption: There is no such backend or version, or a column is named twice.
        UnknownChip: There is no such chip.
    """
    if torch and not re.match(r"\d+\.\d+", torch):
        raise BadOption(f"`{torch}` is no version of torch", hint="such as 2.13")
    named = [backend_column(spec, torch=torch) for spec in specs]
    named += [chip_column(chip, torch=torch) for chip in chips]
    found = named or [backend_column(name, torch=torch) for name in backends()]
    labels = [entry.column.label for entry in found]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise BadOption(f"named twice: {', '.join(twice)}", hint="once is enough")
    return tuple(found)


def backend_column(spec: str, *, soc: str = "", label: str = "", torch: str = "") -> Asked:
    """The column of one backend.

    Args:
        spec: `NAME` or `NAME@VERSION`.
        soc: SoC whose limits count; empty: of none.
        label: Head of the column; empty: `NAME@VERSION`.
        torch: Version of torch that counts where `spec` names none.
    """
    name, at, version = spec.partition("@")
    if at and not version:
        raise BadOption(f"no version in `{spec}`", hint="NAME@VERSION, such as npu@2.13")
    wanted = bool(torch) and not version and name in backends()
    table = table_for(name, torch) if wanted else operator_table(name, version=version or None)
    if version and not table.version:
        raise BadOption(f"{name} has no table of any version", hint=table.note)
    column = OperatorColumn(
        label=label or (f"{name}@{table.version}" if table.version else name),
        backend=name,
        version=table.version,
        title=table.title,
        soc=soc if table.socs else "",
        source=read_manifest().sources.get(table.registered_in, ""),
        note=table.note,
    )
    return Asked(column=column, table=table)


def is_backend(spec: str) -> bool:
    """Whether a name is that of a backend, with or without a version, and not of a chip."""
    return "@" in spec or spec in backends()


def chip_column(name: str, *, torch: str = "") -> Asked:
    """The column of a chip: its operator table and its SoC."""
    name = name.removeprefix("virtual:")
    if name in backends():
        return backend_column(name, torch=torch)
    chip = load_chip(name)
    return backend_column(chip.op_table, soc=chip.soc or "", label=chip.name, torch=torch)
