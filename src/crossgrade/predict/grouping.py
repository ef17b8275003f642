"""Neighbouring vector calls become one kernel.

A vector call joins the group before it where they share data, and every earlier group that it reads
from, if that group can wait: nobody has read what it wrote, nobody has written what it touches.
Must not know attention, models or chips.
"""

from __future__ import annotations

from crossgrade.predict.kernel import Kernel
from crossgrade.values.capture import Capture

_ORDERING = frozenset({"topk", "sort", "argsort"})
_LONGEST_ROW = 4096
"""Elements that are ordered inside a group; a longer row does not fit beside the group's data."""


def group_vectors(kernels: list[Kernel], capture: Capture, until: list[int]) -> list[Kernel]:
    """Return kernels in which vector calls that share data are one.

    Args:
        kernels: one kernel per call, in order.
        capture: where they come from.
        until: per storage the last call that needs it; what a group keeps to itself is not written.
    """
    groups = _Groups()
    for kernel in kernels:
        groups.add(kernel, alone=kernel.kind != "vector" or _orders_long_rows(kernel, capture))
    result = [kernel for kernel in groups.kernels if kernel is not None]
    for kernel in result:
        _drop_internal(kernel, until)
    return result


class _Groups:
    """Kernels so far, and who touched each storage last."""

    def __init__(self) -> None:
        self.kernels: list[Kernel | None] = []
        self._open: int | None = None
        self._read: dict[int, int] = {}
        self._written: dict[int, int] = {}

    def add(self, kernel: Kernel, *, alone: bool) -> None:
        """Append a kernel, or let it join groups."""
        joined = [] if alone else self._joined(kernel)
        index = len(self.kernels)
        if joined:
            group = self._take(joined[0])
            for other in joined[1:]:
                _absorb(group, self._take(other))
            _absorb(group, kernel)
            kernel = group
        self.kernels.append(kernel)
        self._open = None if alone else index
        for s in kernel.reads:
            self._read[s] = index
        for s in kernel.writes:
            self._written[s] = index

    def _take(self, index: int) -> Kernel:
        """Remove a group from its place and return it."""
        group = self.kernels[index]
        assert group is not None
        self.kernels[index] = None
        return group

    def _joined(self, kernel: Kernel) -> list[int]:
        """Return the groups that a vector call joins, in order."""
        found = {self._written[s] for s in kernel.reads if s in self._written}
        chosen = {i for i in found if self._can_wait(i)}
        if self._open is not None:
            group = self.kernels[self._open]
            if group is not None and any(
                s in group.writes or s in group.reads for s in kernel.reads
            ):
                chosen.add(self._open)
        return sorted(chosen)

    def _can_wait(self, index: int) -> bool:
        """Return whether a vector group may run later, as the last kernel so far."""
        group = self.kernels[index]
        if group is None or group.kind != "vector" or group.label in _ORDERING:
            return False
        return all(self._read.get(s, -1) <= index for s in group.writes) and all(
            self._written.get(s, -1) <= index for s in (*group.reads, *group.writes)
        )


def _orders_long_rows(kernel: Kernel, capture: Capture) -> bool:
    """Return whether a call sorts rows that are too long for a group."""
    if kernel.label not in _ORDERING:
        return False
    key = capture.key(int(capture.columns["call_key"][kernel.calls[0]]))
    return bool(key.inputs[0].shape) and key.inputs[0].shape[-1] > _LONGEST_ROW


def _absorb(group: Kernel, kernel: Kernel) -> None:
    """Add a vector kernel to a group; what the group wrote is not read from memory."""
    group.calls.extend(kernel.calls)
    group.vector_ops += kernel.vector_ops
    group.has_softmax |= kernel.has_softmax
    for s, size in kernel.reads.items():
        if s not in group.writes:
            group.reads[s] = max(group.reads.get(s, 0.0), size)
    for s, size in kernel.writes.items():
        group.writes[s] = max(group.writes.get(s, 0.0), size)


def _drop_internal(kernel: Kernel, until: list[int]) -> None:
    """Forget writes to storages that nobody needs after the kernel."""
    if len(kernel.calls) > 1:
        last = max(kernel.calls)
        kernel.writes = {s: size for s, size in kernel.writes.items() if until[s] > last}
