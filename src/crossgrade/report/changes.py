"""What changed since an earlier record, as blocks of a document. Must not compare anything."""

from __future__ import annotations

from collections.abc import Iterator

from crossgrade.report.document import Block, Heading, Line, Table
from crossgrade.values.change import Change, Changes


def changes_blocks(changes: Changes) -> Iterator[Block]:
    """Yield the changes, causes first."""
    yield Heading(level=2, text=f"changed since the record {changes.record} of {changes.since}")
    if not changes.entries:
        yield Line(text="nothing that both records know is different")
    else:
        yield Table(
            columns=("area", "what", "before", "after", "ratio", "how known", "because"),
            rows=tuple(_row(change) for change in changes.entries),
            right=frozenset({4}),
        )
    for remark in changes.remarks:
        yield Line(text=f"mind: {remark}", tone="quiet")


def _row(change: Change) -> tuple[str, ...]:
    return (
        change.area,
        change.place,
        change.before or "(none)",
        change.after or "(none)",
        f"{change.ratio:.3g}x" if change.ratio else "",
        change.kind or "",
        "; ".join(change.evidence),
    )
