"""Schedules as a Chrome trace: the JSON trace event format that Perfetto and chrome://tracing open.

One process per chip, phase and answer (a stack, an end of the band), one thread per stream, one
complete event per slice; times in microseconds with nanoseconds behind the point. Source of the
format: Google, "Trace Event Format"
(docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU). Must not know how a
schedule was worked out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from crossgrade.units import things
from crossgrade.values.schedule import STREAMS, Schedule, SliceKind, Slices

if TYPE_CHECKING:
    from crossgrade.values.schedule import Column

NAMES = {"host": "host", "compute": "compute stream", "communication": "communication stream"}
"""Stream -> name of its thread."""


def render_chrome_trace(schedules: Sequence[Schedule], *, about: Mapping[str, str]) -> str:
    """Return one JSON document with all schedules side by side.

    Args:
        schedules: what each stream does when.
        about: what a reader should know of the whole: command, version, assumptions.
    """
    events = [event for pid, one in enumerate(schedules, 1) for event in _events(pid, one)]
    return (
        f'{{"displayTimeUnit":"ms","otherData":{_json(dict(about))},"traceEvents":[\n'
        + ",\n".join(events)
        + "\n]}\n"
    )


def _events(pid: int, schedule: Schedule) -> Iterator[str]:
    """Yield the events of one process."""
    tiers = " and ".join(sorted({kind.tier for kind in schedule.kinds}))
    view = f"{schedule.view}, {things(schedule.chips, 'chip')}, predicted ({tiers})"
    name = f"{schedule.chip} {schedule.phase}, {view}"
    yield _metadata("process_name", pid, 0, name=name)
    yield _metadata("process_sort_index", pid, 0, sort_index=pid)
    for slices in schedule.streams:
        tid = STREAMS.index(slices.stream) + 1
        yield _metadata("thread_name", pid, tid, name=NAMES[slices.stream])
        yield _metadata("thread_sort_index", pid, tid, sort_index=tid)
        yield from _slices(pid, tid, schedule, slices)
    yield from _counters(pid, schedule)


def _slices(pid: int, tid: int, schedule: Schedule, slices: Slices) -> Iterator[str]:
    """Yield a complete event per slice."""
    heads = [_head(kind) for kind in schedule.kinds]
    tails = [_tail(kind) for kind in schedule.kinds]
    modules = [_json(module) for module in schedule.modules]
    begin, end = _nanoseconds(slices.start_s), _nanoseconds(slices.end_s)
    where = f'"ph":"X","pid":{pid},"tid":{tid}'
    rows = zip(begin.tolist(), (end - begin).tolist(), slices.kind.tolist(),
               slices.module.tolist(), strict=True)  # fmt: skip
    for start, duration, kind, module in rows:
        yield (
            f'{{{heads[kind]},{where},"ts":{_microseconds(start)},'
            f'"dur":{_microseconds(duration)},"args":{{"module":{modules[module]}{tails[kind]}}}}}'
        )


def _counters(pid: int, schedule: Schedule) -> Iterator[str]:
    """Yield bytes alive; a counter holds its value until the next one."""
    if schedule.alive is None:
        return
    name = _json("bytes alive" + (", all chips" if schedule.chips > 1 else ""))
    titles = [_json(title) for title, _ in schedule.alive.parts]
    columns = [np.rint(values).astype(np.int64).tolist() for _, values in schedule.alive.parts]
    for at, *values in zip(_nanoseconds(schedule.alive.at_s).tolist(), *columns, strict=True):
        args = ",".join(f"{t}:{v}" for t, v in zip(titles, values, strict=True))
        yield f'{{"name":{name},"ph":"C","pid":{pid},"ts":{_microseconds(at)},"args":{{{args}}}}}'


def _head(kind: SliceKind) -> str:
    return f'"name":{_json(kind.name)},"cat":{_json(kind.kind)}'


def _tail(kind: SliceKind) -> str:
    """Return what a slice says of itself behind its module; what it has not is left out."""
    band = kind.band_s or (0.0, 0.0)
    said: dict[str, Any] = {
        "sizes": kind.sizes,
        "precision": kind.precision,
        "bound": kind.binds,
        "matrix FLOP": kind.work,
        "element operations": kind.vector_ops,
        "bytes": kind.bytes,
        "roofline us": round(kind.roofline_s * 1e6, 3),
        "captured calls": kind.calls,
        "P10 us": round(band[0] * 1e6, 3),
        "P90 us": round(band[1] * 1e6, 3),
        "known": f"predicted, {kind.tier}",
    }
    return "".join(f",{_json(name)}:{_json(value)}" for name, value in said.items() if value)


def _metadata(name: str, pid: int, tid: int, /, **args: Any) -> str:
    return f'{{"name":"{name}","ph":"M","pid":{pid},"tid":{tid},"args":{_json(args)}}}'


def _nanoseconds(times: Column) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return times rounded once, so that what touches still touches and nothing overlaps."""
    return np.rint(times * 1e9).astype(np.int64)


def _microseconds(nanoseconds: int) -> str:
    return f"{nanoseconds // 1000}.{nanoseconds % 1000:03d}"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
