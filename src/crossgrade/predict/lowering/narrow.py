"""Multiply in the format that operands have before they are widened; convert weights once.

Code widens bf16 tensors to fp32 so that a product sums in fp32. Matrix engines sum bf16 products in
fp32 anyway, and widening changes no value, so a serving stack multiplies the narrow tensors and
writes no wide copy. Must not know models or chips.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.values.capture import DTYPES_BYTES, ROLES, Capture

_PARAMETER = ROLES.index("parameter")

CASTS = frozenset({"_to_copy", "clone"})
"""Operators that change format or layout and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Widened:
    """A wide copy of a narrow tensor."""

    kernel: Kernel
    """The call that widens."""
    source: int
    """Storage of the narrow tensor."""
    size: float
    """Bytes read of it."""
    dtype: str
    """Its format."""


def narrow_products(kernels: list[Kernel], capture: Capture, until: list[int]) -> list[Kernel]:
    """Return kernels in which products read the narrow tensors, without copies for them alone.

    Args:
        kernels: one kernel per call, in order.
        capture: where they come from.
        until: per storage the last call that needs it; brought up to date.
    """
    wide = _WideCopies()
    readers: dict[int, list[Kernel]] = {}
    for kernel in kernels:
        for s in kernel.reads:
            readers.setdefault(s, []).append(kernel)
        if kernel.kind in ("matmul", "attention"):
            _narrow(kernel, capture, wide.of, until)
        wide.follow(kernel, capture)
    gone: set[int] = set()
    for s, w in reversed(wide.of.items()):  # a copy of a wide copy goes before that one
        users = [r for r in readers.get(s, ()) if s in r.reads and id(r) not in gone]
        if not users and until[s] < capture.calls:
            gone.add(id(w.kernel))
    return [kernel for kernel in kernels if id(kernel) not in gone]


class _WideCopies:
    """Which storages hold a widened copy of another, at this point of the program."""

    def __init__(self) -> None:
        self.of: dict[int, _Widened] = {}
        self._by_source: dict[int, list[int]] = {}

    def follow(self, kernel: Kernel, capture: Capture) -> None:
        """Note what a kernel widens, copies and overwrites."""
        found = None
        if kernel.label == "_to_copy":
            found = _widening(kernel, capture)
        elif kernel.label == "clone" and len(kernel.reads) == 1:
            [source] = kernel.reads
            known = self.of.get(source)
            found = known and dataclasses.replace(known, kernel=kernel)
        for s in kernel.writes:
            self.of.pop(s, None)
            for copy in self._by_source.pop(s, ()):
                self.of.pop(copy, None)
        if found is not None:
            for s in kernel.writes:
                self.of[s] = found
                self._by_source.setdefault(found.source, []).append(s)


def without_casts_of_weights(kernels: list[Kernel], capture: Capture) -> list[Kernel]:
    """Return kernels of an inference step without the conversion of weights: it is done once.

    What reads the converted weight goes on to read it, in the size that it has.
    """
    weights = set((capture.columns["storage_role"] == _PARAMETER).nonzero()[0].tolist())
    kept = []
    for kernel in kernels:
        if kernel.label in CASTS and kernel.reads and kernel.reads.keys() <= weights:
            weights |= kernel.writes.keys()
        else:
            kept.append(kernel)
    return kept


def _widening(kernel: Kernel, capture: Capture) -> _Widened | None:
    """Return what a copy widens, None if it does something else."""
    key = capture.key(int(capture.columns["call_key"][kernel.calls[0]]))
    before, after = key.inputs[0].dtype, key.outputs[0].dtype
    if before not in ("bfloat16", "float16") or DTYPES_BYTES[after] <= DTYPES_BYTES[before]:
        return None
    if len(kernel.reads) != 1:
        return None
    [(source, size)] = kernel.reads.items()
    return _Widened(kernel=kernel, source=source, size=size, dtype=before)


def _narrow(
    kernel: Kernel, capture: Capture, widened: dict[int, _Widened], until: list[int]
) -> None:
    """Let a product read the narrow tensors, if all that it multiplies was widened from one."""
    c = capture.columns
    values = capture.inputs_of(kernel.calls[0])
    floats = {
        int(c["value_storage"][v])
        for v in values
        if "float" in capture.meta(int(c["value_meta"][v])).dtype
    }
    chosen = {s: widened[s] for s in floats if s in widened}
    if len(chosen) < len(floats) or len({w.dtype for w in chosen.values()}) != 1:
        return
    for s, w in chosen.items():
        # A product may read a slice of the wide copy: it then reads that slice of the source.
        share = min(kernel.reads.pop(s, 0.0) / max(sum(w.kernel.writes.values()), 1.0), 1.0)
        kernel.reads[w.source] = max(kernel.reads.get(w.source, 0.0), w.size * share)
        kernel.dtype = w.dtype
        until[w.source] = max(until[w.source], kernel.calls[-1])
        if int(c["storage_role"][w.source]) == _PARAMETER:
            kernel.reads_parameter = True
            kernel.weight_format = capture.tables["formats"][int(c["storage_format"][w.source])]
