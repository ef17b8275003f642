"""npu-smi: power of Ascend NPUs, in watts, as the vendor's tool prints it.

The tool counts by NPU ID and chip ID, a process by logic ID; `npu-smi info -m` maps them. Where one
NPU holds two chips (Atlas A3) the figure is that of both.

Written after the formats in the vendor's documentation; not tried on hardware.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Final

from crossgrade.targets.energy.meter import CannotRead, EnergyDevice, EnergyMeter, Place, Reading
from crossgrade.targets.energy.tools import POLL_S, Tool, find_tool
from crossgrade.targets.energy.visible import machine_index

_VISIBLE: Final = ("ASCEND_RT_VISIBLE_DEVICES",)
_LOGIC: Final = ("Chip Logic ID", "Chip Phy-ID")
"""Columns that count as a process does; the first that is there. Not every release has the first.
"""
# A `Rated Power Dissipation` is no measurement.
_POWER: Final = re.compile(
    r"^\s*(?:NPU Real-time Power|Power Dissipation)\s*\(W\)\s*:\s*(\d+(?:\.\d+)?)\s*$",
    re.MULTILINE,
)
_FIRST_LINE: Final = re.compile(r"^\|\s*(\d+)\s+\S[^|]*\|[^|]*\|\s*(\d+(?:\.\d+)?|\S+)\s")
_SECOND_LINE: Final = re.compile(r"^\|\s*(\d+)(?:\s+\d+)?\s*\|")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A chip as the tool counts it."""

    npu: int
    """NPU ID."""
    chip: int
    """Chip ID within it."""
    shared: bool
    """Whether the NPU holds another chip that computes."""


def open_npu_smi(device: EnergyDevice, place: Place) -> EnergyMeter:
    """Return the power of an NPU.

    Raises:
        CannotRead: there is no tool, it knows no such NPU, or it gives no power of it.
    """
    tool = find_tool("npu-smi", place)
    logic = machine_index(device.index, place.env, _VISIBLE)
    chip = chip_of(tool.output(("info", "-m")), logic)
    return Reading(
        sensor=f"npu-smi NPU {chip.npu}" + ("" if chip.shared else f" chip {chip.chip}"),
        kind="instant",
        scope="module" if chip.shared else "package",
        poll_s=POLL_S,
        ask=lambda: _watts(tool, chip),
    )


def chip_of(mapping: str, logic: int) -> Chip:
    """Return the chip of a logic ID from the table of `npu-smi info -m`.

    Raises:
        CannotRead: the table has no such ID.
    """
    lines = [re.split(r"\s{2,}", line.strip()) for line in mapping.splitlines()]
    header = next((line for line in lines if "NPU ID" in line), [])
    column = next((name for name in _LOGIC if name in header), None)
    if column is None or "Chip ID" not in header:
        raise CannotRead("error", "`npu-smi info -m` printed no table of chips")
    rows = [dict(zip(header, line, strict=False)) for line in lines if len(line) == len(header)]
    chips = {
        int(row[column]): (int(row["NPU ID"]), int(row["Chip ID"]))
        for row in rows
        if all(row[name].isdigit() for name in (column, "NPU ID", "Chip ID"))
    }
    if logic not in chips:
        raise CannotRead("no-sensor", f"`npu-smi info -m` lists no chip with {column} {logic}")
    npu, chip = chips[logic]
    return Chip(npu=npu, chip=chip, shared=sum(n == npu for n, _ in chips.values()) > 1)


def _watts(tool: Tool, chip: Chip) -> float:
    try:
        arguments = ("info", "-t", "power", "-i", str(chip.npu), "-c", str(chip.chip))
        found = _POWER.search(tool.output(arguments))
    except CannotRead as error:
        # Some releases refuse the question for a chip, and answer it in the table.
        if error.reason == "not-permitted":
            raise
        found = None
    return float(found[1]) if found else power_in_table(tool.output(("info",)), chip)


def power_in_table(table: str, chip: Chip) -> float:
    """Return the power of a chip from the table of `npu-smi info`, W.

    Two lines are a chip. Of two chips on one NPU only the first line has the figure, for both.

    Raises:
        CannotRead: the table has none.
    """
    lines = table.splitlines()
    watts: dict[tuple[int, int], str] = {}
    for first, second in itertools.pairwise(lines):
        above, below = _FIRST_LINE.match(first), _SECOND_LINE.match(second)
        if above and below:
            watts[int(above[1]), int(below[1])] = above[2]
    for place in ((chip.npu, chip.chip), (chip.npu, 0)):
        if re.fullmatch(r"\d+(\.\d+)?", watts.get(place, "")):
            return float(watts[place])
    raise CannotRead("no-sensor", f"npu-smi gives no power of NPU {chip.npu} chip {chip.chip}")
