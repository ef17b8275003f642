"""The parts that the page's template asks for: drawings, and rows that need more than a lookup.

Pure. Must not know HTML beyond ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from crossgrade.report.charts import (
    BandRow,
    ClaimRow,
    Point,
    Roof,
    StackRow,
    bands_chart,
    claims_chart,
    roofline_chart,
    stacks_chart,
    timeline_chart,
)
from crossgrade.report.inert import inert as inert
from crossgrade.report.measured import PLACES
from crossgrade.report.merged import MergedFinding, merged_findings
from crossgrade.report.stacked import collectives as collectives
from crossgrade.report.stacked import restings as restings
from crossgrade.report.stacked import rests_on as rests_on
from crossgrade.report.training import plan_in_words as plan_in_words
from crossgrade.report.training import training_rows as training_rows
from crossgrade.report.verdict import verdict_parts as verdict_parts
from crossgrade.units import bytes_, count, seconds, things
from crossgrade.values.assessment import (
    Assessment,
    ChipAssessment,
    ClaimComparison,
    ConstantFigure,
    MeasuredTime,
    PhaseAssessment,
    SpeedFigures,
)
from crossgrade.values.breakdown import OTHERS, EndBreakdown, KernelGroup, joined
from crossgrade.values.evidence import NumberClass
from crossgrade.values.number_kinds import NUMBER_KINDS, NumberKind
from crossgrade.values.support import SupportLevel

_RANK: tuple[SupportLevel, ...] = ("native", "composite", "dtype-limited", "unverified", "conflict",
                                   "unknown", "cpu-fallback", "missing")  # fmt: skip
Rows = Sequence[tuple[ChipAssessment, PhaseAssessment]]
BOUND_ORDER = ("compute", "vector", "memory", "launch", "host", "network")
MEMORY_PARTS = (
    ("weights", "weights"), ("converted", "converted"), ("cache", "kv"),
    ("gradients", "gradients"), ("optimizer", "optimizer"),
    ("activations", "activations_fused"),
)  # fmt: skip


_MEMORY_COLUMNS: tuple[tuple[str, str, NumberClass], ...] = (
    ("weights", "weights", "exact"), ("converted", "converted", "predicted"),
    ("cache", "kv", "exact"), ("gradients", "gradients", "exact"),
    ("optimizer", "optimizer", "exact"), ("activations, fused", "activations_fused", "predicted"),
    ("activations, eager", "activations_eager", "exact"),
    ("peak, fused", "peak_fused", "predicted"), ("peak, eager", "peak_eager", "exact"),
)  # fmt: skip


def memory_columns(a: Assessment) -> list[tuple[str, str, NumberClass]]:
    """Return title, field and class of the memory figures that any phase has."""
    return [column for column in _MEMORY_COLUMNS
            if any(getattr(p.memory, column[1]) for p in a.chips[0].phases)]  # fmt: skip


def kinds_together() -> list[tuple[list[str], NumberKind]]:
    """Return how numbers are known, paths of one kind and reason together."""
    found: dict[tuple[str, ...], tuple[list[str], NumberKind]] = {}
    for k in NUMBER_KINDS:
        key = (k.kind, k.how, *k.rests_on)
        found.setdefault(key, ([], k))[0].append(k.path.replace("chips[].phases[].", "…"))
    return list(found.values())


def sentence(text: str) -> str:
    """Return text that begins like a sentence, unless it begins with a name of code."""
    first = text.split(" ", 1)[0]
    return text if set("._()=") & set(first) else text[:1].upper() + text[1:]


def anchor(*parts: str) -> str:
    """Return an id for a part of the page, of letters, digits and hyphens."""
    return "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") or "x" for part in parts)


def phase_rows(a: Assessment, index: int) -> Rows:
    """Return every chip with its entry for one phase."""
    return [(chip, chip.phases[index]) for chip in a.chips]


def findings(a: Assessment) -> Sequence[MergedFinding]:
    """Return findings by impact; figures alone make no other entry."""
    return merged_findings(a, figures_apart=False)


def bands(key: str, phase: str, rows: Rows) -> Markup | None:
    """Return the drawing of times; None where no chip has one."""
    bars = [
        BandRow(
            name=chip.chip,
            low=p.speed.time_s.low,
            high=p.speed.time_s.high,
            note=f" x{p.layout.chips}" if p.layout.chips > 1 else "",
        )
        for chip, p in rows
        if p.speed
    ]
    return bands_chart(key, f"Predicted time of one {phase} step", bars) if bars else None


def claims(rows: Rows) -> list[tuple[ChipAssessment, ClaimComparison]]:
    """Return what others have published about these chips."""
    return [(chip, c) for chip, p in rows for c in p.claims]


def claims_drawing(key: str, phase: str, rows: Rows) -> Markup | None:
    """Return published values over our bands for their conditions; None without any."""
    bars = [
        ClaimRow(
            name=chip.chip,
            value=c.claim.value,
            low=c.predicted.low if c.predicted else None,
            high=c.predicted.high if c.predicted else None,
        )
        for chip, c in claims(rows)
    ]
    return claims_chart(key, f"Published {phase} results over our band", bars) if bars else None


def priced(rows: Rows) -> bool:
    """Return whether the user gave a price for any chip that has a time."""
    return any(p.speed is not None and p.speed.tokens_per_price is not None for _, p in rows)


def memory(key: str, a: Assessment) -> Markup:
    """Return memory by part, a bar per phase; it is the same on every chip."""
    bars = [
        StackRow(name=p.phase, parts={t: getattr(p.memory, n) or 0.0 for t, n in MEMORY_PARTS})
        for p in a.chips[0].phases
    ]
    order = [title for title, _ in MEMORY_PARTS]
    return stacks_chart(key, "Memory of all chips together, fused kernels", bars, order,
                        share=False)  # fmt: skip


def has_measured(a: Assessment) -> list[str]:
    """Return the chips that have a measured time."""
    return [c.chip for c in a.chips if any(p.measured for p in c.phases)]


def has_stack(a: Assessment) -> bool:
    """Return whether some time is that of a stack's launches."""
    return any(p.stack for c in a.chips for p in c.phases)


