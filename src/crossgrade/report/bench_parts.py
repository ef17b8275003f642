"""The parts that the templates of measurements ask for: rows, words and drawings.

Pure. Must not know HTML beyond ids.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from crossgrade.report.bench import TONES, run_summary, weighted
from crossgrade.report.bench_charts import RatioRow, ratios_chart, strip_chart
from crossgrade.report.bench_gaps import gaps_of as gaps_of
from crossgrade.report.bench_matrix import SIGNS as SIGNS
from crossgrade.report.bench_matrix import baselines_of as baselines_of
from crossgrade.report.bench_matrix import matrix_rows as matrix_rows
from crossgrade.report.bench_matrix import tallies
from crossgrade.report.bench_matrix import targets_of as targets_of
from crossgrade.report.bench_matrix import time_text as time_text
from crossgrade.report.bench_page import BenchPage, CaseEntry
from crossgrade.report.bench_warnings import warnings_of as warnings_of
from crossgrade.report.beside import beside_blocks
from crossgrade.report.document import Line, Table, Tone
from crossgrade.report.measuring_words import Word, word
from crossgrade.report.observed import observed_blocks
from crossgrade.units import things
from crossgrade.values.audit import AuditReport
from crossgrade.values.bench import Interval
from crossgrade.values.beside import Beside
from crossgrade.values.strip import Strip

MANY: Final = 12
"""Cases from which there is a box to filter them by."""
OPEN: Final = 6
"""Cases up to which the drawings of all are open."""
_DRAWN: Final = 60
"""Most ratios of one drawing."""
_AUDITS: Final = 24
"""Most audits that are told; records of many runs have one each."""
_TALLIED: Final = {"same": "the same", "absent": "no number"}
"""Kind of a cell -> how it is counted, where the word alone does not read well."""


def headline(page: BenchPage) -> str:
    """Return what was measured."""
    return page.cases[0].title if len(page.cases) == 1 else page.run.name


def tone(page: BenchPage) -> Tone:
    """Return how the verdict is meant."""
    return TONES[page.run.verdict]


def summary(page: BenchPage) -> str:
    """Return the outcome in one line."""
    return run_summary(page.run)


def tally_lines(page: BenchPage) -> list[str]:
    """Return per target in how many cases it is faster, slower, the same."""
    total = len(page.cases)
    return [f"{target}: " + ", ".join(f"{_TALLIED.get(kind, kind)} in {n}" for kind, n in counts)
            + f" of {things(total, 'case')}" for target, counts in tallies(page)]  # fmt: skip


def devices(page: BenchPage) -> list[str]:
    """Return each device with the targets that it stands behind."""
    found: dict[str, dict[str, None]] = {}
    for audit in audits(page):
        found.setdefault(dict(audit.facts).get("device", "a device without a name"),
                         {})[audit.target] = None  # fmt: skip
    return [f"{device} ({', '.join(targets)})" for device, targets in found.items()]


def audits(page: BenchPage) -> list[AuditReport]:
    """Return the audit of every target, each once."""
    every = dict.fromkeys(a for c in page.cases for a in c.row.result.audits)
    return list(every)[:_AUDITS]


def ratios(page: BenchPage) -> Markup | None:
    """Return ratios to the baseline as a drawing; None where there is none."""
    several = len(page.cases) > 1
    rows = [
        RatioRow(name=f"{name}: {case.title}" if several else name, ratio=judged.ratio,
                 word=judged.verdict.lower())
        for case in page.cases
        for name, judged in case.judged.items()
        if judged.ratio is not None
    ]  # fmt: skip
    if not rows or len(rows) > _DRAWN:
        return None
    return ratios_chart("ratios", "Time over that of the baseline", rows, page.margin)


def strips(case: CaseEntry, place: int) -> Markup | None:
    """Return how the samples of a case lie; None without any."""
    if not case.strips:
        return None
    return strip_chart(f"strip-{place}", f"Samples of {case.title}", case.strips, intervals(case))


def intervals(case: CaseEntry) -> dict[str, Interval]:
    """Return target -> time with its interval."""
    return {v.name: v.time_s for v in case.row.result.variants if v.time_s is not None}


def session_range(strip: Strip) -> tuple[float, float]:
    """Return the fastest and the slowest session, s per call."""
    return min(strip.sessions_s), max(strip.sessions_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideRow:
    """What stands beside one time."""

    title: str
    """The case."""
    place: int
    """Its place in the run."""
    time: Interval | None
    """Time per call, s."""
    beside: Beside
    """What stands beside it."""


def beside_rows(page: BenchPage) -> list[BesideRow]:
    """Return the times that have anything beside them."""
    found = []
    for place, case in enumerate(page.cases):
        times = intervals(case)
        found += [
            BesideRow(title=case.title, place=place, time=times.get(b.variant), beside=b)
            for b in case.row.beside
            if any(x is not None for x in (b.ceiling.value, b.sheet.value, b.predicted.band))
        ]
    return found


def beside_lines(page: BenchPage) -> list[Line]:
    """Return where shares come from, or what makes them."""
    return [b for b in beside_blocks(page.run) if isinstance(b, Line)]


def observed(page: BenchPage) -> list[Table]:
    """Return accuracy, memory and energy of variants of models; nothing of operators."""
    rows = [c.row for c in page.cases]
    return [b for b in observed_blocks(rows) if isinstance(b, Table)]


def model_calls(page: BenchPage) -> Table | None:
    """Return what the calls of a captured model take together; None without any."""
    rows = [c.row for c in page.cases if c.row.result.plan.variants[0].case.calls > 1]
    return weighted(rows) if rows else None


def facts(page: BenchPage) -> list[tuple[str, str]]:
    """Return facts of the machine and its software; those of targets stand beside these."""
    return [(k, v) for k, v in page.run.environment.items() if " " not in k]


def other_facts(audit: AuditReport) -> str:
    """Return what a target says of itself besides device and runtime."""
    return "; ".join(f"{k}: {v}" for k, v in audit.facts if k not in ("device", "runtime"))


def words(page: BenchPage) -> list[Word]:
    """Return every word of a closed list that stands on the page, with its meaning."""
    return list({name: word(name) for name in _names(page) if name}.values())


def _names(page: BenchPage) -> Iterator[str]:
    yield from _verdicts(page)
    for gap in gaps_of(page):
        yield gap.word.name
    for row in beside_rows(page):
        b = row.beside
        yield from (r or "" for r in (b.place, b.ceiling.reason, b.sheet.reason,
                                      b.predicted.reason))  # fmt: skip


def _verdicts(page: BenchPage) -> Iterable[str]:
    yield page.run.verdict
    for case in page.cases:
        yield case.row.result.verdict
        yield from (j.verdict for j in case.judged.values())


def session_facts(case: CaseEntry) -> str:
    """Return how its sessions were taken, in words."""
    sessions = case.row.result.sessions
    starts = dict.fromkeys(s.start for s in sessions)
    steady = sum(s.steady for s in sessions)
    return f"{', '.join(starts)}; {steady} of {len(sessions)} steady" if sessions else "none"


def samples(case: CaseEntry) -> int:
    """Return how many blocks were timed, the anchor's among them."""
    return sum(len(s.spans_ns) for s in case.row.result.sessions)


def timers(case: CaseEntry) -> str:
    """Return the timers that were used for a case."""
    used = dict.fromkeys(t for s in case.row.result.sessions for t in s.timers if t)
    return ", ".join(used)


def verify_words(names: Sequence[str]) -> str:
    """Return the command that checks the records of a page."""
    if len(names) > 3:
        return "crossgrade records verify FOLDER"
    return f"crossgrade records verify {shlex.join(names)}"
