"""Bytes that must be on chips at the same time, from the lifetimes of storages.

Twice: as eager execution keeps them, and as fused kernels do, which write less and keep it no
longer than somebody reads it. Weights count in the checkpoint's own format, except in training,
where arithmetic needs them as the module has them. Everything else counts as captured. Must not
know how a capture was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.lowering.cost import base_name
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.lowering.narrow import CASTS
from crossgrade.predict.traffic import block_of
from crossgrade.values.capture import ROLES, Capture


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingShares:
    """Bytes of one replica's training step that data-parallel chips may share out."""

    trained: float = 0.0
    """Weights that have a gradient, as computed."""
    gradients: float = 0.0
    """All gradients, whenever they are alive."""
    block: float = 0.0
    """Weights of the largest repeated block, or of the largest parameter outside blocks."""
    blocks: int = 0
    """Repeated blocks, and one for what stands outside."""
    rest_fused: float = 0.0
    """Most that is alive at once beside weights, optimizer state and gradients; fused kernels."""
    rest_eager: float = 0.0
    """The same in eager execution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeed:
    """Memory of one execution, bytes, on all chips together."""

    weights: float
    """Parameters and buffers, scales included."""
    weights_as_computed: float
    """Parameters and buffers in the format that arithmetic runs in."""
    kv: float
    """Cache or recurrent state alive at the end of the step."""
    gradients: float
    """Gradients alive at the moment of peak use."""
    optimizer: float
    """Optimiser state."""
    activations_eager: float
    """What is alive at the peak beside the rows above, in eager execution."""
    activations_fused: float
    """The same where fused kernels run: their inner tensors are never in memory."""
    converted: float
    """Weights in another format, where a fusing stack converts them once, ahead of the step."""
    peak_eager: float
    """Sum of the rows: the most that is alive at once."""
    peak_fused: float
    """Sum of the rows with the fused activations and the converted weights."""
    peak_call: int
    """Call at which the eager peak is reached."""
    formats: Mapping[str, float]
    """Bytes of parameters by checkpoint format; in training by the dtype of the module."""
    parameters: int
    """Number of parameters, tied ones once."""
    shares: TrainingShares
    """What data-parallel chips may divide; all 0 outside training."""


def memory_need(capture: Capture, fused: Sequence[Kernel]) -> MemoryNeed:
    """Return what one execution of the capture needs.

    Args:
        capture: the execution.
        fused: kernels of a fusing stack, in order.
    """
    c = capture.columns
    roles, sizes, stored = c["storage_role"], c["storage_bytes"], c["storage_stored_bytes"]
    accel = c["storage_device"] == capture.tables["devices"].index("accel")
    fixed = np.isin(roles, [ROLES.index("parameter"), ROLES.index("buffer")]) & accel
    is_parameter = (roles == ROLES.index("parameter")) & accel
    is_kv = _role(capture, "kv") & accel
    computed = float(sizes[fixed].sum())
    training = capture.workload.phase == "train"
    as_counted = _counted(capture, fixed) if training else stored
    weights = float(as_counted[fixed].sum())
    kv = float(stored[is_kv & (c["storage_died"] >= capture.calls)].sum())
    optimizer = float(sizes[_role(capture, "optimizer") & accel].sum())
    loose = accel & ~fixed & ~_role(capture, "optimizer")
    # A cache needs what it stores, not the larger tensor that it may keep a view of.
    live = live_bytes(capture, loose, np.where(is_kv, stored, sizes))
    peak_call = int(live.argmax()) if len(live) else 0
    at_peak = float(live[peak_call]) if len(live) else 0.0
    alive = loose & (c["storage_born"] <= peak_call) & (c["storage_died"] >= peak_call)
    gradients = float(sizes[alive & _role(capture, "gradient")].sum())
    # The cache of the end of the step is alive then, so the peak is never below it. A copy that is
    # alive beside it while the step replaces it counts as activation.
    eager = max(at_peak - gradients - kv, 0.0)
    converted = _converted_weights(capture, fused, loose & ~is_kv)
    loose_fused = loose & ~is_kv
    loose_fused[list(converted)] = False
    kept_converted = float(sizes[list(converted)].sum()) if converted else 0.0
    fused_most = max(_fused_peak(capture, fused, loose_fused) - gradients, 0.0)
    rows = weights + kv + gradients + optimizer
    as_computed = training and not capture.workload.lora_rank
    formats = _formats(capture, is_parameter, as_counted, as_computed=as_computed)
    return MemoryNeed(
        weights=weights, weights_as_computed=computed, kv=kv, gradients=gradients,
        optimizer=optimizer, activations_eager=eager, activations_fused=fused_most,
        converted=kept_converted, peak_eager=rows + eager,
        peak_fused=rows + fused_most + kept_converted, peak_call=peak_call,
        formats=formats, parameters=_parameter_count(capture, is_parameter),
        shares=_shares(capture, fused, loose, as_counted) if training else TrainingShares(),
    )  # fmt: skip


def _trained(capture: Capture) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which storages are parameters with a gradient."""
    c = capture.columns
    names = np.unique(c["storage_name"][_role(capture, "gradient")])
    return np.asarray(_role(capture, "parameter") & np.isin(c["storage_name"], names))


def _counted(capture: Capture, fixed: np.ndarray) -> np.ndarray:
    """Return bytes per storage that weights count with in training.

    Frozen ones may stay as they are stored: each layer is converted when it is computed.
    """
    c = capture.columns
    if not capture.workload.lora_rank:
        return np.asarray(c["storage_bytes"])
    frozen = fixed & ~_trained(capture)
    return np.where(frozen, c["storage_stored_bytes"], c["storage_bytes"])


