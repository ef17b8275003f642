"""Attention as one kernel: products and what lies between merged, masked scores skipped.

An indexer, which reduces its scores without a softmax, is merged in the same way. A kernel of a
serving stack does not read a mask that follows from positions; it leaves out what the mask hides.
Must not know chips, models, or whether a latent is absorbed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from crossgrade.predict.lowering.cost import base_name
from crossgrade.predict.lowering.kernel import AttentionShape, Kernel
from crossgrade.predict.lowering.masks import HIDDEN_BELOW, MaskReader, Visible
from crossgrade.values.capture import Capture

SLOT = "_scaled_dot_product_fused_attention_overrideable"
"""Fused attention, by the name under which any device may bring its own."""
GRADIENTS = f"{SLOT}_backward"
"""Its gradients."""
_MASK_AT = {SLOT: 3, GRADIENTS: 4}
"""Fused attention and its gradient -> position of the mask among the arguments."""


def fuse_attention(
    kernels: list[Kernel],
    capture: Capture,
    until: list[int],
    masks: MaskReader,
    moved: dict[int, tuple[int, ...]],
) -> list[Kernel]:
    """Return kernels in which each attention is one, priced for what its mask leaves.

    Args:
        kernels: vector groups and matrix calls, in order.
        capture: where they come from.
        until: per storage the last call that needs it.
        masks: works out masks.
        moved: storage that a kernel no longer reads -> those read in its place.
    """
    work = _Places(kernels, capture, until, masks, moved)
    for i in range(len(kernels)):
        work.visit(i)
    return [kernel for kernel in work.places if kernel is not None]


class _Places:
    """Kernels in their places while attentions are merged; a place that was merged is empty."""

    def __init__(
        self,
        kernels: list[Kernel],
        capture: Capture,
        until: list[int],
        masks: MaskReader,
        moved: dict[int, tuple[int, ...]],
    ) -> None:
        self.places: list[Kernel | None] = list(kernels)
        self._capture, self._until, self._masks, self._moved = capture, until, masks, moved
        self._written: dict[int, int] = {}

    def visit(self, i: int) -> None:
        """Merge what belongs to the kernel at a place."""
        kernel = self.places[i]
        if kernel is None:
            return
        if kernel.kind == "vector":
            self._merge_around(i, kernel)
        elif kernel.label in _MASK_AT:
            if kernel.label == SLOT:
                kernel.attention = slot_shape(kernel, self._capture, self._moved)
            _skip_hidden(kernel, list(_masks_of(kernel.calls, self._capture, self._masks)))
        current = self.places[i]
        if current is not None:
            self._written |= dict.fromkeys(current.writes, i)

    def _merge_around(self, i: int, group: Kernel) -> None:
        """Merge a vector group with the products before and after it, if they are attention."""
        b = _producer(group, self.places, self._written)
        before = self.places[b] if b is not None else None
        if b is None or before is None or not _undisturbed(self.places, b, i):
            return
        a = _consumer(i, self.places, before)
        after = self.places[a] if a is not None else None
        inference = self._capture.workload.phase != "train"
        if a is not None and after is not None and _is_attention(before, group, after, inference):
            merged = _merge(before, group, after, self._until)
            merged.attention = _merged_shape(before, after, self._capture, self._moved)
            found = _masks_between(before.calls[0], group, self._capture, self._masks)
            _skip_hidden(merged, list(found))
            self.places[b] = self.places[i] = None
            self.places[a] = merged
        elif inference and _is_reduced(before, group, self._capture, self._until):
            self.places[b] = None
            self.places[i] = _reduced(before, group)


def _producer(group: Kernel, places: list[Kernel | None], written: dict[int, int]) -> int | None:
    """Return the place of the last product of activations that a group reads."""
    found = {written[s] for s in group.reads if s in written}
    for i in sorted(found, reverse=True):
        kernel = places[i]
        if kernel is None or kernel.kind != "matmul" or kernel.reads_parameter:
            continue
        if len(kernel.calls) == 1:  # what was merged already is not merged again
            return i
    return None


_FARTHEST = 64
"""Kernels between a group and the product that reads it, at most; a bound on the search alone."""


def _consumer(i: int, places: list[Kernel | None], before: Kernel) -> int | None:
    """Return the place of the kernel that first reads a group, if what lies between allows it.

    Nothing between may touch what the group and the product before it write, or write what they
    read.
    """
    group = places[i]
    assert group is not None
    made = before.writes.keys() | group.writes.keys()
    needed = before.reads.keys() | group.reads.keys()
    for a in range(i + 1, min(i + _FARTHEST, len(places))):
        kernel = places[a]
        if kernel is None:
            continue
        if group.writes.keys() & kernel.reads.keys():
            return a
        if made & (kernel.reads.keys() | kernel.writes.keys()) or needed & kernel.writes.keys():
            return None
    return None


def _undisturbed(places: list[Kernel | None], b: int, i: int) -> bool:
    """Return whether the product at `b` may run as late as the group at `i`."""
    before = places[b]
    assert before is not None
    return not any(
        kernel is not None
        and (
            before.writes.keys() & kernel.reads.keys()
            or (before.reads.keys() | before.writes.keys()) & kernel.writes.keys()
        )
        for kernel in places[b + 1 : i]
    )


def _is_attention(before: Kernel, group: Kernel, after: Kernel, inference: bool) -> bool:
    """Return whether data flows through two products and a softmax, or a reduction, of scores.

    A training step keeps what lies between for its backward pass, so only a softmax counts there.
    """
    return (
        (group.has_softmax or (inference and _shrinks(before, after)))
        and group.kind == "vector"
        and before.kind == "matmul"
        and after.kind == "matmul"
        # Scores and values are activations; a router before its experts is no attention.
        and not before.reads_parameter
        and not after.reads_parameter
        and any(s in group.reads for s in before.writes)
        and any(s in after.reads for s in group.writes)
    )


def _shrinks(first: Kernel, last: Kernel) -> bool:
    """Return whether what is written at the end is at most a fourth of what a product makes."""
    return sum(last.writes.values()) * 4 <= sum(first.writes.values())


_REDUCTIONS = frozenset({"sum", "mean", "amax"})


def _is_reduced(before: Kernel, group: Kernel, capture: Capture, until: list[int]) -> bool:
    """Return whether a vector group is all that reads a product, and reduces it."""
    names = {_name(call, capture) for call in group.calls}
    return (
        bool(names & _REDUCTIONS)
        and all(until[s] <= max(group.calls) for s in before.writes)
        and _shrinks(before, group)
    )


def _reduced(before: Kernel, group: Kernel) -> Kernel:
    """Return a product that reduces its result before it is written."""
    reads = before.reads.copy()
    for s, size in group.reads.items():
        if s not in before.writes:
            reads[s] = max(size, reads.get(s, 0.0))
    return dataclasses.replace(
        before,
        calls=before.calls + group.calls,
        vector_ops=before.vector_ops + group.vector_ops,
        reads=reads,
        writes=group.writes,
    )


def _merge(before: Kernel, group: Kernel, after: Kernel, until: list[int]) -> Kernel:
    """Return one kernel for three; scores stay inside where nobody else keeps them."""
    last = max(after.calls)
    inside = {s for k in (before, group) for s in k.writes}
    reads = before.reads.copy()
    for kernel in (group, after):
        for s, size in kernel.reads.items():
            if s not in inside:
                reads[s] = max(reads.get(s, 0.0), size)
    writes = {s: size for k in (before, group) for s, size in k.writes.items() if until[s] > last}
    writes |= after.writes
    return Kernel(
        calls=before.calls + group.calls + after.calls,
        kind="attention" if group.has_softmax else "matmul",
        label="attention" if group.has_softmax else before.label,
        dtype=before.dtype,
        flops=before.flops + after.flops,
        work=before.work + after.work,
        vector_ops=before.vector_ops + group.vector_ops,
        reads=reads,
        writes=writes,
    )


def _merged_shape(
    before: Kernel, after: Kernel, capture: Capture, moved: dict[int, tuple[int, ...]]
) -> AttentionShape | None:
    """Return the sizes of products [b, s_q, d] x [b, d, s_k] and [b, s_q, s_k] x [b, s_k, d_v]."""
    first, second = _operands(before, capture), _operands(after, capture)
    if len(first) < 2 or len(second) < 2:
        return None
    (_, query), (key_storage, key) = first[-2:]
    _, (value_storage, value) = second[-2:]
    if len(query) != 3 or len(key) != 3 or len(value) != 3:
        return None
    # A flat batch does not say how many of it are heads; products of the two are all that counts.
    return AttentionShape(
        batch=1,
        heads=query[0],
        queries=query[1],
        keys=key[2],
        key_size=query[2],
        value_size=value[2],
        key_storages=moved.get(key_storage, (key_storage,)),
        value_storages=moved.get(value_storage, (value_storage,)),
        last_call=after.calls[-1],
    )


def slot_shape(
    kernel: Kernel, capture: Capture, moved: dict[int, tuple[int, ...]]
) -> AttentionShape:
    """Return the sizes of fused attention; operands are [batch, heads, positions, size]."""
    operands = _operands(kernel, capture)
    (_, query), (key_storage, key), (value_storage, value) = operands[:3]
    return AttentionShape(
        batch=query[0],
        heads=query[1],
        queries=query[2],
        keys=key[2],
        key_size=query[3],
        value_size=value[3],
        key_storages=moved.get(key_storage, (key_storage,)),
        value_storages=moved.get(value_storage, (value_storage,)),
        last_call=kernel.calls[-1],
    )


def _operands(kernel: Kernel, capture: Capture) -> list[tuple[int, tuple[int, ...]]]:
    """Return storage and shape of every tensor that a kernel's first call reads."""
    storage, meta = capture.columns["value_storage"], capture.columns["value_meta"]
    return [
        (int(storage[v]), capture.meta(int(meta[v])).shape)
        for v in capture.inputs_of(kernel.calls[0])
    ]