def measured(a: Assessment) -> list[str]:
    """Return the chips whose constants were measured and not claimed."""
    return [c.chip for c in a.chips if any(k.kind == "measured" for k in c.constants)]


def on_layout(a: Assessment) -> bool:
    """Return whether a layout was given."""
    return any(p.rank is not None for chip in a.chips for p in chip.phases)


def shared(a: Assessment) -> bool:
    """Return whether chips hold a replica each and share out the rest."""
    return any(p.memory.peak_per_chip is not None for c in a.chips for p in c.phases)


def peak_per_chip(chip: ChipAssessment) -> float:
    """Return the most that one chip holds in any phase, bytes."""
    return max(p.memory.peak_per_chip or p.memory.peak_fused for p in chip.phases)


def bounds(key: str, phase: str, rows: Rows) -> Markup | None:
    """Return shares of the fused time by what binds; None where no chip has a time."""
    bars = [StackRow(name=chip.chip, parts=p.speed.share_by_bound) for chip, p in rows if p.speed]
    title = f"What binds the {phase} time at the fused end"
    return stacks_chart(key, title, bars, BOUND_ORDER, share=True) if bars else None


def classes(end: EndBreakdown) -> dict[str, float]:
    """Return shares of one end's time by operator class."""
    total = end.total_s or 1.0
    found = {name: time / total for name, time in end.by_class.items()}
    composite = end.composite_launch_s + end.composite_host_s
    more = {"composites": composite / total, "collectives": end.network_s / total}
    return {**found, **{name: share for name, share in more.items() if share}}


