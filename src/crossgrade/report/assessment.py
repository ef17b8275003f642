"""An assessment as a document: the verdict first, then chips side by side, then what to act on.

Must not compute: every figure stands in the value.
"""

from __future__ import annotations

from collections.abc import Iterator

from crossgrade.report.changes import changes_blocks
from crossgrade.report.document import Block, Document, Entry, Heading, Line, Table, Tone
from crossgrade.report.measured import measured_blocks
from crossgrade.report.merged import merged_findings
from crossgrade.report.stacked import stack_blocks
from crossgrade.report.training import training_blocks
from crossgrade.units import bytes_, count, figure, percent, seconds, si, things
from crossgrade.values.assessment import (
    Assessment,
    ChipAssessment,
    ClaimComparison,
    LevelFigures,
    PhaseAssessment,
    Verdict,
    verdict_text,
)
from crossgrade.values.change import Changes
from crossgrade.values.evidence import Band

_TONE: dict[Verdict, Tone] = {
    "runs": "good",
    "runs-with-findings": "warning",
    "needs-N-chips": "warning",
    "blocked": "bad",
    "unknown": "bad",
}
_MOST_FINDINGS = 6


def assessment_document(
    assessment: Assessment, *, everything: bool = False, changes: Changes | None = None
) -> Document:
    """Return what a person reads.

    Args:
        assessment: the answer.
        everything: list all findings.
        changes: what differs from an earlier record, None without one.
    """
    return Document(blocks=tuple(_blocks(assessment, everything, changes)))


def _blocks(a: Assessment, everything: bool, changes: Changes | None) -> Iterator[Block]:
    for chip in a.chips:
        text = verdict_text(chip.verdict, chip.least_chips)
        yield Line(text=f"{a.model.name} on {chip.chip}: {text}", tone=_TONE[chip.verdict])
    yield Line(
        text=f"{count(a.parameters)} parameters; weights counted as {a.weights_format}",
        tone="quiet",
    )
    for index, first in enumerate(a.chips[0].phases):
        rows = [(chip, chip.phases[index]) for chip in a.chips]
        yield Heading(
            level=2,
            text=f"{first.phase}: {_sizes(first)}",
        )
        yield Line(
            text=f"{count(first.calls)} calls captured, {count(first.distinct_calls)} distinct, "
            f"{si(first.flops, 'FLOP')}",
            tone="quiet",
        )
        if first.phase == "train":
            yield Line(
                text=f"weights counted as {first.memory.weights_format}; {first.training}",
                tone="quiet",
            )
        yield _memory_table(rows)
        yield from measured_blocks(rows)
        yield from stack_blocks(rows)
        yield from training_blocks(rows)
        if any(p.speed is not None or p.stack is None for _, p in rows):
            yield _speed_table(rows)
        yield _operator_table(rows)
        yield from _claims(rows)
    yield from _findings(a, everything)
    if changes is not None:
        yield from changes_blocks(changes)
    yield from _closing(a)


def _sizes(p: PhaseAssessment) -> str:
    """Return what one execution works on, in words."""
    if p.inputs:
        return p.inputs
    if p.item == "executions":
        return "the example inputs"
    if p.step is not None and p.rank is not None:
        return f"batch {count(p.step.plan.batch)}, {count(p.tokens)} tokens per sequence"
    return (
        f"batch {p.batch}, {count(p.tokens)} new and {count(p.context)} cached tokens per sequence"
    )


Rows = list[tuple[ChipAssessment, PhaseAssessment]]


def _memory_table(rows: Rows) -> Table:
    """Return what must fit, per chip; parts that no chip needs are left out."""
    parts = [
        (title, name)
        for title, name in (
            ("weights", "weights"),
            ("converted", "converted"),
            ("cache", "kv"),
            ("gradients", "gradients"),
            ("optimizer", "optimizer"),
            ("activations, fused", "activations_fused"),
            ("eager", "activations_eager"),
        )
        if any(getattr(p.memory, name) for _, p in rows)
    ]
    shared = any(p.memory.peak_per_chip is not None for _, p in rows)
    per_chip = ("peak per chip",) if shared else ()
    replica = any(p.layout.kind == "data-parallel-sharded" or p.step for _, p in rows)
    whose = "one replica" if replica else "all chips together"
    ends = (*per_chip, "usable per chip", "at least")
    return Table(
        title=f"memory of {whose} (exact; converted and fused: predicted)",
        columns=("chip", *(t for t, _ in parts), "peak, fused", *ends),
        rows=tuple(
            (
                chip.chip,
                *(bytes_(getattr(p.memory, name)) for _, name in parts),
                bytes_(p.memory.peak_fused),
                *((bytes_(p.memory.peak_per_chip or p.memory.peak_fused),) if shared else ()),
                bytes_(p.memory.usable_per_chip) if p.memory.usable_per_chip else "unknown",
                _chip_count(p),
            )
            for chip, p in rows
        ),
        right=frozenset(range(1, len(parts) + 2 + len(ends))),
    )


def _chip_count(p: PhaseAssessment) -> str:
    """Return how many chips hold a phase; none do where what every chip keeps is too much."""
    if p.memory.least_chips is None:
        return "unknown" if p.memory.usable_per_chip is None else "no number"
    return things(p.memory.least_chips, "chip")


