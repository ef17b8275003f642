"""The list of shipped models as a table. Must not compute anything."""

from __future__ import annotations

import re

from crossgrade.report.document import Table
from crossgrade.units import si
from crossgrade.values.preset import PresetSummary

_FORMAT = re.compile(r"\b(?:b?float\d\w*|(?:mx|nv)?fp\d\w*|int\d)\b")
_WIDE = 100
"""Columns from which the family is shown too."""
_SHORT = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "float8_e4m3fn": "fp8"}


def full_table(rows: tuple[PresetSummary, ...]) -> Table:
    """Return presets with every column, parameters to the last digit: for a program."""
    return Table(
        columns=("name", "family", "architecture", "kind", "parameters", "weights", "source"),
        rows=tuple(
            (r.name, r.family or "unknown", r.architecture or "unknown", r.kind or "unknown",
             "unknown" if r.parameters is None else str(r.parameters), r.weights or "unknown",
             r.source or "unknown")
            for r in rows
        ),
    )  # fmt: skip


def short_table(rows: tuple[PresetSummary, ...], *, width: int) -> Table:
    """Return presets for a screen: rounded, formats alone, the family where there is room."""
    wide = width >= _WIDE
    return Table(
        columns=("name", "parameters", "weights", "kind") + (("family",) if wide else ()),
        rows=tuple(
            (r.name, _rounded(r.parameters), _formats(r.weights) or "unknown", r.kind or "unknown")
            + ((r.family or "unknown",) if wide else ())
            for r in rows
        ),
        right=frozenset({1}),
        whole=frozenset({0, 1, 2}),
    )


def _formats(title: str) -> str:
    """Return the formats that a description of weights names, in its order: `fp8+fp4+bf16`."""
    named = [_SHORT.get(word, word) for word in _FORMAT.findall(title)]
    return "+".join(dict.fromkeys(named)) or title


def _rounded(value: int | None) -> str:
    # Billions are B in this field, and G in the SI.
    return "unknown" if value is None else si(value, "").rstrip().replace("G", "B")
