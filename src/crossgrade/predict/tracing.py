"""One phase on one chip -> a schedule per end of the band, slice by slice.

Must not know how a schedule is drawn, nor how a kernel is priced.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.assumptions import End
from crossgrade.predict.breakdown import peak_used
from crossgrade.predict.explanation import ENDS, link_seconds, roofline
from crossgrade.predict.lowering.cost import base_name
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.phase import Execution
from crossgrade.predict.price import BOUNDS, Floats, KernelColumns, Priced, rates_at
from crossgrade.predict.schedule import Items, Times, schedule
from crossgrade.predict.timeline import memory_timeline
from crossgrade.values.capture import Capture
from crossgrade.values.schedule import STREAMS, Alive, Schedule, SliceKind, Slices, Stream

_MOST_SHAPES = 3
"""Shapes of a call that a slice names: two factors and a bias."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """One item of the schedule before it has a time."""

    kind: SliceKind
    module: str
    seconds: float
    stream: Stream
    is_kernel: bool


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
    found = [*_with_collectives(execution, columns, priced, end), *_composites(priced)]
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
    streams = tuple(_streams(found, items, times, kinds, modules))
    return Schedule(
        chip=execution.chip.name,
        phase=execution.prepared.capture.workload.phase,
        end=ENDS[end],
        chips=execution.layout.chips,
        tier="T0",
        total_s=priced.total_s,
        kinds=tuple(kinds),
        modules=tuple(modules),
        streams=streams,
        alive=_alive(execution, found, times) if end == "pessimistic" else None,
    )


def _with_collectives(
    execution: Execution, columns: KernelColumns, priced: Priced, end: End
) -> Iterator[_Item]:
    """Yield kernels and reads with collectives between them.

    The price has a number of rounds and no places: they are spread evenly over the time.
    """
    device = _device(execution, columns, priced, end)
    e = priced.exchange
    if e is None:
        yield from device
        return
    rounds = max(e.rounds, 1)
    kind = SliceKind(
        name=e.kind, kind="collective", precision="", sizes="", binds="network", work=0.0,
        vector_ops=0.0, bytes=(e.inside_bytes + e.outside_bytes) / rounds, calls=0,
        roofline_s=link_seconds(execution.chip, e) / rounds,
    )  # fmt: skip
    one = _Item(kind=kind, module="", seconds=e.seconds / rounds, stream="communication",
                is_kernel=False)  # fmt: skip
    after = _spread(priced.device_s, rounds)
    for item, many in zip(device, after, strict=True):
        yield item
        yield from [one] * many


def _spread(seconds: Floats, rounds: int) -> list[int]:
    """Return how many rounds follow each kernel: equal shares of time lie before each round."""
    if not len(seconds):
        return []
    passed = np.cumsum(seconds)
    due = passed[-1] * np.arange(1, rounds + 1) / rounds
    # What is left of rounding must not push the last one behind the end.
    place = np.searchsorted(passed, due * (1 - 1e-9)).clip(0, len(seconds) - 1)
    return [int(many) for many in np.bincount(place, minlength=len(seconds))]


def _device(
    execution: Execution, columns: KernelColumns, priced: Priced, end: End
) -> Iterator[_Item]:
    """Yield kernels and host reads in order."""
    prepared = execution.prepared
    kernels = prepared.fused if end == "optimistic" else prepared.eager
    busy = np.where(columns.is_host, priced.device_s, priced.floor_s + priced.slowest_s).tolist()
    least = roofline(columns, priced, execution.chip, execution.layout.split).tolist()
    modules = prepared.capture.tables["modules"]
    places = prepared.capture.columns["call_module"].tolist()
    shapes = _Shapes(prepared.capture)
    rows = zip(kernels, columns.format.tolist(), priced.bound.tolist(), columns.bytes.tolist(),
               strict=True)  # fmt: skip
    for index, (kernel, row, bound, moved) in enumerate(rows):
        kind = SliceKind(
            name=kernel.label, kind=kernel.kind, sizes=shapes.of(kernel), binds=BOUNDS[bound],
            precision=peak_used(kernel.kind, priced.format_rates[row])[1],
            work=float(columns.work[index]), vector_ops=float(columns.vector_ops[index]),
            bytes=moved, roofline_s=least[index], calls=len(kernel.calls),
        )  # fmt: skip
        yield _Item(kind=kind, module=modules[places[min(kernel.calls)]], seconds=busy[index],
                    stream="host" if kernel.kind == "host" else "compute",
                    is_kernel=True)  # fmt: skip


def _composites(priced: Priced) -> Iterator[_Item]:
    """Yield what composites dissolve into, at the end: the price does not place it."""
    for name, binds, seconds in (
        ("launches of composites", "launch", priced.composite_launch_s),
        ("host reads of composites", "host", priced.composite_host_s),
    ):
        if seconds:
            kind = SliceKind(name=name, kind="host", precision="", sizes="", binds=binds, work=0.0,
                             vector_ops=0.0, bytes=0.0, roofline_s=0.0, calls=0)  # fmt: skip
            yield _Item(kind=kind, module="", seconds=seconds, stream="host", is_kernel=False)


def _streams(
    found: list[_Item], items: Items, times: Times, kinds: dict[SliceKind, int],
    modules: dict[str, int],
) -> Iterator[Slices]:  # fmt: skip
    """Yield the streams that do anything; fills the tables of kinds and modules."""
    rows: dict[Stream, list[tuple[float, float, int, int]]] = {name: [] for name in STREAMS}
    starts, ends = times.start.tolist(), times.end.tolist()
    launched = zip(times.launch_start.tolist(), times.launch_end.tolist(), strict=True)
    for index, (item, (begin, until)) in enumerate(zip(found, launched, strict=True)):
        module = modules.setdefault(item.module, len(modules))
        kind = kinds.setdefault(item.kind, len(kinds))
        rows[item.stream].append((starts[index], ends[index], kind, module))
        if until > begin:
            name = f"launch {item.kind.name}" + ("" if index else ", next execution")
            launch = SliceKind(name=name, kind="launch", precision="", sizes="", binds="",
                               work=0.0, vector_ops=0.0, bytes=0.0, roofline_s=0.0,
                               calls=0)  # fmt: skip
            kind = kinds.setdefault(launch, len(kinds))
            rows["host"].append((begin, until, kind, module))
    for stream, slices in rows.items():
        if slices:
            slices.sort(key=lambda row: (row[0], row[1]))
            start, end, kind_rows, module_rows = zip(*slices, strict=True)
            yield Slices(stream=stream, start_s=np.array(start), end_s=np.array(end),
                         kind=np.array(kind_rows, dtype=np.int64),
                         module=np.array(module_rows, dtype=np.int64))  # fmt: skip


def _alive(execution: Execution, found: list[_Item], times: Times) -> Alive | None:
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


class _Shapes:
    """Shapes of captured calls in words; a distinct call is read once."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._keys = capture.columns["call_key"].tolist()
        self._known: dict[int, tuple[str, str]] = {}

    def of(self, kernel: Kernel) -> str:
        """Return the shapes of the call that gives a kernel its name, else of its first."""
        described = [self._described(self._keys[call]) for call in kernel.calls]
        return next((words for name, words in described if name == kernel.label), described[0][1])

    def _described(self, row: int) -> tuple[str, str]:
        """Return the name of a distinct call and the shapes of its inputs."""
        if row not in self._known:
            key = self._capture.key(row)
            shapes = [str(list(meta.shape)) for meta in key.inputs[:_MOST_SHAPES]]
            self._known[row] = base_name(key.operator), " x ".join(shapes)
        return self._known[row]
