"""Operator-support tables by backend and version, from the files that ship with crossgrade.

Must not import torch or yaml: the tables were derived before, and reading one takes
milliseconds.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Sequence
from pathlib import Path

from crossgrade.chips.ops.documented import page_for, read_documented
from crossgrade.chips.ops.manifest import Backend, Manifest, Registration, read_manifest
from crossgrade.chips.ops.rows import (
    DATA,
    OperatorRow,
    join,
    read_csv,
    registrations,
    version_key,
)
from crossgrade.chips.ops.statements import read_statements
from crossgrade.chips.ops.table import OperatorTable, base_operator
from crossgrade.errors import BadOption

__all__ = [
    "OperatorRow",
    "OperatorTable",
    "backends",
    "base_operator",
    "core_operators",
    "operator_table",
    "table_for",
]


NO_BACKEND = "none"
"""What a chip names as its operator table when nobody has listed its backend."""


def backends() -> tuple[str, ...]:
    """Names of all known backends, those without a table too."""
    return tuple(read_manifest().backends)


def operator_table(backend: str, *, version: str | None = None) -> OperatorTable:
    """The operator table of a backend; the newest shipped version where none is given.

    Args:
        backend: A name from `backends()`.
        version: A version that has a table; `2.13.0+cpu` finds `2.13`.

    Raises:
        BadOption: There is no such backend, or no table of that version.
        BadOperatorTable: A shipped file is broken.
    """
    return load_table(backend, version=version, folder=DATA)


def table_for(backend: str, torch_version: str) -> OperatorTable:
    """The table of a backend for the torch that was captured, else the newest shipped one.

    Args:
        backend: A name from `backends()`, or `NO_BACKEND` for an empty table.
        torch_version: As `torch.__version__` gives it.

    Raises:
        BadOption: There is no such backend.
    """
    if backend == NO_BACKEND:
        return OperatorTable(backend=NO_BACKEND, version="", title="No operator table")
    spec = read_manifest().backends.get(backend)
    short = re.match(r"v?(\d+\.\d+)", torch_version)
    if spec is not None and short and short.group(1) in spec.versions:
        return operator_table(backend, version=short.group(1))
    return operator_table(backend)


def core_operators() -> frozenset[str]:
    """Overloads of the Core ATen opset, to which torch.export decomposes a model."""
    return frozenset(row[0] for row in _csv(DATA / "core-aten.csv").rows)


def load_table(backend: str, *, version: str | None, folder: Path) -> OperatorTable:
    """The same as `operator_table`, from any folder with a `tables.toml`."""
    manifest = read_manifest(folder)
    if backend not in manifest.backends:
        raise BadOption(
            f"no operator table named `{backend}`", hint=_nearest(backend, list(manifest.backends))
        )
    versions = manifest.backends[backend].versions
    if version is None:
        version = versions[-1] if versions else ""
    elif versions:
        version = _shipped(backend, version, versions)
    return _load(backend, version, folder)


def _nearest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return (f"did you mean `{close[0]}`? " if close else "") + f"known: {', '.join(known)}"


def _shipped(backend: str, version: str, versions: tuple[str, ...]) -> str:
    """The shipped version that is `version` or its major.minor."""
    short = re.match(r"v?(\d+\.\d+)(?=[.+]|$)", version)
    for candidate in (version, short.group(1) if short else version):
        if candidate in versions:
            return candidate
    raise BadOption(
        f"no operator table of {backend} for version `{version}`", hint=_nearest(version, versions)
    )


def _aten_version(spec: Backend, version: str, manifest: Manifest) -> str:
    """The PyTorch version whose composites are used: the newest not later, else the oldest."""
    if spec.aten:
        return spec.aten
    shipped = sorted(manifest.aten, key=version_key)
    early = [v for v in shipped if version_key(v) <= version_key(version)]
    return early[-1] if early else shipped[0]


def _rows(
    spec: Backend, entry: Registration, version: str, manifest: Manifest, aten: str
) -> dict[str, OperatorRow]:
    """Rows of PyTorch's table and the backend's, joined, with what C++ registers besides."""
    table = _csv(manifest.folder / entry.file)
    registered = registrations(table, entry.columns, version)
    for remark in spec.also:
        if remark.covers(version):
            for op in remark.ops:
                registered.setdefault(op, []).append(f"C++ ({remark.source})")
    falls_back = {
        op: remark.source
        for remark in spec.falls_back
        if remark.covers(version)
        for op in remark.ops
    }
    return join(_csv(manifest.folder / manifest.aten[aten]), registered, falls_back=falls_back)


_csv = functools.lru_cache(maxsize=16)(read_csv)


@functools.lru_cache(maxsize=32)
def _load(backend: str, version: str, folder: Path) -> OperatorTable:
    manifest = read_manifest(folder)
    spec = manifest.backends[backend]
    if not spec.registrations:
        return OperatorTable(backend=backend, version="", title=spec.title, note=spec.note)
    entry = next(item for item in spec.registrations if version in item.versions)
    aten = _aten_version(spec, version, manifest)
    pages = (
        read_documented(_csv(folder / spec.documentation), spec.socs) if spec.documentation else {}
    )
    return OperatorTable(
        backend=backend,
        version=version,
        title=spec.title,
        rows=_rows(spec, entry, version, manifest, aten),
        registered_in=entry.file,
        columns=entry.columns,
        aten_in=manifest.aten[aten],
        aten_version=aten,
        composites=spec.composites,
        functionalizes=spec.functionalizes,
        unregistered=spec.unregistered,
        unregistered_source=f"tables.toml: {backend}: {spec.unregistered_source}",
        slots=manifest.slots,
        absent=spec.absent,
        documented=pages,
        page=page_for(pages, version),
        statements=read_statements([_csv(folder / name) for name in spec.lists], version),
        socs=spec.socs,
        note=spec.note,
    )
