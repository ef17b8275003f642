"""xpu-smi: energy or power of Intel GPUs, as the CSV of `xpu-smi dump`.

Written after the formats in the vendor's documentation; not tried on hardware.
"""

from __future__ import annotations

import csv
from functools import partial
from typing import Final

from crossgrade.targets.energy.meter import CannotRead, EnergyDevice, EnergyMeter, Place, Reading
from crossgrade.targets.energy.tools import POLL_S, find_tool
from crossgrade.targets.energy.visible import machine_index
from crossgrade.values.observation import EnergySensor

_VISIBLE: Final = ("ZE_AFFINITY_MASK",)
_ASKED: Final[tuple[tuple[str, str, EnergySensor], ...]] = (
    ("8", "GPU Energy Consumed (J)", "counter"),
    ("1", "GPU Power (W)", "instant"),
)
"""Number of a metric, its column, what it gives; the most exact one first."""


def open_xpu_smi(device: EnergyDevice, place: Place) -> EnergyMeter:
    """Return the energy counter of a GPU, else its power.

    Raises:
        CannotRead: there is no tool, or it gives neither.
    """
    tool = find_tool("xpu-smi", place)
    gpu = device.pci or str(machine_index(device.index, place.env, _VISIBLE))
    for metric, column, kind in _ASKED:
        arguments = ("dump", "-d", gpu, "-m", metric, "-n", "1")
        ask = partial(lambda a, c: _figure(tool.output(a), c), arguments, column)
        try:
            ask()
        except CannotRead as error:
            if error.reason != "no-sensor":
                raise
            continue
        sensor = f"xpu-smi {column}"
        return Reading(sensor=sensor, kind=kind, scope="board", poll_s=POLL_S, ask=ask)
    raise CannotRead("no-sensor", f"xpu-smi gives neither energy nor power of device {gpu}")


def _figure(text: str, column: str) -> float:
    """Return the last row's value of a column."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines())]
    header = next((i for i, row in enumerate(rows) if column in row), None)
    if header is None:
        said = " ".join(text.split())[:80]
        raise CannotRead("error", f"the answer of xpu-smi has no column `{column}`: {said}")
    place = rows[header].index(column)
    for row in reversed(rows[header + 1 :]):
        if len(row) > place:
            try:
                return float(row[place])
            except ValueError as error:
                raise CannotRead("no-sensor", f"{column} is `{row[place][:20]}`") from error
    raise CannotRead("error", f"xpu-smi printed no row below `{column}`")
