"""An operator case on its way out of torch: a module to export, and host memory for its tensors.

Shared by the runtimes that take a graph. Must not know any of them.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import torch

from crossgrade.targets.host import check_room, host_free_bytes
from crossgrade.targets.torch_kernel import Inputs, Run, built_case, input_sets
from crossgrade.values.operator_case import CannotRun, OperatorCase
from crossgrade.workloads.operators import BuiltOperator

_CPU = torch.device("cpu")
_RAW = {1: torch.uint8, 2: torch.int16}
"""Bytes of an element -> integers of that size, for formats that numpy does not know."""


class OperatorModule(torch.nn.Module):
    """A function of tensors as a module, which is what exporters take."""

    def __init__(self, run: Run) -> None:
        """Keep the function."""
        super().__init__()
        self.run = run

    def forward(self, *inputs: torch.Tensor) -> Any:
        """Return what the function returns."""
        return self.run(*inputs)


def built_for_export(case: OperatorCase, copies: int) -> tuple[BuiltOperator, Sequence[Inputs]]:
    """Return the case, and `copies` sets of contiguous inputs in host memory.

    Raises:
        CannotRun: it cannot be built, is no pure function of tensors, or does not fit.
    """
    built = built_case(case)
    if not built.exportable:
        raise CannotRun(
            "unsupported-operator", f"{case.op} is no pure function of its inputs: no graph of it"
        )
    check_room(built.buffer_bytes * copies, host_free_bytes())
    sets = input_sets(built, _CPU, case.seed, copies)
    if not all(isinstance(t, torch.Tensor) for inputs in sets for t in inputs):
        raise CannotRun("unsupported-operator", f"{case.op} takes inputs that are no tensors")
    return built, [tuple(t.detach().contiguous() for t in inputs) for inputs in sets]


def blamed(
    refused: CannotRun, case: OperatorCase, prepare: Callable[[OperatorCase], None]
) -> CannotRun:
    """Return a refusal with the format blamed where the case works in float32.

    A runtime that finds no kernel does not say whether it lacks the operator or the format.
    """
    open_question = refused.reason in ("unsupported-operator", "error")
    if case.dtype == "float32" or not open_question:
        return refused
    try:
        prepare(dataclasses.replace(case, dtype="float32"))
    except Exception:
        return refused
    return CannotRun(
        "unsupported-format", f"works in float32, not in {case.dtype}: {refused.detail}"
    )


def raw(tensor: torch.Tensor) -> Any:
    """Return a numpy array on the same memory; formats unknown to numpy as integers."""
    try:
        return tensor.numpy()
    except TypeError:
        return tensor.view(_RAW[tensor.dtype.itemsize]).numpy()


def without_empty_parts(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Return an exported program whose concatenations have no empty parts of one dimension.

    torch lets such a part join tensors of any rank, and caches begin with one; other runtimes
    refuse the rank.
    """
    for node in program.graph.nodes:
        if node.target is not torch.ops.aten.cat.default:
            continue
        parts = [part for part in node.args[0] if not _is_empty(part.meta.get("val"))]
        if 0 < len(parts) < len(node.args[0]):
            node.update_arg(0, parts)
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()
    return program


def _is_empty(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and tuple(value.shape) == (0,)


@contextmanager
def quietly() -> Iterator[None]:
    """Keep what exporters print, log and warn of away from the user."""
    before = logging.root.manager.disable
    with open(os.devnull, "w", encoding="utf-8") as nowhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                yield
        finally:
            logging.disable(before)
