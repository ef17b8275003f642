"""What one distinct call costs in arithmetic and traffic, from its shapes alone.

A cost is a property of the call, not of a chip. FLOP counts are nominal (multiply and add are
two; a causal mask does not halve them), as `torch.utils.flop_counter` counts; `work` is what a
good kernel executes. Must not know chips.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from crossgrade.predict.lowering import formulas
from crossgrade.values.capture import CallKey, TensorMeta

CallClass = Literal["view", "alloc", "host", "matmul", "attention", "vector", "collective"]
"""view, alloc: nothing is launched. host: a read that waits for the device, or work on the host.
matmul, attention: the matrix engine does it. vector: everything else. collective: other chips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCost:
    """Cost of one distinct call."""

    kind: CallClass
    """Who does the work."""
    flops: float
    """Nominal floating-point operations on the matrix engine; 0 for vector calls."""
    work: float
    """Matrix operations that a good kernel executes (causal attention skips half)."""
    vector_ops: float
    """Element operations on the vector engine."""
    dtype: str
    """torch dtype name that arithmetic runs in."""
    input_bytes: tuple[float, ...]
    """Bytes read per tensor input; a gather reads rows, a broadcast reads once."""
    output_bytes: tuple[float, ...]
    """Bytes written per tensor output."""


def base_name(operator: str) -> str:
    """Return the operator without namespace and overload: `aten.add_.Tensor` -> `add_`."""
    return operator.split(".")[1]


def touched_bytes(meta: TensorMeta) -> float:
    """Return bytes of the distinct elements of a tensor; broadcast dimensions count once."""
    if not meta.strides:
        return meta.nbytes
    total = 1
    for size, stride in zip(meta.shape, meta.strides, strict=True):
        total *= 1 if stride == 0 else size
    return meta.nbytes / max(meta.numel, 1) * total if meta.numel else 0.0


def call_cost(key: CallKey, *, is_view: bool) -> CallCost:
    """Return the cost of one distinct call.

    Args:
        key: operator, arguments and tensors.
        is_view: whether every output shares storage with an input that is not written.
    """
    name = base_name(key.operator)
    if is_view or name in _FREE:
        return _nothing("view")
    if name.startswith(_ALLOC):
        return _nothing("alloc")
    if _on_host(key):
        return _nothing("view")
    if name == "_local_scalar_dense":
        return _nothing("host")
    reads = [touched_bytes(m) for m in key.inputs]
    writes = [touched_bytes(m) for m in key.outputs]
    traffic = _TRAFFIC.get(name.rstrip("_"))
    if traffic is not None:
        reads, writes = traffic(key, reads, writes)
    formula = _MATRIX.get(name)
    if formula is not None:
        flops, work, weights = formula(key, json.loads(key.arguments))
        for index, share in weights.items():
            reads[index] *= share
        kind: CallClass = "attention" if "attention" in name else "matmul"
        return CallCost(
            kind=kind, flops=flops, work=work, vector_ops=0.0, dtype=_arithmetic_dtype(key),
            input_bytes=tuple(reads), output_bytes=tuple(writes),
        )  # fmt: skip
    kind = "collective" if "c10d" in key.operator else "vector"
    elements = _elements(name, key)
    return CallCost(
        kind=kind, flops=0.0, work=0.0, vector_ops=elements * _weight(name),
        dtype=_arithmetic_dtype(key), input_bytes=tuple(reads), output_bytes=tuple(writes),
    )  # fmt: skip


_FREE = frozenset({"detach", "alias", "lift_fresh", "_unsafe_view", "_reshape_alias", "set_"})
_ALLOC = ("empty", "new_empty", "empty_like", "empty_strided", "_empty")

_MATRIX: dict[str, Callable[[CallKey, Any], formulas.MatrixCost]] = {
    "mm": formulas.mm, "addmm": formulas.addmm, "bmm": formulas.bmm, "baddbmm": formulas.baddbmm,
    "mv": formulas.mv, "addmv": formulas.addmv, "dot": formulas.mv,
    "_scaled_mm": formulas.mm, "_int_mm": formulas.mm, "linear": formulas.linear,
    "_grouped_mm": formulas.grouped_mm, "_scaled_grouped_mm": formulas.grouped_mm,
    "convolution": formulas.convolution, "_convolution": formulas.convolution,
    "convolution_overrideable": formulas.convolution,
    "convolution_backward": formulas.convolution_backward,
    "convolution_backward_overrideable": formulas.convolution_backward,
    "_scaled_dot_product_fused_attention_overrideable": formulas.attention,
    "_scaled_dot_product_fused_attention_overrideable_backward": formulas.attention_backward,
}  # fmt: skip

