"""Neighbouring vector calls become one kernel.

A vector call joins the group before it where they share data, and every earlier group that it reads
from, if that group can wait: nobody has read what it wrote, nobody has written what it touches.
Must not know attention, models or chips.
"""

from __future__ import annotations

import json

from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.values.capture import CallKey, Capture

_ORDERING = frozenset({"topk", "sort", "argsort", "cumsum", "cumprod", "logcumsumexp"})
_SCATTERS = frozenset({
    "index_add", "index_put", "_index_put_impl", "index_copy", "scatter", "scatter_add",
    "scatter_reduce", "embedding_dense_backward", "index_fill",
})  # fmt: skip
_LARGEST_INSIDE = 4096
"""Elements of a row that is ordered, or of a tensor that is scattered to, inside a group. More do
not fit beside the group's data, and what reads them has to wait for all of them."""


def group_vectors(kernels: list[Kernel], capture: Capture, until: list[int]) -> list[Kernel]:
    """Return kernels in which vector calls that share data are one.

    Args:
        kernels: one kernel per call, in order.
        capture: where they come from.
        until: per storage the last call that needs it; what a group keeps to itself is not written.
    """
    groups = _Groups(capture.columns["storage_bytes"].tolist())
    for kernel in kernels:
        ends = kernel.kind == "vector" and _needs_all(kernel, capture)
        orders = ends and kernel.label.rstrip("_") in _ORDERING
        groups.add(kernel, alone=kernel.kind != "vector" or orders, last=ends)
    result = [kernel for kernel in groups.kernels if kernel is not None]
    for kernel in result:
        _drop_internal(kernel, until)
    return result


class _Groups:
    """Kernels so far, and who touched each storage last."""

    def __init__(self, sizes: list[int]) -> None:
        self.kernels: list[Kernel | None] = []
        self._sizes = sizes
        self._closed: set[int] = set()
        self._open: int | None = None
        self._read: dict[int, int] = {}
        self._written: dict[int, int] = {}

    def add(self, kernel: Kernel, *, alone: bool, last: bool) -> None:
        """Append a kernel, or let it join groups; after the last call of a group nothing joins."""
        joined = [] if alone else self._joined(kernel)
        index = len(self.kernels)
        if joined:
            group = self._take(joined[0])
            for other in joined[1:]:
                self._absorb(group, self._take(other))
            self._absorb(group, kernel)
            kernel = group
        self.kernels.append(kernel)
        self._open = None if alone or last else index
        if alone or last:
            self._closed.add(index)
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

    def _absorb(self, group: Kernel, kernel: Kernel) -> None:
        """Add a vector kernel to a group; what the group wrote is not read from memory.

        A group that wrote a row of a tensor still reads the rest of it.
        """
        group.calls.extend(kernel.calls)
        group.vector_ops += kernel.vector_ops
        group.has_softmax |= kernel.has_softmax
        for s, size in kernel.reads.items():
            left = max(size - group.writes.get(s, 0.0), 0.0)
            if left or s not in group.writes:
                group.reads[s] = max(group.reads.get(s, 0.0), left)
        for s, size in kernel.writes.items():
            group.writes[s] = min(group.writes.get(s, 0.0) + size, float(self._sizes[s]))

    def _can_wait(self, index: int) -> bool:
        """Return whether a vector group may run later, as the last kernel so far."""
        group = self.kernels[index]
        if group is None or index in self._closed:
            return False
        return all(self._read.get(s, -1) <= index for s in group.writes) and all(
            self._written.get(s, -1) <= index for s in (*group.reads, *group.writes)
        )


def _needs_all(kernel: Kernel, capture: Capture) -> bool:
    """Return whether a reader of the result has to wait for all of a large tensor.

    An order or a running sum over a long dimension, and what is scattered to a large tensor.
    """
    name = kernel.label.rstrip("_")
    if name not in _ORDERING and name not in _SCATTERS:
        return False
    key = capture.key(int(capture.columns["call_key"][kernel.calls[0]]))
    shape = key.inputs[0].shape
    if not shape:
        return False
    if name in _SCATTERS:
        return key.outputs[0].numel > _LARGEST_INSIDE
    return shape[_dimension(name, key)] > _LARGEST_INSIDE


def _dimension(name: str, key: CallKey) -> int:
    """Return the dimension that is ordered or summed along; the last one where none is named."""
    arguments, named = json.loads(key.arguments)
    at = 2 if name == "topk" else 1
    dim = named.get("dim", arguments[at] if len(arguments) > at else -1)
    return dim if isinstance(dim, int) and not isinstance(dim, bool) else -1


def _drop_internal(kernel: Kernel, until: list[int]) -> None:
    """Forget writes to storages that nobody needs after the kernel."""
    if len(kernel.calls) > 1:
        last = max(kernel.calls)
        kernel.writes = {s: size for s, size in kernel.writes.items() if until[s] > last}
