"""Calls -> the kernels that would be launched, in the two ends of the band.

`eager_kernels` launches one kernel per captured call. `fused_kernels` launches what a serving stack
or a graph compiler launches. Products read narrow operands and no widened copies of them; weights
are converted ahead of time; vector calls that share data become one kernel; attention becomes one
kernel that skips what a mask hides; a cache is appended to and not copied; data that only repeats
or joins is read where it lies; latents are not expanded where multiplying the queries costs less.
What a fused kernel keeps to itself is not written, and what nobody reads is not computed. Must not
know chips.
"""

from __future__ import annotations

from collections.abc import Iterator

from crossgrade.predict.attention import fuse_attention, without_masks
from crossgrade.predict.cost import CallCost, base_name, call_cost
from crossgrade.predict.grouping import group_vectors
from crossgrade.predict.kernel import Kernel
from crossgrade.predict.latent import absorb_latents
from crossgrade.predict.masks import MaskReader
from crossgrade.predict.narrow import CASTS, narrow_products, without_casts_of_weights
from crossgrade.values.capture import ALIAS_VIEW, ROLES, Capture

_PARAMETER = ROLES.index("parameter")
_KV = ROLES.index("kv")
_COPIES = frozenset({"clone", "repeat"})
"""Operators that copy without changing the dtype."""
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
    return list(_per_call(capture, costs or key_costs(capture), append_cache=False))


def fused_kernels(capture: Capture, costs: list[CallCost] | None = None) -> list[Kernel]:
    """Return the kernels of a fusing stack."""
    costs = costs or key_costs(capture)
    until = needed_until(capture, costs)
    calls = list(_per_call(capture, costs, append_cache=True))
    calls = narrow_products(calls, capture, until)
    if capture.workload.phase != "train":
        calls = without_casts_of_weights(calls, capture)
    calls, moved = without_copies(calls, until)
    masks = MaskReader(capture)
    calls = without_dead(without_masks(calls, capture, masks), until, capture.calls)
    groups = group_vectors(calls, capture, until)
    fused = fuse_attention(groups, capture, until, masks, moved)
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


def _per_call(capture: Capture, costs: list[CallCost], *, append_cache: bool) -> Iterator[Kernel]:
    """Yield a kernel per launching call, with bytes by storage."""
    c = capture.columns
    keys, roles = c["call_key"].tolist(), c["storage_role"].tolist()
    in_start, ins = c["call_input_start"].tolist(), c["call_input"].tolist()
    out_start, outs = c["call_output_start"].tolist(), c["call_output"].tolist()
    storage = c["value_storage"].tolist()
    whole, stored = c["storage_bytes"].tolist(), c["storage_stored_bytes"].tolist()
    formats, names = c["storage_format"].tolist(), capture.tables["formats"]
    inference = capture.workload.phase != "train"
    weights = {s for s, role in enumerate(roles) if role == _PARAMETER}
    labels = [base_name(capture.tables["operators"][o]) for o in c["key_operator"].tolist()]
    for call, key in enumerate(keys):
        cost = costs[key]
        if cost.kind in ("view", "alloc"):
            continue
        kernel = Kernel(
            calls=[call],
            kind=cost.kind,
            label=labels[key],
            dtype=cost.dtype,
            flops=cost.flops,
            work=cost.work,
            vector_ops=cost.vector_ops,
            has_softmax=labels[key] in _SOFTMAX,
        )
        matrix = cost.kind in ("matmul", "attention")
        for value, size in zip(ins[in_start[call] : in_start[call + 1]], cost.input_bytes,
                               strict=False):  # fmt: skip
            s = storage[value]
            kernel.reads_parameter |= s in weights
            if roles[s] == _PARAMETER and inference:
                size *= stored[s] / whole[s] if whole[s] else 1.0
                if matrix and formats[s]:
                    kernel.weight_format = names[formats[s]]
            kernel.reads[s] = max(kernel.reads.get(s, 0.0), size)
        for value, size in zip(outs[out_start[call] : out_start[call + 1]], cost.output_bytes,
                               strict=False):  # fmt: skip
            s = storage[value]
            kernel.writes[s] = max(kernel.writes.get(s, 0.0), size)
        if append_cache and labels[key] == "cat":
            _append(kernel, roles)
        if labels[key] in CASTS and kernel.reads.keys() <= weights:
            weights |= kernel.writes.keys()  # a weight in another format is a weight
        yield kernel


