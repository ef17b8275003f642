"""A torch device with torch.compile in front: what its compiler makes of an operator.

The compiler is torch's default one. Must not know which device it is.
"""

from __future__ import annotations

import os
import shutil
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from crossgrade.errors import TargetAbsent
from crossgrade.targets.protocol import Opening
from crossgrade.targets.torch_device import TorchTarget, find_device
from crossgrade.targets.torch_kernel import Run, Way
from crossgrade.values.case import Case
from crossgrade.workloads.operators import BuiltOperator

GRAPH_BREAKS: Final = "runs with graph breaks: parts run eagerly"
"""Note of a kernel that the compiler does not take as one graph."""


class CompiledTarget(TorchTarget):
    """A torch device whose cases are compiled when they are prepared."""

    @property
    def spec(self) -> str:
        """Return `compile:` and the device."""
        return f"compile:{self.device}"

    def facts(self) -> Mapping[str, str]:
        """Return the facts of the device, and the compiler."""
        return {**super().facts(), "compiler": "torch.compile, backend inductor, static shapes"}

    def _ways(self, built: BuiltOperator, case: Case) -> Sequence[Way]:
        """Return functions that compile themselves when first called: as one graph, else in parts.

        What the compiler cannot take in parts either runs as torch's own kernels, as it does for
        every user of torch.compile. That one graph was refused is the only public sign of it.
        """
        whole = torch.compile(_own_code(built.run, case.key), dynamic=False, fullgraph=True)
        parts = torch.compile(_own_code(built.run, case.key), dynamic=False)
        return Way(run=whole), Way(run=parts, note=GRAPH_BREAKS)


def _own_code(run: Run, name: str) -> Run:
    """Return the function in code of its own.

    The compiler keeps its results with the code object and gives up after a few per object; two
    cases of one operator would share it.
    """

    def call(*inputs: Any) -> Any:
        return run(*inputs)

    code = call.__code__.replace(co_name=f"case_{''.join(c if c.isalnum() else '_' for c in name)}")
    return types.FunctionType(code, call.__globals__, code.co_name, None, call.__closure__)


def open_compiled(rest: str, opening: Opening) -> CompiledTarget:
    """Return `compile:DEVICE`; `compile` alone means the CPU.

    Raises:
        UnknownTarget: torch has no such device type.
        TargetAbsent: the device is not here, or for the CPU a C++ compiler.
    """
    name, _, index = (rest or "cpu").partition(":")
    device = find_device(name, index)
    if device.type == "cpu" and not _has_cxx():
        raise TargetAbsent(
            "torch.compile on a CPU needs a C++ compiler, and none is on the path",
            hint="install g++ or clang++, or set CXX",
        )
    return CompiledTarget(device)


def _has_cxx() -> bool:
    # On Windows the compiler is set up by a shell of its own; there the first case tells.
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++")
    return sys.platform == "win32" or any(name and shutil.which(name) for name in names)
