"""Lines of the scorecard -> one picture per family: error by chip and tier, anchors behind.

Drawn by matplotlib, which is asked for only when the page is written. Must not know how a line
came about.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossgrade.predict.scorecard.line import Line

COLOURS = {"T0": "#b8bec9", "T1": "#7c9ac4", "T2": "#3f6fb0", "T3": "#12427a"}
"""From least to most known of the chip: light to dark."""
MOST = 48
"""Lines of one picture: those that something was asked of, else the first; the page has all."""
_TALLEST = 1.0
"""Errors above this are cut, with their figure beside."""


def draw(lines: Sequence[Line], path: Path) -> None:
    """Write the picture of one family as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "crossgrade", "svg.fonttype": "none"})
    from matplotlib import pyplot

    shown = [line for line in lines if line.goals] or [line for line in lines if line.tier != "T0"]
    ordered = sorted(shown[:MOST], key=lambda line: (line.rows_of, line.tier, line.chip))[::-1]
    figure, axes = pyplot.subplots(figsize=(8, 0.9 + 0.2 * len(ordered)))
    for at, line in enumerate(ordered):
        _bar(axes, at, line)
    axes.set_yticks(range(len(ordered)))
    axes.set_yticklabels(
        [f"{x.rows_of.partition(';')[0]}, {x.chip}, {x.tier}" for x in ordered], fontsize=7
    )
    axes.set_ylim(-0.7, len(ordered) - 0.3)
    axes.set_xlim(0, _TALLEST)
    axes.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("MAPE on unseen rows; line: P90; crosses: spec roofline, TensorCast constants")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def _bar(axes: Any, at: int, line: Line) -> None:
    s = line.score
    axes.barh(at, min(s.mape, _TALLEST), height=0.62, color=COLOURS[line.tier])
    axes.plot([s.mape, min(s.p90, _TALLEST)], [at, at], color="#8a8f98", linewidth=0.8, zorder=0)
    for anchor in line.anchors:
        if anchor.score is not None and anchor.score.mape <= _TALLEST:
            axes.plot(anchor.score.mape, at, marker="x", color="#b3541e", markersize=4)
    axes.text(min(s.mape, _TALLEST * 0.93) + 0.006, at, f"{s.mape * 100:.0f} %", fontsize=6.5,
              va="center", color="#333")  # fmt: skip
