"""A convolution takes what is done to each of its results with it.

In inference a batch norm is two constants per channel, which serving stacks fold into the weights
ahead of time, and activations and residual sums are applied before the result is written (cuDNN's
and TensorRT's fused convolutions, oneDNN's post-ops). In training a batch norm needs all results
first, so nothing is folded. Pooling, layer norms and convolutions one behind another stay apart.
Must not know chips.
"""

from __future__ import annotations

from collections import defaultdict

from crossgrade.predict.lowering.cost import base_name
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.values.capture import Capture

_CONVOLUTIONS = frozenset({"convolution", "_convolution", "convolution_overrideable"})
_POINTWISE = frozenset({
    "native_batch_norm", "_native_batch_norm_legit_no_training", "batch_norm", "relu", "relu6",
    "add", "sub", "mul", "div", "silu", "gelu", "sigmoid", "tanh", "hardtanh", "hardswish",
    "hardsigmoid", "leaky_relu", "clamp", "elu", "mish", "_to_copy",
})  # fmt: skip


def fold_convolutions(kernels: list[Kernel], capture: Capture, until: list[int]) -> list[Kernel]:
    """Return kernels in which pointwise groups behind a convolution are part of it.

    Args:
        kernels: kernels with grouped vector calls, in order.
        capture: where they come from.
        until: per storage the last call that needs it.
    """
    if capture.workload.phase == "train":
        return kernels
    readers: dict[int, set[int]] = defaultdict(set)
    for index, kernel in enumerate(kernels):
        for s in kernel.reads:
            readers[s].add(index)
    made: dict[int, int] = {}
    host = list(range(len(kernels)))  # where a kernel's work ends up
    for index, kernel in enumerate(kernels):
        target = _convolution_before(index, kernels, made, readers, until)
        if target is not None and _pointwise(kernel, kernels[target], capture):
            _fold(kernel, kernels[target])
            host[index] = target
        for s in kernel.writes:
            made[s] = host[index]
    return [kernel for index, kernel in enumerate(kernels) if host[index] == index]


def _convolution_before(
    index: int,
    kernels: list[Kernel],
    made: dict[int, int],
    readers: dict[int, set[int]],
    until: list[int],
) -> int | None:
    """Return the convolution whose result only this kernel reads, made after all else it reads."""
    kernel = kernels[index]
    if kernel.kind != "vector" or not kernel.reads:
        return None
    latest = max(made.get(s, -1) for s in kernel.reads)
    if latest < 0 or kernels[latest].label not in _CONVOLUTIONS:
        return None
    last = max(kernel.calls)
    own = all(readers[s] == {index} and until[s] <= last for s in kernels[latest].writes)
    return latest if own else None


def _pointwise(kernel: Kernel, convolution: Kernel, capture: Capture) -> bool:
    """Return whether every call gives one result per result of the convolution."""
    keys = capture.columns["call_key"]
    shape = capture.key(int(keys[convolution.calls[0]])).outputs[0].shape
    for call in kernel.calls:
        key = capture.key(int(keys[call]))
        pointwise = base_name(key.operator).rstrip("_") in _POINTWISE
        if not pointwise or not key.outputs or key.outputs[0].shape != shape:
            return False
    return True


def _fold(kernel: Kernel, convolution: Kernel) -> None:
    """Move a vector kernel into the convolution before it; what lies between is not written."""
    inner = set(convolution.writes)
    convolution.calls.extend(kernel.calls)
    convolution.vector_ops += kernel.vector_ops
    for s, size in kernel.reads.items():
        if s not in inner:
            convolution.reads[s] = max(convolution.reads.get(s, 0.0), size)
    # A result that is changed in place keeps its storage and is written once.
    convolution.writes = dict(kernel.writes)
