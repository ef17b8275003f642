"""What a composite operator dissolves into, seen by dispatching it once more.

An operator with a `CompositeExplicitAutograd` kernel runs natively where a backend registers one
and as a sequence of other operators where it does not. The sequence is recorded with the capture,
per distinct call, so that checking needs no torch. Must not know any backend.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from crossgrade.capture.device import to_fake
from crossgrade.capture.policies import policy_for

_ALLOCATES = ("aten::empty", "aten::new_empty")
_KEY = torch._C.DispatchKey.CompositeExplicitAutograd


class _Counting(TorchDispatchMode):
    """Counts what one composite call launches; views and allocations launch nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func.namespace in ("prim", "profiler"):
            return func(*args, **(kwargs or {}))
        if not _is_view(func) and not func.name().startswith(_ALLOCATES):
            self.calls[str(func)] += 1
        policy = policy_for(func, args)
        return func(*args, **(kwargs or {})) if policy is None else policy.answer(*args)


def _is_view(func: Any) -> bool:
    """Return whether an operator only gives another look at its input."""
    aliases = any(r.alias_info is not None for r in func._schema.returns)
    return aliases and not func._schema.is_mutable


def is_composite(func: Any) -> bool:
    """Return whether PyTorch brings a composite kernel that backends may leave in place."""
    if _is_view(func):
        return False
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _KEY)


def dissolve(
    func: Any, template: Any, metas: list[tuple[Any, ...]], mode: FakeTensorMode
) -> dict[str, int]:
    """Return operator -> count of the inner calls of one composite call; empty if it is none.

    Args:
        func: the operator overload.
        template: its arguments as the recorder keeps them.
        metas: shape, strides, dtype, device per tensor argument.
        mode: the fake tensor mode of the capture.
    """
    if not is_composite(func):
        return {}
    groups = _groups(func, metas)
    if groups > _FEW:
        # A loop over the groups: two lengths of it give the rest, at a hundredth of the time.
        some, more = (
            Counter(_dissolved(func, template, _of_groups(metas, n), mode))
            for n in (_FEW - 1, _FEW)
        )
        return {op: some[op] + (groups - _FEW + 1) * (more[op] - some[op]) for op in more}
    return _dissolved(func, template, metas, mode)


_FEW = 3
_PER_GROUP = frozenset({torch.ops.aten._grouped_mm.default})


def _groups(func: Any, metas: list[tuple[Any, ...]]) -> int:
    """Return the length of the loop that a grouped product dissolves into; 0: it is none."""
    ends = [shape for shape, *_ in metas if len(shape) == 1]
    return int(ends[0][0]) if func in _PER_GROUP and ends else 0


def _of_groups(metas: list[tuple[Any, ...]], groups: int) -> list[tuple[Any, ...]]:
    """Return the operands with fewer groups: a matrix per group, and where their rows end."""
    return [
        ((groups, *shape[1:]), *rest) if len(shape) in (1, 3) else (shape, *rest)
        for shape, *rest in metas
    ]


def _dissolved(
    func: Any, template: Any, metas: list[tuple[Any, ...]], mode: FakeTensorMode
) -> dict[str, int]:
    """Return the inner calls by dispatching the composite once more."""
    tensors = iter(
        [
            to_fake(torch.empty_strided(s, st, dtype=d, device="meta"), mode, dev)
            for s, st, d, dev in metas
        ]
    )
    args = [_fill(v, tensors) for v in template[0]]
    kwargs = {name: _fill(v, tensors) for name, v in template[1]}
    counting = _Counting()
    try:
        with torch.no_grad(), mode, counting:
            func._op_dk(_KEY, *args, **kwargs)
    except Exception:
        # Some composite kernels refuse fake tensors or this device: nothing is known then.
        return {}
    return dict(counting.calls)


def _fill(value: Any, tensors: Any) -> Any:
    """Return the argument behind one entry of a template."""
    if isinstance(value, str) and value == "\0t":
        return next(tensors)
    if isinstance(value, tuple):
        if len(value) == 2 and value[0] in ("\0f", "\0b"):
            return value[1]
        return [_fill(v, tensors) for v in value]
    return value