def without_masks(kernels: list[Kernel], capture: Capture, masks: MaskReader) -> list[Kernel]:
    """Return kernels that do not read the masks which a kernel of attention works out by itself."""
    storage = capture.columns["value_storage"]
    for kernel in kernels:
        for value, _ in _masks_of(kernel.calls, capture, masks):
            kernel.reads.pop(int(storage[value]), None)
    return kernels


def _masks_of(
    calls: list[int], capture: Capture, masks: MaskReader
) -> Iterator[tuple[int, Visible]]:
    """Yield the masks that calls put on scores, where they can be worked out.

    Three forms: an argument of fused attention, a tensor that is added, a fill where it is true.
    """
    for call in calls:
        key = capture.key(int(capture.columns["call_key"][call]))
        name = base_name(key.operator)
        inputs = capture.inputs_of(call)
        if name in _MASK_AT:
            arguments = json.loads(key.arguments)[0]
            at = _MASK_AT[name]
            if len(arguments) > at and isinstance(arguments[at], dict):
                yield from _known(inputs[arguments[at]["t"]], masks)
        elif name.rstrip("_") == "add" and len(inputs) == 2:
            # Both known: arithmetic on positions, which is not put on anything.
            if masks.may_know(inputs[0]) != masks.may_know(inputs[1]):
                known = [m for value in inputs for m in _known(value, masks)]
                yield from (m for m in known if m[1].share < 1)
        elif name.rstrip("_") == "masked_fill" and len(inputs) >= 2:
            fill = json.loads(key.arguments)[0][2:3]
            if not masks.may_know(inputs[0]) and _hides(fill):
                visible = masks.hiding(inputs[1])
                if visible is not None:
                    yield inputs[1], visible


