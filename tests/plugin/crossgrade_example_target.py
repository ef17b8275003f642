"""A target in numpy: two operators on the CPU. A package with a real device does the same."""

import itertools
import time

import numpy as np
import torch

from crossgrade.errors import UnknownTarget
from crossgrade.targets.timers import ReadTimer, SynchronizeTimer
from crossgrade.values.operator_case import CannotRun
from crossgrade.workloads.operators import build

RUNS = {"gemm": np.matmul, "add": np.add}
"""Operator of the catalogue -> what runs it."""


class ExampleKernel:
    def __init__(self, run, sets, work):
        self._run, self._turns, self._work = run, itertools.cycle(sets), work
        self.launch()

    def launch(self):
        self._output = self._run(*next(self._turns))

    def read(self):
        return float(self._output.flat[0])

    def work(self):
        return self._work

    def close(self):
        self._output, self._turns = None, iter(())


class ExampleTarget:
    spec = "example"
    forkable = True

    def facts(self):
        return {"device": "numpy's loops and BLAS", "runtime": f"numpy {np.__version__}"}

    def clock_ns(self):
        return time.perf_counter_ns()

    def synchronize(self):
        pass

    def timers(self):
        return (SynchronizeTimer(self), ReadTimer(self))

    def prepare(self, case, *, copies=1):
        built = build(case)
        if case.op not in RUNS:
            raise CannotRun("unsupported-operator", f"numpy has no {case.op}")
        if case.dtype not in ("float16", "float32", "float64"):
            raise CannotRun("unsupported-format", f"numpy has no {case.dtype}")
        sets = [[t.numpy() for t in self._inputs(built, case)] for _ in range(copies)]
        return ExampleKernel(RUNS[case.op], sets, (built.flop, built.bytes))

    def _inputs(self, built, case):
        return built.make_inputs(torch.Generator().manual_seed(case.seed), torch.device("cpu"))

    def close(self):
        pass


def open_example(rest, opening):
    if rest:
        raise UnknownTarget(f"`example` takes nothing after the colon, got `{rest}`")
    return ExampleTarget()
