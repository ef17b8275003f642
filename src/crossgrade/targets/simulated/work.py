"""What a case costs on the made-up device: a function of its arguments and nothing else.

The rates are those of no chip; they give times of a handy length. Must not know noise or faults.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from crossgrade.values.operator_case import AbsentReason, CannotRun, OperatorCase
from crossgrade.workloads.operators import operator_info

FLOP_PER_S: Final = 1e12
"""Made up: a 320 x 320 x 320 product takes 66 us."""
BYTES_PER_S: Final = 1e11
"""Made up."""
LEAST_NS: Final = 500.0
"""What any call takes on the device, ns; made up, and less than the cost of a launch."""
_ELEMENT_BYTES: Final[Mapping[str, int]] = {
    "float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2,
    "int8": 1, "uint8": 1, "bool": 1, "float8_e4m3fn": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one call does."""

    flop: float
    """Floating-point operations."""
    bytes: float
    """Bytes read and written at least."""


def work_of(case: OperatorCase) -> Work:
    """Return what one call does; an operator that is no product touches each element three times.

    Raises:
        CannotRun: `bad-arguments`.
    """
    size = _ELEMENT_BYTES.get(case.dtype, 4)
    if case.op in ("gemm", "gemm_8bit"):
        m, k, n = (_length(case, name) for name in "mkn")
        return Work(flop=2.0 * m * k * n, bytes=float(size * (m * k + k * n + m * n)))
    lengths = (v for k, v in case.arguments.items() if not k.startswith("sim_") and k != "scale")
    elements = math.prod(v for v in lengths if isinstance(v, int) and not isinstance(v, bool))
    return Work(flop=float(elements), bytes=3.0 * size * elements)


def duration_ns(case: OperatorCase) -> float:
    """Return how long one call takes on the device without noise, ns.

    Arguments that any case may have: `sim_us` gives the time outright, `scale` multiplies it,
    `sim_fail` names the reason for which the case cannot run.

    Raises:
        CannotRun: `bad-arguments`, `unknown-operator` where neither the catalogue nor `sim_us`
            says what it is, or what `sim_fail` says.
    """
    if "sim_fail" in case.arguments:
        _refuse(case.arguments["sim_fail"])
    if "sim_us" in case.arguments:
        base = _number(case, "sim_us") * 1e3
    else:
        if "." not in case.op:  # with dots it is an overload of torch, which is not in a list
            operator_info(case.op)
        work = work_of(case)
        base = LEAST_NS + 1e9 * max(work.flop / FLOP_PER_S, work.bytes / BYTES_PER_S)
    return base * (_number(case, "scale") if "scale" in case.arguments else 1.0)


def _refuse(reason: Any) -> None:
    if reason not in get_args(AbsentReason):
        raise CannotRun("bad-arguments", f"sim_fail={reason} is not a reason")
    raise CannotRun(reason, "wanted so by sim_fail")


def _length(case: OperatorCase, name: str) -> int:
    """Return a length of a product, which xpu-perf and the catalogue write as a capital."""
    value = case.arguments.get(name, case.arguments.get(name.upper()))
    if not isinstance(value, int) or value < 1:
        raise CannotRun("bad-arguments", f"{case.op} needs {name}=LENGTH, a positive integer")
    return value


def _number(case: OperatorCase, name: str) -> float:
    value = case.arguments[name]
    if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise CannotRun("bad-arguments", f"{name} must be a number that is not negative")
    return float(value)
