"""Inputs described before they are made: shapes, formats and how they are filled.

Sizes come from the descriptions, so a case that is too large is known before memory is asked for.
Must not know which operator it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from crossgrade.values.operator_case import CannotRun
from crossgrade.workloads.operators.built import BuiltOperator

Fill = Callable[[tuple[int, ...], torch.Generator], torch.Tensor]
"""Makes the values of a shape on the CPU, in any format."""


MOST_DRAWN = 1 << 21
"""Random numbers that are drawn for one input; what is larger repeats them. More of them cost
minutes for the weights of a large model, in every session, and no time depends on them."""


def normal(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    """Return values of the standard normal distribution."""
    return _repeated(shape, lambda drawn: torch.randn(drawn, generator=rng))


def _repeated(
    shape: tuple[int, ...], draw: Callable[[tuple[int, ...]], torch.Tensor]
) -> torch.Tensor:
    """Return drawn values; of a large shape the first MOST_DRAWN again and again."""
    count = math.prod(shape)
    if count <= MOST_DRAWN:
        return draw(shape)
    drawn = draw((MOST_DRAWN,))
    whole = drawn.new_empty(count)
    for start in range(0, count, MOST_DRAWN):
        whole[start : start + MOST_DRAWN] = drawn[: count - start]
    return whole.reshape(shape)


def positive(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    """Return values between 0.5 and 1.5, evenly spread."""
    return torch.rand(shape, generator=rng) + 0.5


def whole(low: int, high: int) -> Fill:
    """Return a fill of whole numbers from `low` up to and with `high`."""

    def fill(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
        return _repeated(shape, lambda some: torch.randint(low, high + 1, some, generator=rng))

    return fill


def places(rows: int) -> Fill:
    """Return a fill of row numbers below `rows`, each as often as the others, shuffled."""

    def fill(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
        count = math.prod(shape)
        return (torch.randperm(count, generator=rng) % rows).reshape(shape)

    return fill


def given(make: Callable[[], torch.Tensor]) -> Fill:
    """Return a fill that does not depend on the seed."""
    return lambda shape, rng: make().reshape(shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A tensor that is not there yet."""

    shape: tuple[int, ...]
    """Elements per dimension."""
    dtype: torch.dtype
    """Format."""
    fill: Fill = normal
    """How it is filled."""

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Memory, bytes."""
        return self.numel * self.dtype.itemsize

    def make(self, rng: torch.Generator, device: torch.device) -> torch.Tensor:
        """Return it on a device."""
        return self.fill(self.shape, rng).to(dtype=self.dtype).to(device=device)


def tensor(dtype: torch.dtype, *shape: int, fill: Fill = normal) -> Described:
    """Return the description of a tensor."""
    return Described(shape=shape, dtype=dtype, fill=fill)


def torch_dtype(name: str) -> torch.dtype:
    """Return torch's object of a format.

    Raises:
        CannotRun: `unsupported-format`: this torch does not have it.
    """
    found: Any = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise CannotRun("unsupported-format", f"torch {torch.__version__} has no {name}")
    return found


def total(tensors: Sequence[Described]) -> int:
    """Return the memory of several tensors, bytes."""
    return sum(t.nbytes for t in tensors)


def maker(inputs: Sequence[Described]) -> Callable[..., tuple[torch.Tensor, ...]]:
    """Return a function of generator and device that makes the inputs in order."""

    def make(rng: torch.Generator, device: torch.device) -> tuple[torch.Tensor, ...]:
        return tuple(one.make(rng, device) for one in inputs)

    return make


def built(
    run: Callable[..., Any],
    inputs: Sequence[Described],
    outputs: Sequence[Described],
    *,
    flop: float | None,
    traffic: float | None = -1.0,
    exportable: bool = True,
    note: str = "",
) -> BuiltOperator:
    """Return an operator from its function and its described tensors.

    Args:
        traffic: least traffic, bytes; -1: every input is read once and every output written once.
    """
    held = total(inputs) + total(outputs)
    return BuiltOperator(
        run=run, make_inputs=maker(inputs), flop=None if flop is None else float(flop),
        bytes=float(held) if traffic == -1.0 else traffic, buffer_bytes=float(held),
        exportable=exportable, note=note,
    )  # fmt: skip