Traffic = Callable[[CallKey, list[float], list[float]], tuple[list[float], list[float]]]


def _gather(key: CallKey, reads: list[float], writes: list[float]) -> Any:
    """Rows of the first input are read as many as are written."""
    return [min(reads[0], sum(writes)), *reads[1:]], writes


def _bags(key: CallKey, reads: list[float], writes: list[float]) -> Any:
    """Rows of the table are read as often as an index names one."""
    table, indices = key.inputs[0], key.inputs[1]
    row = table.nbytes / max(table.shape[0], 1)
    return [min(reads[0], indices.numel * row), *reads[1:]], writes


def _scatter(key: CallKey, reads: list[float], writes: list[float]) -> Any:
    """Only the rows that the source covers are read and written."""
    source = max([m.nbytes for m in key.inputs[1:] if m.dtype == key.inputs[0].dtype], default=0.0)
    in_place = base_name(key.operator).endswith("_")
    touched = min(reads[0], source) if in_place and source else reads[0]
    return [touched, *reads[1:]], [min(w, touched) if in_place else w for w in writes]


def _write_only(key: CallKey, reads: list[float], writes: list[float]) -> Any:
    """The written tensor is not read first."""
    return [0.0, *reads[1:]] if reads else reads, writes


_TRAFFIC: dict[str, Traffic] = {
    "embedding": _gather, "index_select": _gather, "gather": _gather, "index": _gather,
    "take": _gather, "_embedding_bag": _bags, "_embedding_bag_forward_only": _bags,
    "index_put": _scatter, "index_add": _scatter, "scatter": _scatter,
    "scatter_add": _scatter, "index_copy": _scatter, "_index_put_impl": _scatter,
    "copy": _write_only, "fill": _write_only, "zero": _write_only, "zeros_like": _write_only,
    "ones_like": _write_only, "full_like": _write_only, "new_zeros": _write_only,
    "new_ones": _write_only, "new_full": _write_only,
}  # fmt: skip

_WEIGHTS = {"_softmax": 5.0, "_log_softmax": 5.0, "_safe_softmax": 5.0, "native_layer_norm": 6.0,
            "native_group_norm": 6.0, "_fused_rms_norm": 4.0, "exp": 4.0, "silu": 5.0, "gelu": 8.0,
            "sigmoid": 5.0, "tanh": 5.0, "softplus": 6.0, "log": 4.0, "pow": 4.0, "sin": 8.0,
            "cos": 8.0, "rsqrt": 2.0, "sort": 16.0, "topk": 16.0}  # fmt: skip
"""Element operations per element where one is not enough; assumed, no chip publishes them."""


def _weight(name: str) -> float:
    base = name.rstrip("_")
    return _WEIGHTS.get(base, _WEIGHTS.get(base.removesuffix("_backward"), 1.0))


def _elements(name: str, key: CallKey) -> int:
    """Return how many elements a vector call works on: of a gather or scatter the rows named."""
    if name.startswith("_embedding_bag") and len(key.inputs) > 1:
        # The rows that are named, not the table.
        return max(key.inputs[1].numel * key.inputs[0].shape[-1], key.outputs[0].numel)
    if name.startswith("_foreach"):
        return sum(m.numel for m in key.inputs)
    traffic = _TRAFFIC.get(name.rstrip("_"))
    if traffic is _gather:
        return max([m.numel for m in (*key.inputs[1:], *key.outputs)], default=0)
    if traffic is _scatter and name.endswith("_"):
        return max([m.numel for m in key.inputs[1:]], default=0)
    return max([m.numel for m in (*key.inputs, *key.outputs)], default=0)


def _nothing(kind: CallClass) -> CallCost:
    return CallCost(
        kind=kind, flops=0.0, work=0.0, vector_ops=0.0, dtype="float32", input_bytes=(),
        output_bytes=(),
    )  # fmt: skip


def _on_host(key: CallKey) -> bool:
    """Return whether every tensor of the call lies on the host."""
    tensors = (*key.inputs, *key.outputs)
    return bool(tensors) and all(m.device == "cpu" for m in tensors)


def _arithmetic_dtype(key: CallKey) -> str:
    """Return the format of the first floating input, else of the first tensor."""
    tensors = (*key.inputs, *key.outputs)
    for meta in tensors:
        if "float" in meta.dtype:
            return meta.dtype
    return tensors[0].dtype if tensors else "float32"
