"""An operator case as a kernel on a torch device.

Must not know which device it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from crossgrade.targets.arrays import Array
from crossgrade.targets.failures import cannot_run
from crossgrade.values.operator_case import CannotRun, OperatorCase
from crossgrade.workloads.operators import BuiltOperator, build

Run = Callable[..., Any]
Inputs = tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to run a case."""

    run: Run
    """What a launch calls."""
    note: str = ""
    """What a reader of its time should know; empty: nothing."""


_BAD_ARGUMENTS = (KeyError, ValueError, TypeError, IndexError)


def built_case(case: OperatorCase) -> BuiltOperator:
    """Return the case as a function with inputs.

    Raises:
        CannotRun: the catalogue does not have it, or its sizes make no sense.
    """
    try:
        return build(case)
    except CannotRun:
        raise
    except _BAD_ARGUMENTS as error:
        raise CannotRun(
            "bad-arguments", f"{case.title}: {type(error).__name__}: {error}"
        ) from error
    except Exception as error:
        raise cannot_run(error, doing="building the case") from error


class TorchKernel:
    """A function of tensors with its inputs on the device, launched once when it is made."""

    def __init__(
        self,
        built: BuiltOperator,
        ways: Sequence[Way],
        *,
        device: torch.device,
        seed: int,
        copies: int,
        wait: Callable[[], None],
    ) -> None:
        """Make the inputs, run each copy once and wait.

        Args:
            built: the case.
            ways: ways to do the same, the wanted one first; the next is for the case that one
                fails.
            device: where the buffers lie.
            seed: of the inputs.
            copies: sets of buffers that take turns.
            wait: waits for the device.

        Raises:
            CannotRun: it cannot be made or run here; the reason is that of the last failure.
        """
        self._built = built
        self._run: Run | None = None
        self._note = ""
        self._output: Any = None
        self._turns: Iterator[Inputs] = iter(())
        self._begin(ways, lambda: input_sets(built, device, seed, copies), wait)

    def launch(self) -> None:
        """Start one call on the next copy of the buffers."""
        # `close` takes the function away; a launch after it is a mistake of the caller.
        self._output = self._run(*next(self._turns))  # type: ignore[misc]

    def read(self) -> float:
        """Return the first element of the newest output; waits until it is there."""
        return first_element(self._output)

    def output(self) -> torch.Tensor:
        """Return the newest output itself."""
        return first_tensor(self._output)

    def output_array(self) -> Array:
        """Return the first output of the newest launch on the host, float64."""
        return host_array(self.output())

    def notes(self) -> tuple[str, ...]:
        """Return what this implementation does that a fused kernel would not, and how it runs."""
        return tuple(filter(None, (self._built.note, self._note)))

    def work(self) -> tuple[float | None, float | None]:
        """Return floating-point operations and bytes of one call."""
        return self._built.flop, self._built.bytes

    def close(self) -> None:
        """Free the buffers."""
        self._run = self._output = None
        self._turns = iter(())

    def _begin(
        self,
        ways: Sequence[Way],
        make_sets: Callable[[], Sequence[Inputs]],
        wait: Callable[[], None],
    ) -> None:
        """Run every copy once in the first way that works."""
        failure: CannotRun | None = None
        # Tensors of inference mode skip the dispatch of autograd, which is 15 % of the time of the
        # smallest operators. A case with a backward pass refuses them, and gets plain ones.
        for way, inference in itertools.product(ways, (True, False)):
            try:
                with torch.inference_mode(inference):
                    sets = make_sets()
                self._take(way, sets)
                wait()
                return
            except Exception as error:
                failure = cannot_run(error)
                self.close()
                if failure.reason == "out-of-memory":
                    break
        raise failure or CannotRun("error", "there is nothing to run")

    def _take(self, way: Way, sets: Sequence[Inputs]) -> None:
        self._run, self._note = way.run, way.note
        self._turns = itertools.cycle(sets)
        for _ in sets:
            self.launch()
        self.read()


def input_sets(
    built: BuiltOperator, device: torch.device, seed: int, copies: int
) -> Sequence[Inputs]:
    """Return `copies` sets of inputs with the same values, each in memory of its own."""
    return [
        built.make_inputs(torch.Generator().manual_seed(seed), device)
        for _ in range(max(1, copies))
    ]


def first_tensor(output: Any) -> torch.Tensor:
    """Return the tensor, or the first of a tuple.

    Raises:
        CannotRun: `bad-output`, there is none.
    """
    while isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, torch.Tensor):
        raise CannotRun("bad-output", f"it gives no tensor but {type(output).__name__}")
    return output


def host_array(tensor: torch.Tensor) -> Array:
    """Return a tensor as an array of float64 in host memory; of complex ones the real part."""
    whole = tensor.detach().cpu()
    return np.asarray((whole.real if whole.is_complex() else whole).to(torch.float64).numpy())


def first_element(output: Any) -> float:
    """Return element 0 of the first output as a number; complex ones give their real part.

    Raises:
        CannotRun: `bad-output`, there is no tensor or it is empty.
    """
    tensor = first_tensor(output)
    if tensor.numel() == 0:
        raise CannotRun("bad-output", "its output has no elements")
    # An index and not `flatten`: that one copies a tensor that is not contiguous.
    element = tensor[(0,) * tensor.dim()].cpu()
    return float((element.real if element.is_complex() else element.to(torch.float64)).item())
