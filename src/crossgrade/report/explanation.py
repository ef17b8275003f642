"""Pages of `explain`: on a screen, as Markdown, as JSON data, as a part of the reference.

Must not read files.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from crossgrade.report.document import Block, Document, Heading, Line, Table
from crossgrade.values.page import Page

_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_BREAK = re.compile(r"(?<=\S)\n(?=[^\s>-])")


def list_table(found: tuple[Page, ...]) -> Table:
    """Return code, kind and title of pages."""
    return Table(
        columns=("code", "kind", "title"),
        rows=tuple((p.code, p.kind, p.title.replace("`", "")) for p in found),
        whole=frozenset({0}),
    )


def pages_data(found: tuple[Page, ...], *, listed: bool) -> list[dict[str, Any]]:
    """Return pages as JSON values; of a list code, kind and title."""
    if listed:
        return [{"code": p.code, "kind": p.kind, "title": p.title} for p in found]
    return [dataclasses.asdict(p) for p in found]


def page_document(found: tuple[Page, ...]) -> Document:
    """Return pages for a screen: one line for each paragraph, links as their text."""
    blocks: list[Block] = []
    for page in found:
        blocks.append(Heading(text=f"{page.code} ({page.kind}): {_plain(page.title)}"))
        for name, text in _parts(page):
            blocks.append(Heading(text=name, level=2))
            blocks.extend(_lines(text))
    return Document(blocks=tuple(blocks))


def pages_markdown(found: tuple[Page, ...]) -> str:
    """Return pages as Markdown that stands alone: links as their text."""
    parts = []
    for page in found:
        parts.append(f"# {page.code} ({page.kind}): {_plain(page.title)}")
        for name, text in _parts(page):
            parts += [f"## {name}", _plain(text)]
    return "\n\n".join(parts) + "\n"


def page_section(page: Page) -> str:
    """Return a page as a section of the reference, with its links."""
    why = f"Why: {page.why}"
    parts = [f"## {page.code}", f"**{page.title}.** {page.what}", why, page.example]
    source = f"Source: {page.source}" if page.source else ""
    return "\n\n".join(_refilled(p) for p in (*parts, f"Do: {page.do}", source) if p) + "\n"


def _parts(page: Page) -> tuple[tuple[str, str], ...]:
    parts = (
        ("What", page.what),
        ("Why", page.why),
        ("Example", page.example),
        ("Do", page.do),
        ("Source", page.source),
    )
    return tuple((name, text) for name, text in parts if text)


def _lines(text: str) -> list[Line]:
    """Return the paragraphs of a text; a quotation is one, set in."""
    joined = _plain(text)
    if joined.startswith("> "):
        words = " ".join(line.removeprefix(">").strip() for line in joined.splitlines())
        return [Line(text=words, tone="quiet")]
    return [Line(text=_BREAK.sub(" ", p)) for p in joined.split("\n\n")]


def _plain(text: str) -> str:
    return _LINK.sub(r"\1", text)


def _refilled(text: str) -> str:
    """Return paragraphs of at most 100 columns; headings and quotations as they are."""
    import textwrap

    if text.startswith(("#", ">")):
        return text
    fill = textwrap.TextWrapper(width=100, break_long_words=False, break_on_hyphens=False)
    return "\n\n".join(
        p if p.startswith(("- ", "```", "|")) else fill.fill(p) for p in text.split("\n\n")
    )
