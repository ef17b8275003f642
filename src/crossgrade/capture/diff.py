"""What differs between two captures: operators that came, went, or are called more or less.

Needs no torch. Must not know prices.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from crossgrade.values.capture import CallKey, Capture


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDifference:
    """One distinct call whose count differs."""

    operator: str
    """Overload with namespace."""
    shapes: str
    """Input shapes and dtypes, for a person."""
    before: int
    """Calls in the first capture."""
    after: int
    """Calls in the second."""


def diff(before: Capture, after: Capture) -> tuple[CallDifference, ...]:
    """Return the distinct calls whose counts differ, the largest change first; empty if equal."""
    first, second = _counts(before), _counts(after)
    rows = [
        CallDifference(
            operator=op,
            shapes=shapes,
            before=first[op, shapes, args],
            after=second[op, shapes, args],
        )
        for op, shapes, args in first.keys() | second.keys()
        if first[op, shapes, args] != second[op, shapes, args]
    ]
    return tuple(sorted(rows, key=lambda r: (-abs(r.after - r.before), r.operator, r.shapes)))


def _counts(capture: Capture) -> Counter[tuple[str, str, str]]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for index, calls in Counter(capture.columns["call_key"].tolist()).items():
        key = capture.key(index)
        counts[key.operator, _shown(key), key.arguments] += calls
    return counts


def _shown(key: CallKey) -> str:
    return ", ".join(f"{m.dtype}{list(m.shape)}{list(m.strides)}" for m in key.inputs)
