"""Parameters that ship: what a chip without any measurement takes from the one that was measured.

Which chips may take them is asked by architecture and buffers, never by a vendor's name. Written by
`tools/derive_silicon.py`. Must not know where its rows come from, nor use scipy.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from crossgrade.predict.silicon.cube import has_cube
from crossgrade.predict.silicon.facts import Facts
from crossgrade.values.kernel import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Fitted parameters of one family."""

    chip: str
    """Whose times they were fitted to."""
    rows: int
    """How many of them."""
    source: str
    """Who measured, and where that stands."""
    values: Mapping[str, float]
    """Parameter -> value, as the family's model names them."""
    least_s: Mapping[str, float]
    """Operation -> shortest time measured, s."""


def kept(family: Family, facts: Facts) -> Kept | None:
    """Return shipped parameters that fit a chip; None where none were measured on its kind.

    Args:
        family: whose parameters.
        facts: the chip; those with a cube unit take what was fitted on one.
    """
    return _cube().get(family) if has_cube(facts) else None


@functools.cache
def _cube() -> Mapping[str, Kept]:
    text = resources.files("crossgrade.predict.silicon").joinpath("data/ascend.json").read_text()
    document = json.loads(text)
    return {
        family: Kept(chip=document["chip"], source=document["source"], **found)
        for family, found in document["families"].items()
    }