def class_names(rows: Rows) -> list[str]:
    """Return the operator classes that any chip has, at either end."""
    ends = [end for _, p in rows if p.speed for end in (p.speed.fused, p.speed.eager)]
    return list(dict.fromkeys(name for end in ends for name in classes(end)))


def bound_names(rows: Rows) -> list[tuple[int, str]]:
    """Return what binds anywhere, with the number of its colour."""
    return [(n, name) for n, name in enumerate(BOUND_ORDER, 1)
            if any(p.speed and p.speed.share_by_bound[name] for _, p in rows)]  # fmt: skip


def memory_names(a: Assessment) -> list[tuple[int, str]]:
    """Return the parts of memory that any phase has, with the number of their colour."""
    return [(n, title) for n, (title, field) in enumerate(MEMORY_PARTS, 1)
            if any(getattr(p.memory, field) for p in a.chips[0].phases)]  # fmt: skip


def timeline_layers(a: Assessment, index: int) -> list[tuple[int, str]]:
    """Return what is alive at any time of a phase, with the number of its colour."""
    line = a.timelines[index]
    layers = (("cache", line.kv), ("gradients", line.gradients), ("activations", line.activations))
    return [(n, name) for n, (name, values) in enumerate(layers, 1) if any(values)]


def module_names(rows: Rows) -> list[str]:
    """Return the parts of the model that any chip has a row for."""
    names = dict.fromkeys(m.module for _, p in rows if p.speed for m in p.speed.modules)
    return sorted(names, key=lambda name: name == OTHERS)


def module_share(speed: SpeedFigures, module: str, end: str) -> float | None:
    """Return the share of a part of the model in its end's time; None where it has no row."""
    total = speed.fused.total_s if end == "fused" else speed.eager.total_s
    for m in speed.modules:
        if m.module == module:
            return (m.fused_s if end == "fused" else m.eager_s) / (total or 1.0)
    return None


def heat(share: float) -> str:
    """Return the class of a cell: the larger the share, the stronger the colour."""
    return next((name for least, name in ((0.3, "q4"), (0.15, "q3"), (0.05, "q2"), (0.01, "q1"))
                 if share >= least), "")  # fmt: skip


def timeline(key: str, a: Assessment, index: int) -> Markup:
    """Return memory over time of one phase."""
    line, phase = a.timelines[index], a.chips[0].phases[index]
    title = f"Memory over one eager {phase.phase} step"
    return timeline_chart(key, title, line, phase.memory.peak_fused)


def roofline(key: str, chip: ChipAssessment, p: PhaseAssessment) -> Markup | None:
    """Return kernels under the roof of as many chips as the figures are for; None without."""
    constants = {c.name: c.value for c in chip.constants}
    if p.speed is None or "memory_bandwidth" not in constants:
        return None
    groups = [g for g in p.speed.fused.groups if g.kind and g.bytes and g.time_s]
    wanted = {f"peaks[{g.engine}/{g.precision}]" for g in groups if g.engine}
    roofs = [
        Roof(name=name[6:-1].replace("/", " "), flop_per_s=value * p.layout.split)
        for name, value in constants.items()
        if name in wanted
    ]
    title = f"{chip.chip} {p.phase}, {things(p.layout.chips, 'chip')}"
    bandwidth = constants["memory_bandwidth"] * p.layout.split
    points = list(_points(groups, p.speed.fused.total_s))
    return roofline_chart(key, title, bandwidth, roofs, points) if points else None


def largest(end: EndBreakdown) -> tuple[KernelGroup, ...]:
    """Return the groups of kernels that the page has room for, and the sum of the others."""
    return joined(end.groups, 7)


def exchange_words(end: EndBreakdown) -> str:
    """Return what the collectives of one end move, in words."""
    e = end.exchange
    if e is None:
        return "collectives"
    links = [f"{bytes_(moved)} by {level}" for level, moved in
             (("scale-up", e.inside_bytes), ("scale-out", e.outside_bytes)) if moved]  # fmt: skip
    hidden = f", of {seconds(e.seconds)} computing covers the rest"
    covered = hidden if e.seconds - end.network_s > 1e-12 else ""
    return f"{count(e.rounds)} {e.kind}, {', '.join(links)} per chip; a lower bound{covered}"


