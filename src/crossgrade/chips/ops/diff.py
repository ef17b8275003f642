"""What changed from one operator table to another.

`changes(a, b)` and `changes(b, a)` are mirror images, and `changes(a, a)` is empty. Must not
know any backend by name.
"""

from __future__ import annotations

from crossgrade.values.operators import (
    ON_CHIP,
    ChangeKind,
    OperatorCell,
    OperatorChange,
    OperatorDiff,
    OperatorMatrix,
)

KINDS: tuple[ChangeKind, ...] = (
    "gained", "lost", "appeared", "disappeared", "changed", "limits",
)  # fmt: skip
"""Kinds in the order in which a person wants them."""

MIRROR: dict[ChangeKind, ChangeKind] = {
    "gained": "lost",
    "lost": "gained",
    "appeared": "disappeared",
    "disappeared": "appeared",
    "changed": "changed",
    "limits": "limits",
}
"""The kind of the same change the other way round."""


def change_kind(before: OperatorCell, after: OperatorCell) -> ChangeKind | None:
    """What happened between two cells; None where nothing did.

    A level of `conflict` is neither on the chip nor off it, so from and to it is `changed`.
    """
    if before.level == after.level and before.counts == after.counts:
        return None if before.limits == after.limits else "limits"
    if before.level == after.level or "conflict" in (before.level, after.level):
        return "changed"
    if before.level == "unknown":
        return "appeared"
    if after.level == "unknown":
        return "disappeared"
    was, now = before.level in ON_CHIP, after.level in ON_CHIP
    if was == now:
        return "changed"
    return "gained" if now else "lost"


def changes(matrix: OperatorMatrix) -> OperatorDiff:
    """What changed from the first column of a matrix to the second."""
    before, after = matrix.columns
    found = []
    for line in matrix.lines:
        old, new = line.cells
        if kind := change_kind(old, new):
            found.append(OperatorChange(op=line.op, kind=kind, before=old, after=new))
    return OperatorDiff(
        namespace=matrix.namespace,
        grain=matrix.grain,
        pattern=matrix.pattern,
        before=before,
        after=after,
        compared=len(matrix.lines),
        changes=tuple(sorted(found, key=lambda change: (KINDS.index(change.kind), change.op))),
        with_evidence=matrix.with_evidence,
    )
