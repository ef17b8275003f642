"""A comparison of measurements for a screen, a pipe and a pull request: what got slower first.

Must not know how anything was worked out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from crossgrade.report.document import Block, Document, Entry, Heading, Line, Table, Tone
from crossgrade.report.markdown import folded_markdown, inert_markdown, render_markdown
from crossgrade.units import percent, seconds, things
from crossgrade.values.bench import Interval
from crossgrade.values.comparison import (
    COMPARISON_VERDICTS,
    CaseComparison,
    Comparison,
    ComparisonVerdict,
    Difference,
)

T = TypeVar("T")
TONES: Final[dict[ComparisonVerdict, Tone]] = {
    "SLOWER": "bad", "INCONCLUSIVE": "warning", "FASTER": "good", "SAME": "plain",
}  # fmt: skip
"""Verdict -> how it is meant."""
_COLUMNS: Final = ("verdict", "case", "variant", "first", "second", "ratio", "ratio of")
_RIGHT: Final = frozenset({3, 4, 5})
_ROOM: Final = 16_000
"""Characters of one table in a pull request; a comment holds three of these, and the rest."""


def comparison_document(comparison: Comparison) -> Document:
    """Return the comparison: what else is not the same, then cases, what got slower first."""
    return Document(blocks=tuple(_blocks(comparison)))


def comparison_pull_request(comparison: Comparison, *, command: str = "") -> str:
    """Return the comparison as Markdown for a pull request, below the length of a comment.

    Args:
        comparison: what it shows.
        command: the command line that gives it again; empty leaves it out.
    """
    cases = sorted_cases(comparison)
    changed = [c for c in cases if c.verdict != "SAME"]
    same = [c for c in cases if c.verdict == "SAME"]
    parts = [f"## {summary(comparison)}\n"]
    if comparison.environment:
        facts = "; ".join(_fact(d) for d in comparison.environment[:5])
        more = len(comparison.environment) - 5
        rest = f"; and {things(more, 'more fact')}" if more > 0 else ""
        parts.append(f"\nNot the same environment: {inert_markdown(facts)}{rest}.\n")
    if changed:
        parts += ["\n", _fitting(changed, _table, "case")]
    parts += ["\n", *_fitting_list([e for e in map(_entry, changed) if e.details])]
    parts += [f"- {inert_markdown(remark)}\n" for remark in comparison.remarks[:20]]
    if same:
        parts.append(
            folded_markdown(things(len(same), "unchanged case"), _fitting(same, _table, "case"))
        )
    if len(comparison.environment) > 5:
        table = _fitting(comparison.environment, _environment, "fact")
        parts.append(folded_markdown("What else is not the same", table))
    again = f" Again: `{command.replace('`', '')}`" if command else ""
    parts.append(f"\n<sub>Measured. {promise_of(comparison)}{again}</sub>\n")
    return "".join(parts)


def summary(comparison: Comparison) -> str:
    """Return the outcome in one line, such as `1 slower, 3 same (margin ±2.0 %)`."""
    counts = [f"{comparison.count(v)} {v.lower()}" for v in COMPARISON_VERDICTS
              if comparison.count(v)]  # fmt: skip
    return f"{', '.join(counts) or 'nothing to compare'} (margin ±{percent(comparison.margin)})"


def ratio_text(ratio: Interval | None) -> str:
    """Return a ratio with its interval, such as `1.031× [1.022, 1.040]`."""
    if ratio is None:
        return "unknown"
    digits = 3 if ratio.value >= 0.1 else 5
    if ratio.low == 0 or math.isinf(ratio.half_width) or ratio.half_width > 100:
        return f"{ratio.value:.{digits}f}× [unknown]"
    low, high = (f"{end:.{digits}f}" for end in (ratio.low, ratio.high))
    return f"{ratio.value:.{digits}f}× [{low}, {high}]"


def _blocks(comparison: Comparison) -> Iterator[Block]:
    found = [v for v in COMPARISON_VERDICTS if comparison.count(v)]
    yield Heading(text="comparison of measurements")
    yield Line(text=summary(comparison), tone=TONES[found[0]] if found else "warning")
    if comparison.environment:
        yield _environment(comparison.environment)
    cases = sorted_cases(comparison)
    if cases:
        yield _table(cases)
    yield from (entry for entry in map(_entry, cases) if entry.details)
    for remark in comparison.remarks:
        yield Line(text=f"mind: {remark}", tone="warning")
    yield Line(text=promise_of(comparison), tone="quiet")


def sorted_cases(comparison: Comparison) -> list[CaseComparison]:
    """Return the cases, what wants attention first, then by how far they moved."""
    return sorted(comparison.cases, key=lambda c: (COMPARISON_VERDICTS.index(c.verdict),
                                                   -_moved(c.ratio)))  # fmt: skip


def _moved(ratio: Interval | None) -> float:
    return abs(math.log(ratio.value)) if ratio and ratio.value > 0 else 0.0


def _environment(found: Sequence[Difference]) -> Table:
    return Table(
        title="what else is not the same",
        columns=("fact", "first", "second"),
        rows=tuple((d.key, d.before or "(none)", d.after or "(none)") for d in found),
    )


def _fact(d: Difference) -> str:
    return f"{d.key}: {d.before or '(none)'} -> {d.after or '(none)'}"


def _table(cases: Sequence[CaseComparison]) -> Table:
    return Table(columns=_COLUMNS, rows=tuple(map(_row, cases)), right=_RIGHT,
                 whole=frozenset({0, 3, 4, 5}))  # fmt: skip


def _row(case: CaseComparison) -> tuple[str, ...]:
    times = [seconds(t.value) if t else "unknown" for t in (case.before_s, case.after_s)]
    variant = case.before if case.before == case.after else f"{case.before} -> {case.after}"
    return (case.verdict, case.title, variant, *times, ratio_text(case.ratio), case.basis or "")


def minded(case: CaseComparison) -> tuple[str, ...]:
    """Return what to mind about a case."""
    details = list(case.remarks)
    if case.absolute and case.ratio and _apart(case.absolute, case.ratio):
        details.append(f"times as they are: {ratio_text(case.absolute)}")
    if case.sessions_needed is not None:
        details.append(f"about {things(case.sessions_needed, 'more session')} of each would "
                       "probably settle it")  # fmt: skip
    return tuple(details)


def _entry(case: CaseComparison) -> Entry:
    """Return what to mind about a case; without details there is nothing."""
    variant = f" ({case.after})" if case.after != case.before else ""
    return Entry(text=f"{case.verdict} {case.title}{variant}", details=minded(case),
                 tone=TONES[case.verdict])  # fmt: skip


def _apart(a: Interval, b: Interval) -> bool:
    """Return whether two intervals have nothing in common."""
    return a.low > b.high or b.low > a.high


def promise_of(comparison: Comparison) -> str:
    """Return what the verdicts promise."""
    tested = sum(c.p_value is not None for c in comparison.cases)
    return (
        "Ratios are second over first with 95 % intervals. Of what is called FASTER or SLOWER over "
        f"{things(tested, 'case')}, at most {percent(comparison.false_discovery)} is expected to "
        "be no difference at all (Benjamini-Hochberg). SAME: the whole interval lies inside the "
        "margin."
    )


def _fitting(rows: Sequence[T], table: Callable[[Sequence[T]], Table], what: str) -> str:
    """Return a table of as many rows as have room, and how many are left out."""
    shown = len(rows)
    while True:
        text = render_markdown(Document(blocks=(table(rows[:shown]),)))
        if len(text) <= _ROOM or shown <= 1:
            break
        shown = max(1, min(shown - 1, int(shown * _ROOM / len(text))))
    left = len(rows) - shown
    return text + (f"\n{things(left, what)} left out: the table is too long.\n" if left else "")


def _fitting_list(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield as many entries as have room in what a comment may have besides its tables."""
    room = _ROOM // 2
    for place, entry in enumerate(entries):
        text = render_markdown(Document(blocks=(entry,)))
        room -= len(text)
        if room < 0:
            yield f"- {things(len(entries) - place, 'remark')} left out: the list is too long\n"
            return
        yield text
