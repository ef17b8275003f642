"""An assessment as Markdown for a pull request: the verdict, one table, what to do, details folded.

A comment may have 65,536 characters on the common code hosts; what does not fit is left out from
the end, and that is said. Must not know how anything was found out.
"""

from __future__ import annotations

from collections.abc import Iterator

from crossgrade.report.assessment import assessment_document
from crossgrade.report.changes import changes_blocks
from crossgrade.report.document import Document, Table
from crossgrade.report.markdown import folded_markdown, inert_markdown, render_markdown
from crossgrade.report.merged import merged_findings
from crossgrade.report.stacked import stack_time
from crossgrade.report.verdict import verdict_parts
from crossgrade.units import figure, percent, seconds, things
from crossgrade.values.assessment import Assessment, ChipAssessment, verdict_text
from crossgrade.values.change import Changes

LARGEST = 60_000
"""Characters; below the limit of a comment, so that a line may be put before it."""


def render_pull_request(
    assessment: Assessment, *, command: str, changes: Changes | None = None
) -> str:
    """Return the report; its parts come in the order of use.

    Args:
        assessment: what it shows.
        command: the command line that gives it again.
        changes: what differs from an earlier record.
    """
    head = "\n".join(_head(assessment))
    parts = [*_details(assessment, changes)]
    measured = any(p.measured for c in assessment.chips for p in c.phases)
    how = "Predicted, but for what says measured" if measured else "Predicted, not measured"
    foot = f"\n<sub>{how}. Again: `{command.replace('`', '')}`</sub>\n"
    shown, left = head, 0
    for part in parts:
        if len(shown) + len(part) + len(foot) < LARGEST:
            shown += part
        else:
            left += 1
    if left:
        shown += f"\n{things(left, 'part')} left out: it is longer than {LARGEST:,} characters.\n"
    return shown + foot


def _head(a: Assessment) -> Iterator[str]:
    """Yield the title and the table of chips."""
    said = "; ".join(words for _, words in verdict_parts(a))
    yield f"## {inert_markdown(a.model.name)}: {said}\n"
    phases = [p.phase for p in a.chips[0].phases]
    measured = any(p.measured for c in a.chips for p in c.phases)
    how = "predicted, but for what says measured" if measured else "predicted"
    columns = ("chip", "verdict", *(f"{p} time ({how})" for p in phases),
               *(f"{p} {a.chips[0].phases[0].item}/s/chip" for p in phases))  # fmt: skip
    table = Table(columns=columns, rows=tuple(_row(chip) for chip in a.chips),
                  right=frozenset(range(2, len(columns))))  # fmt: skip
    yield render_markdown(Document(blocks=(table,)))
    found = merged_findings(a, figures_apart=False)
    for m in found:
        if m.first.severity == "note":
            continue
        share = f" (up to {percent(m.time_share)} of time)" if m.time_share else ""
        chips = ", ".join(m.where)
        yield (
            f"- **{m.first.severity} {m.first.id}**: "
            f"{inert_markdown(m.first.title)}{share}; on {chips}. "
            f"*{inert_markdown(m.first.hint)}.*"
        )
    notes = sum(m.first.severity == "note" for m in found)
    if notes:
        yield f"- {things(notes, 'note')}: see below\n"


def _row(chip: ChipAssessment) -> tuple[str, ...]:
    times, rates = [], []
    for p in chip.phases:
        best = p.answer
        if best is not None:
            times.append(f"{seconds(best.time_s.value)} (measured, {best.target})")
            rates.append(figure(best.tokens_per_s.value))
            continue
        if p.stack is not None:
            times.append(stack_time(p.stack))
            rates.append(figure(p.stack.tokens_per_s / p.layout.chips))
            continue
        if p.speed is None:
            times.append("unknown")
            rates.append("unknown")
            continue
        times.append(f"{seconds(p.speed.time_s.low)} to {seconds(p.speed.time_s.high)}")
        rate = p.speed.tokens_per_s_per_chip
        rates.append(f"{figure(rate.low)} to {figure(rate.high)}")
    return (chip.chip, verdict_text(chip.verdict, chip.least_chips), *times, *rates)


def _details(a: Assessment, changes: Changes | None) -> Iterator[str]:
    """Yield folded parts, the most wanted first."""
    if changes is not None:
        body = render_markdown(Document(blocks=tuple(changes_blocks(changes))))
        title = f"{things(len(changes.entries), 'change')} since {changes.since}"
        yield folded_markdown(title, body)
    yield folded_markdown(
        "Memory, speed, operators, claims and all findings",
        render_markdown(assessment_document(a, everything=True)),
    )
    rows = tuple(
        (c.chip, k.name, f"{k.value:.6g} {k.unit}", k.kind, f"{k.source}, {k.date}", k.url)
        for c in a.chips
        for k in c.constants
    )
    constants = Table(
        columns=("chip", "constant", "value", "how known", "source", "address"), rows=rows
    )
    yield folded_markdown(
        "Constants and their sources", render_markdown(Document(blocks=(constants,)))
    )
