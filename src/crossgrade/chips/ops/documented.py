"""What a vendor's API pages say of an operator: verified SoCs and dtypes.

Works on parsed facts only. Must not know who the vendor is, nor whether a kernel is registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crossgrade.chips.ops.rows import CsvTable, version_key

_KIND = {
    "bool": "bool",
    "uint8": "integer",
    "uint16": "integer",
    "int8": "integer",
    "int16": "integer",
    "int32": "integer",
    "int64": "integer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    """One row of the API pages."""

    table: str
    """File the row comes from."""
    torch_version: str
    """Release of the pages."""
    op: str
    """Base operator the API name maps to, in-place ones with their `_`."""
    api: str
    """API name as published."""
    verified: Mapping[str, bool]
    """SoC to whether the page marks it supported."""
    dtypes: frozenset[str] = frozenset()
    """torch dtypes the page allows; empty: it does not restrict."""
    excluded: frozenset[str] = frozenset()
    """dtypes excluded, as `dtype` or `SoC:dtype`."""
    notes: tuple[str, ...] = ()
    """Categories of further limits, such as `cpu-fallback`, `shape`."""

    def cite(self, column: str, value: str) -> str:
        """One line of evidence."""
        return f"{self.table} [{self.torch_version}]: {self.api}: {column}={value}"

    def excluded_for(self, soc: str | None) -> frozenset[str]:
        """dtypes the page excludes on a SoC."""
        named = {entry for entry in self.excluded if ":" not in entry}
        if soc is not None:
            named |= {e.partition(":")[2] for e in self.excluded if e.startswith(f"{soc}:")}
        return frozenset(named)


def read_documented(table: CsvTable, socs: tuple[str, ...]) -> dict[str, tuple[Documented, ...]]:
    """API rows by base operator, oldest page first."""
    names = ("torch_version", "op", "api", "dtypes", "excluded", "notes")
    version, op, api, dtypes, excluded, notes = (table.index(name) for name in names)
    flags = [(soc, table.index(soc)) for soc in socs]
    found: dict[str, list[Documented]] = {}
    for cells in table.rows:
        row = Documented(
            table=table.name,
            torch_version=cells[version],
            op=cells[op],
            api=cells[api],
            verified={soc: cells[i] == "1" for soc, i in flags},
            dtypes=frozenset(cells[dtypes].split()),
            excluded=frozenset(cells[excluded].split()),
            notes=tuple(cells[notes].split()),
        )
        found.setdefault(row.op, []).append(row)
    return {
        name: tuple(sorted(rows, key=lambda row: (version_key(row.torch_version), row.api)))
        for name, rows in found.items()
    }


def page_for(rows: Mapping[str, tuple[Documented, ...]], version: str) -> str:
    """The newest page not later than a table version (by major.minor); empty: none."""
    pages = {row.torch_version for group in rows.values() for row in group}
    wanted = version_key(version)[:2]
    early = [page for page in pages if version_key(page)[:2] <= wanted]
    return max(early, key=version_key, default="")


def allowed_dtypes(rows: tuple[Documented, ...]) -> frozenset[str]:
    """dtypes that any of the rows allows; empty: none of them restricts.

    `torch.softmax` and `torch.nn.functional.softmax` are two rows for one operator, and what
    either of them allows is documented to work.
    """
    return frozenset().union(*(row.dtypes for row in rows))


def outside(dtypes: frozenset[str], allowed: frozenset[str]) -> frozenset[str]:
    """The dtypes of a call that a list of allowed dtypes rules out.

    A page speaks of the main input, while a call also has index and mask tensors. So a dtype
    counts only where the list names its kind (inexact, integer, bool), unless the call has no
    tensor of any kind in the list; then all of them count.
    """
    if not allowed:
        return frozenset()
    kinds = {_KIND.get(dtype, "inexact") for dtype in allowed}
    spoken_of = {dtype for dtype in dtypes if _KIND.get(dtype, "inexact") in kinds}
    return frozenset((spoken_of or dtypes) - allowed)
