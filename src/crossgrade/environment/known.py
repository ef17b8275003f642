"""The table of packages and rooms, from `known.toml`. Must not know any of them."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossgrade.values.environment import KnownPackage, KnownRoom, Need

_FILE = Path(__file__).parent / "known.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What doctor looks for."""

    packages: tuple[KnownPackage, ...]
    """Packages, in the order in which they are shown."""
    rooms: tuple[KnownRoom, ...]
    """Parts of crossgrade, in the order in which they are shown."""


@functools.cache
def known() -> Known:
    """Return the shipped table."""
    table = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return Known(
        packages=tuple(KnownPackage(**row) for row in table["package"]),
        rooms=tuple(_room(row) for row in table["room"]),
    )


def _room(row: dict[str, Any]) -> KnownRoom:
    needs = tuple(Need(**need) for need in row.pop("needs", ()))
    return KnownRoom(**row, needs=needs)
