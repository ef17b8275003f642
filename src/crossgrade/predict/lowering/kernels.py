"""Calls -> the kernels that would be launched, in the two ends of the band.

`eager_kernels` launches one kernel per captured call. `fused_kernels` launches what a serving stack
or a graph compiler launches. Products read narrow operands and no widened copies of them; weights
are converted ahead of time; vector calls that share data become one kernel; attention becomes one
kernel that skips what a mask hides; a convolution takes a batch norm and an activation with it; a
cache is appended to and not copied; data that only repeats or joins is read where it lies; latents
are not expanded where multiplying the queries costs less. What a fused kernel keeps to itself is
not written, and what nobody reads is not computed. Must not know chips.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.lowering.attention import fuse_attention, without_masks
from crossgrade.predict.lowering.convolutions import fold_convolutions
from crossgrade.predict.lowering.copies import without_copies
from crossgrade.predict.lowering.cost import CallCost, base_name, call_cost
from crossgrade.predict.lowering.grouping import group_vectors
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.lowering.latent import absorb_latents
from crossgrade.predict.lowering.masks import MaskReader
from crossgrade.predict.lowering.narrow import CASTS, narrow_products, without_casts_of_weights
from crossgrade.values.capture import ALIAS_VIEW, DTYPES_BYTES, ROLES, Capture
from crossgrade.values.workload import CACHED_BYTES

_PARAMETER = ROLES.index("parameter")
_KV = ROLES.index("kv")
_SOFTMAX = frozenset({"_softmax", "_safe_softmax"})


def key_costs(capture: Capture) -> list[CallCost]:
    """Return the cost of every distinct call."""
    c = capture.columns
    starts = c["call_output_start"].tolist()
    aliases = c["call_output_alias"].tolist()
    is_view: dict[int, bool] = {}
    for call, key in enumerate(c["call_key"].tolist()):
        if key not in is_view:
            kinds = aliases[starts[call] : starts[call + 1]]
            is_view[key] = bool(kinds) and all(kind == ALIAS_VIEW for kind in kinds)
    return [call_cost(key, is_view=is_view.get(key.index, False)) for key in capture.iter_keys()]


def eager_kernels(capture: Capture, costs: list[CallCost] | None = None) -> list[Kernel]:
    """Return one kernel per call that launches something."""
    return list(launching_calls(capture, costs or key_costs(capture), append_cache=False))


def fused_kernels(capture: Capture, costs: list[CallCost] | None = None) -> list[Kernel]:
    """Return the kernels of a fusing stack."""
    return merged(narrowed(capture, costs or key_costs(capture)))


@dataclass(slots=True, kw_only=True)
class Narrowed:
    """Calls of which none is launched that a fusing stack leaves out, one kernel each."""

    capture: Capture
    """Where they come from."""
    calls: list[Kernel]
    """The kernels, in order; merging changes them."""
    until: list[int]
    """Per storage the last call that needs it."""
    masks: MaskReader
    """Works out masks."""
    moved: dict[int, tuple[int, ...]]
    """Storage that a kernel no longer reads -> those read in its place."""


def narrowed(capture: Capture, costs: list[CallCost]) -> Narrowed:
    """Return launching calls with narrow operands, without copies, masks and dead work."""
    until = needed_until(capture, costs)
    calls = list(launching_calls(capture, costs, append_cache=True))
    calls = narrow_products(calls, capture, until)
    if capture.workload.phase != "train":
        calls = without_casts_of_weights(calls, capture)
    calls, moved = without_copies(calls, capture, until)
    masks = MaskReader(capture)
    calls = without_dead(without_masks(calls, capture, masks), until, capture.calls)
    return Narrowed(capture=capture, calls=calls, until=until, masks=masks, moved=moved)


def merged(left: Narrowed) -> list[Kernel]:
    """Return kernels in which vector calls are grouped and attention is one."""
    capture, until = left.capture, left.until
    groups = fold_convolutions(group_vectors(left.calls, capture, until), capture, until)
    fused = fuse_attention(groups, capture, until, left.masks, left.moved)
    return without_dead(absorb_latents(fused, capture, until), until, capture.calls)


def needed_until(capture: Capture, costs: list[CallCost]) -> list[int]:
    """Return per storage the last call that reads it, or the number of calls if alive at the end.

    Not when it was freed: a variable of the model's code often outlives the last use of its data.
    Views read nothing.
    """
    c = capture.columns
    end = capture.calls
    until = [end if d >= end else -1 for d in c["storage_died"].tolist()]
    storage = c["value_storage"].tolist()
    starts, flat = c["call_input_start"].tolist(), c["call_input"].tolist()
    for call, key in enumerate(c["call_key"].tolist()):
        if costs[key].kind == "view":
            continue
        for value in flat[starts[call] : starts[call + 1]]:
            until[storage[value]] = max(until[storage[value]], call)
    return until


def launching_calls(
    capture: Capture, costs: list[CallCost], *, append_cache: bool
) -> Iterator[Kernel]:
    """Yield a kernel per launching call, with bytes by storage."""
    calls = _Calls(capture)
    for call, key in enumerate(capture.columns["call_key"].tolist()):
        cost = costs[key]
        if cost.kind not in ("view", "alloc"):
            yield calls.kernel(call, key, cost, append_cache=append_cache)


class _Calls:
    """Makes kernels of calls; holds the columns as lists, which are faster to index."""

    def __init__(self, capture: Capture) -> None:
        c = capture.columns
        self._roles = c["storage_role"].tolist()
        self._storage = c["value_storage"].tolist()
        self._place = list(zip(c["value_offset"].tolist(), c["value_meta"].tolist(), strict=True))
        self._inputs = c["call_input_start"].tolist(), c["call_input"].tolist()
        self._outputs = c["call_output_start"].tolist(), c["call_output"].tolist()
        self._whole = c["storage_bytes"].tolist()
        self._stored = c["storage_stored_bytes"].tolist()
        self._formats = c["storage_format"].tolist()
        self._names = capture.tables["formats"]
        self._inference = capture.workload.phase != "train"
        self._narrow = narrow_cache(capture)
        self._weights = {s for s, role in enumerate(self._roles) if role == _PARAMETER}
        operators = capture.tables["operators"]
        self._labels = [base_name(operators[o]) for o in c["key_operator"].tolist()]

    def kernel(self, call: int, key: int, cost: CallCost, *, append_cache: bool) -> Kernel:
        """Return the kernel of one call."""
        label = self._labels[key]
        kernel = Kernel(
            calls=[call],
            kind=cost.kind,
            label=label,
            dtype=cost.dtype,
            flops=cost.flops,
            work=cost.work,
            vector_ops=cost.vector_ops,
            has_softmax=label in _SOFTMAX,
        )
        kernel.reads = self._bytes(call, self._inputs, cost.input_bytes)
        kernel.writes = self._bytes(call, self._outputs, cost.output_bytes)
        for s in kernel.reads:
            kernel.reads_parameter |= s in self._weights
            if self._roles[s] == _PARAMETER and self._inference:
                kernel.reads[s] *= self._stored[s] / self._whole[s] if self._whole[s] else 1.0
                if cost.kind in ("matmul", "attention") and self._formats[s]:
                    kernel.weight_format = self._names[self._formats[s]]
        for moved in (kernel.reads, kernel.writes):
            for s in moved.keys() & self._narrow.keys():
                moved[s] *= self._narrow[s]
        if append_cache and label == "cat":
            _append(kernel, self._roles)
        if label in CASTS and kernel.reads.keys() <= self._weights:
            self._weights |= kernel.writes.keys()  # a weight in another format is a weight
        return kernel

    def _bytes(
        self, call: int, column: tuple[list[int], list[int]], sizes: tuple[float, ...]
    ) -> dict[int, float]:
        """Return bytes by storage: different views of one add up, to all of it at most."""
        starts, flat = column
        seen: set[tuple[int, tuple[int, int]]] = set()
        total: dict[int, float] = {}
        values = flat[starts[call] : starts[call + 1]]
        for value, size in zip(values, sizes, strict=False):
            s = self._storage[value]
            view = (s, self._place[value])
            if view in seen:
                total[s] = max(total[s], size)
            else:
                seen.add(view)
                total[s] = min(total.get(s, 0.0) + size, max(float(self._whole[s]), size))
        return total


def narrow_cache(capture: Capture) -> dict[int, float]:
    """Return storages of keys and values that are cached narrower than the module keeps them, with
    the share of their bytes that is left."""
    c = capture.columns
    if capture.workload.kv is None:
        return {}
    found = np.flatnonzero((c["storage_role"] == _KV) & (c["storage_format"] > 0))
    first = {int(s): int(v) for v, s in reversed(list(enumerate(c["value_storage"].tolist())))}
    return {
        s: min(CACHED_BYTES / DTYPES_BYTES[capture.meta(int(c["value_meta"][first[s]])).dtype], 1.0)
        for s in found.tolist()
    }


def _append(kernel: Kernel, roles: list[int]) -> None:
    """Turn `cache = cat(cache, new)` into writing `new` only; a cache that begins is copied."""
    old = [s for s in kernel.reads if roles[s] == _KV]
    if any(roles[s] == _KV for s in kernel.writes) and old:
        kept = kernel.reads.pop(max(old, key=lambda s: kernel.reads[s]))
        kernel.vector_ops *= 1 - min(kept / max(sum(kernel.writes.values()), 1.0), 1.0)
        for s in kernel.writes:
            kernel.writes[s] = max(kernel.writes[s] - kept, 0.0)


def without_dead(kernels: list[Kernel], until: list[int], end: int) -> list[Kernel]:
    """Return kernels without vector work whose results nobody reads and nobody keeps.

    A mask that a kernel works out from positions by itself leaves its makers without a reader.
    """
    wanted = {s for s, last in enumerate(until) if last >= end}
    kept: list[Kernel] = []
    for kernel in reversed(kernels):
        if kernel.kind == "vector" and not any(s in wanted for s in kernel.writes):
            continue
        wanted.update(kernel.reads)
        kept.append(kernel)
    return kept[::-1]
