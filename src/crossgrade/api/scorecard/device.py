"""A described chip with a few constants of a device that is like it. Must not know cards."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from crossgrade.chips.loader import load_chip
from crossgrade.values.chip import Chip


def like(chip: str, other: Mapping[str, float]) -> Chip:
    """Return the chip with other values of some constants, such as `memory_bandwidth`.

    Args:
        chip: name of the description.
        other: constant -> value in the description's unit.
    """
    described = load_chip(chip)
    changed = {
        constant: dataclasses.replace(getattr(described, constant), value=value)
        for constant, value in other.items()
    }
    return dataclasses.replace(described, **changed)
