"""How many base operators one backend covers of another, the figure that people quote.

The collapse rule: cut the overload name at the first dot, then strip trailing underscores; an
`out` overload falls away with its dot. A base counts as implemented where any of its overloads
is. Must not know where the names come from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from crossgrade.chips.ops.table import base_operator


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Base operators of a reference backend, and those of them that another one has."""

    reference: frozenset[str]
    """Base operators that the reference implements."""
    covered: frozenset[str]
    """Those that the other backend implements too."""


def coverage(reference: Iterable[str], other: Iterable[str]) -> Coverage:
    """Coverage of `reference` by `other`, both given as overloads with a kernel."""
    wanted = frozenset(map(base_operator, reference))
    return Coverage(reference=wanted, covered=wanted & frozenset(map(base_operator, other)))
