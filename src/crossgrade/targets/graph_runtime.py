"""What runtimes that take a graph have in common: targets without a clock of their own, and kernels
whose buffers are bound once and take turns.

Must not know any runtime.
"""

from __future__ import annotations

import importlib
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import torch

from crossgrade.targets.arrays import Array
from crossgrade.targets.energy.meter import EnergyDevice
from crossgrade.targets.exported import blamed, built_for_export, quietly
from crossgrade.targets.failures import failing_as_result, root_words
from crossgrade.targets.host import flush_bytes, host, host_witness
from crossgrade.targets.kept_graph import kept_graph
from crossgrade.targets.process_memory import process_memory
from crossgrade.targets.protocol import MODEL_LIBRARIES, Kernel, PeakCounter, Timer, Witness
from crossgrade.targets.timers import ReadTimer, SynchronizeTimer
from crossgrade.targets.torch_kernel import Inputs, host_array
from crossgrade.values.model_case import ModelCase
from crossgrade.values.operator_case import CannotRun, OperatorCase
from crossgrade.workloads.operators import BuiltOperator


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One set of buffers, bound to a compiled graph."""

    launch: Callable[[], Any]
    """Runs the graph on them and returns when the outputs are there."""
    read: Callable[[], float]
    """Gives the first element of the first output."""
    output: Callable[[], torch.Tensor]
    """Gives the first output on the host."""
    kept: tuple[Any, ...]
    """What must live as long as the buffers are used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A compiled graph with its buffers."""

    turns: Sequence[Turn]
    """One per copy."""
    notes: tuple[str, ...]
    """What a reader of its time should know."""


class GraphTarget(ABC):
    """A runtime that takes a graph; its runs end when their outputs are there."""

    runtime: ClassVar[str]
    """What failures of it are called."""
    graph: ClassVar[str]
    """What its graphs are called."""

    def __init__(self, scratch: str = "") -> None:
        """Begin without a buffer for `flush`.

        Args:
            scratch: folder in which graphs of models are kept; empty: one that goes when the target
                is closed.
        """
        self._cache: torch.Tensor | None = None
        self._scratch = scratch
        self._own_scratch: TemporaryDirectory[str] | None = None

    @property
    @abstractmethod
    def spec(self) -> str:
        """Return the specification that opens it again."""

    @property
    @abstractmethod
    def forkable(self) -> bool:
        """Return whether its sessions may be forked."""

    @property
    @abstractmethod
    def device_kind(self) -> str:
        """Return the kind of device in torch's words: `cpu`, `cuda`, `npu`, `xpu` ..."""

    @abstractmethod
    def facts(self) -> Mapping[str, str]:
        """Return device and versions."""

    def clock_ns(self) -> int:
        """Return the host's clock, ns."""
        return time.perf_counter_ns()

    def synchronize(self) -> None:  # noqa: B027 - there is nothing to wait for
        """Return at once: a run ends when its outputs are there."""

    def timers(self) -> Sequence[Timer]:
        """Return the two walls."""
        return (SynchronizeTimer(self), ReadTimer(self))

    def prepare(self, case: OperatorCase, *, copies: int = 1) -> Kernel:
        """Return the case as a compiled graph that has run once per copy.

        Raises:
            CannotRun: there is no graph of it, or the device cannot run it.
        """
        try:
            return self._prepare(case, copies)
        except CannotRun as refused:
            error = blamed(refused, case, lambda other: self._prepare(other, 1).close())
            raise error from refused

    def load_libraries(self) -> None:
        """Import what running a model takes."""
        importlib.import_module(MODEL_LIBRARIES)

    def prepare_model(self, case: ModelCase, *, copies: int = 1) -> Kernel:
        """Return a phase of a model as a compiled graph that has run once per copy.

        Raises:
            CannotRun: there is no graph of it, or the device cannot run it.
        """
        with failing_as_result("building the model"):
            graph = kept_graph(case, self._folder(case), self._write, self.graph)
        sets = [tuple(t.clone() for t in graph.inputs) for _ in range(copies)]
        with failing_as_result(self.runtime):
            return GraphKernel((None, graph.least_bytes), self._read(graph.folder, sets))

    def flush(self) -> None:
        """Read and write twice the host's last-level cache."""
        if self._cache is None:
            self._cache = torch.zeros(flush_bytes(host().cache_bytes) // 4, dtype=torch.int32)
        self._cache.add_(1)

    def witness(self) -> Witness:
        """Return what the host says now; these runtimes tell nothing of a device."""
        return host_witness()

    def energy_device(self) -> EnergyDevice:
        """Return the device as sensors of energy look for it."""
        return EnergyDevice(kind=self.device_kind)

    def peak_counter(self) -> PeakCounter | None:
        """Return the process's own memory on the CPU; other devices these runtimes do not count."""
        return process_memory() if self.device_kind == "cpu" else None

    def close(self) -> None:
        """Free the buffer of `flush`, and the graphs that nobody else keeps."""
        self._cache = None
        if self._own_scratch is not None:
            self._own_scratch.cleanup()
            self._own_scratch = None

    def _folder(self, case: ModelCase) -> Path:
        """Return where the graph of a case lies."""
        if not self._scratch:
            self._own_scratch = self._own_scratch or TemporaryDirectory(prefix="crossgrade-graph-")
        scratch = self._own_scratch.name if self._own_scratch else self._scratch
        return Path(scratch) / f"{self.runtime}-{case.key}"

    def _prepare(self, case: OperatorCase, copies: int) -> Kernel:
        with failing_as_result("building the case"):
            built, sets = built_for_export(case, copies)
        try:
            with quietly():
                model = self._exported(built, sets[0])
        except Exception as error:
            words = f"no {self.graph} of {case.op}: {root_words(error)}"
            raise CannotRun("unsupported-operator", words) from error
        with failing_as_result(self.runtime):
            return GraphKernel((built.flop, built.bytes), self._bound(model, sets))

    @abstractmethod
    def _exported(self, built: BuiltOperator, inputs: Inputs) -> Any:
        """Return the case as a graph; whatever it raises means that there is none."""

    @abstractmethod
    def _bound(self, model: Any, sets: Sequence[Inputs]) -> Bound:
        """Return the graph compiled for the device, each set of inputs bound to it."""

    @abstractmethod
    def _write(self, module: torch.nn.Module, inputs: Inputs, folder: Path) -> None:
        """Export a module into a folder; whatever it raises means that there is no graph of it."""

    @abstractmethod
    def _read(self, folder: Path, sets: Sequence[Inputs]) -> Bound:
        """Return the graph of a folder compiled for the device, each set of inputs bound to it."""


class GraphKernel:
    """A compiled graph with bound buffers that take turns."""

    def __init__(self, work: tuple[float | None, float | None], bound: Bound) -> None:
        """Run it once on every set of buffers.

        Args:
            work: floating-point operations and bytes of one call.
            bound: graph and buffers.
        """
        self._work = work
        self._notes = bound.notes
        self._turns: Iterator[Turn] = itertools.cycle(bound.turns)
        self._newest: Turn | None = None
        for _ in bound.turns:
            self.launch()
        self.read()

    def launch(self) -> None:
        """Run the graph on the next copy of the buffers, and wait for it."""
        self._newest = turn = next(self._turns)
        turn.launch()

    def read(self) -> float:
        """Return the first element of the newest output."""
        if self._newest is None:
            raise CannotRun("bad-output", "the kernel is closed")
        return self._newest.read()

    def output_array(self) -> Array:
        """Return the first output of the newest launch, float64."""
        if self._newest is None:
            raise CannotRun("bad-output", "the kernel is closed")
        return host_array(self._newest.output())

    def work(self) -> tuple[float | None, float | None]:
        """Return floating-point operations and bytes of one call."""
        return self._work

    def notes(self) -> tuple[str, ...]:
        """Return what a reader of its time should know."""
        return self._notes

    def close(self) -> None:
        """Free graph and buffers."""
        self._newest = None
        self._turns = iter(())
