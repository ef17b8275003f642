"""What an operator case gives: torch's own answer on the CPU.

Must not know targets.
"""

from __future__ import annotations

from typing import Any

from crossgrade.values.operator_case import OperatorCase


def reference_value(case: OperatorCase) -> float:
    """Return element 0 of the first output of a case, as torch works it out on the CPU.

    The inputs are those that every target gets: from a CPU generator with the case's seed.
    """
    import torch

    from crossgrade.workloads.operators import build

    built = build(case)
    inputs = built.make_inputs(torch.Generator().manual_seed(case.seed), torch.device("cpu"))
    output: Any = built.run(*inputs)
    while isinstance(output, tuple | list):
        output = output[0]
    first = output.detach()[(0,) * output.dim()]
    return float(first.to(torch.float64))
