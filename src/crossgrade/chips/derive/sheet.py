"""A derived table in memory, and how it is written so that equal content gives equal bytes.

Must not know what the columns mean.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PLAIN_LIMIT_BYTES = 300_000
"""A csv larger than this ships compressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Columns and rows, sorted."""

    columns: tuple[str, ...]
    """Header."""
    rows: tuple[tuple[str, ...], ...]
    """Cells in the order of the header."""

    def text(self) -> str:
        """The csv as text, with `\\n` line ends."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return buffer.getvalue()

    def content(self) -> tuple[bytes, str]:
        """Bytes of the file and its suffix: `.csv`, or `.csv.gz` where it is large."""
        plain = self.text().encode("utf-8")
        if len(plain) <= PLAIN_LIMIT_BYTES:
            return plain, ".csv"
        return gzip.compress(plain, compresslevel=9, mtime=0), ".csv.gz"

    def write(self, folder: Path, stem: str) -> Path:
        """Write under a temporary name, rename, and give the path."""
        data, suffix = self.content()
        path = folder / f"{stem}{suffix}"
        temporary = path.with_name(f"{path.name}.part")
        temporary.write_bytes(data)
        temporary.replace(path)
        return path


def sheet(columns: Iterable[str], rows: Iterable[Mapping[str, str]]) -> Sheet:
    """A sheet from one mapping per row; a missing key is an empty cell."""
    names = tuple(columns)
    cells = sorted(tuple(row.get(name, "") for name in names) for row in rows)
    return Sheet(columns=names, rows=tuple(cells))
