"""What was seen of each variant of a model when it ran alone, as a table.

Must not work out a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from crossgrade.report.document import Block, Line, Table
from crossgrade.units import si, things
from crossgrade.values.bench import BenchRow
from crossgrade.values.observation import Accuracy, Energy, MemoryPeak, Observation


def observed_blocks(rows: list[BenchRow]) -> Iterator[Block]:
    """Yield accuracy, memory and energy of every variant that was looked at; nothing of operators.

    What is missing for one reason everywhere is said once.
    """
    seen = [(row, name, found) for row in rows for name, found in row.result.observed.items()]
    if not seen:
        return
    yield Table(
        columns=("case", "on", "error", "allowed", "same top", "memory ready", "memory peak",
                 "energy per call"),
        rows=tuple((row.result.plan.variants[0].case.title, name, *_cells(found))
                   for row, name, found in seen),
        right=frozenset(range(2, 8)), whole=frozenset({1}),
        title="each alone: error beside the trusted run, memory beyond the imports, energy above "
        "idle (measured)",
    )  # fmt: skip
    reasons: dict[str, list[str]] = {}
    for _, name, found in seen:
        for why in _missing(found):
            reasons.setdefault(why, []).append(name)
    for why, names in reasons.items():
        about = names[0] if len(set(names)) == 1 else things(len(set(names)), "target")
        yield Line(text=f"not measured on {about}: {why}", tone="quiet")


def _cells(found: Observation) -> Iterator[str]:
    accuracy = found.accuracy
    yield _share(accuracy.relative_error) if accuracy else "unknown"
    yield _share(accuracy.limit) if accuracy else ""
    yield _top(accuracy)
    yield _bytes(found.memory, "ready_bytes")
    yield _bytes(found.memory, "peak_bytes")
    yield _joules(found.energy)


def _share(value: float) -> str:
    return f"{value:.1e}" if math.isfinite(value) else "not a number"


def _top(accuracy: Accuracy | None) -> str:
    if accuracy is None or accuracy.same_top is None:
        return ""
    return f"{accuracy.same_top:.0%}"


def _bytes(memory: MemoryPeak, name: str) -> str:
    value = getattr(memory, name)
    return "unknown" if value is None else si(value, "B")


def _joules(energy: Energy) -> str:
    if energy.joules_per_call is None:
        return "unknown"
    doubt = energy.doubt_joules_per_call
    return si(energy.joules_per_call, "J") + (f" ±{si(doubt, 'J')}" if doubt is not None else "")


def _missing(found: Observation) -> Iterator[str]:
    """Yield why a figure is not there."""
    if found.unchecked:
        yield f"accuracy: {found.unchecked}"
    if found.memory.reason:
        yield f"memory: {found.memory.reason}: {found.memory.detail}"
    if found.energy.reason:
        yield f"energy: {found.energy.reason}: {found.energy.detail}"
