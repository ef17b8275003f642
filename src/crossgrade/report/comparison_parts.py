"""The parts that the template of a comparison asks for: rows, words and drawings.

Pure. Must not know HTML.
"""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

from crossgrade.report.bench_charts import RatioRow, ratios_chart
from crossgrade.report.bench_matrix import SIGNS
from crossgrade.report.bench_matrix import time_text as time_text
from crossgrade.report.bench_page import ComparisonPage
from crossgrade.report.comparison import TONES, minded, promise_of, sorted_cases, summary
from crossgrade.report.comparison import ratio_text as ratio_text
from crossgrade.report.document import Tone
from crossgrade.report.measuring_words import Word, word
from crossgrade.units import things
from crossgrade.values.comparison import COMPARISON_VERDICTS, CaseComparison

MANY: Final = 12
"""Cases from which there is a box to filter them by."""
DRAWN: Final = 60
"""Most ratios of the drawing."""


def heading(page: ComparisonPage) -> str:
    """Return what is compared."""
    first, second = page.names
    return f"{first}, then {second}" if second else f"variants of {first}"


def outcome(page: ComparisonPage) -> str:
    """Return the outcome in one line."""
    return summary(page.comparison)


def tone(page: ComparisonPage) -> Tone:
    """Return how the outcome is meant."""
    found = [v for v in COMPARISON_VERDICTS if page.comparison.count(v)]
    return TONES[found[0]] if found else "warning"


def promise(page: ComparisonPage) -> str:
    """Return what the verdicts promise."""
    return promise_of(page.comparison)


def rows(page: ComparisonPage) -> list[CaseComparison]:
    """Return the cases, what wants attention first."""
    return sorted_cases(page.comparison)


def loud(page: ComparisonPage) -> list[str]:
    """Return remarks that are true of several cases: they are about the runs, not about a case."""
    seen: dict[str, int] = {}
    for case in page.comparison.cases:
        for remark in case.remarks:
            seen[remark] = seen.get(remark, 0) + 1
    return [f"{remark} ({things(n, 'case')})" for remark, n in seen.items() if n > 1][:5]


def details(case: CaseComparison) -> tuple[str, ...]:
    """Return what to mind about a case."""
    return minded(case)


def sign(case: CaseComparison) -> str:
    """Return a sign that says the verdict without colour."""
    return SIGNS[case.verdict.lower()]


def ratios(page: ComparisonPage) -> Markup | None:
    """Return the ratios as a drawing; None without any."""
    found = [
        RatioRow(name=_name(case), ratio=case.ratio, word=case.verdict.lower())
        for case in rows(page)[:DRAWN]
        if case.ratio is not None
    ]
    if not found:
        return None
    return ratios_chart("ratios", "Second over first", found, page.comparison.margin)


def _name(case: CaseComparison) -> str:
    return f"{case.after}: {case.title}"


def same_facts(page: ComparisonPage) -> list[tuple[str, str]]:
    """Return facts that both environments have and that are the same."""
    first, second = page.environments
    return [(k, v) for k, v in first.items() if second.get(k) == v]


def unsettled(page: ComparisonPage) -> list[str]:
    """Return cases without a verdict, and what would give them one."""
    found = []
    for case in rows(page):
        if case.verdict == "INCONCLUSIVE":
            why = "; ".join(details(case)) or "the interval is too wide for a verdict"
            found.append(f"{case.title}, {case.after}: {why}")
    return found


def words(page: ComparisonPage) -> list[Word]:
    """Return every verdict on the page with its meaning."""
    return [word(v) for v in COMPARISON_VERDICTS if page.comparison.count(v)]
