"""Shares of ceilings and data sheets, and predicted bands, beside measured times.

Must not work out a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crossgrade.report.document import Block, Line, Table
from crossgrade.units import percent, seconds
from crossgrade.values.bench import BenchRow, BenchRun
from crossgrade.values.beside import Beside, CeilingsUsed, Predicted, Share

_KINDS = {"claimed": "of the data sheet (claimed)", "measured": "of numpy's rate (measured)"}
"""Class of the description's rates -> title of their column."""


def beside_blocks(run: BenchRun) -> Iterator[Block]:
    """Yield what stands beside the times of a run, and where it comes from."""
    rows = [(row, one) for row in run.rows for one in row.beside if _says(one)]
    if rows:
        yield _table(rows, alone=len(run.rows) == 1)
        yield from _minded(run, [one for _, one in rows])
    for used in run.ceilings:
        yield from _origin(used)
    if without := [used for used in run.ceilings if not used.digest and not used.stale]:
        more = f"; of {', '.join(u.target for u in without[1:])} likewise" if without[1:] else ""
        yield Line(text=f"no measured ceilings of this device: {without[0].command}{more}",
                   tone="quiet")  # fmt: skip


def _says(one: Beside) -> bool:
    return any(x is not None for x in (one.ceiling.value, one.sheet.value, one.predicted.band))


def _table(rows: Sequence[tuple[BenchRow, Beside]], *, alone: bool) -> Table:
    kinds = {one.sheet.kind for _, one in rows} - {None}
    titles = [_KINDS.get(str(kind), "") for kind in kinds]
    sheet = titles[0] if len(titles) == 1 else "of its description"
    columns = ("case", "on", "of the measured ceiling", sheet, "predicted", "measured is")
    cells = tuple(
        (
            row.result.plan.variants[0].case.title,
            one.variant,
            _share(one.ceiling),
            _share(one.sheet),
            _band(one.predicted),
            _place(one),
        )[1 if alone else 0 :]
        for row, one in rows
    )
    first = 0 if alone else 1
    return Table(columns=columns[1 if alone else 0 :], rows=cells, whole=frozenset({first}),
                 right=frozenset({first + 1, first + 2, first + 3}),
                 title="beside the measured times")  # fmt: skip


def _share(share: Share) -> str:
    """Return the larger share and what it is of; else why there is none."""
    if share.value is None:
        return share.reason or ""
    of = share.bound or ("compute" if share.compute is not None else "bandwidth")
    precision = f" {share.precision}" if of == "compute" and share.precision else ""
    return f"{percent(share.value)} of {of}{precision}"


def _band(predicted: Predicted) -> str:
    if predicted.band is None:
        return predicted.reason or ""
    return f"{seconds(predicted.band.low)} to {seconds(predicted.band.high)}"


def _place(one: Beside) -> str:
    return {"inside": "inside", "above": "above: slower", "below": "below: faster",
            None: ""}[one.place]  # fmt: skip


def _minded(run: BenchRun, rows: Sequence[Beside]) -> Iterator[Block]:
    """Yield what a reader of these shares should know, each once."""
    shares = [s for one in rows for s in (one.ceiling, one.sheet)]
    hot = any(row.result.plan.cache == "hot" for row in run.rows)
    if hot and any((s.bandwidth or 0) > 1 for s in shares):
        yield Line(text="mind: more than 100 % of bandwidth: caches serve a part of it, the rate "
                   "is that of memory; --cache cold clears them", tone="quiet")  # fmt: skip
    told = dict.fromkeys(
        f"{one.variant}: {one.predicted.reason}: {one.predicted.detail}"
        for one in rows if one.predicted.band is None and one.predicted.detail
    )  # fmt: skip
    for text in list(told)[:3]:
        yield Line(text=f"mind: no prediction for {text}", tone="quiet")


def _origin(used: CeilingsUsed) -> Iterator[Block]:
    """Yield where the shares of a target come from, or what makes them."""
    for text in used.unreadable:
        yield Line(text=f"mind: a calibration cannot be read: {text}", tone="warning")
    sheet = f"; data sheet: crossgrade chips {used.sheet}" if used.sheet else ""
    if used.digest:
        yield Line(text=f"{used.target}: ceilings of calibration {used.digest[:8]} of "
                   f"{used.created[:10]}{sheet}", tone="quiet")  # fmt: skip
    elif used.stale:
        changes = "; ".join(used.stale[:3])
        more = f" and {len(used.stale) - 3} more" if len(used.stale) > 3 else ""
        yield Line(text=f"the calibration of {used.target} of {used.created[:10]} does not hold "
                   f"here ({changes}{more}): {used.command}{sheet}", tone="warning")  # fmt: skip
    elif sheet:
        yield Line(text=f"{used.target}{sheet}", tone="quiet")
