"""One thing explained: a finding, an error, or a word of an answer.

Must not know where pages lie or how they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PageKind = Literal["finding", "error", "level", "verdict", "severity", "number", "measurement"]
"""finding and error: by id. The others: a word of a closed list. measurement: verdicts and reasons
of what is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What something means and what to do about it; all texts are Markdown."""

    code: str
    """Stable id or word, such as `CG-F101`, `composite`; unique within its kind."""
    kind: PageKind
    """What is explained."""
    title: str
    """What is so, one line without a full stop."""
    what: str
    """When it is given, and what it changes."""
    why: str
    """Why it is so."""
    example: str
    """How it looks, as a quotation; empty where there is nothing to show."""
    do: str
    """What to do."""
    source: str
    """What it rests on; empty for errors and words."""
