"""Whether a chip's software runs an aten operator, and how we know.

Must not know any table; `crossgrade.chips.optables` reads those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SupportLevel = Literal[
    "native", "composite", "cpu-fallback", "missing", "dtype-limited", "unverified", "conflict",
    "unknown",
]  # fmt: skip
"""How an operator runs on a backend.

native
    the backend registers a kernel of its own.
composite
    PyTorch's own composite kernel runs and calls other operators.
cpu-fallback
    no kernel; the backend copies to the host, runs there, and copies back.
missing
    no kernel and no fallback: an error at run time.
dtype-limited
    a kernel exists, and documentation restricts its dtypes.
unverified
    a kernel is registered, and the vendor's table does not list it as verified on this SoC.
conflict
    two sources of the vendor disagree.
unknown
    there is no table for this backend.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """The answer for one operator overload on one backend."""

    op: str
    """Overload name without namespace, such as `add.Tensor`, `_grouped_mm`."""
    backend: str
    """Operator table asked, such as `npu`."""
    level: SupportLevel
    """How it runs."""
    evidence: tuple[str, ...]
    """One line per table row that led to the level: table, version, row, value."""
    limits: str = ""
    """What the documentation restricts (dtypes, SoC, ranges), as published."""
    dtypes: tuple[str, ...] | None = None
    """torch dtype names the documentation allows, None where it does not restrict."""
    via: str = ""
    """The registered operator that does the work, where it is not `op` itself."""
