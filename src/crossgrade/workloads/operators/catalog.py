"""The catalogue: operator name -> builder. Must not know targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from crossgrade.values.operator_case import OperatorCase
from crossgrade.workloads.operators import (
    attention,
    backward,
    communication,
    convolutions,
    elementwise,
    experts,
    indexed,
    overloads,
    products,
    tokens,
    training,
)
from crossgrade.workloads.operators.built import BuiltOperator
from crossgrade.workloads.operators.request import Request, request_of

BUILDERS: Mapping[str, Callable[[Request], BuiltOperator]] = {
    **elementwise.BUILDERS,
    **products.BUILDERS,
    **indexed.BUILDERS,
    **tokens.BUILDERS,
    **experts.BUILDERS,
    **attention.BUILDERS,
    **communication.BUILDERS,
    **backward.BUILDERS,
    **convolutions.BUILDERS,
    **training.BUILDERS,
}
"""Name -> builder of a checked request."""


def build(case: OperatorCase) -> BuiltOperator:
    """Return an operator case as a function with inputs.

    A name with dots, such as `aten.mm.default`, is an overload of torch; see `overloads`.

    Raises:
        CannotRun: `unknown-operator`, `unsupported-operator`, `bad-arguments`,
            `unsupported-format` or `needs-devices`.
    """
    if "." in case.op:
        return overloads.build(case)
    request = request_of(case)
    return BUILDERS[request.op](request)
