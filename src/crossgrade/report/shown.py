"""A document as text for what it goes to: tables on a screen, Markdown in a pipe or a file.

Must not know documents of any command.
"""

from __future__ import annotations

from crossgrade.report.document import Document


def shown(document: Document, *, terminal: bool, width: int = 120, colour: bool = False) -> str:
    """Return the text.

    Args:
        document: what to show.
        terminal: for a person at a screen, else Markdown in which nothing is cut.
        width: columns of the screen.
        colour: whether the screen shows colour.
    """
    if terminal:
        from crossgrade.report.terminal import render_terminal

        return render_terminal(document, width=width, colour=colour)
    from crossgrade.report.markdown import render_markdown

    return render_markdown(document)
