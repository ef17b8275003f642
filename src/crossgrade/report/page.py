"""What stands on the HTML page besides the assessment. Must not know HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crossgrade.values.assessment import Assessment
from crossgrade.values.change import Changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page."""

    assessment: Assessment
    """What it shows."""
    document: Mapping[str, Any]
    """The same as the document of `--json`; it is embedded."""
    command: str
    """The command line that gives it again."""
    created: str
    """ISO 8601 time, UTC."""
    version: str
    """Of crossgrade."""
    changes: Changes | None = None
    """What differs from an earlier record."""
