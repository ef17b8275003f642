"""A calibration as a document: each rate with its interval, beside the data sheet.

Must not work out a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from crossgrade.report.calibration_kernels import kernel_blocks
from crossgrade.report.document import Block, Document, Heading, Line, Table, Tone
from crossgrade.units import percent, si, things
from crossgrade.values.audit import AuditReport
from crossgrade.values.calibration import Ceiling, Ceilings, SheetRate
from crossgrade.values.kernel_calibration import KernelCalibration

_TONES: dict[str, Tone] = {
    "measured": "good", "noisy": "warning", "incomplete": "bad", "unmeasured": "bad",
}  # fmt: skip
_TOLD = {
    "measured": "every rate is known as well as was asked",
    "noisy": "a rate is known less well than was asked",
    "incomplete": "a rate that it should have is missing",
    "unmeasured": "no rate was measured",
}


def calibration_document(
    found: Ceilings,
    sheet: Sequence[SheetRate | None],
    record: str = "",
    kernels: KernelCalibration | None = None,
) -> Document:
    """Return ceilings, and kernel points where there are any, as a document.

    Args:
        found: what was measured.
        sheet: what the description of the device says of each rate.
        record: file of the record; empty: none was written.
        kernels: kernel points and what is fitted to them; None: there are none.
    """
    return Document(blocks=tuple(_blocks(found, sheet, record, kernels)))


def _blocks(
    found: Ceilings, sheet: Sequence[SheetRate | None], record: str,
    kernels: KernelCalibration | None,
) -> Iterator[Block]:  # fmt: skip
    device = found.facts.get("device", found.target)
    yield Heading(text=f"{device} through {found.facts.get('runtime', found.target)}: "
                  f"{found.verdict}")  # fmt: skip
    yield Line(text=_TOLD[found.verdict], tone=_TONES[found.verdict])
    rated = [(one, peak) for one, peak in zip(found.rates, sheet, strict=True) if one.rate]
    if rated:
        yield _table(rated)
    missing = tuple((_name(one), one.reason or "", one.detail)
                    for one in found.rates if not one.rate)  # fmt: skip
    if missing:
        yield Table(columns=("work", "reason", "what happened"), rows=missing,
                    whole=frozenset({0, 1}), title="without a rate")  # fmt: skip
    yield Line(text="a ceiling is the best of its sizes: what the device was seen to reach",
               tone="quiet")  # fmt: skip
    yield from _sheet(found, sheet)
    if kernels is not None:
        yield from kernel_blocks(kernels)
    yield from _timer(found)
    if record:
        yield Line(text=f"record: {record}", tone="quiet")
        yield Line(text=f"the samples behind it: crossgrade records show {record} --json",
                   tone="quiet")  # fmt: skip


def _table(rated: Sequence[tuple[Ceiling, SheetRate | None]]) -> Table:
    peaks = any(peak for _, peak in rated)
    columns = ["work", "ceiling (measured)", "95 % interval", "sessions", "best size", "of"]
    if peaks:
        columns += ["description", "reached", "known as"]
    rows = tuple(tuple(_cells(one, peak))[: len(columns)] for one, peak in rated)
    right = frozenset({1, 2, 3, 5, 6, 7} if peaks else {1, 2, 3, 5})
    return Table(columns=tuple(columns), rows=rows, right=right, whole=frozenset({0}),
                 title="ceilings")  # fmt: skip


def _cells(one: Ceiling, peak: SheetRate | None) -> Iterator[str]:
    assert one.rate is not None
    assert one.case is not None
    width = one.rate.half_width
    yield _name(one)
    yield si(one.rate.value, _unit(one))
    yield f"±{percent(width)}" if math.isfinite(width) else "unknown: one session"
    yield str(one.sessions)
    yield " ".join(f"{name}={size}" for name, size in one.case.arguments.items())
    yield things(one.sizes, "size")
    yield si(peak.value, _unit(one)) if peak else "not known"
    yield percent(one.rate.value / peak.value) if peak else ""
    yield peak.kind if peak else ""


def _name(one: Ceiling) -> str:
    return one.work if one.precision is None else f"{one.work} {one.precision}"


def _unit(one: Ceiling) -> str:
    return "B/s" if one.unit == "byte/s" else one.unit


def _sheet(found: Ceilings, sheet: Sequence[SheetRate | None]) -> Iterator[Block]:
    """Yield where the description comes from, or that there is none."""
    if found.sheet:
        yield Line(text=f"description: crossgrade chips {found.sheet}", tone="quiet")
    elif found.probed is not None:
        yield Line(text="a CPU has no data sheet here; beside it stands what numpy reaches",
                   tone="quiet")  # fmt: skip
    else:
        device = found.facts.get("device", "")
        yield Line(text=f"no described chip is known to be `{device}`, so no data sheet is beside "
                   "it", tone="quiet")  # fmt: skip
    for source in dict.fromkeys(f"{peak.source}: {peak.url}" for peak in sheet if peak):
        yield Line(text=f"source: {source}", tone="quiet")


def _timer(found: Ceilings) -> Iterator[Block]:
    audits: dict[str, AuditReport] = {a.target: a for m in found.measurements for a in m.audits}
    for audit in audits.values():
        chosen = f"timed by {audit.chosen}" if audit.chosen else "no timer passed the audit"
        yield Line(text=f"{audit.target}: {chosen}", tone="quiet")
