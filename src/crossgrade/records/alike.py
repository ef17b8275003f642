"""Whether two results say the same up to rounding. Must not know what they mean."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from crossgrade.records.codec import to_json

ROUNDING = 1e-9
"""Relative difference that logarithms and sums may make from one processor to another."""


def unlike(first: Any, second: Any, where: str = "") -> Iterator[str]:
    """Yield what differs, such as `variants[0].time_s.low: 1.0 and 1.5`.

    Args:
        first: a value, or the JSON that `to_json` makes of it.
        second: the other.
        where: place of the two, for the text.
    """
    a, b = to_json(first), to_json(second)
    if isinstance(a, Mapping) and isinstance(b, Mapping) and a.keys() == b.keys():
        for key in a:
            yield from unlike(a[key], b[key], f"{where}.{key}" if where else key)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from unlike(x, y, f"{where}[{index}]")
    elif not _same(a, b):
        yield f"{where or 'all'}: {a!r:.60} and {b!r:.60}"


def _same(a: Any, b: Any) -> bool:
    numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (a, b))
    return math.isclose(a, b, rel_tol=ROUNDING) if numbers else type(a) is type(b) and a == b
