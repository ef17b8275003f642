"""Calls -> the kernels that would be launched, in the two ends of the band.

`eager_kernels` launches one kernel per captured call. `fused_kernels` launches what a serving stack
or a graph compiler launches: neighbouring vector calls that share data become one kernel, eager
attention becomes one kernel that skips what a mask hides, a cache is appended to and not copied,
heads shared by several queries are read once and not repeated in memory, latents are not expanded
where multiplying the queries costs less. What a fused kernel keeps to itself is not written, and
what nobody reads is not computed. Must not know chips.
"""

from __future__ import annotations

from collections.abc import Iterator

from crossgrade.predict.attention import fuse_attention
from crossgrade.predict.cost import CallCost, base_name, call_cost
from crossgrade.predict.kernel import Kernel
from crossgrade.predict.latent import absorb_latents
from crossgrade.predict.masks import MaskReader
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
    groups: list[Kernel] = []
    open_group: Kernel | None = None
    calls = list(_per_call(capture, costs, append_cache=True))
    launched, moved = without_broadcasts(calls, until)
    for kernel in launched:
        if kernel.kind == "vector" and open_group is not None and _shares(open_group, kernel):
            _absorb(open_group, kernel)
        else:
            groups.append(kernel)
            open_group = kernel if kernel.kind == "vector" else None
    for group in groups:
        _drop_internal(group, until)
    fused = fuse_attention(groups, capture, until, MaskReader(capture), moved)
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
            kernel.reads_parameter |= roles[s] == _PARAMETER
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
        yield kernel


def _append(kernel: Kernel, roles: list[int]) -> None:
    """Turn `cache = cat(cache, new)` into writing `new` only; a cache that begins is copied."""
    old = [s for s in kernel.reads if roles[s] == _KV]
    if any(roles[s] == _KV for s in kernel.writes) and old:
        kept = kernel.reads.pop(max(old, key=lambda s: kernel.reads[s]))
        kernel.vector_ops *= 1 - min(kept / max(sum(kernel.writes.values()), 1.0), 1.0)
        for s in kernel.writes:
            kernel.writes[s] = max(kernel.writes[s] - kept, 0.0)


def without_broadcasts(
    kernels: list[Kernel], until: list[int]
) -> tuple[list[Kernel], dict[int, int]]:
    """Return kernels without copies that only repeat data for a matrix kernel.

    Also returned: storage of a copy that went -> the storage that is read in its place.

    Grouped-query attention repeats keys and values per query head; a fused kernel reads the shared
    ones. A copy goes when it writes at least 1.5 times what it reads, only matrix kernels read it
    and nobody needs it after them; these read its source in its place.
    """
    readers: dict[int, list[Kernel]] = {}
    for kernel in kernels:
        for s in kernel.reads:
            readers.setdefault(s, []).append(kernel)
    kept: list[Kernel] = []
    moved: dict[int, int] = {}
    for kernel in kernels:
        users = [k for s in kernel.writes for k in readers.get(s, ())]
        matrix = bool(users) and all(k.kind in ("matmul", "attention") for k in users)
        if not (kernel.label in _COPIES and len(kernel.reads) == 1 and matrix):
            kept.append(kernel)
            continue
        [(source, size)] = kernel.reads.items()
        last = max(user.calls[-1] for user in users)
        stays = any(until[s] > last for s in kernel.writes)
        if stays or sum(kernel.writes.values()) < 1.5 * size:
            kept.append(kernel)
            continue
        moved |= dict.fromkeys(kernel.writes, source)
        for user in users:
            for s in kernel.writes:
                user.reads.pop(s, None)
            user.reads[source] = max(user.reads.get(source, 0.0), size)
    return kept, moved


def _shares(group: Kernel, kernel: Kernel) -> bool:
    """Return whether a call reads what the group wrote or reads."""
    return any(s in group.writes or s in group.reads for s in kernel.reads)


def _absorb(group: Kernel, kernel: Kernel) -> None:
    """Add a vector call to a group; what the group wrote is not read from memory."""
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
        last = kernel.calls[-1]
        kernel.writes = {s: size for s, size in kernel.writes.items() if until[s] > last}


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
