"""Groups of real processes over gloo: right results, and what becomes of ranks that fail."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import sys
import time
from pathlib import Path

import pytest
from tests.unit.measure.collectives.made_up import cell, plan

from crossgrade.errors import BadOption, TargetAbsent, UnknownTarget
from crossgrade.measure.collectives.events import Looked
from crossgrade.measure.collectives.group import PRELOAD, RankGroups, comm_event_of
from crossgrade.measure.collectives.ranks import RankProcesses
from crossgrade.measure.collectives.run import run_comm
from crossgrade.measure.workers import event_json
from crossgrade.values.collective import OPS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ranks are forked")
pytest.importorskip("torch")


@pytest.fixture(scope="module")
def fate_file(tmp_path_factory):
    return tmp_path_factory.mktemp("fate") / "fate.json"


@pytest.fixture(scope="module")
def groups(fate_file):
    """Return one source for all tests: its processes are forked from one parent."""
    sys.path.insert(0, str(Path(__file__).parent))
    os.environ[importlib.import_module("rank_fates").VARIABLE] = str(fate_file)
    with RankGroups(worker="rank_fates", preload=(*PRELOAD, "rank_fates")) as source:
        yield source
    sys.path.remove(str(Path(__file__).parent))


class Known:
    """What an earlier process has kept: which devices there are. Looking takes seconds."""

    def __init__(self, ranks):
        self.ranks = ranks

    def events(self):
        yield Looked(devices=("cpu",) * self.ranks, backend="gloo", forkable=True)

    def keep(self, event):
        assert comm_event_of(json.loads(json.dumps(event_json(event)))) == event


@pytest.fixture
def measure(groups, fate_file):
    def run(asked, **fate):
        fate_file.write_text(json.dumps(fate) if fate else "")
        return run_comm(asked, groups, Known(asked.ranks))

    yield run
    fate_file.write_text("")


def quick(ranks=2, ops=("all-reduce",), sizes=(4096,), **more):
    cells = [cell(op, size, ranks) for op in ops for size in sizes]
    more = {"budget_s": 1.0, "rounds": 3, "looks": (1,), "least_sessions": 1, "warm_s": 0.0} | more
    return plan(ranks, cells, **more)


@pytest.mark.parametrize("ranks", [2, 3])
def test_every_collective_is_right_and_timed_on_every_rank(measure, ranks):
    result = measure(quick(ranks, OPS, (1024, 100_000)))
    assert result.lost == ()
    assert [r.reason for r in result.rows] == [None] * 12
    assert all(r.time_s.value > 0 and len(r.ranks_s) == ranks for r in result.rows)
    assert result.backend == "gloo"
    assert [r.rank for r in result.ranks] == list(range(ranks))
    (session,) = result.sessions
    assert session.start == "forked"
    assert sorted(session.order) == sorted([*range(12)] * 3)
    assert all(calls >= 1 for calls in session.calls)
    assert [len(spans) for spans in session.spans_ns] == [36] * ranks
    assert len(session.pair_ns) == {2: 0, 3: 3}[ranks]
    # Nobody leaves a barrier before the last rank has come: starts of one block lie together.
    assert all(max(s) < min(e) for s, e in zip(
        zip(*session.started_ns, strict=True),
        zip(*((a + b for a, b in zip(*pair, strict=True)) for pair in
              zip(session.started_ns, session.spans_ns, strict=True)), strict=True),
        strict=True,
    ))  # fmt: skip


def test_every_format_is_exact_or_refused(measure):
    for dtype in ("bfloat16", "float16", "int8"):
        asked = dataclasses.replace(quick(3, OPS, (1200,)), dtype=dtype)
        assert [r.detail for r in measure(asked).rows] == [""] * 6
    asked = dataclasses.replace(quick(3, ("all-reduce",)), dtype="float8_e4m3fn")
    result = measure(asked)
    assert result.rows[0].reason == "unsupported-format"
    assert result.rows[0].detail == "all ranks: RuntimeError: Invalid scalar type"
    assert result.verdict == "unmeasured"


@pytest.mark.parametrize("op", ["all-reduce", "all-to-all"])
def test_a_wrong_result_on_one_rank_is_no_number(measure, op):
    result = measure(quick(2, (op, "broadcast")), rank=1, fate="wrong", op=op)
    bad, good = result.rows
    assert (bad.status, bad.reason) == ("absent", "wrong-result")
    assert bad.detail.startswith("rank 1: 1 of 1024 elements are wrong, first [5]: ")
    assert bad.time_s is None
    assert good.status == "ok"
    assert result.verdict == "incomplete"


def test_a_rank_that_is_killed_ends_its_group_and_costs_one_session(measure):
    asked = quick(3, looks=(3,), least_sessions=3, budget_s=30.0)
    result = measure(asked, rank=2, fate="die", session=1)
    (lost,) = result.lost
    assert (lost.index, lost.reason) == (1, "crashed")
    assert lost.detail.startswith("rank 2 (cpu): its process was killed by SIGKILL")
    assert [s.index for s in result.sessions] == [0, 2, 3]
    assert result.rows[0].sessions == 3


def test_a_rank_that_raises_is_named_with_its_words(measure):
    result = measure(quick(2, budget_s=20.0), rank=0, fate="raise", session=0)
    assert result.lost[0].reason == "error"
    assert result.lost[0].detail.startswith("rank 0 (cpu): ")
    assert "the device is in a bad mood" in result.lost[0].detail
    assert len(result.sessions) == 1


def test_a_rank_that_hangs_is_the_one_named(measure):
    result = measure(quick(3, timeout_s=2.0, budget_s=20.0), rank=1, fate="hang", session=0)
    (lost,) = result.lost
    assert lost.reason == "timed-out"
    assert lost.detail.startswith("rank 1 (cpu): it kept the others waiting for 2 s")
    assert "then failed: " in lost.detail
    assert len(result.sessions) == 1


def test_a_size_that_kills_a_rank_is_a_row_and_the_rest_is_measured(measure):
    asked = quick(2, sizes=(1024, 4096, 8192), budget_s=20.0)
    result = measure(asked, rank=1, fate="die-at-cell", cell=1)
    assert [r.reason for r in result.rows] == [None, "crashed", None]
    assert "rank 1" in result.rows[1].detail
    assert len(result.lost) == 1
    assert result.verdict == "incomplete"


def test_a_group_that_always_breaks_is_given_up(measure):
    result = measure(quick(2, budget_s=60.0), rank=0, fate="die")
    assert len(result.lost) == 3
    assert result.verdict == "unmeasured"
    assert result.rows[0].reason == "crashed"


def test_no_process_is_left_behind(measure, monkeypatch):
    pids = []
    started = RankProcesses.__init__

    def noting(self, *arguments):
        started(self, *arguments)
        pids.extend(run.pid for run in self._runs)

    monkeypatch.setattr(RankProcesses, "__init__", noting)
    measure(quick(2), rank=1, fate="crowded")  # which starts three processes of its own
    assert len(pids) == 2
    deadline = time.monotonic() + 10
    while (left := _living(pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == set()


def _living(groups):
    """Return the groups of those that have a process which is no zombie."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if state != "Z":
                found.add(int(group))
    return found & set(groups)


