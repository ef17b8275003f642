"""The catalogue: operator name -> builder. Must not know targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from crossgrade.values.operator_case import CannotRun, OperatorCase
from crossgrade.workloads.operators.built import BuiltOperator

Builder = Callable[[OperatorCase], BuiltOperator]


def _gemm(case: OperatorCase) -> BuiltOperator:
    m, k, n = (int(case.arguments[name]) for name in "mkn")
    dtype: torch.dtype = getattr(torch, case.dtype)

    def inputs(rng: torch.Generator, device: torch.device) -> tuple[torch.Tensor, ...]:
        return tuple(
            torch.randn(shape, generator=rng).to(device=device, dtype=dtype)
            for shape in ((m, k), (k, n))
        )

    size = (m * k + k * n + m * n) * dtype.itemsize
    return BuiltOperator(
        run=torch.mm, make_inputs=inputs, flop=2.0 * m * k * n, bytes=size, buffer_bytes=size
    )


def _add(case: OperatorCase) -> BuiltOperator:
    shape = (int(case.arguments["batch_size"]), int(case.arguments["dim_size"]))
    dtype: torch.dtype = getattr(torch, case.dtype)

    def inputs(rng: torch.Generator, device: torch.device) -> tuple[torch.Tensor, ...]:
        return tuple(
            torch.randn(shape, generator=rng).to(device=device, dtype=dtype) for _ in range(2)
        )

    size = 3 * shape[0] * shape[1] * dtype.itemsize
    return BuiltOperator(
        run=torch.add, make_inputs=inputs, flop=shape[0] * shape[1], bytes=size, buffer_bytes=size
    )


BUILDERS: Mapping[str, Builder] = {"gemm": _gemm, "add": _add}
"""Name -> builder."""


def build(case: OperatorCase) -> BuiltOperator:
    """Return an operator case as a function with inputs.

    Raises:
        CannotRun: `unknown-operator`, `bad-arguments` or `unsupported-format`.
    """
    if case.op not in BUILDERS:
        raise CannotRun("unknown-operator", f"no operator `{case.op}` in the catalogue")
    return BUILDERS[case.op](case)
