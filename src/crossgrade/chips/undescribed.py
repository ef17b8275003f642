"""Chips that are known by name and not described: `undescribed.toml`.

Must not know why a chip is missing; that is data.
"""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path

from crossgrade.chips.validate import Table, check_schema
from crossgrade.errors import UndescribedChip
from crossgrade.values.chip import Undescribed

FILE = Path(__file__).with_suffix(".toml")
"""The list."""


@functools.lru_cache(maxsize=1)
def undescribed_chips() -> tuple[Undescribed, ...]:
    """Return the chips that users ask for and that have no description, by name."""
    table = Table(data=tomllib.loads(FILE.read_text(encoding="utf-8")), file=FILE.name)
    check_schema(table)
    found = (
        Undescribed(
            name=item.text("name"),
            title=item.text("title"),
            aliases=item.texts("aliases"),
            vendor=item.text("vendor"),
            origin=item.text("origin"),
            why=item.text("why"),
        )
        for item in table.tables("chips")
    )
    return tuple(sorted(found, key=lambda chip: chip.name))


def refuse_undescribed(key: str) -> None:
    """Raise if `key` (lower case, hyphens) names a chip of the list.

    Raises:
        UndescribedChip: says why there is no description, and what to do.
    """
    for chip in undescribed_chips():
        if key in (chip.name, *chip.aliases):
            raise UndescribedChip(
                f"{chip.title} is known and not described: {chip.why}",
                hint="write a chip file with the numbers that you have and pass it with "
                "--chip-file; docs/howto/describe-a-chip.md has an example",
            )
