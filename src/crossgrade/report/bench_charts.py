"""The drawings of a measurement: how samples lie, and ratios with their intervals.

Pure: values in, SVG out. The table beside a drawing has the same figures. Must not know how they
were found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

from crossgrade.report.charts import WIDTH
from crossgrade.report.inert import inert
from crossgrade.report.svg import Scale, chart, element, text
from crossgrade.units import seconds
from crossgrade.values.bench import Interval
from crossgrade.values.strip import Strip

_LEFT, _RIGHT, _ROW = 160, 24, 50
_LOG_FROM: Final = 4.0
"""Largest over smallest value from which the axis is logarithmic."""
_UNITS: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def strip_chart(
    key: str, title: str, strips: Sequence[Strip], intervals: Mapping[str, Interval]
) -> Markup:
    """Return per target its interval, its batch medians as a box and each session as a point.

    Args:
        key: id of the drawing.
        title: what it shows.
        strips: how the samples of each target lie.
        intervals: target -> time per call with its interval, s.
    """
    x = _axis([v for s in strips for v in _reach(s, intervals.get(s.variant))])
    bottom = len(strips) * _ROW + 2
    marks = list(_ticks(x, bottom))
    for index, strip in enumerate(strips):
        marks += _strip(x, 2 + index * _ROW, strip, intervals.get(strip.variant))
    words = "; ".join(_strip_words(s, intervals.get(s.variant)) for s in strips)
    axis = "logarithmic" if x.log else "not from zero"
    return chart(key, title, f"{words}; axis {axis}", WIDTH, bottom + 24, *marks)


def _reach(strip: Strip, interval: Interval | None) -> Iterator[float]:
    """Yield values that must lie on the axis."""
    yield from strip.sessions_s
    yield from (strip.batch_s[1], strip.batch_s[-2])
    if interval and math.isfinite(interval.high) and interval.high < 4 * interval.value:
        yield from (interval.low, interval.high)


def _axis(values: Sequence[float]) -> Scale:
    """Return a scale on which these lie, with a little room at both ends."""
    known = [v for v in values if v > 0 and math.isfinite(v)] or [1.0]
    low, high = min(known), max(known)
    if high / low >= _LOG_FROM:
        return Scale(low=low / 1.15, high=high * 1.15, start=_LEFT, end=WIDTH - _RIGHT, log=True)
    room = max((high - low) * 0.06, high * 0.002)
    return Scale(low=max(low - room, 0.0), high=high + room, start=_LEFT, end=WIDTH - _RIGHT)


def _ticks(x: Scale, bottom: float) -> Iterator[Markup]:
    """Yield vertical lines with their values below."""
    ticks = _round_values(x)
    yield element("path", d="".join(f"M{x.at(t):.1f} 0V{bottom:g}" for t in ticks), class_="grid")
    for tick in ticks:
        place = x.at(tick)
        anchor = "end" if place > WIDTH - _RIGHT - 20 else "middle"
        yield text(place, bottom + 16, _time_tick(tick, ticks, x), anchor, "quiet")


def _round_values(x: Scale) -> list[float]:
    """Return round values on the axis; on a logarithmic one of less than four decades 1, 2, 5."""
    if not x.log:
        return x.ticks()
    first, last = math.floor(math.log10(x.low)), math.ceil(math.log10(x.high))
    steps = (1, 2, 5) if last - first < 4 else (1,)
    every = max(1, (last - first) // 7)
    found = [m * 10.0**n for n in range(first, last + 1, every) for m in steps]
    return [v for v in found if x.low <= v <= x.high] or [math.sqrt(x.low * x.high)]


def _time_tick(value: float, ticks: Sequence[float], x: Scale) -> str:
    """Return a time with as many decimals as neighbours need to differ."""
    if x.log or len(ticks) < 2:
        return seconds(value)
    scale, unit = next((u for u in _UNITS if x.high >= u[0]), _UNITS[-1])
    decimals = max(0, math.ceil(-math.log10((ticks[1] - ticks[0]) / scale) - 1e-9))
    return f"{value / scale:.{decimals}f} {unit}"


def _strip(x: Scale, top: float, strip: Strip, interval: Interval | None) -> list[Markup]:
    """Return the marks of one target: from above the interval, the batches, the sessions."""
    _, p5, p25, p50, p75, p95, _ = strip.batch_s
    tip = element("title", escape(inert(_strip_words(strip, interval))))
    marks = [
        text(_LEFT - 10, top + 26, clipped(strip.variant, 20), "end"),
        element("path", d=f"M0 {top + _ROW - 2:g}H{WIDTH}", class_="grid"),
        _bar(x, p5, p95, top + 19, 6, "p95"),
        _bar(x, p25, p75, top + 17, 10, "p50", tip),
        element("path", d=f"M{x.at(p50):.1f} {top + 15:g}v14", class_="edge"),
    ]
    if interval is not None and math.isfinite(interval.high):
        a, m, b = (x.at(v) for v in (interval.low, interval.value, interval.high))
        line = f"M{a:.1f} {top + 3:g}v8m0 -4H{b:.1f}m0 -4v8M{m:.1f} {top + 1:g}v12"
        marks.append(element("path", d=line, class_="ci"))
    step = 10 / max(len(strip.sessions_s) - 1, 1)
    points = "".join(f"M{x.at(v):.1f} {top + 34 + n * step:.1f}h0"
                     for n, v in enumerate(strip.sessions_s))  # fmt: skip
    marks.append(element("path", d=points, class_="dots"))
    return marks


def _bar(
    x: Scale, low: float, high: float, top: float, height: float, class_: str, *inner: str
) -> Markup:
    a, b = x.at(low), x.at(high)
    return element("rect", *inner, x=round(a, 1), y=top, width=max(round(b - a, 1), 1),
                   height=height, class_=class_)  # fmt: skip


def _strip_words(strip: Strip, interval: Interval | None) -> str:
    known = ""
    if interval is not None and math.isfinite(interval.high):
        known = f" [{seconds(interval.low)}, {seconds(interval.high)}]"
    middle = seconds(interval.value if interval else strip.batch_s[3])
    return (f"{strip.variant}: {middle}{known}; 90 % of batches {seconds(strip.batch_s[1])} to "
            f"{seconds(strip.batch_s[-2])}")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioRow:
    """One ratio with its interval."""

    name: str
    """What it is of."""
    ratio: Interval
    """Second over first."""
    word: str
    """`faster`, `slower`, `same` or `inconclusive`."""


_NAMES, _WORDS, _LINE = 330, 90, 20


def ratios_chart(key: str, title: str, rows: Sequence[RatioRow], margin: float) -> Markup:
    """Return ratios as points with their intervals, around 1 and the margin, on a log scale."""
    x = _ratio_axis(rows, margin)
    bottom = len(rows) * _LINE + 6
    a, b = x.at(1 / (1 + margin)), x.at(1 + margin)
    marks = [element("rect", x=round(a, 1), y=0, width=max(round(b - a, 1), 1), height=bottom,
                     class_="margin")]  # fmt: skip
    ticks = _ratio_ticks(x)
    marks.append(element("path", class_="grid",
                         d="".join(f"M{x.at(t):.1f} 0V{bottom}" for t in ticks)))  # fmt: skip
    marks.append(element("path", d=f"M{x.at(1):.1f} 0V{bottom}", class_="dash"))
    marks += [text(x.at(t), bottom + 16, f"{t:g}×", "middle", "quiet") for t in ticks]
    for index, row in enumerate(rows):
        marks += _ratio(x, 13 + index * _LINE, row)
    words = "; ".join(_ratio_words(r) for r in rows[:20])
    more = f"; and {len(rows) - 20} more" if len(rows) > 20 else ""
    return chart(key, title, words + more, WIDTH, bottom + 24, *marks)


def _ratio(x: Scale, middle: float, row: RatioRow) -> list[Markup]:
    a, m, b = (x.at(v) for v in (row.ratio.low, row.ratio.value, row.ratio.high))
    tip = element("title", escape(inert(_ratio_words(row))))
    return [
        text(_NAMES - 10, middle + 4, clipped(row.name, 48), "end"),
        element("path", d=f"M{a:.1f} {middle - 4:g}v8m0 -4H{b:.1f}m0 -4v8", class_=f"r-{row.word}"),
        element("circle", tip, cx=round(m, 1), cy=middle, r=4, class_=f"f-{row.word}"),
        text(WIDTH - _WORDS + 10, middle + 4, row.word),
    ]


def _ratio_axis(rows: Sequence[RatioRow], margin: float) -> Scale:
    """Return a scale that holds all ratios, and of endless intervals as much as fits."""
    known = [1 / (1 + 2 * margin), 1 + 2 * margin]
    for r in (row.ratio for row in rows):
        known.append(r.value)
        known += [v for v in (r.low, r.high) if r.value / 10 < v < r.value * 10]
    known = [v for v in known if v > 0 and math.isfinite(v)]
    return Scale(low=min(known) / 1.03, high=max(known) * 1.03, start=_NAMES, end=WIDTH - _WORDS,
                 log=True)  # fmt: skip


def _ratio_ticks(x: Scale) -> list[float]:
    """Return round ratios on the axis, with room for their labels."""
    near = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0, 1.02, 1.05, 1.1, 1.25, 1.5, 2.0)
    far = [m * 10.0**n for n in range(-6, 7) for m in (1, 2, 5)]
    wanted = near if x.high / x.low < 4 else far
    found = [t for t in wanted if x.low <= t <= x.high]
    kept: list[float] = []
    for tick in found:  # labels need some room, and 1 is always there
        apart = not kept or x.at(tick) - x.at(kept[-1]) > 40
        if tick == 1 or (apart and abs(x.at(tick) - x.at(1)) > 40):
            kept.append(tick)
    return kept


def _ratio_words(row: RatioRow) -> str:
    return (f"{row.name}: {row.ratio.value:.3g}x [{row.ratio.low:.3g}, {row.ratio.high:.3g}], "
            f"{row.word}")  # fmt: skip


def clipped(name: str, most: int) -> str:
    """Return a name that fits its place in a drawing; the table beside it has all of it."""
    plain = " ".join(inert(name).split())
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"
