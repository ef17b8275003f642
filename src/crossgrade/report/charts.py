"""The drawings of an assessment: bands, memory, shares of time, rooflines, memory over time.

Pure: values in, SVG out. The table beside a drawing has the same figures. Must not know how they
were found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from crossgrade.report.svg import Scale, chart, decades, element, from_zero, text
from crossgrade.units import bytes_, percent, seconds, si
from crossgrade.values.breakdown import MemoryTimeline

WIDTH = 760
_LEFT, _RIGHT, _ROW = 150, 20, 30


@dataclass(frozen=True, slots=True, kw_only=True)
class BandRow:
    """One band with what others have published."""

    name: str
    """Chip."""
    low: float
    """Lower end, s."""
    high: float
    """Upper end, s."""
    note: str = ""
    """What stands behind the name, such as the number of chips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRow:
    """A published value and our band for its conditions."""

    name: str
    """Chip."""
    value: float
    """What was published, s."""
    low: float | None
    """Our band for the same conditions, s; None where there is none."""
    high: float | None
    """The same."""


def bands_chart(key: str, title: str, rows: Sequence[BandRow]) -> Markup:
    """Return times as bars from one end of the band to the other, on a logarithmic scale."""
    x = decades([v for r in rows for v in (r.low, r.high)], _LEFT, WIDTH - _RIGHT)
    marks = [_grid(x, len(rows), seconds)]
    for index, row in enumerate(rows):
        middle = 14 + index * _ROW
        a, b = x.at(row.low), x.at(row.high)
        tip = f"{row.name}: {seconds(row.low)} to {seconds(row.high)}"
        marks.append(text(_LEFT - 8, middle + 4, f"{row.name}{row.note}", "end"))
        marks.append(
            element("rect", element("title", escape(tip)), x=round(a, 1), y=middle - 8,
                    width=max(round(b - a, 1), 2), height=16, rx=3, class_="s1")
        )  # fmt: skip
        marks.append(element("path", d=f"M{a:.1f} {middle - 11}v22", class_="edge"))
    words = "; ".join(f"{r.name} {seconds(r.low)} to {seconds(r.high)}" for r in rows)
    return chart(key, title, words, WIDTH, 30 + len(rows) * _ROW, *marks)


def claims_chart(key: str, title: str, rows: Sequence[ClaimRow]) -> Markup:
    """Return published values as diamonds over our bands for their conditions."""
    known = [v for r in rows for v in (r.value, r.low, r.high) if v is not None]
    x = decades(known, _LEFT, WIDTH - _RIGHT)
    marks = [_grid(x, len(rows), seconds)]
    said = []
    for index, row in enumerate(rows):
        middle = 14 + index * _ROW
        marks.append(text(_LEFT - 8, middle + 4, row.name, "end"))
        words = f"{row.name}: claimed {seconds(row.value)}"
        if row.low is not None and row.high is not None:
            a, b = x.at(row.low), x.at(row.high)
            words += f", predicted {seconds(row.low)} to {seconds(row.high)}"
            marks.append(element("rect", x=round(a, 1), y=middle - 8, width=round(b - a, 1),
                                 height=16, rx=3, class_="s1"))  # fmt: skip
        at = x.at(row.value)
        marks.append(
            element("path", element("title", escape(words)), class_="claim",
                    d=f"M{at:.1f} {middle - 9}l7 9l-7 9l-7 -9z")
        )  # fmt: skip
        said.append(words)
    return chart(key, title, "; ".join(said), WIDTH, 30 + len(rows) * _ROW, *marks)


