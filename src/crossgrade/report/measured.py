"""Measured times of an assessment: they come before the prediction, whose band stands beside them.

Must not compute: every figure stands in the value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from crossgrade.report.document import Block, Entry, Line, Table
from crossgrade.units import figure, percent, seconds, things
from crossgrade.values.assessment import ChipAssessment, MeasuredTime, PhaseAssessment
from crossgrade.values.beside import Place

Rows = Sequence[tuple[ChipAssessment, PhaseAssessment]]
PLACES: dict[Place | None, str] = {
    "inside": "inside our band",
    "above": "slower than our band",
    "below": "faster than our band",
    None: "not compared",
}
"""Where a measured time lies -> words."""


def measured_blocks(rows: Rows) -> Iterator[Block]:
    """Yield a row per measured time, what to mind, and what is measured of other sizes."""
    found = [(chip, p, one) for chip, p in rows for one in p.measured]
    if found:
        item = rows[0][1].item
        several = any(p.layout.chips > 1 for _, p, _ in found)
        of_one = ", of one device" if several else ""
        yield Table(
            title=f"speed (measured{of_one}; the band beside it is predicted)",
            columns=("chip", "on", "time (95 %)", "sessions", f"{item}/s", "predicted", "verdict"),
            rows=tuple(_row(chip, p, one) for chip, p, one in found),
            right=frozenset({2, 3, 4}),
            whole=frozenset({2}),
        )
        yield from (_origin(one) for _, _, one in found)
    for chip, p in rows:
        if p.measured_near:
            more = len(p.measured_near) - 1
            rest = f", and {things(more, 'other')}" if more else ""
            yield Line(
                text=f"{chip.chip}: not measured with these options; records have "
                f"{p.measured_near[0]}{rest}",
                tone="quiet",
            )


def _row(chip: ChipAssessment, p: PhaseAssessment, one: MeasuredTime) -> tuple[str, ...]:
    band = p.speed.time_s if p.speed and one.place else None
    return (
        chip.chip,
        one.target,
        _time(one),
        str(one.sessions),
        figure(one.tokens_per_s.value),
        f"{seconds(band.low)} to {seconds(band.high)}" if band else "-",
        f"{one.verdict}; {PLACES[one.place]}",
    )


def _time(one: MeasuredTime) -> str:
    if math.isinf(one.time_s.high) or one.time_s.half_width > 1:
        return f"{seconds(one.time_s.value)}, interval unknown"
    return f"{seconds(one.time_s.value)} ±{percent(one.time_s.half_width)}"


def _origin(one: MeasuredTime) -> Entry:
    runtime = f" by {one.runtime}" if one.runtime else ""
    weights = "random weights" if one.weights == "random" else f"weights of {one.weights}"
    return Entry(
        text=f"{one.target}: measured on {one.device or 'a device without a name'}{runtime}, "
        f"{one.created[:10]}, {weights}, record {one.record} ({one.digest[:8]})",
        details=one.remarks,
        tone="quiet",
    )
