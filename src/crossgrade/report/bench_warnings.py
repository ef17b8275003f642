"""What speaks against the numbers of a run, worst first: read before them.

Must not know HTML.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from crossgrade.report.bench_page import BenchPage
from crossgrade.units import count, percent, things
from crossgrade.values.bench import ANCHOR, EXCUSED
from crossgrade.values.comparison import Difference

Severity = Literal["blocker", "warning", "note"]
"""blocker: a number is missing or of no use. warning: it is known less well than it looks. note:
worth knowing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """One warning."""

    severity: Severity
    """How bad it is."""
    text: str
    """What is so."""
    hint: str = ""
    """What to do."""
    details: tuple[str, ...] = ()
    """Cases that it is about, with what is known of each."""


def warnings_of(page: BenchPage) -> list[Warned]:
    """Return what to mind, the worst first."""
    looks = (_inaccurate, _absent, _environments, _lost, _throttled, _noisy, _remarks, _stale,
             _notes)  # fmt: skip
    found = [warned for look in looks for warned in look(page)]
    order: tuple[Severity, ...] = ("blocker", "warning", "note")
    return sorted(found, key=lambda w: order.index(w.severity))


def _inaccurate(page: BenchPage) -> Iterator[Warned]:
    details = []
    for case in page.cases:
        for name, seen in case.row.result.observed.items():
            a = seen.accuracy
            if a is not None and not a.passed:
                details.append(f"{case.title}, {name}: error {a.relative_error:.1e}, allowed "
                               f"{a.limit:.1e}")  # fmt: skip
    if details:
        yield Warned(severity="blocker", details=tuple(details),
                     text=f"{things(len(details), 'output')} further from the trusted run than "
                     "the format explains: these variants have no time",
                     hint="a fault of the runtime, of the exporter or of a kernel; report it "
                     "there, with the record")  # fmt: skip


def _absent(page: BenchPage) -> Iterator[Warned]:
    details = [
        f"{case.title}, {v.name}: {v.reason}: {v.detail}"
        for case in page.cases
        for v in case.row.result.variants
        if v.status == "absent" and v.name != ANCHOR
        and v.reason not in EXCUSED and v.reason != "inaccurate"
    ]  # fmt: skip
    if details:
        yield Warned(severity="blocker", details=tuple(details),
                     text=f"{things(len(details), 'number')} missing that should be there",
                     hint="each has its reason, and what would help, under what we could not "
                     "measure")  # fmt: skip


def _environments(page: BenchPage) -> Iterator[Warned]:
    if page.differences:
        facts = things(len(page.differences), "fact")
        yield Warned(severity="warning", details=tuple(map(fact_words, page.differences)),
                     text=f"these records are not of one environment: {facts} differ",
                     hint="compare within a case, not from case to case")  # fmt: skip


def fact_words(found: Difference) -> str:
    """Return a fact that is not the same, in words."""
    return f"{found.key}: {found.before or '(none)'} -> {found.after or '(none)'}"


def _lost(page: BenchPage) -> Iterator[Warned]:
    details = [f"{case.title}: session {lost.index}: {lost.reason}: {lost.detail}"
               for case in page.cases for lost in case.row.result.lost]  # fmt: skip
    if details:
        yield Warned(severity="warning", details=tuple(details),
                     text=f"{things(len(details), 'session')} lost: they ended without samples",
                     hint="what ends a session may also slow those that last")  # fmt: skip


def _throttled(page: BenchPage) -> Iterator[Warned]:
    details, total = [], 0
    for case in page.cases:
        for found in case.row.result.variants:
            total += sum(found.censored.values())
            details += [f"{case.title}, {found.name}: {things(number, 'sample')}, {reason}"
                        for reason, number in found.censored.items()]  # fmt: skip
    if total:
        yield Warned(severity="warning", details=tuple(details),
                     text=f"{things(total, 'sample')} left out because something outside of them "
                     "witnessed against them",
                     hint="cool or quiet the machine; the samples stay in the records")  # fmt: skip


def _noisy(page: BenchPage) -> Iterator[Warned]:
    details = [f"{case.title}: {case.row.result.why}" for case in page.cases
               if case.row.result.verdict == "noisy"]  # fmt: skip
    if details:
        yield Warned(severity="warning", details=tuple(details),
                     text=f"noisy: {things(len(details), 'case')} with an interval wider than "
                     "asked, or with fewer sessions",
                     hint="quiet the machine, give more `--budget`, or ask for less")  # fmt: skip


def _remarks(page: BenchPage) -> Iterator[Warned]:
    details = [f"{case.title}: {remark}" for case in page.cases
               for remark in case.row.result.remarks]  # fmt: skip
    if details:
        yield Warned(severity="warning", details=tuple(details),
                     text=f"samples speak against the intervals in {things(len(details), 'place')}"
                     ": not steady at the start, or sessions that are like their neighbours",
                     hint="the interval may be too narrow there; measure on a quiet machine"
                     )  # fmt: skip


def _stale(page: BenchPage) -> Iterator[Warned]:
    for used in page.run.ceilings:
        if used.stale and not used.digest:
            yield Warned(severity="warning", details=used.stale,
                         hint=f"measure them again: `{used.command}`",
                         text=f"the calibration of {used.target} of {used.created[:10]} does not "
                         "hold here, so there is no share of measured ceilings")  # fmt: skip
        if used.unreadable:
            yield Warned(severity="warning", details=used.unreadable,
                         hint=f"measure them again: `{used.command}`",
                         text=f"calibrations that cannot be read: {used.target}")  # fmt: skip


def _notes(page: BenchPage) -> Iterator[Warned]:
    """Yield what to know of implementations and of the run, each note once."""
    about: dict[tuple[str, str], list[str]] = {}
    for case in page.cases:
        for name, notes in case.row.result.notes.items():
            for note in notes:
                about.setdefault((name, note), []).append(case.title)
    for (name, note), titles in about.items():
        yield Warned(severity="note", text=f"{name}: {note}", details=tuple(titles))
    yield from (Warned(severity="note", text=note) for note in page.run.notes)
    if page.run.taken_up:
        yield Warned(severity="note", text=f"{count(page.run.taken_up)} of the sessions are of an "
                     "earlier run that was interrupted")  # fmt: skip
    if any(c.judged for c in page.cases):
        yield Warned(severity="note", text="a ratio is to the baseline, paired by round, with its "
                     "95 % interval; differences up to "
                     f"{percent(page.margin)} are taken for none")  # fmt: skip
