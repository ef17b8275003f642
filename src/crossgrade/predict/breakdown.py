"""The priced kernels of a phase, gathered by operator and by module.

Must not know chips beyond the rates that it is given, nor how anything is drawn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import get_args

import numpy as np

from crossgrade.predict.price import BOUNDS, Floats, KernelColumns, Priced
from crossgrade.predict.rates import Rate
from crossgrade.values.breakdown import (
    OTHERS,
    EndBreakdown,
    KernelGroup,
    Limit,
    ModuleTime,
    joined,
)

MOST_GROUPS = 10
MOST_MODULES = 14
_Key = tuple[str, str, str, str, int]
"""Operator, class, engine, precision, index into BOUNDS."""
_LIMITS: tuple[Limit, ...] = get_args(Limit)
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)|^\d+(?=\.|$)")


def folded(module: str, below: int = 2) -> str:
    """Return a module path with `*` for numbers, and at most `below` names after the first `*`.

    >>> folded("model.layers.7.mlp.experts.act_fn")
    'model.layers.*.mlp.experts'
    """
    parts = _NUMBER.sub("*", module).split(".")
    end = parts.index("*") + 1 + below if "*" in parts else below
    return ".".join(parts[:end])


def breakdown(columns: KernelColumns, priced: Priced) -> EndBreakdown:
    """Return one end of the band by operator, precision and what limits it."""
    keys: dict[_Key, int] = {}
    described = zip(
        columns.labels, columns.kinds, columns.format.tolist(), priced.bound.tolist(), strict=True
    )
    found = [
        keys.setdefault((label, kind, *peak_used(kind, priced.format_rates[f]), b), len(keys))
        for label, kind, f, b in described
    ]
    rows = np.array(found, dtype=np.int64)
    sums = _sums(rows, len(keys), columns, priced)
    groups = [_group(key, sums[:, row]) for key, row in keys.items()]
    groups.sort(key=lambda g: -g.time_s)
    return EndBreakdown(
        total_s=priced.total_s,
        groups=joined(groups, MOST_GROUPS),
        by_class=_by_class(groups),
        composite_launch_s=priced.composite_launch_s,
        composite_host_s=priced.composite_host_s,
        network_s=priced.network_s,
        exchange=priced.exchange,
    )


def peak_used(kind: str, rates: tuple[Rate, Rate]) -> tuple[str, str]:
    """Return engine and precision of the peak that a kernel of this class runs at."""
    if kind in ("host", "collective"):
        return "", ""
    rate = rates[0] if kind in ("matmul", "attention") else rates[1]
    return rate.engine, rate.used


def _sums(rows: np.ndarray, size: int, columns: KernelColumns, priced: Priced) -> Floats:
    """Return per group: kernels, work, vector operations, bytes, floor, work time, time."""
    parts = (
        np.ones(len(rows)), columns.work, columns.vector_ops, columns.bytes, priced.floor_s,
        priced.slowest_s, priced.device_s,
    )  # fmt: skip
    return np.stack([np.bincount(rows, weights=part, minlength=size) for part in parts])


def _group(key: _Key, sums: Floats) -> KernelGroup:
    label, kind, engine, precision, bound = key
    kernels, work, vector_ops, moved, floor, slowest, total = sums.tolist()
    limit, wait = BOUNDS[bound], total - floor - slowest
    # A difference of sums: what is left of rounding is no wait.
    wait = wait if wait > 1e-9 * total else 0.0
    assert limit in _LIMITS, "collectives are no kernels"
    return KernelGroup(
        label=label, kind=kind, engine=engine, precision=precision, limit=limit,
        kernels=int(kernels), work=work, vector_ops=vector_ops, bytes=moved, floor_s=floor,
        work_s=slowest, wait_s=wait, time_s=total,
    )  # fmt: skip


def _by_class(groups: Sequence[KernelGroup]) -> dict[str, float]:
    times: dict[str, float] = {}
    for group in groups:
        times[group.kind] = times.get(group.kind, 0.0) + group.time_s
    return dict(sorted(times.items(), key=lambda item: -item[1]))


def module_times(
    fused: tuple[KernelColumns, Priced], eager: tuple[KernelColumns, Priced]
) -> tuple[ModuleTime, ...]:
    """Return the time by part of the model, the most at the fused end first.

    Args:
        fused: kernels and their price at the fused end.
        eager: kernels and their price at the eager end.
    """
    ends = [_by_module(columns, priced) for columns, priced in (fused, eager)]
    names = sorted(ends[0] | ends[1], key=lambda n: (-ends[0].get(n, 0.0), -ends[1].get(n, 0.0)))
    shown, rest = names[:MOST_MODULES], names[MOST_MODULES:]
    found = [_module(name, ends, [name]) for name in shown]
    return (*found, *([_module(OTHERS, ends, rest)] if rest else []))


def _module(name: str, ends: Sequence[dict[str, float]], parts: Sequence[str]) -> ModuleTime:
    fused, eager = (sum(end.get(part, 0.0) for part in parts) for end in ends)
    return ModuleTime(module=name, fused_s=fused, eager_s=eager)


def _by_module(columns: KernelColumns, priced: Priced) -> dict[str, float]:
    sums = np.bincount(columns.module, weights=priced.device_s, minlength=len(columns.modules))
    return dict(zip(columns.modules, sums.tolist(), strict=True))
