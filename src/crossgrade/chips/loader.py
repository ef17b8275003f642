"""Chip descriptions by name: the files of `chips/data`, and files that a user writes.

A name is looked up without reading the other files; only an alias makes the headers of all of
them be read. Must not know any chip, nor what a number is used for.
"""

from __future__ import annotations

import difflib
import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from crossgrade.chips.undescribed import refuse_undescribed
from crossgrade.chips.validate import (
    ENGINES,
    PRECISIONS,
    SCOPES,
    SELECTORS,
    Table,
    check_chip,
    check_density,
    check_schema,
    read_constant,
)
from crossgrade.errors import BadChipFile, UnknownChip
from crossgrade.values.chip import (
    Buffer,
    Chip,
    Disagreement,
    Link,
    NumericsNote,
    Peak,
    Scope,
)
from crossgrade.values.evidence import Constant, Source

DATA = Path(__file__).parent / "data"
"""Folder of the shipped descriptions, one file for each chip, named after it."""

_LARGEST = 1_000_000
"""Bytes; the largest shipped description has 20,000."""

_Level = Literal["die-to-die", "scale-up", "scale-out", "host"]
_Per = Literal["chip", "core"]
_Severity = Literal["warning", "note"]

_TEXTS = (
    "schema", "name", "title", "aliases", "vendor", "origin", "scope", "available",
    "available_source", "op_table", "soc", "architecture", "notes",
)  # fmt: skip
_CONSTANTS = {
    "memory_capacity": "byte",
    "memory_bandwidth": "byte/s",
    "power": "W",
    "cores": "1",
    "clock": "Hz",
}
_ARRAYS = ("peaks", "buffers", "links", "numerics", "disagreements", "sources")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedName:
    """What a typed chip name means; keeps what was passed apart from what is used."""

    passed: str
    """As the user typed it."""
    name: str
    """Name of the chip, lower case."""
    via_alias: str | None
    """The alias that matched, None where the name itself did."""


@functools.cache
def chip_names() -> tuple[str, ...]:
    """Return the names of the shipped chips, sorted."""
    return tuple(sorted(path.stem for path in DATA.glob("*.toml")))


def name_key(name: str) -> str:
    """Return a typed name as names are compared: lower case, hyphens."""
    return "-".join(name.lower().replace("_", " ").split())


def resolve_name(name: str) -> ResolvedName:
    """Return which chip `name` means, and whether an alias was used.

    Case, spaces and underscores do not matter: `Ascend 910B2` and `ascend_910b2` are names.

    Raises:
        UnknownChip: no chip has that name or alias; the hint names near ones.
        UndescribedChip: the chip is known, and nothing reliable about it is public.
    """
    key = name_key(name)
    if key in chip_names():
        return ResolvedName(passed=name, name=key, via_alias=None)
    aliases = _aliases()
    if key in aliases:
        return ResolvedName(passed=name, name=aliases[key], via_alias=key)
    refuse_undescribed(key)
    near = difflib.get_close_matches(key, [*chip_names(), *aliases], n=3, cutoff=0.5)
    # Two spellings of one chip are one suggestion.
    suggested = list(dict.fromkeys(aliases.get(word, word) for word in near))
    start = f"did you mean {' or '.join(suggested)}? " if suggested else ""
    raise UnknownChip(f"no chip is named `{name}`", hint=f"{start}`crossgrade chips` lists all")


def load_chip(name: str) -> Chip:
    """Return the shipped description of the chip with that name or alias.

    Raises:
        UnknownChip: no chip has that name or alias.
        BadChipFile: the description breaks the schema.
        FutureSchema: the description was written for a newer crossgrade.
    """
    return _load(resolve_name(name).name)


def chip_from_toml(source: Path | str) -> Chip:
    """Return the chip that a TOML file or TOML text describes.

    Args:
        source: path of a file, or the text itself: a string that holds a line break.

    Raises:
        BadChipFile: not readable, no TOML, or against the schema; says file, key and remedy.
        FutureSchema: written for a newer crossgrade.
    """
    if isinstance(source, str) and "\n" in source:
        return _build(_parse(source, "<text>"))
    path = Path(source)
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadChipFile(f"cannot read the chip file: {error}", where=str(path)) from error
    if len(raw) > _LARGEST:
        raise BadChipFile(
            f"more than {_LARGEST:,} bytes: not a chip file",
            where=str(path),
            hint="a description has a few kilobytes",
        )
    return _build(_parse(text, path.name))


@functools.lru_cache(maxsize=64)
def _load(name: str) -> Chip:
    """Return the chip in `<name>.toml`; a description does not change while we run."""
    chip = chip_from_toml(DATA / f"{name}.toml")
    if chip.name != name:
        raise BadChipFile(f"file describes `{chip.name}`", where=f"{name}.toml: name")
    return chip


