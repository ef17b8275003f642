"""What lists other than the table say of operators.

A list of APIs that work, or do not, is another source. Where it contradicts the table, neither is
right by itself. Must not know any list or backend by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from crossgrade.chips.ops.rows import CsvTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One line of a list."""

    table: str
    """File the row comes from."""
    op: str
    """Base operator or overload, as `scope` says."""
    scope: str
    """`base` or `overload`."""
    supported: bool
    """Whether the list says that it works."""
    name: str
    """What the list calls it."""
    listed: str
    """The list."""
    version: str
    """Version that the list is for."""

    def cite(self) -> str:
        """One line of evidence."""
        says = "supported" if self.supported else "unsupported"
        return f"{self.table} [{self.version}]: {self.name}: {says} ({self.listed})"


def read_statements(tables: Iterable[CsvTable], version: str) -> dict[str, tuple[Statement, ...]]:
    """Statements about one version, by operator.

    A list for another version says nothing of this one.
    """
    found: dict[str, list[Statement]] = {}
    for table in tables:
        names = ("op", "scope", "says", "name", "list", "version")
        op, scope, says, name, listed, of = (table.index(column) for column in names)
        for row in table.rows:
            if row[of] == version:
                statement = Statement(
                    table=table.name,
                    op=row[op],
                    scope=row[scope],
                    supported=row[says] == "supported",
                    name=row[name],
                    listed=row[listed],
                    version=row[of],
                )
                found.setdefault(statement.op, []).append(statement)
    return {op: tuple(statements) for op, statements in found.items()}
