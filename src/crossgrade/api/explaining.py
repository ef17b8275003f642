"""`explain`: pages on findings, errors and words, and their text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossgrade.values.page import Page


def explain(code: str | None = None) -> tuple[Page, ...]:
    """Return the pages of a code or word; all pages for None.

    Raises:
        UnknownCode: nothing is explained under that name.
    """
    from crossgrade.explain.pages import find_pages, pages

    return pages() if code is None else find_pages(code)


def render_pages(
    found: tuple[Page, ...],
    *,
    listed: bool = False,
    as_json: bool = False,
    terminal: bool = False,
    width: int = 120,
    colour: bool = False,
) -> str:
    """Return pages as text.

    Args:
        found: the pages.
        listed: one line for each, instead of the whole page.
        as_json: one JSON document; a list gives code, kind and title only.
        terminal: for a person at a screen, else Markdown; a list in a pipe is TSV.
        width: columns of the screen.
        colour: whether the screen shows colour.
    """
    from crossgrade.report.explanation import list_table, page_document, pages_data

    if as_json:
        from crossgrade.report.envelope import envelope

        return envelope("explain", pages_data(found, listed=listed))
    if listed and not terminal:
        from crossgrade.report.tsv import render_tsv

        return render_tsv(list_table(found))
    from crossgrade.report.document import Document

    document = Document(blocks=(list_table(found),)) if listed else page_document(found)
    if terminal:
        from crossgrade.report.terminal import render_terminal

        return render_terminal(document, width=width, colour=colour)
    from crossgrade.report.explanation import pages_markdown

    return pages_markdown(found)
