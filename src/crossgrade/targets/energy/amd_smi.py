"""amd-smi and its predecessor rocm-smi: energy or power of AMD GPUs, as JSON.

Written after the formats in the vendor's documentation; not tried on hardware.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from crossgrade.targets.energy.meter import CannotRead, EnergyDevice, EnergyMeter, Place, Reading
from crossgrade.targets.energy.tools import POLL_S, find_tool
from crossgrade.targets.energy.visible import machine_index
from crossgrade.values.observation import EnergySensor

_VISIBLE: Final = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
"""The first two mean the same to HIP, which takes the second where both are set."""
_ASKED: Final[tuple[tuple[str, str, EnergySensor], ...]] = (
    ("--energy", "total_energy_consumption", "counter"),
    ("--power", "socket_power", "instant"),
    ("--power", "average_socket_power", "averaged"),
    ("--power", "current_socket_power", "instant"),
)
"""Option of `amd-smi metric`, field of its answer, what it gives; the most exact one first."""
_UNITS: Final = {"": 1.0, "J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "W": 1.0, "mW": 1e-3, "uW": 1e-6}
_OLD: Final[tuple[tuple[str, EnergySensor], ...]] = (
    ("Average Graphics Package Power (W)", "averaged"),
    ("Current Socket Graphics Package Power (W)", "instant"),
)
"""Field of the answer of `rocm-smi --showpower`, what it gives."""


def open_amd_smi(device: EnergyDevice, place: Place) -> EnergyMeter:
    """Return the energy counter of a GPU, else its power, by amd-smi.

    Raises:
        CannotRead: there is no tool, or it gives neither.
    """
    tool = find_tool("amd-smi", place)
    gpu = device.pci or str(_index(device, place))
    for option, field, kind in _ASKED:
        arguments = ("metric", "--gpu", gpu, option, "--json")

        def ask(field: str = field, arguments: tuple[str, ...] = arguments) -> float:
            return _figure(tool.output(arguments), field)

        if _answers(ask):
            sensor = f"amd-smi {field}"
            return Reading(sensor=sensor, kind=kind, scope="package", poll_s=POLL_S, ask=ask)
    raise CannotRead("no-sensor", f"amd-smi gives neither energy nor power of GPU {gpu}")


def open_rocm_smi(device: EnergyDevice, place: Place) -> EnergyMeter:
    """Return the power of a GPU by rocm-smi.

    Raises:
        CannotRead: there is no tool, or it gives none.
    """
    tool = find_tool("rocm-smi", place)
    gpu = str(_index(device, place))
    arguments = ("-d", gpu, "--showpower", "--json")
    for field, kind in _OLD:
        ask = partial(lambda name: _figure(tool.output(arguments), name), field)
        if _answers(ask):
            sensor = f"rocm-smi {field}"
            return Reading(sensor=sensor, kind=kind, scope="package", poll_s=POLL_S, ask=ask)
    raise CannotRead("no-sensor", f"rocm-smi gives no power of GPU {gpu}")


def _index(device: EnergyDevice, place: Place) -> int:
    hip = "HIP_VISIBLE_DEVICES" in place.env
    return machine_index(device.index, place.env, _VISIBLE[1:] if hip else _VISIBLE)


def _answers(ask: Callable[[], float]) -> bool:
    try:
        ask()
    except CannotRead as error:
        if error.reason != "no-sensor":
            raise
        return False
    return True


def _figure(text: str, field: str) -> float:
    """Return the first value of a field in JSON, in J or W; warnings may stand before the JSON."""
    start = re.search(r"^\s*[\[{]", text, re.MULTILINE)
    try:
        document = json.loads(text[start.start() :] if start else text)
    except ValueError as error:
        said = " ".join(text.split())[:80]
        raise CannotRead("error", f"the answer is no JSON: {said}") from error
    for value in _values(document, field):
        number = _number(value)
        if number is not None:
            return number
    raise CannotRead("no-sensor", f"{field} is not available")


def _values(node: Any, field: str) -> Iterator[Any]:
    if isinstance(node, list):
        for item in node:
            yield from _values(item, field)
    elif isinstance(node, dict):
        for name, item in node.items():
            if name == field:
                yield item
            else:
                yield from _values(item, field)


def _number(value: Any) -> float | None:
    """Return `{"value": 35, "unit": "W"}`, `"35.0 W"`, `"35.0"` or 35 as 35; None for `N/A`."""
    if isinstance(value, dict):
        value = f"{value.get('value')} {value.get('unit', '')}"
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(\w*)", str(value).strip())
    return float(found[1]) * _UNITS[found[2]] if found and found[2] in _UNITS else None
