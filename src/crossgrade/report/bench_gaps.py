"""What a measurement could not find out, with each reason and what would help.

Must not know HTML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from crossgrade.report.bench_page import BenchPage, CaseEntry
from crossgrade.report.measuring_words import Word, word
from crossgrade.units import things
from crossgrade.values.bench import ANCHOR
from crossgrade.values.beside import Beside, BesideReason
from crossgrade.values.observation import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One thing that is not known, of every case in which it is so for the same reason."""

    what: str
    """What is missing."""
    on: tuple[str, ...]
    """Variants; empty: it is about all of them."""
    word: Word
    """Why."""
    detail: str
    """What happened, for a person."""
    cases: tuple[str, ...]
    """Cases that it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Missing:
    """One thing that is not known of one case."""

    what: str
    reason: str
    detail: str
    on: str = field(default="", compare=False)
    """What is missing on several for one reason is one thing."""


def gaps_of(page: BenchPage) -> list[Gap]:
    """Return what is not known: times first, then what stands beside them."""
    found: dict[_Missing, list[tuple[str, str]]] = {}
    for look in (_times, _lost, _censored, _observed, _unread, _beside):
        for case in page.cases:
            for missing in look(case):
                found.setdefault(missing, []).append((missing.on, case.title))
    return [
        Gap(
            what=m.what,
            on=tuple(dict.fromkeys(on for on, _ in about if on)),
            word=word(m.reason),
            detail=m.detail,
            cases=tuple(dict.fromkeys(title for _, title in about)),
        )
        for m, about in found.items()
    ]


def _times(case: CaseEntry) -> Iterator[_Missing]:
    for found in case.row.result.variants:
        if found.status == "absent":
            what = "time of the anchor" if found.name == ANCHOR else "time"
            yield _Missing(what=what, on=found.name, reason=found.reason or "error",
                           detail=found.detail)  # fmt: skip


def _lost(case: CaseEntry) -> Iterator[_Missing]:
    for lost in case.row.result.lost:
        yield _Missing(what="a session", reason=lost.reason, detail=lost.detail)


def _censored(case: CaseEntry) -> Iterator[_Missing]:
    for found in case.row.result.variants:
        for reason, number in found.censored.items():
            detail = f"{things(number, 'sample')} of {found.name}"
            yield _Missing(what="samples left out", on=found.name, reason=reason, detail=detail)


def _observed(case: CaseEntry) -> Iterator[_Missing]:
    for name, seen in case.row.result.observed.items():
        yield from _unseen(name, seen)


def _unseen(name: str, seen: Observation) -> Iterator[_Missing]:
    if seen.unchecked:
        yield _Missing(what="accuracy", on=name, reason="", detail=seen.unchecked)
    if seen.memory.reason:
        yield _Missing(what="memory", on=name, reason=seen.memory.reason,
                       detail=seen.memory.detail)  # fmt: skip
    if seen.energy.reason:
        yield _Missing(what="energy", on=name, reason=seen.energy.reason,
                       detail=seen.energy.detail)  # fmt: skip


def _unread(case: CaseEntry) -> Iterator[_Missing]:
    """Yield readings that the platform does not give, such as the clock of a device."""
    seen: Counter[tuple[str, str]] = Counter()
    for session in case.row.result.sessions:
        seen.update(session.unread.items())
    for name, why in seen:
        yield _Missing(what=f"reading {name}", reason="unread", detail=why)


def _beside(case: CaseEntry) -> Iterator[_Missing]:
    for one in case.row.beside:
        for what, reason, detail in _nothing_beside(one):
            if reason is not None and reason != "no-time":
                yield _Missing(what=what, on=one.variant, reason=reason, detail=detail)


def _nothing_beside(one: Beside) -> Iterator[tuple[str, BesideReason | None, str]]:
    yield "share of the measured ceiling", one.ceiling.reason, one.ceiling.detail
    yield "share of the data sheet", one.sheet.reason, one.sheet.detail
    yield "predicted band", one.predicted.reason, one.predicted.detail
