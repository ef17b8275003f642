"""Operators by backends, and their changes, as a document and as CSV.

Every form ends with how many rows have each level, and with what each level means: a cell that
says `unknown` is not a no. Must not know where the cells come from.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from crossgrade.report.document import Block, Document, Entry, Heading, Line, Table
from crossgrade.units import count, things
from crossgrade.values.operators import (
    LEGEND,
    LEVELS,
    ChangeKind,
    OperatorCell,
    OperatorChange,
    OperatorColumn,
    OperatorDiff,
    OperatorMatrix,
)

Found = OperatorMatrix | OperatorDiff

CHANGES: dict[ChangeKind, str] = {
    "gained": "does not run on the chip in the first, and does in the second",
    "lost": "runs on the chip in the first, and does not in the second",
    "appeared": "not known to the first table",
    "disappeared": "not known to the second table",
    "changed": "another level, or another number of overloads at it",
    "limits": "the same level, other documented limits",
}
"""What each kind of change means."""
_FORMULA = ("=", "+", "-", "@")


def operators_document(found: Found, *, width: int | None = None) -> Document:
    """Return a matrix or its changes for a person.

    Args:
        found: what to show.
        width: columns of the screen; a wider matrix becomes a list. None: nothing is too wide.
    """
    if isinstance(found, OperatorDiff):
        return Document(blocks=tuple(_diff_blocks(found)))
    return Document(blocks=tuple(_matrix_blocks(found, width)))


def rows_called(found: Found) -> str:
    """Return what one row is, in words."""
    if found.namespace == "onnx":
        return "ONNX operator"
    return "base operator" if found.grain == "base" else "operator overload"


def matrix_line(m: OperatorMatrix) -> str:
    """Return what a matrix shows, in one line."""
    asked = f" like {inert(m.pattern)}" if m.pattern else ""
    some = f" with {' or '.join(m.levels)} somewhere" if m.levels else ""
    rows, columns = things(len(m.lines), rows_called(m)), things(len(m.columns), "column")
    return f"{rows}{asked}{some}, {columns}"


def diff_line(d: OperatorDiff) -> str:
    """Return what changed, in one line."""
    asked = f" like {inert(d.pattern)}" if d.pattern else ""
    compared = things(d.compared, rows_called(d))
    return (
        f"{d.before.label} to {d.after.label}: {count(len(d.changes))} of {compared}{asked} differ"
    )


def _matrix_blocks(m: OperatorMatrix, width: int | None) -> Iterator[Block]:
    labels = tuple(column.label for column in m.columns)
    yield Line(text=matrix_line(m))
    rows = tuple((line.op, *(cell.text for cell in line.cells)) for line in m.lines)
    table = Table(columns=("operator", *labels), rows=rows)
    if width is not None and _width(table) > width:
        yield from _as_list(m)
    elif rows:
        yield table
    if m.with_evidence:
        yield Heading(level=2, text="evidence")
        yield from (_evidence(line.op, m.columns, line.cells) for line in m.lines)
    yield Heading(level=2, text="rows by level")
    yield from _totals(m, width)
    yield from _legend(m.columns)


def _width(table: Table) -> int:
    """Return how many columns of a screen a table takes."""
    heads = [len(head) for head in table.columns]
    widest = [max([head, *(len(r[i]) for r in table.rows)]) for i, head in enumerate(heads)]
    return sum(widest) + 2 * len(widest)


def _as_list(m: OperatorMatrix) -> Iterator[Block]:
    """Yield one entry per operator with the backends under each level."""
    for line in m.lines:
        by_text: dict[str, list[str]] = {}
        for column, cell in zip(m.columns, line.cells, strict=True):
            by_text.setdefault(cell.text, []).append(column.label)
        words = sorted(by_text, key=lambda text: LEVELS.index(text.split()[0]))
        details = tuple(f"{word}: {', '.join(by_text[word])}" for word in words)
        yield Entry(text=line.op, details=details)


def _evidence(
    op: str, columns: tuple[OperatorColumn, ...], cells: tuple[OperatorCell, ...]
) -> Entry:
    details = []
    for column, cell in zip(columns, cells, strict=True):
        limits = f" [{cell.limits}]" if cell.limits else ""
        details += [f"{column.label}: {cell.text}{limits}: {line}" for line in cell.evidence]
    return Entry(text=op, details=tuple(details))


def _totals(m: OperatorMatrix, width: int | None) -> Iterator[Block]:
    """Yield rows by level; on a narrow screen one line per column, without the zeros."""
    rows = tuple(
        (level, *(str(m.count(i, level)) for i in range(len(m.columns)))) for level in LEVELS
    )
    labels = tuple(column.label for column in m.columns)
    right = frozenset(range(1, len(labels) + 1))
    table = Table(columns=("level", *labels), rows=rows, right=right)
    if width is None or _width(table) <= width:
        yield table
        return
    for label, entries in zip(labels, m.totals, strict=True):
        counts = [f"{entry.count} {entry.level}" for entry in entries if entry.count]
        yield Line(text=f"{label}: {', '.join(counts) or 'no rows'}")


def _legend(columns: tuple[OperatorColumn, ...]) -> Iterator[Block]:
    yield Table(
        title="what the words mean; 3/5: so many of the overloads, --overloads shows each",
        columns=("word", "meaning"),
        rows=tuple((level, LEGEND[level]) for level in LEVELS),
    )
    yield Table(
        title="where the columns come from",
        columns=("column", "table", "source"),
        rows=tuple((c.label, _described(c), c.source or "none") for c in columns),
    )
    yield from (Line(text=f"{c.label}: {c.note}", tone="quiet") for c in columns if c.note)


def _described(column: OperatorColumn) -> str:
    version = f" {column.version}" if column.version else ": no table"
    return f"{column.title}{version}" + (f", SoC {column.soc}" if column.soc else "")


def _diff_blocks(d: OperatorDiff) -> Iterator[Block]:
    yield Line(text=diff_line(d))
    for kind, meaning in CHANGES.items():
        if found := d.of_kind(kind):
            yield Heading(level=2, text=f"{kind} ({len(found)}): {meaning}")
            yield _change_table(d, found)
            if d.with_evidence:
                for change in found:
                    yield _evidence(change.op, (d.before, d.after), (change.before, change.after))
    yield Table(
        title="changes by kind",
        columns=("kind", "operators", "meaning"),
        rows=tuple((k, str(len(d.of_kind(k))), text) for k, text in CHANGES.items()),
        right=frozenset({1}),
    )
    yield from _legend((d.before, d.after))


def _change_table(d: OperatorDiff, found: tuple[OperatorChange, ...]) -> Table:
    limits = any(c.kind == "limits" for c in found)
    return Table(
        columns=("operator", d.before.label, d.after.label),
        rows=tuple(
            (c.op, *((x.limits or "none") if limits else x.text for x in (c.before, c.after)))
            for c in found
        ),
    )


def operators_csv(found: Found) -> str:
    """Return a matrix or its changes as CSV, one row per operator.

    A cell that a spreadsheet would take for a formula gets an apostrophe in front. Rows that begin
    with `#` hold the counts and the meaning of the words; a reader with comments skips them.
    """
    rows = _diff_rows(found) if isinstance(found, OperatorDiff) else _matrix_rows(found)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    width = 0
    for row in rows:
        width = width or len(row)
        writer.writerow([_safe(cell) for cell in (*row, *[""] * (width - len(row)))])
    return buffer.getvalue()


def _matrix_rows(m: OperatorMatrix) -> Iterator[tuple[str, ...]]:
    labels = [column.label for column in m.columns]
    extra = [f"{label} evidence" for label in labels] if m.with_evidence else []
    yield ("operator", *labels, *extra)
    for line in m.lines:
        lines = [" | ".join(cell.evidence) for cell in line.cells] if m.with_evidence else []
        yield (line.op, *(cell.text for cell in line.cells), *lines)
    for level in LEVELS:
        yield (f"# rows with {level}", *(str(m.count(i, level)) for i in range(len(labels))))
    yield from _csv_legend()


def _diff_rows(d: OperatorDiff) -> Iterator[tuple[str, ...]]:
    sides = (d.before.label, d.after.label)
    extra = [f"{side} evidence" for side in sides] if d.with_evidence else []
    yield ("operator", "kind", *sides, *(f"{side} limits" for side in sides), *extra)
    for c in d.changes:
        cells = (c.before, c.after)
        lines = [" | ".join(cell.evidence) for cell in cells] if d.with_evidence else []
        yield (c.op, c.kind, *(x.text for x in cells), *(x.limits for x in cells), *lines)
    for kind, text in CHANGES.items():
        yield (f"# {kind}", str(len(d.of_kind(kind))), text)
    yield from _csv_legend()


def _csv_legend() -> Iterator[tuple[str, ...]]:
    for level in LEVELS:
        yield (f"# {level} means", LEGEND[level])


def _safe(cell: str) -> str:
    """Return a cell that no spreadsheet computes."""
    text = "".join(c if c.isprintable() else "?" for c in inert(cell))
    return f"'{text}" if text.startswith(_FORMULA) else text


def inert(text: str) -> str:
    """Return text that any file takes: a half of a surrogate pair becomes `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")
