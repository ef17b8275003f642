"""Measurements as a document: times with intervals, ratios, what was refused and why.

Must not work out a number.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from pathlib import PurePath

from crossgrade.report.beside import beside_blocks
from crossgrade.report.document import Block, Document, Entry, Heading, Line, Table, Tone
from crossgrade.report.observed import observed_blocks
from crossgrade.units import percent, seconds, si, things
from crossgrade.values.audit import AuditReport, TimerAudit
from crossgrade.values.bench import ANCHOR, BenchRow, BenchRun, Interval, VariantResult
from crossgrade.values.model_case import ModelCase

_WIDE = 110
"""Columns from which rates are shown."""
_BROAD = 0.2
"""Half width above which an interval is shown by its ends."""
_FEW = 3
"""Cases of which each is told why its interval is wide."""
TONES: dict[str, Tone] = {
    "measured": "good",
    "noisy": "warning",
    "incomplete": "bad",
    "unmeasured": "bad",
}
"""Verdict of a run -> how it is meant."""


def bench_document(run: BenchRun, *, width: int | None = None) -> Document:
    """Return a run: verdict, then every case, then timers and where records lie.

    Args:
        run: what was measured.
        width: columns of a screen; None: nothing is left out for its sake.
    """
    return Document(blocks=tuple(_blocks(run, width)))


def _blocks(run: BenchRun, width: int | None) -> Iterator[Block]:
    name = _title(run.rows[0]) if len(run.rows) == 1 else run.name
    yield Heading(text=f"{name}: {run.verdict}")
    yield Line(text=run_summary(run), tone=TONES[run.verdict])
    present = [r for r in run.rows if any(_counts(v) for v in r.result.variants)]
    if present:
        yield _table(present, alone=len(run.rows) == 1, rates=width is None or width >= _WIDE)
    yield from beside_blocks(run)
    if weights := [r for r in present if r.result.plan.variants[0].case.calls > 1]:
        yield weighted(weights)
    yield from observed_blocks(present)
    yield from _absent(run)
    yield from _wide(run)
    yield from _noted(run)
    yield from _timers(run)
    for note in run.notes:
        yield Line(text=f"note: {note}", tone="quiet")
    yield from _kept(run)


def run_summary(run: BenchRun) -> str:
    """Return how many cases are known how well, in one line."""
    counts = {v: sum(r.result.verdict == v for r in run.rows)
              for v in ("measured", "noisy", "unmeasured")}  # fmt: skip
    told = {"measured": "with an interval as narrow as asked",
            "noisy": "with a wider interval than asked",
            "unmeasured": "without a number"}  # fmt: skip
    parts = [f"{things(n, 'case')} {told[v]}" for v, n in counts.items() if n]
    return "; ".join(parts) or "no case"


def _counts(variant: VariantResult) -> bool:
    return variant.status == "ok" and variant.name != ANCHOR


def _title(row: BenchRow) -> str:
    return row.result.plan.variants[0].case.title


def _table(rows: list[BenchRow], *, alone: bool, rates: bool) -> Table:
    """Return one line per variant; rates only where there is room for them."""
    several = any(len(r.result.plan.variants) > 1 for r in rows)
    columns = [] if alone else ["case"]
    columns += ["on", "time per call", "95 % interval"]
    columns += [f"over {rows[0].result.plan.variants[0].name}"] if several else []
    items = any(isinstance(r.result.plan.variants[0].case, ModelCase) for r in rows)
    columns += ["tokens/s"] if items else []
    columns += ["over anchor", "sessions"]
    columns += ["FLOP/s", "byte/s"] if rates else []
    cells = tuple(
        tuple(_cells(row, variant, several, rates, items))[1 if alone else 0 :]
        for row in rows
        for variant in row.result.variants
        if _counts(variant)
    )
    first = columns.index("on")
    return Table(columns=tuple(columns), rows=cells, whole=frozenset({first}),
                 right=frozenset(range(first + 1, len(columns))), title="measured")  # fmt: skip


def _cells(
    row: BenchRow, variant: VariantResult, several: bool, rates: bool, items: bool
) -> Iterator[str]:
    time = variant.time_s
    yield _title(row)
    yield variant.name
    yield seconds(time.value) if time else ""
    yield _span(time) if time else ""
    if several:
        yield _ratio(variant.per_baseline) if variant.per_baseline else "1"
    if items:
        yield items_text(row, time)
    yield _ratio(variant.per_anchor) if variant.per_anchor else ""
    yield str(len(row.result.sessions))
    if rates:
        yield _rate(variant.flop, time, "FLOP/s")
        yield _rate(variant.bytes, time, "B/s")


def items_text(row: BenchRow, time: Interval | None) -> str:
    """Return tokens per second of a phase of a model, or what else its rates count."""
    case = row.result.plan.variants[0].case
    if not isinstance(case, ModelCase) or not time or time.value <= 0:
        return ""
    return f"{case.workload.items / time.value:.4g}"


def _span(interval: Interval) -> str:
    """Return how well a time is known: a share, or both ends where that says more."""
    if not math.isfinite(interval.high):
        return "unknown: one session"
    if interval.half_width <= _BROAD:
        return f"±{percent(interval.half_width)}"
    return f"{seconds(interval.low)} to {seconds(interval.high)}"


def _ratio(interval: Interval) -> str:
    """Return a ratio with a digit beyond what its interval bears."""
    if not math.isfinite(interval.high):
        return f"{interval.value:.3g}"
    if interval.half_width <= _BROAD:
        return f"{interval.value:.4g} ±{percent(interval.half_width)}"
    return f"{interval.value:.2g} ({interval.low:.2g} to {interval.high:.2g})"


def _rate(amount: float | None, time: Interval | None, unit: str) -> str:
    return si(amount / time.value, unit) if amount and time and time.value > 0 else ""


def weighted(rows: list[BenchRow]) -> Table:
    """Return what the calls of a model take together, by operator."""
    totals: dict[tuple[str, str], float] = {}
    for row in rows:
        case = row.result.plan.variants[0].case
        for variant in row.result.variants:
            if _counts(variant) and variant.time_s:
                key = (case.op, variant.name)
                totals[key] = totals.get(key, 0.0) + variant.time_s.value * case.calls
    whole: dict[str, float] = {}
    for (_, name), value in totals.items():
        whole[name] = whole.get(name, 0.0) + value
    ordered = sorted(totals.items(), key=lambda item: -item[1])
    return Table(
        columns=("operator", "on", "all calls", "share"),
        rows=tuple((op, name, seconds(value), percent(value / whole[name]))
                   for (op, name), value in ordered),
        right=frozenset({2, 3}),
        title="all calls of these cases in the model, timed one by one",
    )  # fmt: skip


def _wide(run: BenchRun) -> Iterator[Block]:
    """Yield why intervals are wider than asked, and what to do; of many only how many."""
    wide = [r for r in run.rows if r.result.verdict == "noisy"]
    if len(wide) > _FEW:
        text = (f"{things(len(wide), 'case')} with an interval wider than asked: `crossgrade "
                "records show FILE` says of each what would narrow it")  # fmt: skip
        yield Line(text=text, tone="warning")
        return
    for row in wide:
        yield Line(text=f"{_title(row)}: {row.result.why}", tone="warning")


def _absent(run: BenchRun) -> Iterator[Block]:
    """Yield cases without a number, by reason."""
    rows = [(_title(r), v.name, v.reason or "", v.detail)
            for r in run.rows for v in r.result.variants
            if v.status == "absent" and v.name != ANCHOR]  # fmt: skip
    if rows:
        yield Table(columns=("case", "on", "reason", "what happened"), rows=tuple(rows),
                    whole=frozenset({1, 2}), title="without a number")  # fmt: skip
    for row in run.rows:
        for lost in row.result.lost:
            yield Line(text=f"{_title(row)}: session {lost.index} was lost, {lost.reason}: "
                       f"{lost.detail}", tone="warning")  # fmt: skip


def _noted(run: BenchRun) -> Iterator[Block]:
    """Yield what to know of implementations, each note once with the cases that it is about."""
    for row in run.rows[:_FEW]:
        for remark in row.result.remarks:
            yield Line(text=f"mind: {_title(row)}: {remark}", tone="warning")
    about: dict[tuple[str, str], list[str]] = {}
    for row in run.rows:
        for name, notes in row.result.notes.items():
            for note in notes:
                about.setdefault((name, note), []).append(_title(row))
    for (name, note), titles in about.items():
        more = f" and {things(len(titles) - 1, 'other case')}" if len(titles) > 1 else ""
        yield Line(text=f"mind: {name}, {titles[0]}{more}: {note}", tone="quiet")


def _timers(run: BenchRun) -> Iterator[Block]:
    """Yield the timer of each target, and those that were refused."""
    audits = {a.target: a for r in run.rows for a in r.result.audits}
    for audit in audits.values():
        refused = tuple(_refusal(t) for t in audit.timers if not t.survived)
        if audit.chosen is None:
            yield Entry(text=f"{audit.target}: no timer passed the audit, so no number is given",
                        details=refused, tone="bad")  # fmt: skip
        else:
            yield Entry(text=f"{audit.target}: timed by {_chosen(audit)}", details=refused)


def _chosen(audit: AuditReport) -> str:
    timer = next(t for t in audit.timers if t.kind == audit.chosen)
    step = seconds(timer.resolution_s) if timer.resolution_s else "unknown"
    tries = f" in audit {audit.tries}" if audit.tries > 1 else ""
    return f"{timer.kind}; {len(timer.checks)} checks passed{tries}, least step {step}"


def _refusal(timer: TimerAudit) -> str:
    failed = "; ".join(
        f"{c.name}: {c.detail or _value(c.value)} ({c.limit})" for c in timer.checks if not c.passed
    )
    return f"refused: {timer.kind}: {failed or 'not all checks could be made'}"


def _value(value: float | None) -> str:
    return "not seen" if value is None else f"{value:.4g}"


def _kept(run: BenchRun) -> Iterator[Block]:
    if run.taken_up:
        yield Line(text=f"taken up: {things(run.taken_up, 'session')} of an earlier run, not "
                   "measured again", tone="quiet")  # fmt: skip
    if run.folder:
        record = run.rows[0].record if len(run.rows) == 1 else ""
        yield Line(text=f"record: {record}" if record else f"records: {run.folder}", tone="quiet")
        named = shlex.quote(record or str(PurePath(run.folder) / "FILE"))
        yield Line(text=f"the same again: crossgrade reproduce {named}", tone="quiet")