def _hides(fill: list[Any]) -> bool:
    """Return whether scores that get this value count for nothing; infinities come as text."""
    try:
        return float(fill[0]) < HIDDEN_BELOW
    except (IndexError, TypeError, ValueError):
        return False


def _known(value: int, masks: MaskReader) -> Iterator[tuple[int, Visible]]:
    visible = masks.additive(value)
    if visible is not None:
        yield value, visible


def _masks_between(
    first: int, group: Kernel, capture: Capture, masks: MaskReader
) -> Iterator[tuple[int, Visible]]:
    """Yield the masks that are put on the scores of a product on their way to the softmax.

    A group may hold other masks as well: only calls that read what the product made count.

    Args:
        first: the product's call.
        group: the vector calls between.
        capture: where they come from.
        masks: works out masks.
    """
    softmax = [c for c in group.calls if _name(c, capture) in ("_softmax", "_safe_softmax")]
    last = max(softmax, default=max(group.calls))
    scores = set(capture.outputs_of(first))
    on_the_way = []
    for call in range(first + 1, last + 1):
        if scores.intersection(capture.inputs_of(call)):
            scores.update(capture.outputs_of(call))
            on_the_way.append(call)
    chosen = sorted(set(on_the_way).intersection(group.calls))
    yield from _masks_of(chosen, capture, masks)


def _name(call: int, capture: Capture) -> str:
    c = capture.columns
    return base_name(capture.tables["operators"][int(c["key_operator"][int(c["call_key"][call])])])


def _skip_hidden(kernel: Kernel, found: list[tuple[int, Visible]]) -> None:
    """Leave out the scores that masks hide and the keys that nobody sees."""
    if not found:
        return
    share = min(visible.share for _, visible in found)
    kernel.work *= share
    kernel.vector_ops *= share
    shape = kernel.attention
    if shape is not None:
        shape.keys_read = min(visible.keys for _, visible in found)
        for storage in {*shape.key_storages, *shape.value_storages} & kernel.reads.keys():
            kernel.reads[storage] *= shape.keys_read
