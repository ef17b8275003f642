"""What counts memory: the system's files, and torch's functions where a device has them."""

from __future__ import annotations

import sys

import pytest
import torch

from crossgrade.targets.process_memory import LinuxMemory, WholeLife, process_memory
from crossgrade.targets.protocol import CountsPeakMemory
from crossgrade.targets.registry import open_target
from crossgrade.targets.torch_memory import torch_memory

STATUS = "Name:\tpython\nVmPeak:\t  900 kB\nVmHWM:\t   400 kB\nVmRSS:\t   300 kB\n"


@pytest.fixture
def proc(tmp_path):
    (tmp_path / "status").write_text(STATUS)
    (tmp_path / "clear_refs").write_text("")
    return tmp_path


def test_linux_is_read_and_set_back(proc):
    counter = process_memory(proc)
    assert isinstance(counter, LinuxMemory)
    assert (proc / "clear_refs").read_text() == "5"
    assert (counter.held_bytes(), counter.peak_bytes()) == (300 * 1024, 400 * 1024)


def test_linux_that_cannot_be_set_back_gives_the_peak_of_the_whole_life(proc):
    (proc / "clear_refs").unlink()
    (proc / "clear_refs").mkdir()
    counter = process_memory(proc)
    assert counter == LinuxMemory(folder=proc, can_reset=False)
    assert counter.name == "VmHWM of the process, which cannot be set back"
    counter.reset()
    assert (counter.held_bytes(), counter.peak_bytes()) == (300 * 1024, 400 * 1024)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no getrusage")
@pytest.mark.parametrize("text", [None, "Name:\tpython\n"])
def test_without_the_files_it_is_getrusage(proc, text):
    (proc / "status").unlink()
    if text is not None:
        (proc / "status").write_text(text)
    counter = process_memory(proc)
    assert isinstance(counter, WholeLife)
    assert not counter.can_reset
    assert counter.peak_bytes() > 2**20


class Module:
    """A device module with the three functions, or fewer."""

    def __init__(self, missing=""):
        self.live, self.most, self.missing = 100, 500, missing

    def _refuse(self, name):
        if name == self.missing:
            raise RuntimeError("not for this device")

    def memory_allocated(self, device):
        self._refuse("memory_allocated")
        return self.live

    def max_memory_allocated(self, device):
        self._refuse("max_memory_allocated")
        return self.most

    def reset_peak_memory_stats(self, device):
        self._refuse("reset_peak_memory_stats")
        self.most = self.live


META = torch.device("meta")
"""A device type that is always there, and that torch.accelerator does not count."""


def test_torch_counts_live_tensors_of_a_device():
    module = Module()
    counter = torch_memory(META, module)
    assert counter is not None
    assert (counter.held_bytes(), counter.peak_bytes()) == (100, 100)
    module.most = 700
    assert counter.peak_bytes() == 700
    counter.reset()
    assert counter.peak_bytes() == 100
    assert counter.name == "torch.meta.max_memory_allocated"


@pytest.mark.parametrize(
    "missing", ["memory_allocated", "max_memory_allocated", "reset_peak_memory_stats"]
)
def test_a_device_that_lacks_one_of_the_functions_has_no_counter(missing):
    assert torch_memory(META, Module(missing)) is None
    assert torch_memory(META, None) is None


@pytest.mark.parametrize("spec", ["cpu", "compile:cpu", "onnxruntime", "openvino"])
def test_targets_on_the_cpu_count_the_process(spec):
    if spec in ("onnxruntime", "openvino"):
        pytest.importorskip(spec)
    target = open_target(spec)
    assert isinstance(target, CountsPeakMemory)
    counter = target.peak_counter()
    assert counter is not None
    assert "of the process" in counter.name
    target.close()