def constants_used(chip: ChipAssessment, p: PhaseAssessment) -> list[ConstantFigure]:
    """Return the constants that the time of a phase rests on."""
    if p.speed is None:
        return []
    groups = (*p.speed.fused.groups, *p.speed.eager.groups)
    names = {f"peaks[{g.engine}/{g.precision}]" for g in groups if g.engine}
    names |= {"memory_bandwidth", "power"}
    links = ("links[scale",) if p.layout.chips > 1 else ()
    return [c for c in chip.constants if c.name in names or c.name.startswith(links or "\n")]


def _points(groups: Sequence[KernelGroup], total: float) -> Iterator[Point]:
    for g in groups:
        work = g.work or g.vector_ops
        if work:
            yield Point(
                name=f"{g.label} {g.precision}, {g.limit}",
                intensity=work / g.bytes,
                flop_per_s=work / g.time_s,
                share=g.time_s / (total or 1.0),
                matrix=bool(g.work),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportRow:
    """One operator over all chips."""

    op: str
    """Overload with namespace."""
    levels: tuple[SupportLevel | None, ...]
    """Worst level over the phases, per chip; None where the chip's run has no such call."""
    time_share: float | None
    """Largest share of predicted device time on any chip, 0 to 1; None without any."""


def support_rows(a: Assessment) -> list[SupportRow]:
    """Return the operators of all phases, those that are not native everywhere first."""
    found: dict[str, list[SupportLevel | None]] = {}
    shares: dict[str, float] = {}
    for column, chip in enumerate(a.chips):
        for p in chip.phases:
            for o in p.operators:
                row = found.setdefault(o.op, [None] * len(a.chips))
                row[column] = max(row[column] or "native", o.level, key=_RANK.index)
                if o.time_share is not None:
                    shares[o.op] = max(shares.get(o.op, 0.0), o.time_share)
    rows = [SupportRow(op=op, levels=tuple(levels), time_share=shares.get(op))
            for op, levels in found.items()]  # fmt: skip
    return sorted(rows, key=lambda r: (-max(_RANK.index(v or "native") for v in r.levels),
                                       -(r.time_share or 0)))  # fmt: skip


def unknowns(a: Assessment) -> list[str]:
    """Return what could not be known, in words."""
    said = []
    for chip in a.chips:
        known = {c.name for c in chip.constants}
        missing = [n.replace("_", " ") for n in ("memory_capacity", "memory_bandwidth", "power")
                   if n not in known]  # fmt: skip
        if missing:
            said.append(f"{chip.chip}: no published {', '.join(missing)}")
        rates = {r for p in chip.phases if p.speed for r in p.speed.unknown_rates}
        if rates:
            said.append(f"{chip.chip}: no published peak for {', '.join(sorted(rates))}: those "
                        "kernels are priced by memory traffic alone")  # fmt: skip
        unknown = {o.op for p in chip.phases for o in p.operators if o.level == "unknown"}
        if unknown:
            said.append(f"{chip.chip}: {things(len(unknown), 'operator')} in no public table")
        multiple = [p.phase for p in chip.phases if p.layout.chips > 1]
        if multiple and not any(c.name.startswith("links[scale") for c in chip.constants):
            said.append(f"{chip.chip}: no published link between chips: the exchange of "
                        f"{', '.join(multiple)} counts as nothing")  # fmt: skip
        for p in chip.phases:
            said += [f"{chip.chip} {p.phase}: claim not compared: {c.remark}" for c in p.claims
                     if c.predicted is None]  # fmt: skip
    return said


def place(one: MeasuredTime) -> str:
    """Return where a measured time lies in the predicted band, in words."""
    return PLACES[one.place]
