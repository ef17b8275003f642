"""A table as tab-separated values: for pipes; one header line, nothing is cut."""

from __future__ import annotations

import re

from crossgrade.report.document import Table

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def render_tsv(table: Table) -> str:
    """Return the table as TSV; control characters in cells, tabs too, become a space."""
    lines = (table.columns, *table.rows)
    return "".join("\t".join(_CONTROL.sub(" ", c).strip() for c in row) + "\n" for row in lines)