def test_a_rank_with_more_work_than_the_others_is_named(measure):
    """Six times as much and eight sessions: what a busy machine does to five is often more."""
    asked = quick(3, looks=(8,), least_sessions=8, budget_s=120.0, rounds=7)
    result = measure(asked, rank=1, fate="extra")
    assert [s.rank for s in result.slow] == [1], result.signals
    slow = result.slow[0]
    assert "work" in slow.signals
    assert slow.ratio > slow.limit > 1.1
    assert slow.wait_share < 1.0
    assert slow.device == "cpu"


def test_a_format_that_torch_does_not_have(groups, fate_file):
    fate_file.write_text("")
    with pytest.raises(BadOption, match="no such format"):
        run_comm(dataclasses.replace(quick(2), dtype="tfloat32"), groups)


def test_backends_by_device_type():
    from crossgrade.targets.process_group import group_backend, group_devices

    assert group_backend("cpu") == "gloo"
    assert group_devices("cpu", 5) == ("cpu",) * 5
    with pytest.raises(UnknownTarget, match="is known for `mps`"):
        group_backend("mps")
    with pytest.raises(UnknownTarget, match="no device type"):
        group_devices("abc", 2)
    with pytest.raises(TargetAbsent, match="does not import"):
        group_backend("hpu")
