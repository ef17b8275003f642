"""One phase on one chip as a named stack runs it -> a schedule of its launches, each at P50.

Must not know how a schedule is drawn, nor how a kernel is priced.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crossgrade.predict.assumptions import assumptions
from crossgrade.predict.exchange import exchange
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.phase import Execution, Prepared
from crossgrade.predict.schedule import Items, schedule
from crossgrade.predict.silicon.knowledge import Knowledge
from crossgrade.predict.slices import Item, between, collectives_of, streams_of
from crossgrade.predict.stack_time import EAGER, ENDS, Timed, launched, roofline, timed
from crossgrade.values.breakdown import Exchange
from crossgrade.values.chip import Chip
from crossgrade.values.kernel import KernelRows
from crossgrade.values.schedule import Schedule, SliceKind


def trace_stack(execution: Execution, stack: str, knowledge: Knowledge) -> Schedule:
    """Return what each stream does when a stack runs a phase.

    Host reads, host launches and collectives take the middle of the two assumed rates, as they do
    in the time of the stack.

    Raises:
        ValueError: no such stack, or it cannot run the phase.
    """
    prepared, chip, layout = execution.prepared, execution.chip, execution.layout
    work = launched(prepared, stack)
    groups = timed(work, stack, chip, layout, knowledge)
    device = list(_device(prepared, work.kernels, groups, chip, layout.split))
    said = [exchange(chip, layout, prepared.traffic, end) for end in ENDS]
    known = [e for e in said if e is not None]
    busy = np.array([item.seconds for item in device])
    found = [*between(device, busy, _rounds(known, chip))]
    items = Items(
        seconds=np.array([item.seconds for item in found]),
        is_read=np.array([item.stream == "host" for item in found], dtype=np.bool_),
        is_collective=np.array([item.stream == "communication" for item in found], dtype=np.bool_),
        launch_s=_middle("host_launch_s") if stack == EAGER else 0.0,
    )
    times = schedule(items)
    kinds: dict[SliceKind, int] = {}
    modules: dict[str, int] = {}
    streams = tuple(streams_of(found, items, times, kinds, modules))
    return Schedule(
        chip=chip.name, phase=prepared.capture.workload.phase, view=f"{stack}, P50",
        chips=layout.chips, total_s=times.total, kinds=tuple(kinds), modules=tuple(modules),
        streams=streams, alive=None,
    )  # fmt: skip


def _middle(rate: str) -> float:
    """Return the middle of the two ends of an assumed rate, s."""
    return sum(assumptions()[rate].at(end) for end in ENDS) / len(ENDS)


def _rounds(known: list[Exchange], chip: Chip) -> list[Item]:
    """Return the collectives with the mean of the times at both ends; none without links."""
    if not known:
        return []
    return collectives_of(known[0], chip, sum(e.seconds for e in known) / len(known))


def _device(
    prepared: Prepared, kernels: list[Kernel], groups: list[Timed], chip: Chip, split: int
) -> Iterator[Item]:
    """Yield launches and host reads in order; what is part of another launch has no slice."""
    modules = prepared.capture.tables["modules"]
    places = prepared.capture.columns["call_module"].tolist()
    launches = _launches(groups, chip, split)
    read_s = _middle("host_sync_s")
    for i, kernel in enumerate(kernels):
        module = modules[places[min(kernel.calls)]]
        if kernel.kind == "host":
            kind = SliceKind(name=kernel.label, kind="host", binds="host", calls=len(kernel.calls))
            yield Item(kind=kind, module=module, seconds=read_s, stream="host", is_kernel=True)
        elif i in launches:
            kind, seconds = launches[i]
            yield Item(kind=kind, module=module, seconds=seconds, stream="compute", is_kernel=True)


def _launches(groups: list[Timed], chip: Chip, split: int) -> dict[int, tuple[SliceKind, float]]:
    """Return what each launch is and how long it takes, s, by its place in the stack's order."""
    found: dict[int, tuple[SliceKind, float]] = {}
    for one in groups:
        kinds = list(_kinds(one, chip, split))
        mid = one.mid.tolist()
        for place, row in zip(one.group.places.tolist(), one.group.index.tolist(), strict=True):
            found[place] = kinds[row], mid[row]
    return found


def _kinds(one: Timed, chip: Chip, split: int) -> Iterator[SliceKind]:
    """Yield what each distinct kernel of a group is."""
    group, terms = one.group, one.found.terms
    shares = np.stack([terms.compute / split, terms.vector / split, terms.memory / split,
                       terms.floor])  # fmt: skip
    binds = np.nan_to_num(shares).argmax(axis=0)
    least = roofline(group, chip) / split
    for i, sizes in enumerate(_sizes(group.rows)):
        yield SliceKind(
            name=group.rows.op, kind=group.rows.family, precision=group.rows.format, sizes=sizes,
            binds=("compute", "vector", "memory", "launch")[binds[i]], work=float(group.work[i]),
            vector_ops=float(group.vector_ops[i]), bytes=float(group.bytes[i]),
            roofline_s=float(least[i]), tier=one.found.tier,
            band_s=(float(one.low[i]), float(one.high[i])),
        )  # fmt: skip


def _sizes(rows: KernelRows) -> Iterator[str]:
    """Yield the sizes of each kernel in words."""
    columns = [column.tolist() for column in rows.sizes.values()]
    for values in zip(*columns, strict=True):
        yield ", ".join(f"{name} {v:g}" for name, v in zip(rows.sizes, values, strict=True))
