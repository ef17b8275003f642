"""Kernel points of a calibration as part of a document: errors by kind, before and after.

Must not work out a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from crossgrade.report.document import Block, Line, Table
from crossgrade.units import percent, things
from crossgrade.values.kernel_calibration import (
    WIDEST,
    KernelCalibration,
    KernelPoint,
    KindScore,
    PointErrors,
)

_COLUMNS = (
    "kernels", "points", "left out", "before: median", "p90", "after: MAPE", "median", "p90",
    "in band",
)  # fmt: skip
_TOLD = (
    "before: data sheet and starting parameters. after: parameters of these points, each predicted "
    "by a fit that had not seen it nor its site; a tenth of the points may lie below the band, and "
    "a tenth above"
)


def kernel_blocks(found: KernelCalibration) -> Iterator[Block]:
    """Yield what was fitted, what was left out and why."""
    timed = sum(point.usable for point in found.points)
    yield Line(text=f"{things(timed, 'kernel point')} to fit, of {found.wanted} asked for, "
               f"through {found.stack}")  # fmt: skip
    if found.scores:
        yield Table(columns=_COLUMNS, rows=tuple(_row(s, found) for s in found.scores),
                    right=frozenset(range(1, 9)), whole=frozenset({0}),
                    title="error of the predictor")  # fmt: skip
        yield Line(text=_TOLD, tone="quiet")
    if found.why:
        yield Line(text=f"nothing is fitted: {found.why}", tone="warning")
    else:
        yield Line(text=f"fitted for {found.chip}: its kernels are predicted from these points",
                   tone="quiet")  # fmt: skip
    yield from _left_out(found)


def _row(score: KindScore, found: KernelCalibration) -> tuple[str, ...]:
    out = sum(_belongs(point, score) and not point.usable for point in found.points)
    before, after = score.before, score.after
    return (
        _name(score), str(score.points), str(out), _share(before, "median"), _share(before, "p90"),
        _share(after, "mape"), _share(after, "median"), _share(after, "p90"),
        _share(after, "inside"),
    )  # fmt: skip


def _name(score: KindScore) -> str:
    return " ".join(filter(None, (score.family, score.op, score.format)))


def _belongs(point: KernelPoint, score: KindScore) -> bool:
    """Return whether a point is of a kind; a kind without an operation has all of its family."""
    return (
        point.family == score.family and point.format == score.format and score.op in ("", point.op)
    )


def _share(errors: PointErrors | None, name: str) -> str:
    return "" if errors is None else percent(getattr(errors, name))


def _left_out(found: KernelCalibration) -> Iterator[Block]:
    """Yield points that are not used by reason, and kinds without a fit."""
    reasons = Counter((f"{p.family} {p.op} {p.format}", *_reason(p))
                      for p in found.points if not p.usable)  # fmt: skip
    rows = [(kind, reason, str(count), detail)
            for (kind, reason, detail), count in sorted(reasons.items())]  # fmt: skip
    rows += [(_name(s), "not fitted", str(s.points), s.why) for s in found.scores if s.why]
    if rows:
        yield Table(columns=("kernels", "reason", "points", "what happened"), rows=tuple(rows),
                    right=frozenset({2}), whole=frozenset({0, 1}), title="left out")  # fmt: skip
    if len(found.points) < found.wanted:
        yield Line(text=f"{things(found.wanted - len(found.points), 'point')} had no size that "
                   "fits into the time, or no format that runs", tone="quiet")  # fmt: skip


def _reason(point: KernelPoint) -> tuple[str, str]:
    if point.seconds is None:
        return point.reason or "", point.detail
    return "too noisy", f"its 95 % interval is wider than ±{percent(WIDEST)}"
