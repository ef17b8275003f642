"""Cases by targets: what stands in each cell of the matrix.

Must not work out a number, nor know HTML.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from crossgrade.report.bench import items_text
from crossgrade.report.bench_page import BenchPage, CaseEntry
from crossgrade.report.comparison import ratio_text
from crossgrade.units import percent, seconds, things
from crossgrade.values.bench import ANCHOR, BenchPlan, Interval, VariantResult
from crossgrade.values.comparison import ComparisonVerdict

CellKind = Literal["baseline", "faster", "slower", "same", "inconclusive", "time", "absent",
                   "not-measured"]  # fmt: skip
"""baseline: what the others are compared with. faster to inconclusive: a ratio to it. time: a time
without a ratio, because the baseline has none. absent: no number, with a reason. not-measured: the
case was not asked of that target."""
_WORDS: Final[dict[ComparisonVerdict, CellKind]] = {
    "FASTER": "faster", "SLOWER": "slower", "SAME": "same", "INCONCLUSIVE": "inconclusive",
}  # fmt: skip
SIGNS: Final[dict[str, str]] = {"faster": "▼", "slower": "▲", "same": "=", "inconclusive": "?"}
"""Kind of a cell -> sign before its word: the time goes down or up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One case on one target."""

    kind: CellKind
    """What it says."""
    head: str
    """Its figure, or its reason."""
    more: str
    """What stands under it."""
    order: float
    """By what it is sorted: the ratio, else the time in a column of times, else infinite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """One case."""

    title: str
    """The case, for a person."""
    place: int
    """Its place in the run."""
    verdict: str
    """How its measurement ended."""
    sessions: int
    """Sessions that gave samples."""
    cells: tuple[Cell, ...]
    """One per target."""

    @property
    def words(self) -> str:
        """Return the kinds of its cells, by which it is filtered."""
        return " ".join(dict.fromkeys(c.kind for c in self.cells))


def targets_of(page: BenchPage) -> tuple[str, ...]:
    """Return the columns: every variant of any case, in the order of the plans."""
    return tuple(dict.fromkeys(v.name for c in page.cases for v in c.row.result.plan.variants))


def baselines_of(page: BenchPage) -> tuple[str, ...]:
    """Return the baseline of the cases; several where runs were put together."""
    return tuple(dict.fromkeys(_plan(c).variants[0].name for c in page.cases))


def matrix_rows(page: BenchPage) -> list[MatrixRow]:
    """Return the rows of the matrix."""
    targets = targets_of(page)
    return [
        MatrixRow(
            title=case.title,
            place=place,
            verdict=case.row.result.verdict,
            sessions=len(case.row.result.sessions),
            cells=tuple(_cells(case, targets)),
        )
        for place, case in enumerate(page.cases)
    ]


def tallies(page: BenchPage) -> list[tuple[str, list[tuple[CellKind, int]]]]:
    """Return per target how often it is faster, slower, the same; baselines left out."""
    rows, found = matrix_rows(page), []
    kinds: Sequence[CellKind] = ("faster", "same", "slower", "inconclusive", "absent")
    for column, target in enumerate(targets_of(page)):
        counts = {kind: sum(r.cells[column].kind == kind for r in rows) for kind in kinds}
        if any(counts[kind] for kind in kinds[:4]):
            found.append((target, [(kind, n) for kind, n in counts.items() if n]))
    return found


def time_text(time: Interval | None) -> str:
    """Return a time with how well it is known, such as `1.20 ms ±0.4 %`."""
    if time is None:
        return "unknown"
    if not math.isfinite(time.high):
        return f"{seconds(time.value)} (one session: no interval)"
    if time.half_width > 0.2:
        return f"{seconds(time.value)} [{seconds(time.low)}, {seconds(time.high)}]"
    return f"{seconds(time.value)} ±{percent(time.half_width)}"


def _plan(case: CaseEntry) -> BenchPlan:
    return case.row.result.plan


def _cells(case: CaseEntry, targets: Sequence[str]) -> Iterator[Cell]:
    found = {v.name: v for v in case.row.result.variants if v.name != ANCHOR}
    baseline = _plan(case).variants[0].name
    sessions = {s.variant: len(s.sessions_s) for s in case.strips}
    for target in targets:
        if target not in found:
            yield Cell(kind="not-measured", head="not asked", more="", order=math.inf)
        else:
            yield _cell(case, found[target], target == baseline, sessions.get(target, 0))


def _cell(case: CaseEntry, found: VariantResult, is_baseline: bool, sessions: int) -> Cell:
    if found.status == "absent":
        return Cell(kind="absent", head=found.reason or "error", more="", order=math.inf)
    rate = items_text(case.row, found.time_s)
    known = things(sessions, "session") + (f", {rate} tokens/s" if rate else "")
    time = found.time_s.value if found.time_s else math.inf
    if is_baseline:
        return Cell(kind="baseline", head=time_text(found.time_s), more=known, order=time)
    judged = case.judged.get(found.name)
    if judged is None or judged.ratio is None:
        return Cell(kind="time", head=time_text(found.time_s), more=known, order=time)
    return Cell(kind=_WORDS[judged.verdict], head=ratio_text(judged.ratio),
                more=f"{time_text(found.time_s)}, {known}", order=judged.ratio.value)  # fmt: skip
