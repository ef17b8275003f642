"""Workers of their own: whatever a target does costs one variant or one session, not the run."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from tests.unit.measure.simulated import GEMM, keyed, plan

from crossgrade.errors import TargetAbsent, TargetBroken
from crossgrade.jobs import memory
from crossgrade.jobs.forking import SUPPORTED
from crossgrade.measure.harness import run
from crossgrade.measure.isolated import Isolated
from crossgrade.measure.state import MOST_LOST
from crossgrade.values.operator_case import OperatorCase

sys.path.insert(0, str(Path(__file__).parent))  # a worker looks where this process looks
QUICK = {"budget_s": 2.0, "least_sessions": 5, "rounds": 6, "targets": ("failing",),
         "start": "forked"}  # fmt: skip


@pytest.fixture
def isolated():
    """Return a source of workers that are ended half a second after their budget."""
    with Isolated(preload=("failing_worker",), worker="failing_worker", silence_s=0.5) as source:
        yield source


def failing(fate, **arguments):
    return OperatorCase(op=GEMM.op, dtype=GEMM.dtype,
                        arguments={**GEMM.arguments, "fate": fate, **arguments})  # fmt: skip


def measured(source, *cases, **options):
    """Return the results of cases of one variant each."""
    plans = [plan(case, **QUICK | options) for case in cases]
    found = dict(run(keyed(*plans), source))
    return [found[key] for key in sorted(found)]


@pytest.mark.parametrize(
    ("fate", "reason", "detail"),
    [
        ("crash", "crashed", "SIGSEGV"),
        ("raise", "error", "RuntimeError: the device is in a bad mood"),
        ("hang", "timed-out", "no message for 2.5 s"),
    ],
)
@pytest.mark.parametrize("at", ["prepare", "launch"])
def test_what_kills_the_probe_is_a_row_and_the_rest_is_measured(isolated, fate, at, reason, detail):
    both = plan(GEMM, failing(fate, at=at), **QUICK)
    found = dict(run(keyed(both, plan(GEMM, **QUICK)), isolated))
    first, second = found["c0"], found["c1"]
    good, bad, anchor = first.variants
    assert (bad.status, bad.reason) == ("absent", reason)
    assert detail in bad.detail
    assert (good.status, anchor.status) == ("ok", "ok")
    assert second.variants[0].status == "ok"
    assert not first.lost


@pytest.mark.skipif(not memory.SUPPORTED, reason="no limit of memory on this system")
def test_a_variant_that_eats_memory_is_out_of_memory():
    with Isolated(worker="failing_worker", memory_bytes=2e8) as source:
        bad, good = measured(source, failing("memory"), GEMM)
    assert bad.variants[0].reason == "out-of-memory"
    assert good.variants[0].status == "ok"


@pytest.mark.parametrize(("fate", "reason"), [("crash", "crashed"), ("raise", "error")])
def test_a_lost_session_is_told_and_the_others_go_on(isolated, fate, reason):
    bad, good = measured(isolated, failing(fate, when=1), GEMM, budget_s=60.0)
    assert [(lost.index, lost.reason) for lost in bad.lost] == [(1, reason)]
    taken = [session.index for session in bad.sessions]
    assert 1 not in taken
    assert taken[:3] == [0, 2, 3]
    assert bad.variants[0].status == "ok"
    assert not good.lost
    assert [s.index for s in good.sessions] == list(range(len(good.sessions)))


def test_a_case_that_loses_every_session_ends_with_its_reason(isolated):
    bad, good = measured(isolated, failing("crash", when="session"), GEMM, budget_s=60.0)
    assert [lost.index for lost in bad.lost] == list(range(MOST_LOST))
    assert bad.verdict == "unmeasured"
    assert bad.variants[0].reason == "crashed"
    assert "SIGSEGV" in bad.variants[0].detail
    assert good.variants[0].status == "ok"


def test_a_session_that_hangs_is_ended(isolated):
    (found,) = measured(isolated, failing("hang", when=1))
    assert [(lost.index, lost.reason) for lost in found.lost] == [(1, "timed-out")]


@pytest.mark.skipif(not SUPPORTED, reason="jobs are forked on Linux only")
def test_sessions_come_though_the_nursery_dies(isolated):
    wanted = plan(**QUICK | {"budget_s": 60.0})
    pids = []

    class Killing:
        def __getattr__(self, name):
            return getattr(isolated, name)

        def take(self, request):
            yield from isolated.take(request)
            if len(pids) < 2:  # at once: whoever asks next finds it dead or dying
                pids.append(isolated._nursery.pid)
                os.kill(pids[-1], signal.SIGKILL)

    ((_, found),) = run(keyed(wanted), Killing())
    assert len(found.sessions) >= 5
    assert len(set(pids)) == 2
    assert not found.lost
    assert {s.start for s in found.sessions} == {"forked"}


def test_a_library_that_does_not_allow_forks_makes_sessions_fresh():
    with Isolated(preload=("no_such_module",), worker="failing_worker") as source:
        (found,) = measured(source, GEMM)
    assert {s.start for s in found.sessions} == {"fresh"}


@pytest.mark.parametrize(("fate", "said"), [
    ("crash", "SIGSEGV"), ("raise", "the device is in a bad mood"), ("hang", "no message for"),
])  # fmt: skip
def test_an_audit_that_dies_ends_the_run_with_its_cause(isolated, fate, said):
    with pytest.raises(TargetBroken) as caught:
        measured(isolated, GEMM, targets=(f"failing:{fate}",))
    assert "the timer audit did not end" in caught.value.message
    assert said in caught.value.message
    assert "crossgrade doctor" in caught.value.hint


def test_an_error_of_ours_crosses_the_process_whole(isolated):
    with pytest.raises(TargetAbsent) as caught:
        measured(isolated, GEMM, targets=("failing:absent",))
    assert (caught.value.message, caught.value.hint) == ("no device is plugged in", "plug one in")


def test_no_worker_is_left_behind():
    with Isolated(preload=("failing_worker",), worker="failing_worker") as source:
        measured(source, GEMM)
        pid = source._nursery.pid if source._nursery else 0
    if pid:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