def _append(kernel: Kernel, roles: list[int]) -> None:
    """Turn `cache = cat(cache, new)` into writing `new` only; a cache that begins is copied."""
    old = [s for s in kernel.reads if roles[s] == _KV]
    if any(roles[s] == _KV for s in kernel.writes) and old:
        kept = kernel.reads.pop(max(old, key=lambda s: kernel.reads[s]))
        kernel.vector_ops *= 1 - min(kept / max(sum(kernel.writes.values()), 1.0), 1.0)
        for s in kernel.writes:
            kernel.writes[s] = max(kernel.writes[s] - kept, 0.0)


def without_copies(
    kernels: list[Kernel], until: list[int]
) -> tuple[list[Kernel], dict[int, tuple[int, ...]]]:
    """Return kernels without copies that only repeat or join data for products of activations.

    Grouped-query attention repeats keys and values per query head; a fused kernel reads the shared
    ones. A copy goes when it writes at least 1.5 times what it reads, only matrix kernels read it
    and nobody needs it after them; these read its source in its place. So does what only joins
    pieces, such as a window and a compressed cache, for products that read no parameter.
    Also returned: storage of a copy that went -> the storages that are read in its place.
    """
    readers: dict[int, list[Kernel]] = {}
    for kernel in kernels:
        for s in _sources(kernel):
            readers.setdefault(s, []).append(kernel)
    gone: set[int] = set()
    moved: dict[int, tuple[int, ...]] = {}
    for kernel in reversed(kernels):  # a copy of a copy: the last one goes first
        users = [k for s in kernel.writes for k in readers.get(s, ()) if id(k) not in gone]
        if not _only_copies(kernel, users):
            continue
        last = max(user.calls[-1] for user in users)
        if any(until[s] > last for s in kernel.writes):
            continue
        gone.add(id(kernel))
        for s in kernel.writes:
            moved[s] = (*moved.get(s, ()), *_sources(kernel))
        for user in users:
            for s in kernel.writes:
                user.reads.pop(s, None)
            for source, size in _sources(kernel).items():
                user.reads[source] = max(user.reads.get(source, 0.0), size)
                readers.setdefault(source, []).append(user)
    return [kernel for kernel in kernels if id(kernel) not in gone], _resolved(moved)


def _sources(kernel: Kernel) -> dict[int, float]:
    """Return what a kernel reads; a tensor that it only writes is named there with no bytes."""
    return {s: size for s, size in kernel.reads.items() if size > 0 or s not in kernel.writes}


def _resolved(moved: dict[int, tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    """Return storages that are read in place of others, through copies of copies."""

    def sources(s: int) -> tuple[int, ...]:
        return tuple(dict.fromkeys(m for t in moved[s] for m in sources(t))) if s in moved else (s,)

    return {s: sources(s) for s in moved}


def _only_copies(kernel: Kernel, users: list[Kernel]) -> bool:
    """Return whether a kernel repeats or joins data and only matrix kernels read it."""
    if not users or not all(user.kind in ("matmul", "attention") for user in users):
        return False
    sizes = list(_sources(kernel).values())
    if kernel.label in _COPIES:
        return len(sizes) == 1 and sum(kernel.writes.values()) >= 1.5 * sizes[0]
    joins = kernel.label == "cat" if len(sizes) > 1 else kernel.label == "copy_"
    return joins and not any(user.reads_parameter for user in users)


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
