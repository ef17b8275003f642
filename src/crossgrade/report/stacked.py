"""Predicted time of a phase as a named stack runs it: P50, P10 to P90, and what that rests on.

Must not compute: every figure stands in the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from crossgrade.report.document import Block, Table
from crossgrade.units import count, figure, percent, seconds, times_over
from crossgrade.values.assessment import (
    ChipAssessment,
    KernelPart,
    PhaseAssessment,
    StackFigures,
    Tier,
)
from crossgrade.values.layout import Layout

Rows = Sequence[tuple[ChipAssessment, PhaseAssessment]]
RESTS_ON: Mapping[Tier, str] = {
    "T3": "a table of this chip",
    "T2": "this chip",
    "T1": "other chips",
    "T0": "the data sheet",
}
"""Tier -> what its parameters were fitted to, in words."""


def stack_blocks(rows: Rows) -> Iterator[Block]:
    """Yield a table with a row per chip for which a stack is known."""
    found = [(chip, p, p.stack) for chip, p in rows if p.stack is not None]
    if not found:
        return
    item = found[0][1].item
    ideal = _divided([p.layout for _, p, _ in found])
    network = ("collectives",) if ideal else ()
    yield Table(
        title=f"speed of a stack (predicted from its kernels: P50, P10 to P90{ideal})",
        columns=("chip", "chips", "stack", "time", "P10 to P90", f"{item}/s", "kernels", *network,
                 "kernel times fitted to"),
        rows=tuple(
            (
                chip.chip,
                str(p.layout.chips),
                s.stack,
                seconds(s.mid_s),
                f"{seconds(s.low_s)} to {seconds(s.high_s)}",
                figure(s.tokens_per_s),
                count(s.launches),
                *([collectives(s)] if network else ()),
                rests_on(s),
            )
            for chip, p, s in found
        ),
        right=frozenset({1, 3, 4, 5, 6, *([7] if network else ())}),
        whole=frozenset({4}),
    )  # fmt: skip


def _divided(layouts: Sequence[Layout]) -> str:
    """Return how the work is divided, in words; empty on one chip."""
    if all(layout.chips == 1 for layout in layouts):
        return ""
    sharded = [layout for layout in layouts if layout.kind == "sharded"]
    return f"; layout {sharded[0].words}" if sharded else "; ideal shards"


def stack_time(stack: StackFigures) -> str:
    """Return P50, its band and whose launches these are, in one cell."""
    bare = ", without collectives" if stack.network_s is None else ""
    band = f"P10 to P90: {seconds(stack.low_s)} to {seconds(stack.high_s)}"
    return f"{seconds(stack.mid_s)} ({band}; {stack.stack}{bare})"


def collectives(stack: StackFigures) -> str:
    """Return the part of collectives, in words where no link is described."""
    return "unknown, left out" if stack.network_s is None else seconds(stack.network_s)


def rests_on(stack: StackFigures) -> str:
    """Return which share of the kernels' time rests on what, the most first."""
    shares = sorted(stack.tiers.items(), key=lambda item: -item[1])
    told = [(RESTS_ON[tier], share) for tier, share in shares if share >= 0.005]
    if len(told) == 1:
        return told[0][0]
    return ", ".join(f"{words} {percent(share)}" for words, share in told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resting:
    """Kernels whose times rest on the same."""

    tier: Tier
    """How near that is."""
    basis: str
    """What it is, for a person."""
    kernels: tuple[str, ...]
    """Operation and format, the longest first."""
    seconds: float
    """Their P50 together, s."""


def restings(stack: StackFigures) -> tuple[Resting, ...]:
    """Return what kernel times rest on, that of the most time first."""
    groups: dict[tuple[Tier, str], list[KernelPart]] = {}
    for part in stack.parts:
        groups.setdefault((part.tier, part.basis), []).append(part)
    found = [
        Resting(tier=tier, basis=basis, seconds=sum(p.mid_s for p in parts),
                kernels=tuple(dict.fromkeys(f"{p.op} {p.format}".strip() for p in parts)))
        for (tier, basis), parts in groups.items()
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: -one.seconds))


def resting_table(stack: StackFigures) -> Table:
    """Return what the times of a stack's kernels rest on."""
    rows = tuple(
        (one.tier, percent(one.seconds / stack.mid_s), ", ".join(one.kernels), one.basis)
        for one in restings(stack)
    )
    return Table(
        title="what these times rest on (shares predicted)",
        columns=("tier", "share", "kernels", "source"),
        rows=rows,
        right=frozenset({1}),
    )


MOST_KINDS = 10


def stack_table(stack: StackFigures, *, everything: bool = False) -> Table:
    """Return the kernels of a stack by kind, the longest first.

    Args:
        stack: the figures.
        everything: list all kinds.
    """
    shown = stack.parts if everything else stack.parts[:MOST_KINDS]
    rest = stack.parts[len(shown) :]
    rows: list[tuple[str, ...]] = [
        (
            seconds(p.mid_s), percent(p.mid_s / stack.mid_s),
            f"{seconds(p.low_s)} to {seconds(p.high_s)}", p.binds,
            times_over(p.mid_s, p.roofline_s) if p.roofline_s else "",
            count(p.launches), p.tier, f"{p.op} {p.format}".strip(),
        )
        for p in shown
    ]  # fmt: skip
    if rest:
        total = sum(p.mid_s for p in rest)
        launches = sum(p.launches for p in rest)
        rows.append((seconds(total), percent(total / stack.mid_s), "", "", "", count(launches), "",
                     f"{len(rest)} others: add --all"))  # fmt: skip
    modelled = any(p.family == "collective" for p in stack.parts)
    assumed = None if modelled else stack.network_s
    beside = (("collectives, assumed rates", assumed), ("waits for the host", stack.host_s))
    for words, time_s in beside:
        if time_s:
            rows.append((seconds(time_s), percent(time_s / stack.mid_s), "", "", "", "", "", words))
    return Table(
        title=f"kernels of {stack.stack} (predicted: P50, P10 to P90; roof: P50 over what the data "
        "sheet permits; T3 in a table of this chip, T2 fitted to it, T1 to others, T0 to none)",
        columns=("P50", "share", "P10 to P90", "binds", "roof", "n", "tier", "kernel"),
        rows=tuple(rows),
        right=frozenset({0, 1, 2, 4, 5}),
        whole=frozenset({2}),
    )
