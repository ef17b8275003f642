"""SVG elements and scales: enough for the charts of a report, and no more.

Text is escaped by construction. Colours are classes, so the page's style decides them in light,
dark and print. Must not know what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from crossgrade.report.inert import inert


def element(name: str, *children: str, **attributes: str | float) -> Markup:
    """Return an element. `class_` becomes `class`, `_` in a name becomes `-`."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"'
        for key, value in attributes.items()
    )
    inner = Markup("").join(children)
    return Markup(f"<{name}{said}>{inner}</{name}>") if inner else Markup(f"<{name}{said}/>")


def _attribute(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.4g}" if value < 1000 else f"{value:.0f}"


def text(x: float, y: float, words: str, anchor: str = "start", class_: str = "") -> Markup:
    """Return words at a place; `anchor` is `start`, `middle` or `end`."""
    more = {"class_": class_} if class_ else {}
    anchored = {} if anchor == "start" else {"text_anchor": anchor}
    return element("text", escape(inert(words)), x=round(x, 1), y=round(y, 1), **anchored, **more)


def chart(
    key: str, title: str, description: str, width: float, height: float, *children: str
) -> Markup:
    """Return a drawing that a screen reader announces by its title and description."""
    return element(
        "svg",
        element("title", escape(inert(title)), id=f"{key}-t"),
        element("desc", escape(inert(description)), id=f"{key}-d"),
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_labelledby=f"{key}-t {key}-d",
        data_name=key,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Values along one side of a drawing."""

    low: float
    """Value at `start`."""
    high: float
    """Value at `end`."""
    start: float
    """Place of `low`, user units."""
    end: float
    """Place of `high`, user units."""
    log: bool = False
    """Logarithmic; both values are above 0 then."""

    def at(self, value: float) -> float:
        """Return the place of a value; what lies outside is put at the edge."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values inside: powers of ten, or about five steps of 1, 2 or 5."""
        if self.log:
            first, last = (
                math.ceil(math.log10(self.low) - 1e-9),
                math.floor(math.log10(self.high) + 1e-9),
            )
            return [10.0**n for n in range(first, last + 1)]
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        first_step, last_step = math.ceil(self.low / step), math.floor(self.high / step + 1e-9)
        return [n * step for n in range(first_step, last_step + 1)]


def decades(values: Sequence[float], start: float, end: float) -> Scale:
    """Return a logarithmic scale over whole decades that hold all values above 0."""
    known = [v for v in values if v > 0 and math.isfinite(v)] or [1.0]
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    return Scale(low=10.0**low, high=10.0 ** max(high, low + 1), start=start, end=end, log=True)


def from_zero(most: float, start: float, end: float) -> Scale:
    """Return a linear scale that begins at 0."""
    return Scale(low=0.0, high=most * 1.02 or 1.0, start=start, end=end)
