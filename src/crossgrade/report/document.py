"""A report as a value: headings, lines and tables, before it has a look.

Must not know terminals, Markdown or HTML.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["plain", "good", "warning", "bad", "quiet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A title."""

    text: str
    """What it says."""
    level: int = 1
    """1 is the top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of prose."""

    text: str
    """What it says."""
    tone: Tone = "plain"
    """How it is meant; never carried by colour alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A statement with details under it."""

    text: str
    """What it says."""
    details: tuple[str, ...]
    """Lines under it."""
    tone: Tone = "plain"
    """How it is meant; never carried by colour alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under columns."""

    columns: tuple[str, ...]
    """Titles."""
    rows: tuple[tuple[str, ...], ...]
    """Cells."""
    right: frozenset[int] = frozenset()
    """Columns that are set flush right."""
    whole: frozenset[int] = frozenset()
    """Columns whose cells are not broken over lines while others can be, such as names to copy."""
    title: str = ""
    """Caption."""


Block = Heading | Line | Entry | Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Blocks in order."""

    blocks: tuple[Block, ...]
    """What is shown."""
