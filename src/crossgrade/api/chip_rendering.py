"""Chips as text for a screen, a pipe or a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from crossgrade.api.texts import Screen, screen_text

if TYPE_CHECKING:
    from crossgrade.values.catalog import ChipList, ChipPage
    from crossgrade.values.chip import Chip

_SCHEMA = 2
"""Version of the JSON documents of `chips`; 1 was a list of names."""


def render_chip_list(chips: ChipList, *, as_json: bool = False, **screen: Unpack[Screen]) -> str:
    """Return the list of chips: JSON, terminal tables, or Markdown for pipes and files."""
    if as_json:
        from crossgrade.records.codec import to_json
        from crossgrade.report.envelope import envelope

        data = {
            "probed": ["cpu"],
            "chips": [_row(chip) for chip in chips.chips],
            "undescribed": to_json(chips.undescribed),
        }
        return envelope("chips", data, schema=_SCHEMA)
    from crossgrade.report.chips import chip_list_document

    return screen_text(chip_list_document(chips), screen)


def render_chip_pages(
    pages: Sequence[ChipPage], *, as_json: bool = False, **screen: Unpack[Screen]
) -> str:
    """Return what is known of the chips: JSON, terminal tables, or Markdown."""
    if as_json:
        from crossgrade.records.codec import to_json
        from crossgrade.report.envelope import envelope

        return envelope("chips", {"pages": to_json(tuple(pages))}, schema=_SCHEMA)
    from crossgrade.report.chips import chip_pages_document

    return screen_text(chip_pages_document(pages), screen)


def _row(chip: Chip) -> dict[str, Any]:
    """Return one chip of the list; unknown numbers are null. All of them are claimed."""
    peak = chip.peak("matrix", "bf16")
    capacity, bandwidth = chip.memory_capacity, chip.memory_bandwidth
    return {
        "name": chip.name,
        "title": chip.title,
        "aliases": list(chip.aliases),
        "vendor": chip.vendor,
        "origin": chip.origin,
        "scope": chip.scope,
        "available": chip.available,
        "op_table": chip.op_table,
        "bf16_flop_per_s": None if peak is None else peak.rate.value,
        "memory_bytes": None if capacity is None else capacity.value,
        "kind": "claimed",
        "memory_bandwidth_bytes_per_s": None if bandwidth is None else bandwidth.value,
    }
