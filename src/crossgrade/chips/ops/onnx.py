"""ONNX operators on the execution providers of ONNX Runtime.

ONNX operators are a namespace of their own: `Conv` there is not `convolution` of aten. Must not
know any provider by name: the manifest does.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from crossgrade.chips.ops.matrix import Asked
from crossgrade.chips.ops.rows import DATA, REBUILD_HINT, read_csv
from crossgrade.errors import BadOperatorTable, BadOption
from crossgrade.values.operators import OperatorColumn
from crossgrade.values.support import Support, SupportLevel

MANIFEST = "onnx.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxTable:
    """What one execution provider does with every ONNX operator."""

    provider: str
    """Name, such as `cuda`."""
    version: str
    """Release of ONNX Runtime."""
    title: str
    """Name for people."""
    file: str
    """csv, for evidence."""
    source: str
    """Where the rows come from."""
    note: str = ""
    """What a reader must know of the table."""
    operators: Collection[str] = ()
    """Operators that any provider has; those of other domains carry their domain."""
    kernels: Mapping[str, tuple[str, str]] = field(default_factory=dict, hash=False)
    """Operator to opset ranges and dtypes of the newest one."""
    host: Collection[str] = ()
    """Operators that the provider to which a node falls back has; empty for that one itself."""
    unlisted: SupportLevel = "unknown"
    """What an operator gets that this provider lacks and the host has."""
    unlisted_source: str = ""
    """Where that is said."""

    def support(self, op: str, *, soc: str | None = None) -> Support:
        """How an operator runs; `soc` has no meaning here."""
        if op in self.kernels:
            opsets, dtypes = self.kernels[op]
            named = (("opsets", opsets), ("dtypes", dtypes))
            cells = ", ".join(f"{name}={value}" for name, value in named if value)
            return self._answer(op, "native", cells or "listed", limits=_limits(opsets, dtypes))
        if op in self.host:
            return self._answer(op, self.unlisted, f"not listed; {self.unlisted_source}")
        return self._answer(
            op,
            "unknown",
            "not listed, nor for the host; an operator that ONNX defines as a function is inlined",
        )

    def _answer(self, op: str, level: SupportLevel, said: str, limits: str = "") -> Support:
        line = f"{self.file} [{self.version}]: {op}: {self.provider}: {said}"
        return Support(op=op, backend=self.provider, level=level, evidence=(line,), limits=limits)


def _limits(opsets: str, dtypes: str) -> str:
    parts = []
    if opsets:
        parts.append(f"opsets: {', '.join(opsets.split())}")
    if dtypes:
        parts.append(f"dtypes: {', '.join(dtypes.split())}")
    return "; ".join(parts)


def providers(folder: Path = DATA) -> tuple[str, ...]:
    """Names of the providers that have a table."""
    return tuple(_read(folder))


def onnx_columns(specs: Sequence[str], folder: Path = DATA) -> tuple[Asked, ...]:
    """One column per provider; all of them where none is named.

    Args:
        specs: `NAME` or `NAME@VERSION`.
        folder: The folder of the tables.

    Raises:
        BadOption: There is no such provider or version.
    """
    tables = _read(folder)
    found = []
    for spec in specs or tuple(tables):
        name, at, version = spec.partition("@")
        if name not in tables:
            raise BadOption(f"no ONNX provider `{name}`", hint=f"known: {', '.join(tables)}")
        table = tables[name]
        if at and version != table.version:
            raise BadOption(
                f"no table of {name} for version `{version}`", hint=f"known: {table.version}"
            )
        column = OperatorColumn(
            label=f"{name}@{table.version}",
            backend=name,
            version=table.version,
            title=table.title,
            source=table.source,
            note=table.note,
        )
        found.append(Asked(column=column, table=table))
    return tuple(found)


@functools.lru_cache(maxsize=4)
def _read(folder: Path) -> dict[str, OnnxTable]:
    """The tables by provider, in the order of the manifest."""
    path = folder / MANIFEST
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        rows = read_csv(folder / raw["file"])
        op, provider, opsets, dtypes = (
            rows.index(name) for name in ("op", "provider", "opsets", "dtypes")
        )
        kernels: dict[str, dict[str, tuple[str, str]]] = {name: {} for name in raw["provider"]}
        for row in rows.rows:
            kernels[row[provider]][row[op]] = (row[opsets], row[dtypes])
        operators = sorted({row[op] for row in rows.rows})
        return {
            name: _table(name, entry, raw, kernels, operators)
            for name, entry in raw["provider"].items()
        }
    except KeyError as error:
        raise BadOperatorTable(f"missing {error}", where=path.name, hint=REBUILD_HINT) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise BadOperatorTable(str(error), where=path.name, hint=REBUILD_HINT) from error


def _table(
    name: str,
    entry: dict[str, Any],
    raw: dict[str, Any],
    kernels: dict[str, dict[str, tuple[str, str]]],
    operators: Collection[str],
) -> OnnxTable:
    host = entry.get("host", "")
    if entry.get("unlisted", "unknown") not in get_args(SupportLevel):
        raise ValueError(f"{name}: `unlisted` is {entry['unlisted']!r}")
    return OnnxTable(
        provider=name,
        version=raw["version"],
        title=entry["title"],
        file=raw["file"],
        source=f"{entry['source']}, {entry['date']}, {raw['licence']}",
        note=entry.get("note", ""),
        operators=operators,
        kernels=kernels[name],
        host=frozenset(kernels[host]) if host else (),
        unlisted=entry.get("unlisted", "unknown"),
        unlisted_source=raw["fallback_source"],
    )
