"""The chips as a document: the list, and everything that is known of one.

Must not compute: every figure stands in the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crossgrade.report.document import Block, Document, Entry, Heading, Line, Table
from crossgrade.units import count, si
from crossgrade.values.catalog import ChipList, ChipPage
from crossgrade.values.chip import Chip
from crossgrade.values.evidence import Constant, Source

_UNKNOWN = "unknown"
_SHORT = {"byte": "B", "byte/s": "B/s", "FLOP/s": "FLOP/s", "W": "W", "Hz": "Hz", "1": ""}
"""Unit of the schema -> what stands after the SI prefix."""


def chip_list_document(chips: ChipList) -> Document:
    """Return the table of chips, and those that are known by name only."""
    return Document(blocks=tuple(_list_blocks(chips)))


def chip_pages_document(pages: Sequence[ChipPage]) -> Document:
    """Return everything that is known of each chip."""
    return Document(blocks=tuple(block for page in pages for block in _page_blocks(page)))


def _list_blocks(chips: ChipList) -> Iterator[Block]:
    yield Table(
        columns=(
            "chip", "title", "vendor", "scope", "bf16 dense", "memory", "bandwidth",
            "operators",
        ),
        rows=tuple(_list_row(chip) for chip in chips.chips),
        right=frozenset({4, 5, 6}),
    )  # fmt: skip
    yield Line(
        text="cpu is the CPU of this machine, probed when it is used. Rates and memory are claimed "
        "by the sources that `crossgrade chips NAME` shows.",
        tone="quiet",
    )
    yield Heading(text="Known and not described", level=2)
    for one in chips.undescribed:
        yield Entry(
            text=f"{one.name}: {one.title} ({one.vendor}, {one.origin})", details=(one.why,)
        )


def _list_row(chip: Chip) -> tuple[str, ...]:
    peak = chip.peak("matrix", "bf16")
    return (
        chip.name,
        chip.title,
        chip.vendor,
        chip.scope,
        _short(None if peak is None else peak.rate),
        _short(chip.memory_capacity),
        _short(chip.memory_bandwidth),
        chip.op_table,
    )


def _page_blocks(page: ChipPage) -> Iterator[Block]:
    chip = page.chip
    yield Heading(text=f"{chip.name}: {chip.title}", level=1)
    if page.via_alias is not None:
        yield Line(text=f"{page.via_alias} is an alias of {chip.name}", tone="warning")
    yield Line(text=_summary(chip))
    if chip.aliases:
        yield Line(text=f"aliases: {', '.join(chip.aliases)}", tone="quiet")
    if page.file is not None:
        yield Line(text=f"description: {page.file}", tone="quiet")
    yield Heading(text="Constants", level=2)
    known = " and ".join(sorted({row.kind for row in page.constants}))
    yield Line(text=f"{known}; scope of each: one {chip.scope}; rates are dense", tone="quiet")
    yield _constants(page)
    yield Line(text=_derived(page))
    yield from _disagreements(page)
    yield from _texts("Unknown", page.unknown)
    yield from _texts("Notes", chip.notes)
    yield from _numerics(chip)
    yield from _sources(chip)


def _summary(chip: Chip) -> str:
    parts = [f"{chip.vendor}, {chip.origin}", f"one chip is a {chip.scope}"]
    parts.append(f"architecture {chip.architecture}")
    limits = f", limits of {chip.soc}" if chip.soc else ""
    parts.append(f"operator table {chip.op_table}{limits}")
    if chip.available is not None:
        source = chip.source(chip.available_source or "")
        parts.append(f"available {chip.available} ({_cite(source)})")
    return "; ".join(parts)


def _constants(page: ChipPage) -> Table:
    rows = tuple(
        (
            row.constant,
            _value(row.value, row.unit),
            f"{_exactly(row.value)} {row.unit}".removesuffix(" 1"),
            row.source.id,
            row.note,
        )
        for row in page.constants
    )
    columns = ("constant", "value", "exactly", "source", "note")
    return Table(columns=columns, rows=rows, right=frozenset({1, 2}))


def _derived(page: ChipPage) -> str:
    tpp = page.total_processing_performance
    shown = _UNKNOWN if tpp is None else count(tpp)
    return (
        f"total processing performance (TPP): {shown}; derived from the matrix rates as in "
        "ECCN 3A090, note 2"
    )


def _disagreements(page: ChipPage) -> Iterator[Block]:
    if not page.disagreements:
        return
    yield Heading(text="What other sources say", level=2)
    yield Table(
        columns=("constant", "used", "other", "difference", "source", "note"),
        rows=tuple(
            (
                row.constant,
                _value(row.used, row.unit),
                _value(row.other, row.unit),
                f"{row.percent:+.1f} %",
                row.source.id,
                row.note,
            )
            for row in page.disagreements
        ),
        right=frozenset({1, 2, 3}),
    )


def _numerics(chip: Chip) -> Iterator[Block]:
    if not chip.numerics:
        return
    yield Heading(text="Numerics", level=2)
    for note in chip.numerics:
        details = (f"touches: {note.applies_to}", f"do: {note.hint}", f"source: {note.source}")
        yield Entry(text=f"{note.severity} {note.id}: {note.title}", details=details)


def _sources(chip: Chip) -> Iterator[Block]:
    yield Heading(text="Sources", level=2)
    for source in chip.sources:
        details = [source.url, *([source.note] if source.note else [])]
        yield Entry(text=f"{source.id}: {_cite(source)}", details=tuple(details))


def _texts(title: str, texts: Sequence[str]) -> Iterator[Block]:
    if texts:
        yield Entry(text=title, details=tuple(texts))


def _cite(source: Source) -> str:
    return f"{source.title}, {source.date}"


def _short(constant: Constant | None) -> str:
    return _UNKNOWN if constant is None else _value(constant.value, constant.unit)


def _exactly(value: float) -> str:
    """Return the shortest text that reads back as `value`, in base units."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _value(value: float, unit: str) -> str:
    return count(value) if unit == "1" else si(value, _SHORT[unit])
