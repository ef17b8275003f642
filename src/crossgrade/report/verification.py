"""What became of records under `records verify`, as a document. Must not verify anything."""

from __future__ import annotations

from collections.abc import Sequence

from crossgrade.report.document import Document, Entry
from crossgrade.values.record import Verification

_MOST = 10
"""Faults of one record that are shown."""


def verification_document(found: Sequence[Verification]) -> Document:
    """Return one entry per file, with what is right and what is wrong."""
    return Document(blocks=tuple(_entry(v) for v in found))


def _entry(verification: Verification) -> Entry:
    faults = verification.faults
    more = (f"and {len(faults) - _MOST} further ones",) if len(faults) > _MOST else ()
    return Entry(
        text=f"{verification.path}: {verification.state}",
        details=(*verification.checks, *faults[:_MOST], *more),
        tone="good" if verification.state == "sound" else "bad",
    )
