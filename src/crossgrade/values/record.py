"""One result with everything needed to believe it or get it again.

Must not know how records are stored (`crossgrade.records`) or shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

RECORD_SCHEMA: Final = 5
"""Version of the record layout; part of the file format, as is the order of the fields."""

RecordKind = Literal["assessment", "bench", "comm", "calibration", "serving"]
"""assessment: what `assess` answers. bench: one measured case, of an operator or of a model, with
all its samples. comm: collectives of a group of ranks. calibration: measured ceilings of a device.
serving: load on a served model, with every request.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A result file."""

    schema: int = RECORD_SCHEMA
    """Version first."""
    kind: RecordKind
    """What `data` is."""
    created: str
    """ISO 8601 time, UTC."""
    passed: Mapping[str, Any]
    """What the user gave, as given."""
    resolved: Mapping[str, Any]
    """What was used after defaults, aliases and detection."""
    environment: Mapping[str, str]
    """Versions and platform; no user or host name."""
    verdict: str
    """From the closed list of verdicts."""
    data: Mapping[str, Any]
    """The result, JSON values only."""
    digest: str = ""
    """SHA-256 over the canonical JSON of all other fields."""


RecordState = Literal["sound", "changed", "inconsistent", "unreadable"]
"""sound: as it was written, and its numbers follow from its samples. changed: its contents do not
match its digest. inconsistent: its digest is right, and its numbers do not follow from its samples,
or its parts contradict each other. unreadable: no record, or a newer crossgrade wrote it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What `records verify` found of one file."""

    path: str
    """The file."""
    kind: str
    """Kind of the record; empty where it could not be read."""
    state: RecordState
    """How it is."""
    checks: tuple[str, ...]
    """What was checked and found right, in words."""
    faults: tuple[str, ...]
    """What was found wrong."""

    @property
    def exit_code(self) -> int:
        """0 sound; 1 it must not be believed; 2 it could not be read."""
        return {"sound": 0, "changed": 1, "inconsistent": 1, "unreadable": 2}[self.state]
