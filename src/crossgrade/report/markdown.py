"""A document as Markdown: for pipes, files and pull requests; nothing is cut."""

from __future__ import annotations

import re

from crossgrade.report.document import Document, Entry, Heading, Line, Table

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def render_markdown(document: Document) -> str:
    """Return the document as Markdown; characters with a meaning there are escaped in cells."""
    parts: list[str] = []
    for block in document.blocks:
        if isinstance(block, Heading):
            parts.append(f"{'#' * block.level} {_cell(block.text)}")
        elif isinstance(block, Line):
            parts.append(_cell(block.text))
        elif isinstance(block, Entry):
            details = "".join(f"\n  - {_cell(detail)}" for detail in block.details)
            parts.append(f"- **{_cell(block.text)}**{details}")
        else:
            parts.append(_table(block))
    return "\n\n".join(parts) + "\n"


def _table(block: Table) -> str:
    lines = [f"**{_cell(block.title)}**\n"] if block.title else []
    lines.append("| " + " | ".join(_cell(c) for c in block.columns) + " |")
    marks = ["---:" if i in block.right else "---" for i in range(len(block.columns))]
    lines.append("|" + "|".join(marks) + "|")
    lines.extend("| " + " | ".join(_cell(c) for c in row) + " |" for row in block.rows)
    return "\n".join(lines)


def _cell(text: str) -> str:
    inert = _CONTROL.sub("?", text.replace("\n", " "))
    return inert.replace("|", "\\|").replace("<", "&lt;")
