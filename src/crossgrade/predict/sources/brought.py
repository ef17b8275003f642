"""A file of measured kernels that somebody brings -> kernel rows.

A CSV with the columns family, op, format, stack, seconds and the sizes of `values/kernel.py`, or
one of aiconfigurator's tables, told by how its file name ends. Must not know chips or models.
"""

from __future__ import annotations

import csv
import math
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


def brought(path: Path) -> list[KernelRows]:
    """Return the measured kernels of a file, one entry per kind.

    Raises:
        BadOption: no such file, no such table, or its content breaks the form; says where.
    """
    if not path.is_file():
        raise BadOption("no such file", where=str(path))
    if path.suffix == ".parquet":
        return _table(path)
    return _listed(path)


def _table(path: Path) -> list[KernelRows]:
    name = path.stem.split("__")[-1]
    if name not in TABLES:
        raise BadOption(f"{name!r} is no table that is read", where=str(path),
                        hint=f"the file name ends with one of {', '.join(TABLES)}")  # fmt: skip
    try:
        found = columns(path)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise BadOption(f"not readable as Parquet: {error}", where=str(path)) from error
    try:
        if not len(found["latency"]):
            return []
        return list(TABLES[name](found, str(found["framework"][0]).lower()))
    except KeyError as error:
        raise BadOption(f"a column or a value is not known: {error}", where=str(path)) from error


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
    if not math.isfinite(value) or value < 0 or (name == "seconds" and value == 0):
        raise BadOption(f"{name}: {text!r} is no size or time", where=where)
    return value


def _rows(key: Key, lines: list[list[float]]) -> KernelRows:
    family, op, format, stack = key
    *sizes, seconds = np.array(lines).T
    names = SIZES[family]  # type: ignore[index]  # `_family` has checked it
    return KernelRows(
        family=family, op=op, format=format, stack=stack,  # type: ignore[arg-type]
        sizes=dict(zip(names, sizes, strict=True)), seconds=seconds,
    )  # fmt: skip
