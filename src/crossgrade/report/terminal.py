"""A document for a terminal. Pure: width and colour come from the caller."""

from __future__ import annotations

import io
import re

from crossgrade.report.document import Document, Entry, Heading, Line, Table, Tone

_STYLE: dict[Tone, str] = {
    "plain": "",
    "good": "green",
    "warning": "yellow",
    "bad": "bold red",
    "quiet": "dim",
}
_NAME_WIDTH = 32
"""Names up to this many columns are not folded in the first column of a table."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def render_terminal(document: Document, *, width: int = 100, colour: bool = False) -> str:
    """Return the document as text of at most `width` columns.

    Control characters in names are shown as `?`, so no name can drive the terminal.
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table as RichTable
    from rich.text import Text

    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
        color_system="standard" if colour else None,
        legacy_windows=False,
    )
    for block in document.blocks:
        if isinstance(block, Heading):
            console.print()
            console.print(Text(_inert(block.text), style="bold"))
        elif isinstance(block, Line):
            console.print(Text(_inert(block.text), style=_STYLE[block.tone]))
        elif isinstance(block, Entry):
            console.print(Text(_inert(block.text), style=_STYLE[block.tone]))
            for detail in block.details:
                console.print(Padding(Text(_inert(detail)), (0, 0, 0, 4)))
        else:
            console.print(_rich(block, RichTable))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).lstrip("\n") + "\n"


def _rich(block: Table, kind: type) -> object:
    from rich.box import SIMPLE_HEAD
    from rich.text import Text

    table = kind(box=SIMPLE_HEAD, title=block.title or None, title_justify="left", pad_edge=False)
    for index, column in enumerate(block.columns):
        table.add_column(
            column,
            justify="right" if index in block.right else "left",
            overflow="fold",
            no_wrap=index in block.whole or (index == 0 and _short_names(block)),
        )
    for row in block.rows:
        table.add_row(*(Text(_inert(cell)) for cell in row))
    return table


def _short_names(block: Table) -> bool:
    """Return whether what the rows are about fits in one line each, so that others give way."""
    return all(len(row[0]) <= _NAME_WIDTH for row in block.rows)


def _inert(text: str) -> str:
    return _CONTROL.sub("?", text)
