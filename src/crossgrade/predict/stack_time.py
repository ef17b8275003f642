"""One phase as a named stack runs it: every launch priced by a kernel model, with P10 and P90.

Errors of one kind of kernel are taken to go together: P10 of the phase is the sum of P10s, which is
wider than if they were independent. Must not know how an answer is shown.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.assumptions import End, assumptions
from crossgrade.predict.exchange import exchange
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.lowering.stack import Stack, load_stack
from crossgrade.predict.lowering.stacks import distinct_rows, kernel_rows
from crossgrade.predict.phase import Prepared
from crossgrade.predict.silicon.estimate import Estimate, estimates
from crossgrade.predict.silicon.facts import narrows
from crossgrade.predict.silicon.knowledge import Knowledge
from crossgrade.predict.silicon.model import Floats, Terms
from crossgrade.predict.silicon.models import facts_for
from crossgrade.values.assessment import KernelPart, StackFigures, Tier
from crossgrade.values.chip import Chip
from crossgrade.values.kernel import KernelRows
from crossgrade.values.layout import Layout

FP8 = ("fp8", "fp8_block")
"""Formats that an int8 engine can stand in for."""
EAGER = "eager"
"""The stack whose calls the host launches one by one."""
ENDS: tuple[End, End] = ("optimistic", "pessimistic")
"""What has no kernel model, collectives and reads by the host, is between the assumed rates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """The launches of one stack, as kernel models take them."""

    kernels: list[Kernel]
    """In order."""
    groups: list[Group]
    """Kernels of one kind each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Distinct kernels of one kind; arrays of shape [kernels]."""

    rows: KernelRows
    """Their sizes."""
    counts: Floats
    """How often each is launched."""
    work: Floats
    """Matrix operations of one launch."""
    vector_ops: Floats
    """Element operations of one launch."""
    bytes: Floats
    """Bytes that one launch moves."""
    places: NDArray[np.int64]
    """Which launches of the stack these are, shape [launches]."""
    index: NDArray[np.int64]
    """Which of the distinct kernels each of them is, shape [launches]."""


def launched(prepared: Prepared, stack: str) -> Launched:
    """Return the launches of a stack; worked out once per capture.

    Raises:
        ValueError: no such stack, or a serving stack is asked to train.
    """
    if stack not in prepared.launches:
        from crossgrade.predict.lowering.stacks import lower

        kernels = lower(prepared.capture, stack, prepared.costs)
        prepared.launches[stack] = Launched(kernels=kernels, groups=_groups(kernels, stack))
    found: Launched = prepared.launches[stack]
    return found


def _groups(kernels: list[Kernel], stack: str) -> list[Group]:
    """Return launches by kind; what a launch stands for beside itself counts with it."""
    totals = np.array([[k.work, k.vector_ops, k.bytes] for k in kernels], dtype=np.float64)
    for i, kernel in enumerate(kernels):
        if kernel.part_of is not None:
            totals[kernel.part_of] += totals[i]
    groups = []
    for every, places in kernel_rows(kernels, stack):
        rows, index = distinct_rows(every)
        counts = np.bincount(index, minlength=len(rows)).astype(np.float64)
        work, vector_ops, moved = (
            np.bincount(index, weights=column, minlength=len(rows)) / counts
            for column in totals[places].T
        )
        groups.append(
            Group(
                rows=rows,
                counts=counts,
                work=work,
                vector_ops=vector_ops,
                bytes=moved,
                places=places,
                index=index,
            )
        )
    return groups