def _grid(x: Scale, rows: int, say: Callable[[float], str]) -> Markup:
    """Return vertical lines with their values below."""
    bottom = rows * _ROW + 4
    lines = "".join(f"M{x.at(tick):.1f} 0V{bottom}" for tick in x.ticks())
    marks = [element("path", d=lines, class_="grid")]
    for tick in x.ticks():
        anchor = "end" if x.at(tick) > WIDTH - _RIGHT - 10 else "middle"
        marks.append(text(x.at(tick), bottom + 16, say(tick), anchor, "quiet"))
    return Markup("").join(marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRow:
    """One bar of parts."""

    name: str
    """Chip."""
    parts: Mapping[str, float]
    """Part -> amount, in the unit of the chart."""


def stacks_chart(
    key: str, title: str, rows: Sequence[StackRow], order: Sequence[str], *, share: bool
) -> Markup:
    """Return bars of parts one after another; the n-th of `order` has the n-th colour.

    Args:
        key: id of the drawing.
        title: what it shows.
        rows: bars.
        order: parts, from left to right.
        share: amounts are shares of 1, else bytes.
    """
    say = percent if share else bytes_
    most = 1 / 1.02 if share else max([sum(r.parts.values()) for r in rows], default=1.0)
    x = from_zero(most, _LEFT, WIDTH - _RIGHT)
    marks = [_grid(x, len(rows), say)]
    for index, row in enumerate(rows):
        middle, total = 14 + index * _ROW, 0.0
        marks.append(text(_LEFT - 8, middle + 4, row.name, "end"))
        for number, part in enumerate(order):
            amount = row.parts.get(part, 0.0)
            a, b = x.at(total), x.at(total + amount)
            total += amount
            if b - a < 0.5:
                continue
            tip = element("title", escape(f"{row.name}, {part}: {say(amount)}"))
            marks.append(element("rect", tip, x=round(a, 1), y=middle - 9, width=round(b - a, 1),
                                 height=18, class_=f"s{number % 8 + 1}"))  # fmt: skip
            if b - a > 12 + 6.4 * len(part):
                marks.append(text((a + b) / 2, middle + 4, part, "middle", "on"))
    words = "; ".join(
        f"{r.name}: " + ", ".join(f"{p} {say(v)}" for p, v in r.parts.items() if v) for r in rows
    )
    return chart(key, title, words, WIDTH, 30 + len(rows) * _ROW, *marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Roof:
    """A horizontal limit of a roofline."""

    name: str
    """Such as `matrix bf16`."""
    flop_per_s: float
    """Dense peak of all chips, FLOP/s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A group of kernels under the roof."""

    name: str
    """Operator, precision, limit."""
    intensity: float
    """FLOP per byte."""
    flop_per_s: float
    """Predicted rate, FLOP/s."""
    share: float
    """Share of the time of its end of the band."""
    matrix: bool
    """Whether the matrix engine does the work."""


def roofline_chart(
    key: str, title: str, bandwidth: float, roofs: Sequence[Roof], points: Sequence[Point]
) -> Markup:
    """Return groups of kernels under the limits of memory and engines; area is time.

    Formula: Williams, Waterman and Patterson, CACM 2009.
    """
    width, height, left, bottom, top = 370, 258, 62, 218, 20
    best = max([r.flop_per_s for r in roofs], default=bandwidth)
    xs = [p.intensity for p in points] + [best / bandwidth]
    x = decades(xs, left, width - 12)
    y = decades([p.flop_per_s for p in points] + [best], bottom, top)
    levels = y.ticks()[:: max(1, len(y.ticks()) // 5)]
    lines = [f"M{x.at(tick):.0f} {top}V{bottom}" for tick in x.ticks()]
    lines += [f"M{left} {y.at(tick):.0f}H{width - 12}" for tick in levels]
    below = [
        text(x.at(tick) - (6 if tick >= x.high else 0), bottom + 15, _short(tick))
        for tick in x.ticks()
    ]
    beside = [text(left - 5, y.at(tick) + 4, si(tick, "")) for tick in levels]
    marks = [
        element("path", d="".join(lines), class_="grid"),
        element("g", *below, text_anchor="middle", class_="quiet"),
        element("g", *beside, text_anchor="end", class_="quiet"),
    ]
    marks.append(text((left + width) / 2, height - 6, "FLOP per byte", "middle", "quiet"))
    marks += _roofs(x, y, bandwidth, roofs)
    for p in sorted(points, key=lambda p: -p.share):
        tip = element(
            "title",
            escape(f"{p.name}: {si(p.flop_per_s, 'FLOP/s')}, {percent(p.share)} of the time"),
        )
        marks.append(element("circle", tip, cx=round(x.at(p.intensity), 1),
                             cy=round(y.at(p.flop_per_s), 1), r=round(2.5 + 11 * p.share**0.5, 1),
                             class_="pm" if p.matrix else "pv"))  # fmt: skip
    most = max(points, key=lambda p: p.share)
    words = f"most of the time: {most.name} at {most.intensity:.3g} FLOP per byte"
    return chart(key, title, words, width, height, *marks)


def _roofs(x: Scale, y: Scale, bandwidth: float, roofs: Sequence[Roof]) -> list[Markup]:
    """Return the slope of memory and the levels of engines."""
    best = max([r.flop_per_s for r in roofs], default=y.high)
    start, knee = max(x.low, y.low / bandwidth), min(best / bandwidth, x.high)
    slope = element("title", escape(f"memory: {si(bandwidth, 'B/s')}"))
    marks = [
        element("path", slope, class_="roof", d=f"M{x.at(start):.1f} {y.at(start * bandwidth):.1f}"
                f"L{x.at(knee):.1f} {y.at(knee * bandwidth):.1f}")
    ]  # fmt: skip
    for roof in roofs:
        at, level = x.at(min(roof.flop_per_s / bandwidth, x.high)), y.at(roof.flop_per_s)
        tip = element("title", escape(f"{roof.name}: {si(roof.flop_per_s, 'FLOP/s')}"))
        marks.append(element("path", tip, d=f"M{at:.1f} {level:.1f}H{x.end:.0f}", class_="roof"))
    return marks + [
        text(x.end, level - 4, ", ".join(names), "end", "quiet")
        for level, names in _labels(y, roofs)
    ]


def _short(value: float) -> str:
    """Return a power of ten in few letters: `0.1`, `100`, `10k`."""
    return f"{value:g}" if value < 1000 else f"{value / 1000:g}k"


def _labels(y: Scale, roofs: Sequence[Roof]) -> list[tuple[float, list[str]]]:
    """Return where names stand; roofs that lie too near for two lines share one."""
    found: list[tuple[float, list[str]]] = []
    for roof in sorted(roofs, key=lambda r: -r.flop_per_s):
        level = y.at(roof.flop_per_s)
        if found and level - found[-1][0] < 11:
            found[-1][1].append(roof.name)
        else:
            found.append((level, [roof.name]))
    return found


def timeline_chart(key: str, title: str, line: MemoryTimeline, fused_peak: float) -> Markup:
    """Return memory over an eager execution as stacked areas, and the fused peak as a line.

    Weights and optimizer state are left out: they are there all the time, and would flatten it.
    """
    layers = {"cache": line.kv, "gradients": line.gradients, "activations": line.activations}
    height, bottom = 240, 200
    total = [sum(values) for values in zip(*layers.values(), strict=True)]
    x = Scale(low=0, high=max(line.calls, 1), start=80, end=WIDTH - _RIGHT)
    fused = max(fused_peak - line.resident, 0.0)
    y = from_zero(max([*total, fused]), bottom, 10)
    marks = []
    for tick in y.ticks():
        marks.append(element("path", d=f"M80 {y.at(tick):.1f}H{WIDTH - _RIGHT}", class_="grid"))
        marks.append(text(74, y.at(tick) + 4, bytes_(tick), "end", "quiet"))
    below = [0.0] * len(line.at)
    for number, (name, values) in enumerate(layers.items()):
        upper = [a + b for a, b in zip(below, values, strict=True)]
        if any(values):
            marks.append(_area(x, y, line.at, below, upper, name, number + 1))
        below = upper
    level = y.at(fused)
    tip = element("title", escape(f"peak with fused kernels: {bytes_(fused)}"))
    marks.append(element("path", tip, d=f"M80 {level:.1f}H{WIDTH - _RIGHT}", class_="dash"))
    marks.append(text(80, bottom + 18, "first call", "start", "quiet"))
    marks.append(text(WIDTH - _RIGHT, bottom + 18, f"call {line.calls:,}", "end", "quiet"))
    words = (
        f"eager peak {bytes_(max(total, default=0))}, with fused kernels {bytes_(fused)}, beside "
        f"{bytes_(line.resident)} of weights and optimizer state"
    )
    return chart(key, title, words, WIDTH, height, *marks)


def _area(
    x: Scale,
    y: Scale,
    at: Sequence[int],
    below: Sequence[float],
    upper: Sequence[float],
    name: str,
    number: int,
) -> Markup:
    """Return one layer."""
    # Bytes stay as they are from one moment to the next: steps, not slopes.
    there = "".join(f"H{x.at(c):.0f}V{y.at(v):.1f}" for c, v in zip(at, upper, strict=True))
    back = "".join(
        f"V{y.at(v):.1f}H{x.at(c):.0f}" for c, v in reversed(list(zip(at, below, strict=True)))
    )
    outline = f"M{x.start:.0f} {y.at(below[0]):.1f}{there}H{x.end:.0f}{back}Z"
    return element("path", element("title", escape(name)), d=outline, class_=f"s{number}")
