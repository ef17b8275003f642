"""What is done in order -> the streams of a schedule, slice by slice.

Must not know how an item got its time, nor how a schedule is drawn.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.explanation import link_seconds
from crossgrade.predict.lowering.cost import base_name
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.price import Floats
from crossgrade.predict.schedule import Items, Times
from crossgrade.values.breakdown import Exchange
from crossgrade.values.capture import Capture
from crossgrade.values.chip import Chip
from crossgrade.values.schedule import STREAMS, SliceKind, Slices, Stream

_MOST_SHAPES = 3
"""Shapes of a call that a slice names: two factors and a bias."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of the schedule before it has a time."""

    kind: SliceKind
    """What it is."""
    module: str
    """Path of the module that it belongs to; empty where it belongs to none."""
    seconds: float
    """Time that it keeps its stream busy, s."""
    stream: Stream
    """Who works."""
    is_kernel: bool
    """Whether it stands for captured calls."""


def collectives_of(e: Exchange, chip: Chip, seconds: float) -> list[Item]:
    """Return the rounds of an exchange, which share its time evenly."""
    rounds = max(e.rounds, 1)
    kind = SliceKind(
        name=e.kind, kind="collective", binds="network",
        bytes=(e.inside_bytes + e.outside_bytes) / rounds,
        roofline_s=link_seconds(chip, e) / rounds,
    )  # fmt: skip
    one = Item(kind=kind, module="", seconds=seconds / rounds, stream="communication",
               is_kernel=False)  # fmt: skip
    return [one] * rounds


def between(device: Sequence[Item], busy_s: Floats, rounds: Sequence[Item]) -> Iterator[Item]:
    """Yield what the device does with rounds of collectives between.

    A price has a number of rounds and no places: they are spread evenly over the time.

    Args:
        device: kernels and reads in order.
        busy_s: time of each on the device, s, shape [items].
        rounds: the collectives.
    """
    if not rounds:
        yield from device
        return
    left = iter(rounds)
    for item, many in zip(device, _spread(busy_s, len(rounds)), strict=True):
        yield item
        yield from itertools.islice(left, many)


def _spread(seconds: Floats, rounds: int) -> list[int]:
    """Return how many rounds follow each kernel: equal shares of time lie before each round."""
    if not len(seconds):
        return []
    passed = np.cumsum(seconds)
    due = passed[-1] * np.arange(1, rounds + 1) / rounds
    # What is left of rounding must not push the last one behind the end.
    place = np.searchsorted(passed, due * (1 - 1e-9)).clip(0, len(seconds) - 1)
    return [int(many) for many in np.bincount(place, minlength=len(seconds))]


def streams_of(
    found: list[Item], items: Items, times: Times, kinds: dict[SliceKind, int],
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
            kind = kinds.setdefault(SliceKind(name=name, kind="launch"), len(kinds))
            rows["host"].append((begin, until, kind, module))
    for stream, slices in rows.items():
        if slices:
            slices.sort(key=lambda row: (row[0], row[1]))
            start, end, kind_rows, module_rows = zip(*slices, strict=True)
            yield Slices(stream=stream, start_s=np.array(start), end_s=np.array(end),
                         kind=np.array(kind_rows, dtype=np.int64),
                         module=np.array(module_rows, dtype=np.int64))  # fmt: skip


class Shapes:
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