@functools.lru_cache(maxsize=1)
def _aliases() -> dict[str, str]:
    """Return alias -> chip name over all shipped files, from their headers alone."""
    found: dict[str, str] = {}
    for name in chip_names():
        text = (DATA / f"{name}.toml").read_text(encoding="utf-8")
        # Parsing the tables as well would cost tens of times more than the header.
        header = _parse(text.partition("\n[")[0], f"{name}.toml")
        for alias in header.texts("aliases"):
            owner = found.setdefault(alias, name)
            if owner != name or alias in chip_names():
                header.fail(f"alias `{alias}` also means `{owner}`", "aliases")
    return found


def _parse(text: str, file: str) -> Table:
    """Return the TOML document as a table."""
    try:
        return Table(data=tomllib.loads(text), file=file)
    except tomllib.TOMLDecodeError as error:
        raise BadChipFile(f"not TOML: {error}", where=file) from error


def _build(table: Table) -> Chip:
    """Return the chip of a document, checked."""
    check_schema(table)
    table.only((*_TEXTS, *_CONSTANTS, *_ARRAYS))
    scope = table.word("scope", SCOPES)
    constants = {key: _constant(table, key, unit, scope) for key, unit in _CONSTANTS.items()}
    chip = Chip(
        name=table.text("name"),
        title=table.text("title"),
        aliases=table.texts("aliases"),
        vendor=table.text("vendor"),
        origin=table.text("origin"),
        scope=scope,
        available=table.optional_text("available"),
        available_source=table.optional_text("available_source"),
        op_table=table.text("op_table"),
        soc=table.optional_text("soc"),
        architecture=table.text("architecture"),
        peaks=tuple(_peak(item, scope) for item in table.tables("peaks")),
        buffers=tuple(_buffer(item, scope) for item in table.tables("buffers")),
        links=tuple(_link(item, scope) for item in table.tables("links")),
        numerics=tuple(_numerics(item) for item in table.tables("numerics")),
        sources=tuple(_source(item) for item in table.tables("sources")),
        notes=table.texts("notes"),
        disagreements=tuple(_disagreement(item, scope) for item in table.tables("disagreements")),
        **constants,
    )
    check_chip(chip, table.file)
    return chip


def _constant(table: Table, key: str, unit: str, scope: Scope) -> Constant | None:
    """Return the constant at `key`, None where it is unknown."""
    return read_constant(table, key, unit, scope) if key in table.data else None


def _peak(table: Table, scope: Scope) -> Peak:
    """Return one [[peaks]] entry."""
    table.only(("engine", "precision", "density", "rate"))
    check_density(table)
    return Peak(
        engine=table.word("engine", ENGINES),
        precision=table.word("precision", PRECISIONS),
        rate=read_constant(table, "rate", "FLOP/s", scope),
    )


def _buffer(table: Table, scope: Scope) -> Buffer:
    """Return one [[buffers]] entry."""
    table.only(("name", "per", "capacity"))
    per: _Per = table.word("per", get_args(_Per))
    capacity = read_constant(table, "capacity", "byte", scope)
    return Buffer(name=table.text("name"), capacity=capacity, per=per)


def _link(table: Table, scope: Scope) -> Link:
    """Return one [[links]] entry."""
    table.only(("name", "level", "domain", "bandwidth"))
    level: _Level = table.word("level", get_args(_Level))
    bandwidth = read_constant(table, "bandwidth", "byte/s", scope)
    domain = table.positive("domain") if "domain" in table.data else None
    if domain is not None and not domain.is_integer():
        table.fail("`domain` must be a whole number of chips", "domain")
    whole = None if domain is None else int(domain)
    return Link(name=table.text("name"), level=level, bandwidth=bandwidth, domain=whole)


def _numerics(table: Table) -> NumericsNote:
    """Return one [[numerics]] entry."""
    table.only(("id", "title", "applies_to", "severity", "hint", "source"))
    severity: _Severity = table.word("severity", get_args(_Severity))
    return NumericsNote(
        id=table.text("id"),
        title=table.text("title"),
        applies_to=table.word("applies_to", SELECTORS),
        severity=severity,
        hint=table.text("hint"),
        source=table.text("source"),
    )


def _disagreement(table: Table, scope: Scope) -> Disagreement:
    """Return one [[disagreements]] entry; that it fits its constant is checked with the chip."""
    table.only(("constant", "value", "unit", "source", "note"))
    other = Constant(
        value=table.positive("value"),
        unit=table.text("unit"),
        scope=scope,
        source=table.text("source"),
        note=table.optional_text("note") or "",
    )
    return Disagreement(constant=table.text("constant"), other=other)


def _source(table: Table) -> Source:
    """Return one [[sources]] entry."""
    table.only(("id", "title", "url", "date", "note"))
    url = table.text("url")
    if not url.startswith("https://"):
        table.fail(f"`{url}` is not a public address", "url", "https://...")
    return Source(
        id=table.text("id"),
        title=table.text("title"),
        url=url,
        date=table.text("date"),
        note=table.optional_text("note") or "",
    )
