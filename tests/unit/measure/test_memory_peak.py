"""Memory of a variant: right for buffers of a known size, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from crossgrade.measure.memory_peak import PeakMemory

MIB = 2**20
PAGES = 2 * MIB
"""Tolerance: the system counts pages in batches, and some code is touched for the first time."""
linux = pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")


def in_process(body, *, imports="import numpy as np"):
    """Return the figures of a variant that runs in a fresh process."""
    program = """
        import dataclasses, json
        from crossgrade.measure.memory_peak import PeakMemory
        from crossgrade.targets.process_memory import process_memory
        class Target:
            def peak_counter(self):
                return process_memory()
        target = Target()
        np.ones(1000).sum()
    """
    text = f"{imports}\n{textwrap.dedent(program)}{textwrap.dedent(body)}"
    text += "\nprint(json.dumps(dataclasses.asdict(found)))\n"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True,
                          timeout=120, check=True)  # fmt: skip
    return json.loads(done.stdout)


@linux
def test_what_it_holds_is_in_both_figures():
    found = in_process("""
        memory = PeakMemory.start(target)
        held = np.ones(64 * 2**20, np.uint8)
        memory.ready()
        held.sum()
        found = memory.peak()
    """)
    assert found["ready_bytes"] == pytest.approx(64 * MIB, abs=PAGES)
    assert found["peak_bytes"] == pytest.approx(64 * MIB, abs=PAGES)
    assert found["counter"] == "VmHWM of the process"
    assert found["reason"] is None


@linux
def test_what_is_freed_before_it_is_ready_is_in_neither():
    found = in_process("""
        memory = PeakMemory.start(target)
        gone = np.ones(128 * 2**20, np.uint8)
        del gone
        held = np.ones(48 * 2**20, np.uint8)
        memory.ready()
        held.sum()
        found = memory.peak()
    """)
    assert found["ready_bytes"] == pytest.approx(48 * MIB, abs=PAGES)
    assert found["peak_bytes"] == pytest.approx(48 * MIB, abs=PAGES)


@linux
def test_a_peak_that_lasts_for_a_moment_is_seen():
    found = in_process("""
        memory = PeakMemory.start(target)
        held = np.ones(40 * 2**20, np.uint8)
        memory.ready()
        for size in (50, 96, 60):
            np.ones(size * 2**20, np.uint8)
        found = memory.peak()
    """)
    assert found["ready_bytes"] == pytest.approx(40 * MIB, abs=PAGES)
    assert found["peak_bytes"] == pytest.approx((40 + 96) * MIB, abs=PAGES)


@linux
def test_what_was_there_before_does_not_count():
    found = in_process("""
        before = np.ones(100 * 2**20, np.uint8)
        gone = np.ones(200 * 2**20, np.uint8)
        del gone
        memory = PeakMemory.start(target)
        held = np.ones(36 * 2**20, np.uint8)
        memory.ready()
        found = memory.peak()
    """)
    assert found["ready_bytes"] == pytest.approx(36 * MIB, abs=PAGES)
    assert found["peak_bytes"] == pytest.approx(36 * MIB, abs=PAGES)


@linux
def test_a_case_on_the_cpu_holds_its_tensors():
    found = in_process(
        """
        target = open_target("cpu")
        sizes = {"batch_size": 10240, "dim_size": 1024}
        small = OperatorCase(op="add", dtype="float32", arguments={"batch_size": 2, "dim_size": 2})
        target.prepare(small).close()
        memory = PeakMemory.start(target)
        kernel = target.prepare(OperatorCase(op="add", dtype="float32", arguments=sizes))
        memory.ready()
        for _ in range(3):
            kernel.launch()
        kernel.read()
        found = memory.peak()
        """,
        imports=(
            "import numpy as np; from crossgrade.targets.registry import open_target; "
            "from crossgrade.values.operator_case import OperatorCase"
        ),
    )
    # Two inputs and the newest output; a launch makes its output before the last one goes.
    assert found["ready_bytes"] == pytest.approx(3 * 40 * MIB, abs=12 * MIB)
    assert found["peak_bytes"] == pytest.approx(4 * 40 * MIB, abs=12 * MIB)


WHOLE_LIFE = """
from pathlib import Path
from crossgrade.targets.process_memory import LinuxMemory, WholeLife
import numpy as np
"""
COUNTERS = [
    ("LinuxMemory(folder=Path('/proc/self'), can_reset=False)", "VmHWM"),
    ("WholeLife()", "ru_maxrss"),
]


@linux
@pytest.mark.parametrize(("counter", "name"), COUNTERS)
def test_a_counter_that_cannot_be_set_back_sees_what_exceeds_all_before(counter, name):
    # A process inherits ru_maxrss from the one that starts it: `first` fills up to that.
    found = in_process(
        f"""
        counter = {counter}
        class Target:
            def peak_counter(self):
                return counter
        now = LinuxMemory(folder=Path("/proc/self"), can_reset=False).held_bytes()
        first = np.ones(int(counter.peak_bytes() - now) + 2**20, np.uint8)
        memory = PeakMemory.start(Target())
        held = np.ones(64 * 2**20, np.uint8)
        memory.ready()
        more = np.ones(48 * 2**20, np.uint8)
        found = memory.peak()
        """,
        imports=WHOLE_LIFE,
    )
    assert found["counter"] == f"{name} of the process, which cannot be set back"
    assert found["ready_bytes"] == pytest.approx(64 * MIB, abs=PAGES)
    assert found["peak_bytes"] == pytest.approx(112 * MIB, abs=PAGES)


@linux
def test_where_it_cannot_be_set_back_getting_ready_is_in_the_peak():
    found = in_process(
        """
        class Target:
            def peak_counter(self):
                return LinuxMemory(folder=Path('/proc/self'), can_reset=False)
        memory = PeakMemory.start(Target())
        gone = np.ones(128 * 2**20, np.uint8)
        del gone
        held = np.ones(48 * 2**20, np.uint8)
        memory.ready()
        found = memory.peak()
        """,
        imports=WHOLE_LIFE,
    )
    assert found["ready_bytes"] == pytest.approx(48 * MIB, abs=PAGES)
    assert found["peak_bytes"] == pytest.approx(128 * MIB, abs=PAGES)


# counters that are not the system's ----------------------------------------------------------
class Counter:
    """A counter whose figures are given."""

    name, can_reset = "counter of a test", True

    def __init__(self, held, most, fails=""):
        self.held, self.most, self.fails, self.resets = list(held), most, fails, 0

    def reset(self):
        self.resets += 1
        if self.fails == "reset":
            raise RuntimeError("lost the\ndevice")

    def held_bytes(self):
        return self.held.pop(0)

    def peak_bytes(self):
        if self.fails == "peak":
            raise RuntimeError("lost the\ndevice")
        return self.most


class Device:
    """A target that has a counter, or none."""

    def __init__(self, counter):
        self._counter = counter

    def peak_counter(self):
        return self._counter


def figures(target):
    memory = PeakMemory.start(target)
    memory.ready()
    return memory.peak()


def test_figures_are_beyond_what_was_held_before():
    counter = Counter([100, 350], 900)
    found = figures(Device(counter))
    assert (found.ready_bytes, found.peak_bytes, found.counter) == (250, 800, "counter of a test")
    assert counter.resets == 2


def test_less_than_before_is_nothing_and_not_negative():
    found = figures(Device(Counter([100, 60], 80)))
    assert (found.ready_bytes, found.peak_bytes, found.reason) == (0, 0, None)


@pytest.mark.parametrize("target", [Device(None), object()])
def test_without_a_counter_there_is_a_reason(target):
    found = figures(target)
    assert (found.ready_bytes, found.peak_bytes) == (None, None)
    assert (found.reason, found.counter) == ("no-counter", "")
    assert found.detail


@pytest.mark.parametrize("fails", ["reset", "peak"])
def test_a_counter_that_fails_is_told(fails):
    found = figures(Device(Counter([100, 350], 900, fails)))
    assert (found.ready_bytes, found.peak_bytes, found.reason) == (None, None, "error")
    assert found.detail == "RuntimeError: lost the device"


def test_one_that_was_never_ready_has_no_figure():
    found = PeakMemory.start(Device(Counter([100], 900))).peak()
    assert (found.reason, found.detail) == ("error", "it was never ready")
