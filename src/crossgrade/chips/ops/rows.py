"""One row of an operator table, and the reading of the shipped csv files.

Must not know which backend a row belongs to; the manifest says which columns to read.
"""

from __future__ import annotations

import csv
import functools
import gzip
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from crossgrade.errors import BadOperatorTable

DATA = Path(__file__).parent.parent / "data" / "ops"
"""The folder of the shipped tables."""
REBUILD_HINT = "rebuild it with `python -m crossgrade.chips.derive`"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRow:
    """What PyTorch and one backend say about one operator overload."""

    op: str
    """Overload name without namespace, `.default` removed, such as `add.Tensor`."""
    registered: tuple[str, ...] = ()
    """Cells that register a kernel, as `column=value`; empty where the backend has none."""
    composite: tuple[str, ...] = ()
    """Alias dispatch keys for which PyTorch ships a composite kernel."""
    delegate: str = ""
    """The `structured_delegate`: the out variant whose kernel does the work."""
    generated_from: str = ""
    """The operator whose `autogen` line makes this one; PyTorch generates a composite of it."""
    falls_back: str = ""
    """Source that says the backend registers a copy to the CPU for it; empty: it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvTable:
    """The content of one shipped csv: a header and one tuple of cells per key."""

    name: str
    """File name without folder."""
    columns: tuple[str, ...]
    """Header, the key column first."""
    rows: tuple[tuple[str, ...], ...]
    """Cells, in the order of the header."""

    def index(self, column: str) -> int:
        """Position of a column; BadOperatorTable where the file has none of that name."""
        try:
            return self.columns.index(column)
        except ValueError:
            raise BadOperatorTable(
                f"no column `{column}`", where=self.name, hint=REBUILD_HINT
            ) from None


def read_csv(path: Path) -> CsvTable:
    """The csv (or csv.gz) at `path`; BadOperatorTable where it is absent or broken."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
        lines = list(csv.reader(io.StringIO(text), strict=True))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise BadOperatorTable(str(error), where=path.name, hint=REBUILD_HINT) from error
    if not lines or len(lines[0]) < 2:
        raise BadOperatorTable("the header is missing", where=path.name, hint=REBUILD_HINT)
    width = len(lines[0])
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != width:
            raise BadOperatorTable(
                f"line {number} has {len(line)} cells, the header has {width}",
                where=path.name,
                hint=REBUILD_HINT,
            )
    return CsvTable(name=path.name, columns=tuple(lines[0]), rows=tuple(map(tuple, lines[1:])))


def version_key(version: str) -> tuple[int, ...]:
    """Numbers of a version for ordering: `2.13` comes before `2.15`; words count nothing."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


@functools.lru_cache(maxsize=256)
def cell_covers(cell: str, version: str) -> bool:
    """Whether a cell registers a kernel for `version`.

    A cell is empty (never), `1` (always), or a comma-separated list of versions and
    inclusive ranges, such as `2.1..2.12,2.15`.
    """
    if cell in ("", "1"):
        return cell == "1"
    wanted = version_key(version)
    for part in cell.split(","):
        low, _, high = part.partition("..")
        if version_key(low) <= wanted <= version_key(high or low):
            return True
    return False


def registrations(table: CsvTable, columns: Iterable[str], version: str) -> dict[str, list[str]]:
    """For every operator of `table` the cells, as `column=value`, that register a kernel."""
    wanted = [(column, table.index(column)) for column in columns]
    found: dict[str, list[str]] = {}
    for cells in table.rows:
        mine = [f"{name}={cells[i]}" for name, i in wanted if cell_covers(cells[i], version)]
        if mine:
            found[cells[0]] = mine
    return found


def join(
    aten: CsvTable,
    registered: Mapping[str, list[str]],
    *,
    falls_back: Mapping[str, str],
) -> dict[str, OperatorRow]:
    """One row per overload that PyTorch or the backend knows."""
    kind, delegate = aten.index("composite"), aten.index("structured_delegate")
    generated = aten.columns.index("generated_from") if "generated_from" in aten.columns else None
    rows = {
        cells[0]: OperatorRow(
            op=cells[0],
            registered=tuple(registered.get(cells[0], ())),
            composite=tuple(cells[kind].split("|")) if cells[kind] else (),
            delegate=cells[delegate],
            generated_from="" if generated is None else cells[generated],
            falls_back=falls_back.get(cells[0], ""),
        )
        for cells in aten.rows
    }
    for op, cells_of in registered.items():
        if op not in rows:
            rows[op] = OperatorRow(op=op, registered=tuple(cells_of))
    return rows
