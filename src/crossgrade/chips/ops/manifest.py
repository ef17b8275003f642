"""What `data/ops/tables.toml` says of each backend, as values.

Must not know any backend by name: everything here is read from the file.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args

from crossgrade.chips.ops.rows import DATA, REBUILD_HINT
from crossgrade.errors import BadOperatorTable
from crossgrade.values.support import SupportLevel

MANIFEST = "tables.toml"
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Which columns of which file register kernels, for which versions."""

    file: str
    """csv in the folder of the tables."""
    columns: tuple[str, ...]
    """Columns that count."""
    versions: tuple[str, ...]
    """Table versions that read this file, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Operators about which a source other than the table says something."""

    ops: tuple[str, ...]
    """Overload names."""
    source: str
    """Where it is said."""
    versions: tuple[str, ...] = ()
    """Table versions it holds for; empty: all."""

    def covers(self, version: str) -> bool:
        """Whether the remark holds for a table version."""
        return not self.versions or version in self.versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """An operator that a capture records, and the operators that do its work on backends."""

    op: str
    """The recorded operator."""
    fillers: tuple[str, ...]
    """Operators that may do the work, in order of preference."""
    otherwise: str = ""
    """What PyTorch calls where nothing fills the slot; empty: nothing does."""
    source: str = ""
    """Where this is decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One backend as the manifest describes it."""

    name: str
    """Key in the manifest, such as `npu`."""
    title: str
    """Name for people."""
    registrations: tuple[Registration, ...] = ()
    """Empty where no table exists: every answer is then `unknown`."""
    aten: str = ""
    """Fixed version of PyTorch's own table; empty: the newest not later than the version."""
    composites: tuple[str, ...] = ()
    """Alias dispatch keys whose composite kernels reach this backend."""
    functionalizes: bool = False
    """True where in-place operators reach the backend as their functional form."""
    unregistered: SupportLevel = "unknown"
    """What an operator without any kernel gets."""
    unregistered_source: str = ""
    """Where that is said."""
    also: tuple[Remark, ...] = ()
    """Operators registered in C++ or by code generation, outside the table."""
    falls_back: tuple[Remark, ...] = ()
    """Operators for which the backend itself registers a copy to the CPU."""
    absent: tuple[str, ...] = ()
    """Patterns of operators that the table lists and this build has not."""
    documentation: str = ""
    """csv of the vendor's API pages; empty: none."""
    lists: tuple[str, ...] = ()
    """csv files of what other lists say, to compare; none of them is a source of the table."""
    socs: tuple[str, ...] = ()
    """SoC columns of that csv."""
    note: str = ""
    """What a reader must know of the table."""

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version that has a table, oldest first."""
        return tuple(v for registration in self.registrations for v in registration.versions)


_LISTS: dict[str, type[Any]] = {
    "registrations": Registration,
    "also": Remark,
    "falls_back": Remark,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The whole of tables.toml."""

    aten: Mapping[str, str]
    """PyTorch version to csv of its own operators."""
    backends: Mapping[str, Backend]
    """By name, in the order of the file."""
    slots: Mapping[str, Slot]
    """By recorded operator."""
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)
    """File to where it comes from: project with commit, date, licence."""
    folder: Path = field(default=DATA)
    """Where the csv files are."""


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"expected a list of strings, got {values!r}")
    return tuple(values)


def _checked(kind: type, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a value from a toml table, each of the type that the dataclass declares."""
    types = {f.name: str(f.type) for f in fields(kind)}
    found: dict[str, Any] = {}
    for key, value in entry.items():
        if key not in types:
            raise TypeError(f"unknown key `{key}`")
        if types[key] == "tuple[str, ...]":
            found[key] = _texts(value)
        elif isinstance(value, bool if types[key] == "bool" else str):
            found[key] = value
        else:
            raise TypeError(f"`{key}` is {value!r}")
    return found


def _backend(name: str, entry: dict[str, Any], parents: Mapping[str, Backend]) -> Backend:
    """One backend; with `inherits`, what it does not say itself is its parent's."""
    parent = parents[entry.pop("inherits")] if "inherits" in entry else Backend(name="", title="")
    lists: dict[str, Any] = {
        key: tuple(kind(**_checked(kind, item)) for item in entry.pop(key))
        for key, kind in _LISTS.items()
        if key in entry
    }
    backend = replace(parent, **lists, **_checked(Backend, {"name": name, **entry}))
    if backend.unregistered not in get_args(SupportLevel):
        raise ValueError(f"{name}: `unregistered` is {backend.unregistered!r}")
    if not backend.title:
        raise ValueError(f"{name}: no title")
    return backend


def _sources(raw: dict[str, Any]) -> dict[str, str]:
    """File to one line about its source."""
    entries = {entry["file"]: entry for entry in raw["aten"].values()} | raw.get("sources", {})
    return {
        file: ", ".join(entry[key] for key in ("source", "date", "licence") if key in entry)
        for file, entry in entries.items()
    }


def _parse(raw: dict[str, Any], folder: Path) -> Manifest:
    if raw["schema"] != SCHEMA:
        raise ValueError(f"schema {raw['schema']}, this crossgrade reads {SCHEMA}")
    backends: dict[str, Backend] = {}
    for name, entry in raw["backend"].items():
        backends[name] = _backend(name, dict(entry), backends)
    slots = [Slot(**_checked(Slot, entry)) for entry in raw["slot"]]
    return Manifest(
        aten={str(version): entry["file"] for version, entry in raw["aten"].items()},
        backends=backends,
        slots={slot.op: slot for slot in slots},
        sources=_sources(raw),
        folder=folder,
    )


@functools.lru_cache(maxsize=8)
def read_manifest(folder: Path = DATA) -> Manifest:
    """The manifest of a folder of tables; BadOperatorTable where it breaks the schema."""
    path = folder / MANIFEST
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        return _parse(raw, folder)
    except KeyError as error:
        raise BadOperatorTable(
            f"missing key {error}", where=path.name, hint=REBUILD_HINT
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise BadOperatorTable(str(error), where=path.name, hint=REBUILD_HINT) from error
