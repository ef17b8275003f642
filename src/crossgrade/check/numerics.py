"""Documented differences of a chip's arithmetic that this workload meets.

The differences are data of the chip; this module knows only which calls a selector means. Must not
know any chip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.phase import Prepared
from crossgrade.values.capture import CallKey
from crossgrade.values.chip import Chip
from crossgrade.values.finding import Finding

_SCATTER = frozenset(
    {
        "index_add",
        "scatter_add",
        "index_put",
        "embedding_dense_backward",
        "scatter_reduce",
        "index_put_impl",
        "embedding_backward",
        "_index_put_impl",
    }
)
_ORDERING = frozenset({
    "sort", "argsort", "topk", "max", "min", "amax", "amin", "argmax", "argmin", "eq", "ne", "lt",
    "le", "gt", "ge", "searchsorted", "bucketize", "unique",
})  # fmt: skip
_FLUSHED = frozenset({"exp", "log", "sqrt", "rsqrt", "div", "reciprocal", "_softmax", "softmax"})


def _has(key: CallKey, *dtypes: str) -> bool:
    return any(m.dtype in dtypes for m in (*key.inputs, *key.outputs))


SELECTORS: dict[str, Callable[[Kernel, CallKey], bool]] = {
    "any": lambda kernel, key: True,
    "conv-fp32": lambda kernel, key: "conv" in kernel.label and _has(key, "float32"),
    "matmul-fp32": lambda kernel, key: (
        kernel.kind in ("matmul", "attention")
        and "conv" not in kernel.label
        and kernel.dtype == "float32"
    ),
    "fp64": lambda kernel, key: _has(key, "float64", "complex128"),
    "fp8": lambda kernel, key: (
        kernel.weight_format.startswith("float8")
        or any(m.dtype.startswith("float8") for m in (*key.inputs, *key.outputs))
    ),
    "bf16-vector": lambda kernel, key: kernel.kind == "vector" and _has(key, "bfloat16"),
    "int64-vector": lambda kernel, key: kernel.kind == "vector" and _has(key, "int64"),
    "int32-vector": lambda kernel, key: kernel.kind == "vector" and _has(key, "int32"),
    "int-order": lambda kernel, key: (
        kernel.label.rstrip("_") in _ORDERING and _has(key, "int32", "int64")
    ),
    "fp16-or-fp32-vector": lambda kernel, key: (
        kernel.kind == "vector"
        and kernel.label.rstrip("_") in _FLUSHED
        and _has(key, "float16", "float32")
    ),
    "scatter-like": lambda kernel, key: kernel.label.rstrip("_") in _SCATTER,
}
"""Selector of a chip description -> whether a kernel is meant."""


def numerics_findings(prepared: Prepared, chip: Chip, phase: str) -> Iterator[Finding]:
    """Yield a finding for every documented difference that the workload's calls meet."""
    capture = prepared.capture
    keys = capture.columns["call_key"].tolist()
    for note in chip.numerics:
        chosen = SELECTORS[note.applies_to]
        met: Counter[str] = Counter()
        for kernel in prepared.eager:
            key = capture.key(keys[kernel.calls[0]])
            if chosen(kernel, key):
                met[key.operator] += 1
        if not met:
            continue
        source = chip.source(note.source)
        calls = sum(met.values())
        yield Finding(
            id="CG-F301",
            severity=note.severity,
            chip=chip.name,
            phase=phase,
            title=note.title,
            place=tuple(op for op, _ in met.most_common(5)),
            evidence=(f"{source.title}, {source.date}: {source.url}", f"rule {note.id}"),
            hint=note.hint,
            calls=calls,
            call_share=calls / max(len(prepared.eager), 1),
            data={"rule": note.id, "calls": calls},
        )
