"""Calls -> the kernels that would be launched, in the two ends of the band.

`eager_kernels` launches one kernel per captured call. `fused_kernels` launches what a serving stack
or a graph compiler launches: neighbouring vector calls that share data become one kernel, eager
attention becomes one kernel, a cache is appended to and not copied, heads shared by several queries
are read once and not repeated in memory. What a fused kernel keeps to
itself is not written: nobody reads it later. Must not know chips.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from crossgrade.predict.cost import CallClass, CallCost, base_name, call_cost
from crossgrade.values.capture import ALIAS_VIEW, ROLES, Capture

_PARAMETER = ROLES.index("parameter")
_KV = ROLES.index("kv")
_COPIES = frozenset({"clone", "repeat"})
"""Operators that copy without changing the dtype."""
_SOFTMAX = frozenset({"_softmax", "_safe_softmax"})


@dataclass(slots=True, kw_only=True)
class Kernel:
    """One launch: what it computes and what it moves."""

    calls: list[int]
    """Captured calls it stands for, in order."""
    kind: CallClass
    """`matmul`, `attention`, `vector`, `host` or `collective`."""
    label: str
    """Operator that gives it its name."""
    dtype: str
    """Format of the arithmetic as captured."""
    weight_format: str = ""
    """Checkpoint format of the parameter that a matrix kernel multiplies by, empty without."""
    flops: float = 0.0
    """Nominal matrix operations."""
    work: float = 0.0
    """Executed matrix operations."""
    vector_ops: float = 0.0
    """Element operations."""
    reads: dict[int, float] = field(default_factory=dict)
    """Storage -> bytes read from memory."""
    writes: dict[int, float] = field(default_factory=dict)
    """Storage -> bytes written to memory."""
    reads_parameter: bool = False
    """Whether it multiplies by a parameter."""
    has_softmax: bool = False
    """Whether a softmax is inside."""

    @property
    def bytes(self) -> float:
        """Bytes moved."""
        return sum(self.reads.values()) + sum(self.writes.values())


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
    for kernel in without_broadcasts(calls, until):
        if kernel.kind == "vector" and open_group is not None and _shares(open_group, kernel):
            _absorb(open_group, kernel)
        else:
            groups.append(kernel)
            open_group = kernel if kernel.kind == "vector" else None
    for group in groups:
        _drop_internal(group, until)
    return _fuse_attention(groups, until)


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
    """Turn `cache = cat(cache, new)` into writing `new` only."""
    if any(roles[s] == _KV for s in kernel.writes) and len(kernel.reads) > 1:
        largest = max(kernel.reads, key=lambda s: kernel.reads[s])
        kept = kernel.reads.pop(largest)
        for s in kernel.writes:
            kernel.writes[s] = max(kernel.writes[s] - kept, 0.0)


def without_broadcasts(kernels: list[Kernel], until: list[int]) -> list[Kernel]:
    """Return kernels without copies that only repeat data for a matrix kernel.

    Grouped-query attention repeats keys and values per query head; a fused kernel reads the shared
    ones. A copy goes when it writes at least 1.5 times what it reads, only matrix kernels read it
    and nobody needs it after them; these read its source in its place.
    """
    readers: dict[int, list[Kernel]] = {}
    for kernel in kernels:
        for s in kernel.reads:
            readers.setdefault(s, []).append(kernel)
    kept = []
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
        for user in users:
            for s in kernel.writes:
                user.reads.pop(s, None)
            user.reads[source] = max(user.reads.get(source, 0.0), size)
    return kept


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


def _fuse_attention(kernels: list[Kernel], until: list[int]) -> list[Kernel]:
    """Merge matmul, softmax group, matmul into one attention kernel where data flows through."""
    fused: list[Kernel] = []
    i = 0
    while i < len(kernels):
        group = kernels[i]
        before = fused[-1] if fused else None
        after = kernels[i + 1] if i + 1 < len(kernels) else None
        if (
            group.has_softmax
            and before is not None
            and after is not None
            and before.kind == "matmul"
            and after.kind == "matmul"
            # Scores and values are activations; a router before its experts is no attention.
            and not before.reads_parameter
            and not after.reads_parameter
            and any(s in group.reads for s in before.writes)
            and any(s in after.reads for s in group.writes)
        ):
            fused[-1] = _merge_attention(before, group, after, until)
            i += 2
        else:
            fused.append(group)
            i += 1
    return fused


def _merge_attention(before: Kernel, group: Kernel, after: Kernel, until: list[int]) -> Kernel:
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