def _shares(
    capture: Capture, kernels: Sequence[Kernel], loose: np.ndarray, weights: np.ndarray
) -> TrainingShares:
    """Return what data-parallel chips may divide.

    Args:
        capture: a training step.
        kernels: of a fusing stack, in order.
        loose: which storages are neither fixed nor optimizer state.
        weights: bytes per storage that a parameter counts with.
    """
    c = capture.columns
    gradient = _role(capture, "gradient")
    rest = loose & ~gradient
    blocks: dict[str, float] = {}
    names = capture.tables["names"]
    for s in np.flatnonzero(_role(capture, "parameter")).tolist():
        name = names[int(c["storage_name"][s])]
        unit = block_of(name) or name
        blocks[unit] = blocks.get(unit, 0.0) + float(weights[s])
    repeated = {block_of(name) for name in blocks} - {""}
    live = live_bytes(capture, rest, c["storage_bytes"])
    return TrainingShares(
        trained=float(c["storage_bytes"][_trained(capture)].sum()),
        gradients=float(c["storage_bytes"][gradient].sum()),
        block=max(blocks.values(), default=0.0),
        blocks=len(repeated) + 1,
        rest_fused=_fused_peak(capture, kernels, rest),
        rest_eager=float(live.max(initial=0.0)),
    )


def _role(capture: Capture, role: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(capture.columns["storage_role"] == ROLES.index(role))


def live_bytes(
    capture: Capture, chosen: np.ndarray, sizes: np.ndarray
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return live bytes of the chosen storages during each call."""
    change = np.zeros(capture.calls + 1)
    born = np.maximum(capture.columns["storage_born"][chosen], 0)
    died = capture.columns["storage_died"][chosen]
    np.add.at(change, born, sizes[chosen])
    np.add.at(change, np.minimum(died + 1, capture.calls), -sizes[chosen])
    return np.cumsum(change)[: capture.calls]


def _converted_weights(capture: Capture, kernels: Sequence[Kernel], chosen: np.ndarray) -> set[int]:
    """Return the chosen storages of casts that kernels read and none writes."""
    cast = _storages_of_casts(capture)
    written = {s for kernel in kernels for s in kernel.writes}
    read = {s for kernel in kernels for s in kernel.reads}
    return {s for s in (read - written) & cast if chosen[s]}


def _fused_peak(capture: Capture, kernels: Sequence[Kernel], chosen: np.ndarray) -> float:
    """Return the most that is alive of the chosen storages while fused kernels run, bytes.

    A storage is there from the first kernel that writes it to the last that reads it. Caches are
    not chosen: they are updated in place. Storages below zero are made by the lowering itself.
    """
    sizes, died = capture.columns["storage_bytes"].tolist(), capture.columns["storage_died"]
    kept = (died >= capture.calls).tolist()
    born: dict[int, int] = {}
    last: dict[int, int] = {}
    size: dict[int, float] = {}
    for index, kernel in enumerate(kernels):
        for s, written in (*kernel.writes.items(), *dict.fromkeys(kernel.reads, 0.0).items()):
            if s >= 0 and not chosen[s]:
                continue
            # Read before anybody wrote it: it came from outside and was there from the start.
            born.setdefault(s, index if s in kernel.writes else 0)
            last[s] = len(kernels) if s >= 0 and kept[s] else index
            size[s] = max(size.get(s, 0.0), float(sizes[s]) if s >= 0 else written)
    change = np.zeros(len(kernels) + 2)
    for s, first in born.items():
        change[first] += size[s]
        change[last[s] + 1] -= size[s]
    return float(np.cumsum(change).max(initial=0.0))


def _storages_of_casts(capture: Capture) -> set[int]:
    """Return storages that a conversion of format or layout makes."""
    c = capture.columns
    names = [base_name(o) in CASTS for o in capture.tables["operators"]]
    is_cast = np.array(names, dtype=np.bool_)[c["key_operator"][c["call_key"]]]
    producers = c["value_producer"]
    made = (producers >= 0) & is_cast[np.maximum(producers, 0)] if capture.calls else producers > 0
    return set(c["value_storage"][made].tolist())


def _formats(
    capture: Capture, chosen: np.ndarray, sizes: np.ndarray, *, as_computed: bool
) -> dict[str, float]:
    """Return bytes of parameters by the format that they count in."""
    return _by_dtype(capture, chosen) if as_computed else _by_format(capture, chosen, sizes)


def _by_format(capture: Capture, chosen: np.ndarray, sizes: np.ndarray) -> dict[str, float]:
    names = capture.tables["formats"]
    codes = capture.columns["storage_format"]
    totals = {
        names[code]: float(sizes[chosen & (codes == code)].sum())
        for code in np.unique(codes[chosen]).tolist()
    }
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def _by_dtype(capture: Capture, chosen: np.ndarray) -> dict[str, float]:
    """Return bytes of the chosen storages by the dtype that the module computes in."""
    c = capture.columns
    seen: dict[int, str] = {}
    for value in np.flatnonzero(c["value_producer"] == -1).tolist():
        storage = int(c["value_storage"][value])
        if chosen[storage]:
            seen.setdefault(storage, capture.meta(int(c["value_meta"][value])).dtype)
    totals: dict[str, float] = {}
    for storage, dtype in seen.items():
        totals[dtype] = totals.get(dtype, 0.0) + float(c["storage_bytes"][storage])
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def _parameter_count(capture: Capture, chosen: np.ndarray) -> int:
    """Return the number of parameter elements, each storage once."""
    c = capture.columns
    seen: dict[int, int] = {}
    for value in np.flatnonzero(c["value_producer"] == -1).tolist():
        storage = int(c["value_storage"][value])
        if chosen[storage]:
            seen[storage] = max(
                seen.get(storage, 0), capture.meta(int(c["value_meta"][value])).numel
            )
    return sum(seen.values())
