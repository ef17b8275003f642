"""A document as Markdown: for pipes, files and pull requests; nothing is cut."""

from __future__ import annotations

import re

from crossgrade.report.document import Document, Entry, Heading, Line, Table

_MENTION = re.compile(r"(?<![\w/])@(?=\w)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def render_markdown(document: Document) -> str:
    """Return the document as Markdown; characters with a meaning there are escaped in cells."""
    parts: list[str] = []
    for block in document.blocks:
        if isinstance(block, Heading):
            parts.append(f"{'#' * block.level} {inert_markdown(block.text)}")
        elif isinstance(block, Line):
            parts.append(inert_markdown(block.text))
        elif isinstance(block, Entry):
            details = "".join(f"\n  - {inert_markdown(detail)}" for detail in block.details)
            parts.append(f"- **{inert_markdown(block.text)}**{details}")
        else:
            parts.append(_table(block))
    return "\n\n".join(parts) + "\n"


def _table(block: Table) -> str:
    lines = [f"**{inert_markdown(block.title)}**\n"] if block.title else []
    lines.append("| " + " | ".join(inert_markdown(c) for c in block.columns) + " |")
    marks = ["---:" if i in block.right else "---" for i in range(len(block.columns))]
    lines.append("|" + "|".join(marks) + "|")
    lines.extend("| " + " | ".join(inert_markdown(c) for c in row) + " |" for row in block.rows)
    return "\n".join(lines)


def inert_markdown(text: str) -> str:
    """Return text that means nothing in Markdown: no tag, cell border, link, image or mention."""
    inert = _CONTROL.sub("?", text.replace("\n", " "))
    inert = inert.replace("|", "\\|").replace("<", "&lt;").replace("](", "]\\(")
    return _MENTION.sub("&#64;", inert)


def folded_markdown(title: str, body: str) -> str:
    """Return Markdown under a title that opens on a click."""
    return f"\n<details><summary>{inert_markdown(title)}</summary>\n\n{body}\n</details>\n"
