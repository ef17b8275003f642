"""One layout's step as the figures that a person reads: by kind of launch, and per rank.

Must not know how it is shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from crossgrade.predict.layouts.exchanged import Said
from crossgrade.predict.layouts.pieces import Pieces
from crossgrade.predict.layouts.step import ENDS, Priced, StepTimes, rank_memory, step_times
from crossgrade.predict.silicon.estimate import Estimate
from crossgrade.predict.silicon.knowledge import Knowledge
from crossgrade.values.assessment import KernelPart, RankFigures, StackFigures, Tier
from crossgrade.values.chip import Chip
from crossgrade.values.layout import Layout


def layout_figures(
    pieces: Pieces, chip: Chip, layout: Layout, stack: str, knowledge: Knowledge
) -> tuple[StackFigures, RankFigures]:
    """Return the time of a step and the memory of its fullest rank, at the captured batch.

    Args:
        pieces: the step.
        chip: one chip.
        layout: how many of them, and what each does.
        stack: the stack that launches it.
        knowledge: what is known of kernels.
    """
    times = step_times(pieces, chip, [layout], [pieces.batch], stack, knowledge)
    kernels = kernel_parts((one, 1.0) for one in times.kernels)
    said = collective_parts((one, found, 1.0) for one, found in times.network.said)
    parts = sorted((*kernels, *said), key=lambda part: -part.mid_s)
    memory = rank_memory(pieces, [layout], [pieces.batch])
    network = _network(times, layout)
    low, mid, high = (float(getattr(times, end)[0]) for end in ENDS)
    if network is None:  # without collectives: the kernels, and what the host adds
        low, mid, high = (sum(getattr(p, f"{end}_s") for p in parts) for end in ENDS)
        mid += float(times.host[0])
    figures = StackFigures(
        stack=stack, low_s=low, mid_s=mid, high_s=high,
        tokens_per_s=pieces.batch * pieces.tokens / mid if mid else 0.0,
        launches=sum(p.launches for p in parts if p.family != "collective"),
        network_s=network, host_s=float(times.host[0]), tiers=tiers_of(parts),
        parts=tuple(parts),
    )  # fmt: skip
    rank = RankFigures(
        weights=float(memory.weights[0]), cache=float(memory.cache[0]),
        activations=float(memory.activations[0]), peak=float(memory.total[0]),
    )  # fmt: skip
    return figures, rank


def _network(times: StepTimes, layout: Layout) -> float | None:
    """Return P50 of the collectives; None where a link is not described."""
    found = float(times.network.mid[0])
    return None if layout.chips > 1 and np.isnan(found) else found


def kernel_parts(kinds: Iterable[tuple[Priced, float]]) -> Iterator[KernelPart]:
    """Yield launches on the first combination by kind, each kind once.

    Args:
        kinds: launches of one kind, and how often all of them run.
    """
    groups: dict[tuple[str, str, str], list[tuple[Priced, float]]] = defaultdict(list)
    for one, times in kinds:
        if one.found:
            groups[one.rows.family, one.rows.op, one.rows.format].append((one, times))
    for (family, op, format), same in groups.items():
        low, mid, high = (
            sum(times * float(one.weights[:, 0] @ getattr(one, end)[:, 0]) for one, times in same)
            for end in ENDS
        )
        # A kind that several sources told apart counts with the one that told most of it.
        main = max((f for one, _ in same for f in one.found), key=lambda found: len(found.mid))
        yield KernelPart(
            family=family, op=op, format=format,
            launches=round(sum(times * one.counts.sum() for one, times in same)),
            low_s=low, mid_s=mid, high_s=high, roofline_s=None, binds=binds(main),
            tier=main.tier, basis=main.basis,
        )  # fmt: skip


def collective_parts(
    said: Iterable[tuple[Said, Estimate, float]],
) -> Iterator[KernelPart]:
    """Yield collectives of the first combination that take time, by operation.

    Args:
        said: collectives of one kind, the time of one, and how often all of them are said.
    """
    groups: dict[str, list[tuple[float, Estimate]]] = defaultdict(list)
    for one, found, times in said:
        if one.count[0] and found.mid[0] > 0:
            groups[one.op].append((float(one.count[0]) * times, found))
    for op, rows in groups.items():
        low, mid, high = (
            sum(count * float(getattr(found, end)[0]) for count, found in rows) for end in ENDS
        )
        yield KernelPart(
            family="collective", op=op, format="", launches=round(sum(count for count, _ in rows)),
            low_s=low, mid_s=mid, high_s=high, roofline_s=None, binds="network",
            tier=rows[0][1].tier, basis=rows[0][1].basis,
        )  # fmt: skip


def binds(found: Estimate) -> str:
    """Return which term of P50 is the largest over all rows of an estimate."""
    terms = found.terms
    named = {"compute": terms.compute, "vector": terms.vector, "memory": terms.memory,
             "launch": terms.floor}  # fmt: skip
    return max(named, key=lambda name: float(np.nan_to_num(named[name]).sum()))


def tiers_of(parts: list[KernelPart]) -> dict[Tier, float]:
    """Return the share of the time that rests on each tier."""
    shares: dict[Tier, float] = defaultdict(float)
    for part in parts:
        shares[part.tier] += part.mid_s
    total = sum(shares.values()) or 1.0
    return {tier: shares[tier] / total for tier in sorted(shares)}
