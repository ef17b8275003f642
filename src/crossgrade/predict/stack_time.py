"""One phase as a named stack runs it: every launch priced by a kernel model, with P10 and P90.

Errors of one kind of kernel are taken to go together: P10 of the phase is the sum of P10s, which is
wider than if they were independent. Must not know how an answer is shown.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.assumptions import End, assumptions
from crossgrade.predict.exchange import exchange
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.lowering.stacks import distinct_rows, kernel_rows
from crossgrade.predict.phase import Prepared
from crossgrade.predict.silicon.estimate import Estimate, estimate
from crossgrade.predict.silicon.knowledge import Knowledge
from crossgrade.predict.silicon.model import Floats
from crossgrade.values.assessment import KernelPart, StackFigures, Tier
from crossgrade.values.chip import Chip
from crossgrade.values.kernel import KernelRows
from crossgrade.values.layout import Layout

ENDS: tuple[End, End] = ("optimistic", "pessimistic")
"""What has no kernel model, collectives and reads by the host, is between the assumed rates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """The launches of one stack, as kernel models take them."""

    kernels: list[Kernel]
    """In order."""
    rows: list[tuple[KernelRows, Floats]]
    """Distinct kernels of one kind, and how often each is launched."""


def launched(prepared: Prepared, stack: str) -> Launched:
    """Return the launches of a stack; worked out once per capture.

    Raises:
        ValueError: no such stack, or a serving stack is asked to train.
    """
    if stack not in prepared.launches:
        from crossgrade.predict.lowering.stacks import lower

        kernels = lower(prepared.capture, stack, prepared.costs)
        rows = []
        for every, _ in kernel_rows(kernels, stack):
            few, index = distinct_rows(every)
            rows.append((few, np.bincount(index, minlength=len(few)).astype(np.float64)))
        prepared.launches[stack] = Launched(kernels=kernels, rows=rows)
    found: Launched = prepared.launches[stack]
    return found


def stack_time(
    prepared: Prepared, chip: Chip, layout: Layout, stack: str, knowledge: Knowledge
) -> StackFigures:
    """Return the time of one phase as a stack runs it, from a captured graph.

    On N chips as ideal shards every kernel but its floor is divided by N.

    Raises:
        ValueError: no such stack, or it cannot run the phase.
    """
    work = launched(prepared, stack)
    parts = []
    for rows, counts in work.rows:
        found = estimate(rows, chip, knowledge, replayed=True)
        parts.append(_part(rows, counts, found, layout.split))
    parts.sort(key=lambda part: -part.mid_s)
    said = [exchange(chip, layout, prepared.traffic, end) for end in ENDS]
    network = [one.seconds if one else 0.0 for one in said]
    reads = sum(kernel.kind == "host" for kernel in work.kernels)
    host = [reads * assumptions()["host_sync_s"].at(end) for end in ENDS]
    low, mid, high = (
        sum(getattr(part, name) for part in parts) for name in ("low_s", "mid_s", "high_s")
    )
    middle = mid + (sum(network) + sum(host)) / 2
    return StackFigures(
        stack=stack,
        low_s=low + network[0] + host[0],
        mid_s=middle,
        high_s=high + network[1] + host[1],
        network_s=sum(network) / 2,
        tokens_per_s=prepared.capture.workload.items * layout.copies / middle,
        tiers=_tiers(parts),
        launches=sum(kernel.family is not None for kernel in work.kernels),
        parts=tuple(parts),
    )


def _tiers(parts: list[KernelPart]) -> dict[Tier, float]:
    shares: dict[Tier, float] = defaultdict(float)
    for part in parts:
        shares[part.tier] += part.mid_s
    total = sum(shares.values()) or 1.0
    return {tier: shares[tier] / total for tier in sorted(shares)}


def _part(rows: KernelRows, counts: Floats, found: Estimate, split: int) -> KernelPart:
    def total(times: Floats) -> float:
        floor = np.minimum(found.terms.floor, times)
        return float(counts @ (floor + (times - floor) / split))

    return KernelPart(
        family=rows.family,
        op=rows.op,
        format=rows.format,
        launches=int(counts.sum()),
        low_s=total(found.low),
        mid_s=total(found.mid),
        high_s=total(found.high),
        tier=found.tier,
        basis=found.basis,
    )
