"""Models and chips by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossgrade.values.chip import Chip


def models() -> tuple[str, ...]:
    """Return the names of the shipped model configurations."""
    from crossgrade.workloads.resolve import preset_names

    return preset_names()


def chips() -> tuple[str, ...]:
    """Return the names of the described chips; `cpu` means this machine's."""
    from crossgrade.chips.loader import chip_names

    return ("cpu", *chip_names())


def chip(name: str) -> Chip:
    """Return a chip's description; `cpu` is probed here and now.

    Raises:
        UnknownChip: no chip has that name or alias.
    """
    if name.lower() == "cpu":
        import datetime

        from crossgrade.chips.probe import probe_cpu

        return probe_cpu(date=datetime.datetime.now(datetime.UTC).date().isoformat())
    from crossgrade.chips.loader import load_chip

    return load_chip(name.removeprefix("virtual:"))
