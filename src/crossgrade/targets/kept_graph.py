"""The graph of a model, exported once and kept on disk: exporting takes longer than a session.

Must not know any runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from crossgrade.targets.exported import quietly
from crossgrade.targets.failures import root_words
from crossgrade.targets.host import check_room, host_free_bytes
from crossgrade.targets.torch_kernel import Inputs
from crossgrade.values.model_case import ModelCase
from crossgrade.values.operator_case import CannotRun
from crossgrade.workloads.running import execution_of

Write = Callable[[torch.nn.Module, Inputs, Path], None]
"""Exports a module with example inputs into a folder."""
_DONE: Final = "done"
_INPUTS: Final = "inputs.pt"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptGraph:
    """A graph on disk with its inputs."""

    folder: Path
    """Where the runtime wrote it."""
    inputs: Inputs
    """Its inputs in host memory."""
    least_bytes: float | None
    """Bytes that one run reads and writes at least; None unknown."""


def kept_graph(case: ModelCase, folder: Path, write: Write, called: str) -> KeptGraph:
    """Return the graph of a case, exported into a folder of its own unless it lies there.

    Args:
        case: the execution; a training step has no graph, because it changes weights.
        folder: of this case and runtime alone.
        write: exports it.
        called: what graphs of the runtime are called, for messages.

    Raises:
        CannotRun: there is no graph of it.
    """
    if case.phase == "train":
        raise CannotRun("unsupported-operator", "a training step changes weights: no graph of it")
    if not (folder / _DONE).exists():
        _export(case, folder, write, called)
    kept = torch.load(folder / _INPUTS, weights_only=True)
    return KeptGraph(folder=folder, inputs=tuple(kept["inputs"]), least_bytes=kept["least_bytes"])


def _export(case: ModelCase, folder: Path, write: Write, called: str) -> None:
    # The exporter, the file and the runtime each hold the weights for a while.
    execution = execution_of(case, room=lambda size: check_room(2 * size, host_free_bytes()))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with quietly(), torch.no_grad():
            write(execution.module, execution.inputs, folder)
    except Exception as error:
        words = f"no {called} of {case.op}: {root_words(error)}"
        raise CannotRun("unsupported-operator", words) from error
    kept = {"inputs": [t.contiguous() for t in execution.inputs],
            "least_bytes": execution.least_bytes}  # fmt: skip
    torch.save(kept, folder / _INPUTS)
    (folder / _DONE).touch()