def stack_time(
    prepared: Prepared, chip: Chip, layout: Layout, stack: str, knowledge: Knowledge
) -> StackFigures:
    """Return the time of one phase as a stack runs it, from a captured graph.

    On N chips as ideal shards every kernel but its floor is divided by N. A chip without an engine
    for a narrow format widens weights in the product and converts no activations, unless the stack
    has int8 stand in for fp8.

    Raises:
        ValueError: no such stack, or it cannot run the phase.
    """
    work = launched(prepared, stack)
    groups = timed(work, stack, chip, layout, knowledge)
    spared = sum(g.counts.sum() for g in work.groups) - sum(g.group.counts.sum() for g in groups)
    parts = sorted((_part(one, chip, layout.split) for one in groups), key=lambda p: -p.mid_s)
    said = [exchange(chip, layout, prepared.traffic, end) for end in ENDS]
    network = [one.seconds if one else 0.0 for one in said]
    host = _host(work, stack, parts)
    low, mid, high = (
        sum(getattr(part, name) for part in parts) for name in ("low_s", "mid_s", "high_s")
    )
    middle = mid + (sum(network) + sum(host)) / 2
    return StackFigures(
        stack=stack,
        low_s=low + network[0] + host[0],
        mid_s=middle,
        high_s=high + network[1] + host[1],
        network_s=None if layout.split > 1 and None in said else sum(network) / 2,
        host_s=sum(host) / 2,
        tokens_per_s=prepared.capture.workload.items * layout.copies / middle,
        tiers=_tiers(parts),
        launches=sum(kernel.family is not None for kernel in work.kernels) - int(spared),
        parts=tuple(parts),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Launches of one kind with the time of one on one chip; arrays of shape [kernels], s."""

    group: Group
    """What they are, in the format that they have on the chip."""
    low: Floats
    """P10."""
    mid: Floats
    """P50."""
    high: Floats
    """P90."""
    found: Estimate
    """What they take undivided, and what that rests on."""


def timed(
    work: Launched, stack: str, chip: Chip, layout: Layout, knowledge: Knowledge
) -> list[Timed]:
    """Return the launches that a stack needs on a chip, each kind with its times."""
    groups = [_on(group, chip, stack) for group in work.groups]
    return [
        _timed(_taken(group, at), found, layout.split)
        for group in groups
        if _runs(group, chip)
        for at, found in estimates(group.rows, chip, knowledge, replayed=True)
    ]


def _taken(group: Group, at: NDArray[np.int64]) -> Group:
    """Return some of the distinct kernels of a group with their launches."""
    if len(at) == len(group.rows):
        return group
    row = np.full(len(group.rows), -1)
    row[at] = np.arange(len(at))
    kept = row[group.index] >= 0
    return Group(
        rows=group.rows.take(at), counts=group.counts[at], work=group.work[at],
        vector_ops=group.vector_ops[at], bytes=group.bytes[at], places=group.places[kept],
        index=row[group.index[kept]],
    )  # fmt: skip


def _timed(group: Group, found: Estimate, split: int) -> Timed:
    """Return times on one of some ideal shards, which divide everything but the floor."""
    floor = np.minimum(found.terms.floor, found.mid)
    mine = (floor + (found.mid - floor) / split) / found.mid
    return Timed(group=group, low=found.low * mine, mid=found.mid * mine, high=found.high * mine,
                 found=found)  # fmt: skip


def format_on(chip: Chip, format: str, stack: Stack) -> str:
    """Return the format that launches have on a chip: int8 may stand in for fp8 there."""
    if format not in FP8 or narrows(chip, format) or stack["without_fp8"] != "int8":
        return format
    return "int8"


def _on(group: Group, chip: Chip, stack: str) -> Group:
    format = format_on(chip, group.rows.format, load_stack(stack))
    return replace(group, rows=replace(group.rows, format=format))


def _runs(group: Group, chip: Chip) -> bool:
    """Return whether a chip has use for these launches: no conversion without a narrow engine."""
    return group.rows.family != "quantise" or narrows(chip, group.rows.format)


def _host(work: Launched, stack: str, parts: list[KernelPart]) -> list[float]:
    """Return what the host adds at the two ends, s.

    Reads by the host drain the device. Where calls are launched one by one, the host is waited for
    as far as its launches take longer than the kernels do; a captured graph has none of that.
    """
    rates = assumptions()
    reads = sum(kernel.kind == "host" for kernel in work.kernels)
    added = [reads * rates["host_sync_s"].at(end) for end in ENDS]
    if stack == EAGER:
        device = sum(part.mid_s for part in parts)
        launches = sum(part.launches for part in parts)
        waits = [launches * rates["host_launch_s"].at(end) - device for end in ENDS]
        added = [one + max(wait, 0.0) for one, wait in zip(added, waits, strict=True)]
    return added


def _tiers(parts: list[KernelPart]) -> dict[Tier, float]:
    shares: dict[Tier, float] = defaultdict(float)
    for part in parts:
        shares[part.tier] += part.mid_s
    total = sum(shares.values()) or 1.0
    return {tier: shares[tier] / total for tier in sorted(shares)}


def _part(one: Timed, chip: Chip, split: int) -> KernelPart:
    rows, counts, found = one.group.rows, one.group.counts, one.found
    return KernelPart(
        family=rows.family,
        op=rows.op,
        format=rows.format,
        launches=int(counts.sum()),
        low_s=float(counts @ one.low),
        mid_s=float(counts @ one.mid),
        high_s=float(counts @ one.high),
        roofline_s=float(counts @ roofline(one.group, chip)) / split,
        binds=_binds(found.terms, counts, split),
        tier=found.tier,
        basis=found.basis,
    )


def roofline(group: Group, chip: Chip) -> Floats:
    """Return the least time that the data sheet permits per launch, s, shape [kernels].

    The slowest of matrix work, element work and traffic, each at its peak (Williams et al., CACM
    2009).
    """
    facts = facts_for(group.rows, chip)
    times = (
        group.work / facts.matrix_flop_per_s,
        group.vector_ops / facts.vector_flop_per_s,
        group.bytes / facts.bandwidth_bytes_per_s,
    )
    longest: Floats = np.max(np.stack(times), axis=0)
    return longest


def _binds(terms: Terms, counts: Floats, split: int) -> str:
    """Return which term is the largest over all launches; the floor is not divided."""
    shares = {
        "compute": terms.compute / split, "vector": terms.vector / split,
        "memory": terms.memory / split, "launch": terms.floor,
    }  # fmt: skip
    return max(shares, key=lambda name: float(counts @ np.nan_to_num(shares[name])))
