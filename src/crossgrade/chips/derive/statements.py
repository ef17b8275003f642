"""What lists other than the table say of operators: supported or unsupported.

They are compared with the table, so none of them may be a source of it. Must not know which
operators are registered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from crossgrade.chips.derive.npu_api import aten_base
from crossgrade.chips.derive.sheet import Sheet, sheet
from crossgrade.chips.derive.sources import read_text
from crossgrade.errors import BadOperatorTable

COLUMNS = ("op", "scope", "says", "name", "list", "version")
"""`op` is a base operator or an overload, as `scope` says; `name` is what the list calls it."""


def _op_list(path: Path) -> list[str]:
    """API names of a list of the migration tool."""
    try:
        document: Any = json.loads(read_text(path))
        return [str(name) for name in document["op_list"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BadOperatorTable(
            f"no op_list: {error}", where=path.name, hint="is this the right file?"
        ) from error


def migration(supported: Path, unsupported: Path, bases: frozenset[str], version: str) -> Sheet:
    """What the lists of a vendor's migration tool say of the APIs that map to aten operators.

    Args:
        supported: json with `op_list`, the APIs that work.
        unsupported: The same for APIs that do not.
        bases: Base operators of aten, in-place ones with their `_`.
        version: torch version that the lists are for.
    """
    rows = []
    for path, says in ((supported, "supported"), (unsupported, "unsupported")):
        for api in _op_list(path):
            if op := aten_base(api, bases):
                name = api.partition("(")[0].strip()
                rows.append(_row(op, "base", says, name, path.name, version))
    return sheet(COLUMNS, _unique(rows))


def core_aten(path: Path, version: str) -> Sheet:
    """What a `name; YES|NO` list says of the operators of the core aten opset."""
    rows = []
    for line in read_text(path).splitlines():
        name, _, answer = (part.strip() for part in line.partition(";"))
        if name.startswith("aten::") and answer in ("YES", "NO"):
            says = "supported" if answer == "YES" else "unsupported"
            op = name.removeprefix("aten::")
            rows.append(_row(op, "overload", says, name, path.name, version))
    if not rows:
        raise BadOperatorTable(
            "no line `aten::OP; YES`", where=path.name, hint="is this the right file?"
        )
    return sheet(COLUMNS, _unique(rows))


def _row(op: str, scope: str, says: str, name: str, listed: str, version: str) -> dict[str, str]:
    return {
        "op": op, "scope": scope, "says": says, "name": name, "list": listed, "version": version,
    }  # fmt: skip


def _unique(rows: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    return list({tuple(row.values()): row for row in rows}.values())
