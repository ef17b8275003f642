"""A value as one JSON document, and a document as text for a screen or a pipe.

What every renderer of a command ends with. Must not know any command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from crossgrade.report.document import Document


class Screen(TypedDict, total=False):
    """What the text goes to; without any of it a pipe."""

    terminal: bool
    """For a person at a screen, else Markdown in which nothing is cut."""
    width: int
    """Columns of the screen; 120 where none are given."""
    colour: bool
    """Whether the screen shows colour."""


def json_text(command: str, found: Any, verdict: str | None = None) -> str:
    """Return the JSON document of a command; `found` is a value of `crossgrade.values`."""
    from crossgrade.records.codec import to_json
    from crossgrade.report.envelope import envelope

    return envelope(command, to_json(found), verdict=verdict)


def screen_text(document: Document, screen: Screen) -> str:
    """Return tables for a screen, Markdown for a pipe."""
    from crossgrade.report.shown import shown

    return shown(
        document,
        terminal=screen.get("terminal", False),
        width=screen.get("width", 120),
        colour=screen.get("colour", False),
    )
