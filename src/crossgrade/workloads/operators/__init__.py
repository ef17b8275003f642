"""Operator cases: a name, sizes and a format -> a function of tensors and its inputs.

Works with torch 2.6 or newer and uses no private interface. The catalogue itself (`operators`,
`operator_info`, `request_of`) needs no torch; it is imported with `build` and `BuiltOperator`. Must
not know how an operator is timed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crossgrade.workloads.operators.info import OperatorInfo as OperatorInfo
from crossgrade.workloads.operators.listing import default_case as default_case
from crossgrade.workloads.operators.listing import operator_info as operator_info
from crossgrade.workloads.operators.listing import operators as operators
from crossgrade.workloads.operators.request import Request as Request
from crossgrade.workloads.operators.request import request_of as request_of

if TYPE_CHECKING:
    from crossgrade.workloads.operators.built import BuiltOperator as BuiltOperator
    from crossgrade.workloads.operators.catalog import build as build


def __getattr__(name: str) -> Any:
    """Return what needs torch, imported when it is asked for."""
    if name == "BuiltOperator":
        from crossgrade.workloads.operators.built import BuiltOperator

        return BuiltOperator
    if name == "build":
        from crossgrade.workloads.operators.catalog import build

        return build
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
