"""Memory of a variant: what it holds, and the most that it held."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from crossgrade.measure.memory_peak import PeakMemory

MB = 1e6
SCRIPT = """
import numpy as np
from crossgrade.measure.memory_peak import PeakMemory
counter = PeakMemory.start(None)
kept = np.ones(25_000_000)
passing = np.ones(50_000_000)
del passing
counter.ready()
more = np.ones(12_500_000)
del more
found = counter.peak()
print(found.ready_bytes, found.peak_bytes, found.counter, sep="|")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_process_tells_what_it_holds_and_what_it_held():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True,
                          check=True)  # fmt: skip
    ready, peak, counter = done.stdout.strip().split("|")
    assert float(ready) == pytest.approx(200 * MB, rel=0.05)
    assert float(peak) == pytest.approx(600 * MB, rel=0.05)
    assert counter.startswith("VmHWM")


def test_a_device_counts_for_itself():
    live, most = [0], [0]

    class Device(types.SimpleNamespace):
        def begin_peak(self):
            most[0] = live[0]
            return "made_up.max_memory_allocated"

        def peak_bytes(self):
            return most[0]

        def allocated_bytes(self):
            return live[0]

    counter = PeakMemory.start(Device())
    live[0], most[0] = 100, 300
    counter.ready()
    found = counter.peak()
    assert (found.ready_bytes, found.peak_bytes) == (100, 300)
    assert found.counter == "made_up.max_memory_allocated"


def test_where_the_peak_cannot_be_forgotten_it_says_that_imports_are_in_it(tmp_path):
    folder = tmp_path / "proc/self"
    folder.mkdir(parents=True)
    (folder / "status").write_text("Name:\tx\nVmHWM:\t  3000 kB\nVmRSS:\t  1000 kB\n")
    (folder / "clear_refs").mkdir()  # may not be written
    counter = PeakMemory.start(None, root=tmp_path)
    counter.ready()
    found = counter.peak()
    assert found.peak_bytes == 2000 * 1024
    assert "imports included" in found.counter


def test_without_proc_the_greatest_size_ever_is_what_there_is(tmp_path):
    assert "ru_maxrss" in PeakMemory.start(None, root=tmp_path).peak().counter
