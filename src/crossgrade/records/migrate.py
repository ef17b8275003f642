"""Older records -> the newest layout, a step per version.

A step changes names and places only: it never works out a figure that the record does not have.
Must not know files.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

Fields = dict[str, Any]


def migrated(raw: Mapping[str, Any], newest: int) -> Fields:
    """Return the fields of a record in the newest layout."""
    fields = copy.deepcopy(dict(raw))
    while fields["schema"] < newest:
        fields = STEPS[fields["schema"]](fields)
        fields["schema"] += 1
    return fields


def _two_kinds_of_activations(fields: Fields) -> Fields:
    """1 -> 2: memory is told for eager and for fused kernels; schema 1 knew the eager one.

    Its verdict and `least_chips` rest on that one and stay as they were given.
    """
    for chip in fields["data"].get("chips", []):
        for phase in chip["phases"]:
            memory = phase["memory"]
            memory["activations_eager"] = memory.pop("activations")
            memory["peak_eager"] = memory.pop("peak")
            memory["least_chips_eager"] = memory["least_chips"]
            memory["activations_fused"] = memory["converted"] = memory["peak_fused"] = None
    return fields


def _rows_with_names(fields: Fields) -> Fields:
    """2 -> 3: constants and assumptions are objects; where time goes, and memory over time.

    Schema 2 gave the source of a constant in one text, and no breakdown.
    """
    data = fields["data"]
    data["timelines"] = []
    data["assumptions"] = [
        {"name": name, "unit": "", "optimistic": low, "pessimistic": high, "source": source,
         "url": ""}
        for name, low, high, source in data["assumptions"]
    ]  # fmt: skip
    for chip in data.get("chips", []):
        chip["constants"] = [
            {"kind": "claimed", "name": name, "value": value, "unit": unit,
             "scope": chip["scope"], "source": source, "url": "", "date": "", "note": ""}
            for name, value, unit, source in chip["constants"]
        ]  # fmt: skip
        chip["disagreements"] = []
        for phase in chip["phases"]:
            phase |= {"sizes": {}, "inputs": "", "training": ""}
            phase["memory"]["peak_per_chip"] = None
            if phase["speed"] is not None:
                del phase["speed"]["top"]
                phase["speed"] |= {
                    "fused": None,
                    "eager": None,
                    "modules": [],
                    "price_per_hour": None,
                }
    return fields


def _measurements(fields: Fields) -> Fields:
    """3 -> 4: there are records of measurements; one of an assessment stays as it is."""
    return fields


def _models_too(fields: Fields) -> Fields:
    """4 -> 5: cases are of models too, of which accuracy, memory and energy are looked at once."""
    if fields["kind"] == "bench":
        fields["data"]["observed"] = {}
    return fields


STEPS: Mapping[int, Callable[[Fields], Fields]] = {
    1: _two_kinds_of_activations,
    2: _rows_with_names,
    3: _measurements,
    4: _models_too,
}
"""Version -> the step to the next one."""
