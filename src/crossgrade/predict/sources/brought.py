"""A file of measured kernels that somebody brings -> kernel rows.

A CSV with the columns family, op, format, stack, seconds and the sizes of `values/kernel.py`, or
one of aiconfigurator's tables, told by how its file name ends. Must not know chips or models.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from crossgrade.errors import BadOption
from crossgrade.predict.sources.aiconfigurator import Columns, columns, products
from crossgrade.predict.sources.aiconfigurator_attention import (
    ATTENTION,
    LATENT,
    heads,
    latents,
)
from crossgrade.predict.sources.aiconfigurator_experts import routed
from crossgrade.predict.sources.collectives import exchanged, reduced
from crossgrade.values.kernel import SIZES, Family, KernelRows

WORDS = ("family", "op", "format", "stack")
"""Columns of a CSV that say what a kernel is; rows that share them are one kind."""
LARGEST = 1e15
"""No size is larger: bytes of a collective of a thousand devices full of memory."""
SIZE = (1.0, LARGEST)
"""Least and largest size of most columns."""
LIMITS: Mapping[str, tuple[float, float]] = {
    "seconds": (1e-9, 1e4), "window": (0.0, LARGEST), "skew": (-1.0, 100.0),
    "rows": (0.0, LARGEST), "bytes_read": (0.0, LARGEST), "bytes_written": (0.0, LARGEST),
    "element_ops": (0.0, LARGEST), "rope": (0.0, LARGEST),
}  # fmt: skip
"""Column -> least and largest value, of those that are no SIZE."""
Key = tuple[str, str, str, str]
Reader = Callable[[Columns, str], Iterable[KernelRows]]


def _attention(op: str) -> Reader:
    return lambda found, stack: heads(found, stack, op)


def _latent(op: str) -> Reader:
    return lambda found, stack: latents(found, stack, op)


TABLES: Mapping[str, Reader] = {
    "gemm_perf": products,
    "moe_perf": routed,
    "nccl_perf": lambda found, _: exchanged(found),
    "custom_allreduce_perf": lambda found, _: reduced(found),
    **{name: _attention(op) for op, name in ATTENTION.items()},
    **{name: _latent(op) for op, name in LATENT.items()},
}
"""How a file name of aiconfigurator ends, without `.parquet` -> its reader."""


def brought(path: Path, narrate: Callable[[str], None] = lambda _: None) -> list[KernelRows]:
    """Return the measured kernels of a file, one entry per kind.

    Args:
        path: the file.
        narrate: told how many rows are left out, and why.

    Raises:
        BadOption: no such file, no such table, or its content breaks the form; says where.
    """
    if not path.is_file():
        raise BadOption("no such file", where=str(path))
    return _table(path, narrate) if path.suffix == ".parquet" else _listed(path)


def _table(path: Path, narrate: Callable[[str], None]) -> list[KernelRows]:
    # The longest that fits: a name may end with the name of another table.
    name = max((known for known in TABLES if path.stem.endswith(known)), key=len, default=None)
    if name is None:
        raise BadOption(f"{path.stem!r} is no table that is read", where=str(path),
                        hint=f"the file name ends with one of {', '.join(TABLES)}")  # fmt: skip
    try:
        found = columns(path)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise BadOption(f"not readable as Parquet: {error}", where=str(path)) from error
    try:
        count = len(found["latency"])
        kinds = list(TABLES[name](found, str(found["framework"][0]).lower())) if count else []
    except KeyError as error:
        raise BadOption(f"a column or a value is not known: {error}", where=str(path)) from error
    for rows in kinds:
        _check(rows, path)
    if left_out := count - sum(map(len, kinds)):
        narrate(f"{path.name}: {left_out:,} of {count:,} rows are left out: they do not run what "
                "they name, such as experts that are routed within groups")  # fmt: skip
    return kinds


def _listed(path: Path) -> list[KernelRows]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        try:
            return _kinds(table, path)
        except (UnicodeDecodeError, csv.Error) as error:
            raise BadOption(f"not readable as CSV: {error}", where=str(path)) from error


def _kinds(table: csv.DictReader[str], path: Path) -> list[KernelRows]:
    """Return the rows of a CSV by what they are, in the order in which kinds come."""
    for name in (*WORDS, "seconds"):
        if name not in (table.fieldnames or ()):
            raise BadOption(f"the column {name!r} is missing", where=str(path),
                            hint=f"columns: {', '.join(WORDS)}, seconds and the sizes of the "
                            "family")  # fmt: skip
    found: dict[Key, list[list[float]]] = {}
    for row in table:
        where = f"{path}, line {table.line_num}"
        family = _family(row["family"], where)
        key = (family, row["op"], row["format"], row["stack"])
        numbers = [_number(row, name, where) for name in (*SIZES[family], "seconds")]
        found.setdefault(key, []).append(numbers)
    return [_rows(key, lines) for key, lines in found.items()]


def _family(name: str, where: str) -> Family:
    for family in SIZES:
        if family == name:
            return family
    raise BadOption(f"no family {name!r}", where=where, hint=f"families: {', '.join(SIZES)}")


def _number(row: Mapping[str, str | None], name: str, where: str) -> float:
    if name not in row:
        raise BadOption(f"the column {name!r} is missing", where=where)
    text = row[name]
    try:
        value = float(text or "")
    except ValueError:
        raise BadOption(f"{name}: {text!r} is not a number", where=where) from None
    least, most = LIMITS.get(name, SIZE)
    if not least <= value <= most:
        raise BadOption(f"{name}: {text!r} is no size or time", where=where,
                        hint=f"from {least:g} to {most:g}")  # fmt: skip
    return value


def _rows(key: Key, lines: list[list[float]]) -> KernelRows:
    family, op, format, stack = key
    *sizes, seconds = np.array(lines).T
    names = SIZES[family]  # type: ignore[index]  # `_family` has checked it
    return KernelRows(
        family=family, op=op, format=format, stack=stack,  # type: ignore[arg-type]
        sizes=dict(zip(names, sizes, strict=True)), seconds=seconds,
    )  # fmt: skip


def _check(rows: KernelRows, path: Path) -> None:
    """Refuse sizes and times that no kernel has.

    Raises:
        BadOption: names the kind, the column and the value.
    """
    assert rows.seconds is not None
    columns = {**rows.sizes, "seconds": rows.seconds}
    for name, column in columns.items():
        least, most = LIMITS.get(name, SIZE)
        bad = np.flatnonzero(~((column >= least) & (column <= most)))
        if len(bad):
            where = f"{path}, kernel {bad[0] + 1} of {rows.op} {rows.format}, {rows.stack}"
            raise BadOption(f"{name}: {column[bad[0]]:g} is no size or time", where=where,
                            hint=f"from {least:g} to {most:g}")  # fmt: skip