def _speed_table(rows: Rows) -> Table:
    """Return predicted time and rates, per chip."""
    item = rows[0][1].item
    priced = any(p.speed and p.speed.tokens_per_price for _, p in rows)
    per_price = (f"{item} per price unit",) if priced else ()
    rates = (f"{item}/s", f"{item}/s/chip", f"{item}/s/W", *per_price)
    columns = ("chip", "chips", "time, fused+graph to eager", *rates, "binds")
    cells = []
    for chip, p in rows:
        s = p.speed
        if s is None:
            cells.append((chip.chip, str(p.layout.chips), *["unknown"] * (len(columns) - 2)))
            continue
        price = (_range(s.tokens_per_price),) if priced else ()
        cells.append(
            (
                chip.chip,
                str(p.layout.chips),
                f"{seconds(s.time_s.low)} to {seconds(s.time_s.high)}",
                _range(s.tokens_per_s),
                _range(s.tokens_per_s_per_chip),
                _range(s.tokens_per_s_per_watt),
                *price,
                f"{s.binds} {percent(s.share_by_bound[s.binds])}",
            )
        )
    shared = any(p.layout.kind == "data-parallel-sharded" for _, p in rows)
    split = "data parallel, a batch per chip" if shared else "ideal shards"
    return Table(
        title=f"bounds of any software (predicted; more than one chip: {split}, collectives a "
        "lower bound)",
        columns=columns,
        rows=tuple(cells),
        right=frozenset(range(1, len(columns) - 1)),
    )


def _operator_table(rows: Rows) -> Table:
    """Return operators by support level, per chip."""
    levels = list(dict.fromkeys(f.level for _, p in rows for f in p.levels))
    cells = []
    for chip, p in rows:
        known = {f.level: f for f in p.levels}
        cells.append(
            (
                chip.chip,
                chip.operator_table,
                *(_counted(known[level]) if level in known else "-" for level in levels),
            )
        )
    return Table(
        title="operators by support: distinct (share of predicted time)",
        columns=("chip", "table", *levels),
        rows=tuple(cells),
        right=frozenset(range(2, 2 + len(levels))),
    )


def _counted(level: LevelFigures) -> str:
    """Return how many operators have a level, with their share of time where there is one."""
    share = "" if level.time_share is None else f" ({percent(level.time_share)})"
    return f"{level.operators}{share}"


def _claims(rows: Rows) -> Iterator[Block]:
    claims = [(chip, c) for chip, p in rows for c in p.claims]
    if not claims:
        return
    yield Table(
        title="published results (claimed) beside our band (predicted) for their conditions",
        columns=("chip", "claimed", "predicted", "verdict", "conditions and source"),
        rows=tuple(_claim_row(chip, c) for chip, c in claims),
    )


def _claim_row(chip: ChipAssessment, c: ClaimComparison) -> tuple[str, ...]:
    band = c.predicted
    where = {None: "not compared", True: "inside", False: "outside"}[c.inside]
    if band is not None and c.inside is False:
        where = "below our band" if c.claim.value < band.low else "above our band"
    return (
        chip.chip,
        f"{seconds(c.claim.value)} per token",
        f"{seconds(band.low)} to {seconds(band.high)}" if band else "-",
        where,
        f"{c.claim.chips} chips, batch {c.claim.batch}, {count(c.claim.context)} cached, "
        f"{c.claim.weights}; {c.remark}; said by {c.claim.said_by}; {c.claim.source.url}",
    )


def _findings(a: Assessment, everything: bool) -> Iterator[Block]:
    """Yield findings, equal ones of several chips and phases in one entry."""
    entries = merged_findings(a)
    if not entries:
        return
    yield Heading(level=2, text=f"findings ({len(entries)})")
    shown = entries if everything else entries[:_MOST_FINDINGS]
    for found in shown:
        first = found.first
        chips = ", ".join(f"{chip} {phase}" for chip, phases in found.where.items()
                          for phase in phases)  # fmt: skip
        tone: Tone = {"blocker": "bad", "warning": "warning"}.get(first.severity, "plain")  # type: ignore[assignment]
        share = f" ({percent(first.time_share)} of time)" if first.time_share else ""
        details = [f"on {chips}"]
        if first.place:
            details.append(f"at {'; '.join(first.place[:3])}")
        if first.evidence:
            shown_lines = first.evidence if everything else first.evidence[:4]
            details.append(f"because {'; '.join(shown_lines)}")
        yield Entry(
            text=f"{first.severity} {first.id}: {first.title}{share}",
            tone=tone,
            details=(*details, f"hint: {first.hint}"),
        )
    more = f"... {len(entries) - len(shown)} more: add --all; " if len(shown) < len(entries) else ""
    code = shown[0].first.id
    yield Line(text=f"{more}`crossgrade explain {code}` says what it means", tone="quiet")


def _closing(a: Assessment) -> Iterator[Block]:
    yield Heading(level=2, text="how we know")
    for note in a.notes:
        yield Line(text=f"note: {note}")
    versions = ", ".join(f"{k} {v}" for k, v in a.environment.items() if v)
    yield Line(text=f"captured with {versions}", tone="quiet")
    yield Line(
        text="operators: read from tables and the dispatcher, not run on the chip; memory: exact "
        "for the format and capture, with fused kernels predicted; speed of a stack: "
        "predicted, fitted to what its last column says; bounds: predicted from data sheets and "
        "assumed efficiencies, not fitted to the chip; `--json` lists every constant with its "
        "source",
        tone="quiet",
    )


def _range(band: Band | None) -> str:
    """Return both ends of a band, or that there is none."""
    if band is None:
        return "unknown"
    low, high = figure(band.low), figure(band.high)
    return low if low == high else f"{low} to {high}"
