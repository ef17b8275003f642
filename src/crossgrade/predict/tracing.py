"""One phase on one chip -> a schedule per end of the band, slice by slice.

Must not know how a schedule is drawn, nor how a kernel is priced.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crossgrade.predict.assumptions import End
from crossgrade.predict.breakdown import peak_used
from crossgrade.predict.explanation import ENDS, roofline
from crossgrade.predict.phase import Execution
from crossgrade.predict.price import BOUNDS, KernelColumns, Priced, rates_at
from crossgrade.predict.schedule import Items, Times, schedule
from crossgrade.predict.slices import Item, Shapes, between, collectives_of, streams_of
from crossgrade.predict.timeline import memory_timeline
from crossgrade.values.schedule import Alive, Schedule, SliceKind


def trace_phase(execution: Execution) -> tuple[Schedule, ...]:
    """Return what each stream does when, at both ends of the band.

    Raises:
        ValueError: the chip's memory bandwidth is unknown.
    """
    return tuple(_scheduled(execution, end) for end in ENDS)


def _scheduled(execution: Execution, end: End) -> Schedule:
    """Return the schedule of one end."""
    columns, priced = execution.priced(end)
    e = priced.exchange
    device = list(_device(execution, columns, priced, end))
    rounds = () if e is None else collectives_of(e, execution.chip, e.seconds)
    found = [*between(device, priced.device_s, rounds), *_composites(priced)]
    items = Items(
        seconds=np.array([item.seconds for item in found]),
        is_read=np.array([item.stream == "host" for item in found], dtype=np.bool_),
        is_collective=np.array([item.stream == "communication" for item in found], dtype=np.bool_),
        launch_s=rates_at(execution.chip, end)["host_launch_s"],
        # Where the network takes less than the exchange, computing covers the rest.
        overlaps=e is not None and e.seconds > priced.network_s,
    )
    times = schedule(items)
    kinds: dict[SliceKind, int] = {}
    modules: dict[str, int] = {}
    streams = tuple(streams_of(found, items, times, kinds, modules))
    return Schedule(
        chip=execution.chip.name,
        phase=execution.prepared.capture.workload.phase,
        view=f"{ENDS[end]} end",
        chips=execution.layout.chips,
        total_s=priced.total_s,
        kinds=tuple(kinds),
        modules=tuple(modules),
        streams=streams,
        alive=_alive(execution, found, times) if end == "pessimistic" else None,
    )


def _device(
    execution: Execution, columns: KernelColumns, priced: Priced, end: End
) -> Iterator[Item]:
    """Yield kernels and host reads in order."""
    prepared = execution.prepared
    kernels = prepared.fused if end == "optimistic" else prepared.eager
    busy = np.where(columns.is_host, priced.device_s, priced.floor_s + priced.slowest_s).tolist()
    least = roofline(columns, priced, execution.chip, execution.layout.split).tolist()
    modules = prepared.capture.tables["modules"]
    places = prepared.capture.columns["call_module"].tolist()
    shapes = Shapes(prepared.capture)
    rows = zip(kernels, columns.format.tolist(), priced.bound.tolist(), columns.bytes.tolist(),
               strict=True)  # fmt: skip
    for index, (kernel, row, bound, moved) in enumerate(rows):
        kind = SliceKind(
            name=kernel.label, kind=kernel.kind, sizes=shapes.of(kernel), binds=BOUNDS[bound],
            precision=peak_used(kernel.kind, priced.format_rates[row])[1],
            work=float(columns.work[index]), vector_ops=float(columns.vector_ops[index]),
            bytes=moved, roofline_s=least[index], calls=len(kernel.calls),
        )  # fmt: skip
        yield Item(kind=kind, module=modules[places[min(kernel.calls)]], seconds=busy[index],
                    stream="host" if kernel.kind == "host" else "compute",
                    is_kernel=True)  # fmt: skip


def _composites(priced: Priced) -> Iterator[Item]:
    """Yield what composites dissolve into, at the end: the price does not place it."""
    for name, binds, seconds in (
        ("launches of composites", "launch", priced.composite_launch_s),
        ("host reads of composites", "host", priced.composite_host_s),
    ):
        if seconds:
            kind = SliceKind(name=name, kind="host", binds=binds)
            yield Item(kind=kind, module="", seconds=seconds, stream="host", is_kernel=False)


def _alive(execution: Execution, found: list[Item], times: Times) -> Alive | None:
    """Return memory over the time of eager execution; None where nothing runs."""
    prepared = execution.prepared
    line = memory_timeline(prepared.capture, prepared.memory)
    starts = times.start[[item.is_kernel for item in found]]
    if not len(starts):
        return None
    first = [kernel.calls[0] for kernel in prepared.eager]
    row = np.searchsorted(first, line.at).clip(0, len(first) - 1)
    parts = (("weights", np.full(len(line.at), line.resident)), ("cache", np.array(line.kv)),
             ("gradients", np.array(line.gradients)),
             ("activations", np.array(line.activations)))  # fmt: skip
    kept = tuple((name, values) for name, values in parts if values.any())
    return Alive(at_s=starts[row], parts=kept)
