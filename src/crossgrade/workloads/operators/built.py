"""What a builder gives: a function of tensors, its inputs, and what a call costs at least.

Must not know which operator it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

MakeInputs = Callable[[torch.Generator, torch.device], tuple[torch.Tensor, ...]]
"""Makes one set of inputs on a device. The generator is one of the CPU, so that every device gets
the same values. Raises CannotRun where that device cannot run the case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltOperator:
    """An operator case as something to call."""

    run: Callable[..., Any]
    """`run(*inputs)` gives a tensor, or a tuple of which the first is one."""
    make_inputs: MakeInputs
    """Makes the inputs."""
    flop: float | None
    """Floating-point operations of one call (exact, a multiply-add counts two); None unknown.
    Integer multiply-adds of quantised products count the same."""
    bytes: float | None
    """Bytes that one call reads and writes at least (exact); None unknown."""
    buffer_bytes: float
    """Memory of one set of inputs and outputs, bytes (exact)."""
    exportable: bool = True
    """Whether it is a pure function of its inputs, so that it may be exported as a graph."""
    note: str = ""
    """What this implementation does that a fused kernel would not; empty: nothing. For a person."""
