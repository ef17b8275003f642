"""The suite that every target passes: what the harness takes for granted of one.

A package with a target of its own writes, in a file that pytest collects::

    from crossgrade.testing import TargetConformance

    class TestMine(TargetConformance):
        spec = "mine:0"

Attributes are its quirks. Must not know any target: what one can do is asked with `isinstance`.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from crossgrade.errors import TargetAbsent
from crossgrade.targets.energy.meter import Metered
from crossgrade.targets.protocol import (
    CanCountMemory,
    CanFlush,
    CanWitness,
    CountsPeakMemory,
    Target,
)
from crossgrade.targets.registry import open_target
from crossgrade.testing.reference import reference_value
from crossgrade.values.audit import TIMER_KINDS
from crossgrade.values.operator_case import CannotRun, OperatorCase

GEMM = OperatorCase(op="gemm", dtype="float32", arguments={"m": 48, "k": 64, "n": 32}, seed=11)
"""A small product."""
ADD = OperatorCase(op="add", dtype="float32", arguments={"batch_size": 2, "dim_size": 16}, seed=12)
"""A sum that takes next to no time."""
LARGE = OperatorCase(
    op="add", dtype="float32", arguments={"batch_size": 10240, "dim_size": 1024}, seed=13
)
"""A sum with buffers of 40 MiB each: glibc gives more than 32 MiB back as soon as it is freed, so
that a leak is seen and nothing else."""
_LARGE_BYTES = 3 * 40 * 2**20
ANCHOR = OperatorCase(op="gemm", dtype="float32", arguments={"m": 320, "k": 320, "n": 320}, seed=14)
"""The product under which timers are audited."""

_WITNESSES = {
    "clock_hz", "clock_nominal_hz", "temperature_c", "power_w", "load", "throttled", "steal_s",
}  # fmt: skip


class TargetConformance:
    """Tests of one target."""

    spec: ClassVar[str] = ""
    """Specification that opens it."""
    required: ClassVar[bool] = False
    """Whether its absence is a failure; where False an absent target is skipped."""
    simulated: ClassVar[bool] = False
    """Whether nothing is computed, so that what it reads is no result."""
    cases: ClassVar[Sequence[OperatorCase]] = (GEMM, ADD)
    """Operator cases that it must run."""
    tolerance: ClassVar[float] = 1e-5
    """Allowed distance of element 0 from torch's on the CPU, as a share of it or of 1."""
    rounds: ClassVar[int] = 4
    """How often the search for leaks prepares and closes a kernel."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run the tests that take a case once for each that the target must run."""
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.cases, ids=case_ids(self.cases))

    @pytest.fixture
    def target(self) -> Iterator[Target]:
        """Give the target, opened for one test."""
        opened = self.opened()
        yield opened
        opened.close()

    def opened(self) -> Target:
        """Return the target, opened; skip where it is not here."""
        try:
            return open_target(self.spec)
        except TargetAbsent as absent:
            if self.required:
                raise
            pytest.skip(str(absent))

    def test_its_specification_opens_it_again(self, target: Target) -> None:
        """What a record names opens the same target."""
        again = open_target(target.spec)
        assert again.spec == target.spec
        again.close()

    def test_facts_name_device_and_runtime(self, target: Target) -> None:
        """Facts are words, and two of them are always there."""
        facts = target.facts()
        assert {"device", "runtime"} <= set(facts)
        assert all(isinstance(v, str) and v for v in facts.values()), facts

    def test_its_clock_never_goes_back(self, target: Target) -> None:
        """Readings are whole nanoseconds in order."""
        readings = [target.clock_ns() for _ in range(1000)]
        assert all(isinstance(r, int) for r in readings)
        assert readings == sorted(readings)

    def test_timers_stand_in_the_order_of_exactness(self, target: Target) -> None:
        """There is one at least, each kind once."""
        kinds = [timer.kind for timer in target.timers()]
        assert kinds
        assert kinds == sorted(set(kinds), key=TIMER_KINDS.index)

    def test_it_gives_what_torch_gives(self, target: Target, case: OperatorCase) -> None:
        """Element 0 is torch's, up to the tolerance; a simulated target gives some number."""
        kernel = target.prepare(case)
        kernel.launch()
        value = kernel.read()
        kernel.close()
        assert isinstance(value, float)
        assert math.isfinite(value)
        if not self.simulated:
            self._close_to_reference(value, case)

    def test_it_tells_the_work(self, target: Target, case: OperatorCase) -> None:
        """Operations and bytes are unknown, or numbers that are not negative."""
        kernel = target.prepare(case)
        amounts = kernel.work()
        kernel.close()
        assert len(amounts) == 2
        assert all(a is None or (math.isfinite(a) and a >= 0) for a in amounts)

    def test_every_copy_gives_the_same(self, target: Target) -> None:
        """Copies of the buffers take turns, and hold the same values."""
        kernel = target.prepare(GEMM, copies=3)
        values = []
        for _ in range(7):
            kernel.launch()
            values.append(kernel.read())
        kernel.close()
        if not self.simulated:
            for value in values:
                self._close_to_reference(value, GEMM)

    def test_copies_have_memory_of_their_own(self, target: Target) -> None:
        """Three copies take three times the memory, where the target counts it."""
        before = _allocated(target)
        if before is None:
            pytest.skip("the target does not count its memory")
        kernel = target.prepare(LARGE, copies=3)
        grown = (_allocated(target) or 0) - before
        kernel.close()
        assert grown >= 3 * _LARGE_BYTES * 2 / 3

    def test_two_kernels_live_side_by_side(self, target: Target) -> None:
        """Interleaved launches of two kernels keep their outputs apart."""
        kernels = [target.prepare(case) for case in (GEMM, ADD)]
        for _ in range(3):
            for kernel in kernels:
                kernel.launch()
        values = [kernel.read() for kernel in kernels]
        for kernel in kernels:
            kernel.close()
        if not self.simulated:
            for value, case in zip(values, (GEMM, ADD), strict=True):
                self._close_to_reference(value, case)

    def test_an_unknown_operator_is_a_result(self, target: Target) -> None:
        """A name outside the catalogue is refused with its own reason."""
        with pytest.raises(CannotRun) as refused:
            target.prepare(OperatorCase(op="no_such_operator", dtype="float32"))
        assert refused.value.reason == "unknown-operator"

    @pytest.mark.parametrize(
        "arguments", [{"m": 4, "n": 4}, {"m": 4, "k": -4, "n": 4}], ids=["missing", "negative"]
    )
    def test_bad_sizes_are_a_result(self, target: Target, arguments: dict[str, int]) -> None:
        """Sizes that are missing or make no sense are refused as such."""
        with pytest.raises(CannotRun) as refused:
            target.prepare(OperatorCase(op="gemm", dtype="float32", arguments=arguments))
        assert refused.value.reason == "bad-arguments"

    def test_closing_twice_does_no_harm(self) -> None:
        """A kernel and a target may be closed again."""
        target = self.opened()
        kernel = target.prepare(ADD)
        for _ in range(2):
            kernel.close()
        for _ in range(2):
            target.close()

    def test_nothing_leaks(self, target: Target) -> None:
        """Kernels that are closed give their memory back."""
        self._use(target)
        before, resident = _allocated(target), _resident_bytes()
        if before is None and resident is None:
            pytest.skip("neither the target nor the system counts memory")
        for _ in range(self.rounds):
            self._use(target)
        after = _allocated(target)
        if before is not None and after is not None:
            assert after <= before
        if resident is not None:
            # One of the three buffers would be a third.
            grown = (_resident_bytes() or 0) - resident
            assert grown < self.rounds * _LARGE_BYTES / 4

    def test_spans_are_positive(self, target: Target) -> None:
        """Every timer gives a time for real work."""
        kernel = target.prepare(GEMM)
        spans = [timer.span_ns(kernel, 5) for timer in target.timers() for _ in range(3)]
        kernel.close()
        assert all(math.isfinite(s) and s > 0 for s in spans), spans

    def test_an_empty_block_is_no_call(self, target: Target) -> None:
        """Asked for no call, a timer gives its own cost: below what the calls of a block take."""
        kernel = target.prepare(GEMM)
        for timer in target.timers():
            timer.span_ns(kernel, 1)
            empty = min(timer.span_ns(kernel, 0) for _ in range(5))
            assert 0 <= empty < min(timer.span_ns(kernel, 20) for _ in range(3)), timer.kind
        kernel.close()

    def test_many_launches_before_one_wait(self, target: Target) -> None:
        """A queue of 100 calls is taken, and the newest output is there after it."""
        kernel = target.prepare(ADD)
        for _ in range(100):
            kernel.launch()
        target.synchronize()
        value = kernel.read()
        kernel.close()
        if not self.simulated:
            self._close_to_reference(value, ADD)

    def test_caches_are_flushed_where_it_can(self, target: Target) -> None:
        """Flushing leaves kernels alone."""
        if not isinstance(target, CanFlush):
            pytest.skip("the target cannot flush")
        kernel = target.prepare(GEMM)
        target.flush()
        kernel.launch()
        value = kernel.read()
        kernel.close()
        if not self.simulated:
            self._close_to_reference(value, GEMM)

    def test_witnesses_are_known_readings(self, target: Target) -> None:
        """A reading is a number under a known name; one that is missing has a reason."""
        if not isinstance(target, CanWitness):
            pytest.skip("the target has no witness")
        witness = target.witness()
        assert set(witness.readings) | set(witness.unread) <= _WITNESSES
        assert not set(witness.readings) & set(witness.unread)
        assert all(math.isfinite(r) for r in witness.readings.values())
        assert all(witness.unread.values())

    def test_what_it_holds_is_in_the_peak_of_its_memory(self, target: Target) -> None:
        """A counter of memory sees the buffers of a large case."""
        counter = target.peak_counter() if isinstance(target, CountsPeakMemory) else None
        if counter is None:
            pytest.skip("nothing counts the memory of the target")
        counter.reset()
        before = counter.held_bytes()
        kernel = target.prepare(LARGE)
        grown = counter.peak_bytes() - before
        kernel.close()
        # One that cannot be set back hides what stays below an earlier peak.
        assert not counter.can_reset or grown >= _LARGE_BYTES * 2 / 3
        assert counter.name

    def test_it_says_which_device_takes_the_energy(self, target: Target) -> None:
        """A device has a kind, and a reading of power has a name."""
        if not isinstance(target, Metered):
            pytest.skip("the target does not say which device it runs on")
        device = target.energy_device()
        assert device.kind
        assert device.index >= 0
        assert device.power_w is None or device.power_name

    @pytest.mark.slow
    def test_a_timer_survives_the_audit(self, target: Target) -> None:
        """One timer at least may be believed; without one nothing is measured."""
        if importlib.util.find_spec("crossgrade.measure.audit") is None:
            pytest.skip("this crossgrade has no timer audit")
        # By name, because the suite also works beside a crossgrade that cannot measure yet.
        audit = importlib.import_module("crossgrade.measure.audit").audit
        # A busy machine spoils an audit; a timer that lies fails every one.
        for _ in range(3):
            report = audit(target, ANCHOR)
            if report.chosen is not None:
                return
        pytest.fail(f"no timer survives: {report}")

    def _use(self, target: Target) -> None:
        kernel = target.prepare(LARGE)
        kernel.launch()
        kernel.read()
        kernel.close()
        gc.collect()

    def _close_to_reference(self, value: float, case: OperatorCase) -> None:
        wanted = reference_value(case)
        assert abs(value - wanted) <= self.tolerance * max(1.0, abs(wanted)), (value, wanted)


def case_ids(cases: Sequence[OperatorCase]) -> list[str]:
    """Return the name of each case in test names, such as `gemm-float32`."""
    return [f"{case.op}-{case.dtype}" for case in cases]


def _allocated(target: Target) -> int | None:
    return target.allocated_bytes() if isinstance(target, CanCountMemory) else None


def _resident_bytes() -> int | None:
    """Return the memory of this process that is in use, bytes; None where nobody tells."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return None
    # Pages of 4 KiB at least: a larger page makes the test stricter by its factor, never looser.
    return int(pages) * 4096
