"""Attention as one kernel: eager products and softmax merged, masked scores skipped.

A kernel of a serving stack does not read a mask that follows from positions; it leaves out what
the mask hides. Must not know chips, models, or whether a latent is absorbed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from crossgrade.predict.cost import base_name
from crossgrade.predict.kernel import AttentionShape, Kernel
from crossgrade.predict.masks import HIDDEN_BELOW, MaskReader, Visible
from crossgrade.values.capture import Capture

_SLOT = "_scaled_dot_product_fused_attention_overrideable"
_MASK_AT = {_SLOT: 3, f"{_SLOT}_backward": 4}
"""Fused attention and its gradient -> position of the mask among the arguments."""


def fuse_attention(
    kernels: list[Kernel],
    capture: Capture,
    until: list[int],
    masks: MaskReader,
    moved: dict[int, int],
) -> list[Kernel]:
    """Return kernels in which each attention is one, priced for what its mask leaves.

    Args:
        kernels: vector groups and matrix calls, in order.
        capture: where they come from.
        until: per storage the last call that needs it.
        masks: works out masks.
        moved: storage that a kernel no longer reads -> the one read in its place.
    """
    fused: list[Kernel] = []
    i = 0
    while i < len(kernels):
        group = kernels[i]
        before = fused[-1] if fused else None
        after = kernels[i + 1] if i + 1 < len(kernels) else None
        if before is not None and after is not None and _is_attention(before, group, after):
            merged = _merge(before, group, after, until)
            merged.attention = _merged_shape(before, after, capture, moved)
            _skip_hidden(merged, list(_masks_between(group, capture, masks)), capture)
            fused[-1] = merged
            i += 2
            continue
        if group.label == _SLOT:
            group.attention = _slot_shape(group, capture, moved)
        if group.label in _MASK_AT:
            _skip_hidden(group, list(_mask_of_slot(group, capture, masks)), capture)
        fused.append(group)
        i += 1
    return fused


def _is_attention(before: Kernel, group: Kernel, after: Kernel) -> bool:
    """Return whether data flows through two products and a softmax between them."""
    return (
        group.has_softmax
        and before.kind == "matmul"
        and after.kind == "matmul"
        # Scores and values are activations; a router before its experts is no attention.
        and not before.reads_parameter
        and not after.reads_parameter
        and any(s in group.reads for s in before.writes)
        and any(s in after.reads for s in group.writes)
    )


def _merge(before: Kernel, group: Kernel, after: Kernel, until: list[int]) -> Kernel:
    """Return one kernel for three; scores stay inside where nobody else keeps them."""
    last = after.calls[-1]
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
        kind="attention",
        label="attention",
        dtype=before.dtype,
        flops=before.flops + after.flops,
        work=before.work + after.work,
        vector_ops=group.vector_ops,
        reads=reads,
        writes=writes,
    )


def _merged_shape(
    before: Kernel, after: Kernel, capture: Capture, moved: dict[int, int]
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
        key_storage=moved.get(key_storage, key_storage),
        value_storage=moved.get(value_storage, value_storage),
        last_call=after.calls[-1],
    )


def _slot_shape(kernel: Kernel, capture: Capture, moved: dict[int, int]) -> AttentionShape | None:
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
        key_storage=moved.get(key_storage, key_storage),
        value_storage=moved.get(value_storage, value_storage),
        last_call=kernel.calls[-1],
    )


def _operands(kernel: Kernel, capture: Capture) -> list[tuple[int, tuple[int, ...]]]:
    """Return storage and shape of every tensor that a kernel's first call reads."""
    storage, meta = capture.columns["value_storage"], capture.columns["value_meta"]
    return [
        (int(storage[v]), capture.meta(int(meta[v])).shape)
        for v in capture.inputs_of(kernel.calls[0])
    ]


def _mask_of_slot(
    kernel: Kernel, capture: Capture, masks: MaskReader
) -> Iterator[tuple[int, Visible]]:
    """Yield the mask of fused attention, where there is one and it can be worked out."""
    call = kernel.calls[0]
    arguments = json.loads(capture.key(int(capture.columns["call_key"][call])).arguments)[0]
    at = _MASK_AT[kernel.label]
    if len(arguments) > at and isinstance(arguments[at], dict):
        value = capture.inputs_of(call)[arguments[at]["t"]]
        visible = masks.additive(value)
        if visible is not None:
            yield value, visible


def _masks_between(
    group: Kernel, capture: Capture, masks: MaskReader
) -> Iterator[tuple[int, Visible]]:
    """Yield the masks that are put on scores between product and softmax."""
    for call in group.calls:
        key = capture.key(int(capture.columns["call_key"][call]))
        name = base_name(key.operator).rstrip("_")
        inputs = capture.inputs_of(call)
        if name == "add" and len(inputs) == 2:
            for value in inputs:
                visible = masks.additive(value)
                if visible is not None and visible.share < 1:
                    yield value, visible
        if name == "masked_fill" and len(inputs) >= 2:
            fill = json.loads(key.arguments)[0][2]
            visible = masks.hiding(inputs[1])
            if visible is not None and not isinstance(fill, dict) and float(fill) < HIDDEN_BELOW:
                yield inputs[1], visible
        if name in ("_softmax", "_safe_softmax"):
            return


def _skip_hidden(kernel: Kernel, found: list[tuple[int, Visible]], capture: Capture) -> None:
    """Leave out the scores that masks hide, the keys that nobody sees, and the masks themselves."""
    if not found:
        return
    share = min(visible.share for _, visible in found)
    kernel.work *= share
    kernel.vector_ops *= share
    shape = kernel.attention
    if shape is not None:
        shape.keys_read = min(visible.keys for _, visible in found)
        for storage in {shape.key_storage, shape.value_storage} & kernel.reads.keys():
            kernel.reads[storage] *= shape.keys_read
    for value, _ in found:
        kernel.reads.pop(int(capture.columns["value_storage"][value]), None)
