"""The list of the catalogue: all operators, by name, with a default case for each.

Needs no torch. Must not know how an operator is built.
"""

from __future__ import annotations

import difflib
import functools

from crossgrade.values.operator_case import CannotRun, OperatorCase
from crossgrade.workloads.operators.info import OperatorInfo
from crossgrade.workloads.operators.listed_backward import BACKWARD
from crossgrade.workloads.operators.listed_basic import BASIC
from crossgrade.workloads.operators.listed_communication import COMMUNICATION
from crossgrade.workloads.operators.listed_llm import LLM
from crossgrade.workloads.operators.listed_more import CONVOLUTION, MORE


def operators() -> tuple[OperatorInfo, ...]:
    """Return every operator of the catalogue, group by group."""
    return (*BASIC, *LLM, *COMMUNICATION, *BACKWARD, *CONVOLUTION, *MORE)


@functools.cache
def _by_name() -> dict[str, OperatorInfo]:
    return {info.name: info for info in operators()}


def operator_info(name: str) -> OperatorInfo:
    """Return what the catalogue says of an operator.

    Raises:
        CannotRun: `unknown-operator`, with the names that are close.
    """
    found = _by_name().get(name)
    if found is not None:
        return found
    close = difflib.get_close_matches(name.lower(), _by_name(), n=3, cutoff=0.5)
    meant = f"; did you mean {', '.join(close)}?" if close else ""
    raise CannotRun("unknown-operator", f"no operator `{name[:80]}` in the catalogue{meant}")


def default_case(name: str) -> OperatorCase:
    """Return a case of an operator that a CPU runs in less than 100 ms.

    Raises:
        CannotRun: `unknown-operator`.
    """
    info = operator_info(name)
    return OperatorCase(op=name, dtype=info.default_dtype, arguments=dict(info.defaults))
