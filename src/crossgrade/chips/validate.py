"""Checked reading of a chip description: each value comes out typed, or as a `BadChipFile`.

A `Table` wraps one table of the TOML document together with the file and the key it stands at,
so that every complaint says where and what to do. The checks of a whole chip stand below it.
Must not know any chip, nor which numbers are plausible.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn, TypeVar, get_args

from crossgrade.chips.convert import conversion_hint
from crossgrade.errors import BadChipFile, FutureSchema
from crossgrade.values.chip import Chip, Engine, Scope
from crossgrade.values.evidence import Constant
from crossgrade.values.precision import Precision

SCHEMA = 1
"""Newest version of the file format that this program reads."""

Selector = Literal[
    "conv-fp32", "matmul-fp32", "fp64", "fp16-or-fp32-vector", "bf16-vector", "int64-vector",
    "int32-vector", "int-order", "fp8", "scatter-like", "any",
]  # fmt: skip
"""Which calls a numerics note touches; explained in docs/reference/chips.md."""

ENGINES: tuple[Engine, ...] = get_args(Engine)
SCOPES: tuple[Scope, ...] = get_args(Scope)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
SELECTORS: tuple[Selector, ...] = get_args(Selector)

# Names are compared after spaces and underscores became hyphens, so no name may hold either.
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DATE = re.compile(r"\d{4}(-Q[1-4]|-\d{2}(-\d{2})?)?")

_Word = TypeVar("_Word", bound=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of a chip file, with the place it was read from."""

    data: Mapping[str, object]
    """Keys and values as tomllib gave them."""
    file: str
    """File that the table is in, for messages."""
    key: str = ""
    """Dotted key of the table, such as `peaks[2].rate`; empty at the top."""

    def fail(self, message: str, key: str = "", hint: str = "") -> NoReturn:
        """Raise `BadChipFile` about `key` of this table."""
        path = ".".join(part for part in (self.key, key) if part)
        raise BadChipFile(message, where=f"{self.file}: {path}" if path else self.file, hint=hint)

    def only(self, allowed: Iterable[str]) -> None:
        """Refuse keys that the schema does not have."""
        names = sorted(allowed)
        for key in self.data:
            if key not in names:
                near = difflib.get_close_matches(key, names, n=1)
                hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(names)}"
                self.fail(f"unknown key `{key}`", key, hint)

    def text(self, key: str) -> str:
        """Return a string that must be there and not be empty."""
        value = self.data.get(key)
        if key not in self.data:
            self.fail(f"`{key}` is missing", key, "add it; see docs/reference/chips.md")
        if not isinstance(value, str) or not value.strip():
            self.fail(f"`{key}` must be a non-empty string, not {value!r}", key)
        return value

    def optional_text(self, key: str) -> str | None:
        """Return a string, or None where the key is absent."""
        return self.text(key) if key in self.data else None

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings; empty where the key is absent."""
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            self.fail(f"`{key}` must be a list of non-empty strings", key)
        return tuple(value)

    def word(self, key: str, allowed: tuple[_Word, ...]) -> _Word:
        """Return a word of a closed list."""
        value = self.text(key)
        if value not in allowed:
            near = difflib.get_close_matches(value, allowed, n=1)
            start = f"did you mean `{near[0]}`? " if near else ""
            self.fail(f"unknown {key} `{value}`", key, f"{start}one of: {', '.join(allowed)}")
        return allowed[allowed.index(value)]

    def positive(self, key: str) -> float:
        """Return a finite number above zero."""
        value = self.data.get(key)
        if key not in self.data:
            self.fail(f"`{key}` is missing", key, "an unknown constant is left out as a whole")
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(f"`{key}` must be a number, not {value!r}", key)
        if not math.isfinite(value) or value <= 0:
            hint = "leave an unknown constant out, and say so in `notes`"
            self.fail(f"`{key}` must be finite and above zero, not {value!r}", key, hint)
        return float(value)

    def table(self, key: str) -> Table:
        """Return a table inside this one."""
        value = self.data.get(key)
        if not isinstance(value, dict):
            want = "{ value = ..., unit = ..., source = ... }"
            self.fail(f"`{key}` must be a table", key, f"write {key} = {want}")
        return Table(data=value, file=self.file, key=".".join(p for p in (self.key, key) if p))

    def tables(self, key: str) -> Iterator[Table]:
        """Yield the tables of an array, none where the key is absent."""
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.fail(f"`{key}` must be an array of tables", key, f"write [[{key}]]")
        for index, item in enumerate(value):
            yield Table(data=item, file=self.file, key=f"{key}[{index}]")


def check_schema(table: Table) -> None:
    """Refuse a file without a schema version, and one from the future.

    Raises:
        BadChipFile: `schema` is missing or not a whole number above zero.
        FutureSchema: the file is newer than this program.
    """
    value = table.data.get("schema")
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        table.fail("`schema` must be a whole number", "schema", f"begin with schema = {SCHEMA}")
    if value > SCHEMA:
        raise FutureSchema(
            f"chip file has schema {value}, this program reads up to {SCHEMA}",
            where=f"{table.file}: schema",
            hint="update crossgrade",
        )


def read_constant(table: Table, key: str, unit: str, scope: Scope) -> Constant:
    """Return the constant at `key`, which must have the given unit and the chip's scope.

    Args:
        table: the table that holds the constant.
        key: name of the constant in it.
        unit: the only unit allowed there, such as `byte/s`.
        scope: scope of the chip; what a constant without `scope` counts for.

    Raises:
        BadChipFile: the constant breaks the schema, or counts for another scope than the chip.
    """
    inner = table.table(key)
    inner.only(("value", "unit", "scope", "source", "note"))
    value = inner.positive("value")
    if inner.text("unit") != unit:
        given = inner.text("unit")
        hint = conversion_hint(value, given, unit)
        inner.fail(f"unit is `{given}`, must be `{unit}`", "unit", hint)
    own: Scope = inner.word("scope", SCOPES) if "scope" in inner.data else scope
    if own != scope:
        hint = "describe the other scope in a file of its own, or convert the value and say how"
        inner.fail(f"constant counts for a {own}, but the chip here is a {scope}", "scope", hint)
    if "source" not in inner.data:
        inner.fail("constant has no source", "source", "name the id of a [[sources]] entry")
    note = inner.optional_text("note") or ""
    return Constant(value=value, unit=unit, scope=own, source=inner.text("source"), note=note)


def check_density(table: Table) -> None:
    """Refuse a peak that is not said to be dense.

    Raises:
        BadChipFile: `density` is absent or another word; sparse rates are not comparable.
    """
    density = table.text("density")
    if density != "dense":
        hint = "give the dense rate (half of a 2:4 sparse one), and mention the other in the note"
        table.fail(f"peak is `{density}`, only `dense` is taken", "density", hint)


def check_chip(chip: Chip, file: str) -> None:
    """Check what spans several tables: names, dates, sources, duplicates.

    Raises:
        BadChipFile: naming the file and the key.
    """
    top = Table(data={}, file=file)
    for name in (chip.name, *chip.aliases):
        if not _NAME.fullmatch(name):
            top.fail(f"`{name}` is not a chip name", "name", "lower case, digits and hyphens")
    if len(set(chip.aliases) | {chip.name}) != len(chip.aliases) + 1:
        top.fail("an alias stands twice or repeats the name", "aliases")
    if not re.fullmatch("[A-Z]{2}", chip.origin):
        top.fail(f"origin `{chip.origin}` is not an ISO 3166 alpha-2 code", "origin")
    if chip.available is not None and not _DATE.fullmatch(chip.available):
        hint = "write 2026, 2026-Q4 or 2026-03-18"
        top.fail(f"available `{chip.available}` is no date", "available", hint)
    if (chip.available is None) != (chip.available_source is None):
        top.fail("`available` and `available_source` go together", "available_source")
    _unique(top, "peaks", [f"{p.engine}/{p.precision}" for p in chip.peaks])
    _unique(top, "sources", [source.id for source in chip.sources])
    _unique(top, "buffers", [buffer.name for buffer in chip.buffers])
    _unique(top, "numerics", [note.id for note in chip.numerics])
    _check_disagreements(top, chip)
    _check_sources(top, chip)


def constants(chip: Chip) -> Iterator[tuple[str, Constant]]:
    """Yield every constant of `chip` with its key, such as `peaks[matrix/bf16]`."""
    for key in ("memory_capacity", "memory_bandwidth", "power", "cores", "clock"):
        constant: Constant | None = getattr(chip, key)
        if constant is not None:
            yield key, constant
    for peak in chip.peaks:
        yield f"peaks[{peak.engine}/{peak.precision}]", peak.rate
    for buffer in chip.buffers:
        yield f"buffers[{buffer.name}]", buffer.capacity
    for link in chip.links:
        yield f"links[{link.level}: {link.name}]", link.bandwidth


def _unique(top: Table, key: str, names: list[str]) -> None:
    """Refuse two entries of the array `key` with the same name."""
    for name in names:
        if names.count(name) > 1:
            top.fail(f"{key} has `{name}` twice", key, "keep one, and note what disagrees")


def _check_disagreements(top: Table, chip: Chip) -> None:
    """Refuse a disagreement about a constant that is not there, in another unit, or none at all."""
    known = dict(constants(chip))
    for index, entry in enumerate(chip.disagreements):
        key = f"disagreements[{index}]"
        used = known.get(entry.constant)
        if used is None:
            near = difflib.get_close_matches(entry.constant, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"one of: {', '.join(known)}"
            top.fail(f"the chip has no constant `{entry.constant}`", f"{key}.constant", hint)
        if entry.other.unit != used.unit:
            message = f"unit is `{entry.other.unit}`, `{entry.constant}` is in `{used.unit}`"
            top.fail(message, f"{key}.unit", "SI base units")
        if entry.other.value == used.value:
            hint = "leave it out: the sources agree"
            top.fail(f"value equals that of `{entry.constant}`", f"{key}.value", hint)


def _check_sources(top: Table, chip: Chip) -> None:
    """Refuse a source id that no [[sources]] entry defines."""
    known = [source.id for source in chip.sources]
    used = [(key, constant.source) for key, constant in constants(chip)]
    used += [(f"numerics[{note.id}]", note.source) for note in chip.numerics]
    used += [(f"disagreements[{d.constant}]", d.other.source) for d in chip.disagreements]
    if chip.available_source is not None:
        used.append(("available_source", chip.available_source))
    for key, source_id in used:
        if source_id not in known:
            near = difflib.get_close_matches(source_id, known, n=1)
            defined = f"defined: {', '.join(known) or 'none'}"
            hint = f"did you mean `{near[0]}`?" if near else defined
            top.fail(f"source `{source_id}` is not defined", key, hint)
    for source in chip.sources:
        if not re.fullmatch(r"\d{4}(-\d{2}){0,2}", source.date):
            hint = "ISO date: 2026, 2026-07 or 2026-07-31"
            top.fail(f"source `{source.id}` has date `{source.date}`", "sources", hint)
