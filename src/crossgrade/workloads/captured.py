"""The distinct calls of a captured model as a suite of operator cases.

Needs no torch. Must not know how a capture is made, nor how a case is built.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from crossgrade.values.capture import ALIAS_VIEW, CallKey, Capture, TensorMeta
from crossgrade.values.operator_case import OperatorCase
from crossgrade.values.precision import DTYPES
from crossgrade.workloads.suites import Suite

_HOST = "cpu"
_FLOATS = frozenset(d.name for d in DTYPES if d.kind == "float")
_EMPTY = frozenset(
    ("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided")
)


def capture_cases(capture: Capture) -> Suite:
    """Return the distinct calls of a capture, those with the most traffic over all calls first.

    A case names an overload, such as `aten.mm.default`. `call` is the text of the arguments as the
    capture has it, `inputs` and `outputs` describe the tensors. Left out, and counted in the notes:
    views, which launch nothing; calls on the host; allocations; communication; other namespaces.
    """
    counts = Counter(capture.columns["call_key"].tolist())
    views = _views(capture)
    left: Counter[str] = Counter()
    kept: list[tuple[float, OperatorCase]] = []
    for key in capture.iter_keys():
        why = "views, which launch nothing" if key.index in views else _left_out(key)
        if why:
            left[why] += 1
            continue
        calls = counts[key.index]
        traffic = calls * sum(m.nbytes for m in (*key.inputs, *key.outputs))
        kept.append((traffic, _case(key, calls, capture.workload.model.name)))
    kept.sort(key=lambda pair: -pair[0])
    notes = tuple(f"{count} left out: {why}" for why, count in sorted(left.items()))
    name = f"{capture.workload.model.name} {capture.workload.phase}"
    return Suite(name=name, cases=tuple(case for _, case in kept), notes=notes)


def _views(capture: Capture) -> frozenset[int]:
    """Return the keys whose results are all views of inputs."""
    c = capture.columns
    starts = c["call_output_start"].tolist()
    aliases = c["call_output_alias"].tolist()
    found: dict[int, bool] = {}
    for call, key in enumerate(c["call_key"].tolist()):
        if key not in found:
            kinds = aliases[starts[call] : starts[call + 1]]
            found[key] = bool(kinds) and all(kind == ALIAS_VIEW for kind in kinds)
    return frozenset(key for key, is_view in found.items() if is_view)


def _left_out(key: CallKey) -> str:
    """Return why a call is no case; empty: it is one."""
    namespace, _, rest = key.operator.partition(".")
    if "c10d" in namespace:
        return "communication, which takes several devices"
    if namespace != "aten":
        return f"operators of the namespace {namespace}"
    if rest.partition(".")[0] in _EMPTY:
        return "allocations, which launch nothing"
    if all(m.device == _HOST for m in (*key.inputs, *key.outputs)):
        return "calls on the host"
    return "" if key.outputs else "calls that give no tensor"


def _case(key: CallKey, calls: int, model: str) -> OperatorCase:
    return OperatorCase(
        op=key.operator,
        dtype=_main_dtype(key),
        arguments={
            "call": key.arguments,
            "inputs": [_described(m) for m in key.inputs],
            "outputs": [_described(m) for m in key.outputs],
        },
        calls=calls,
        source=f"{model}, distinct call {key.index}",
    )


def _main_dtype(key: CallKey) -> str:
    """Return the format of the first floating-point input, else of the first tensor."""
    floats = (m.dtype for m in key.inputs if m.dtype in _FLOATS)
    return next(floats, (*key.inputs, *key.outputs)[0].dtype)


def _described(meta: TensorMeta) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "shape": list(meta.shape), "strides": list(meta.strides), "dtype": meta.dtype,
    }  # fmt: skip
    return {**entry, "host": True} if meta.device == _HOST else entry
