"""What a rank does, step by step, in a group of made-up time: no process, no torch."""

from __future__ import annotations

import dataclasses

import pytest
from tests.unit.measure.collectives.made_up import cell, plan

from crossgrade.measure.collectives.events import RankRequest
from crossgrade.measure.collectives.member import RankFailed, pairs_of, session
from crossgrade.values.operator_case import CannotRun


class Alone:
    """A rank whose fellows say what it says; its collectives take a time of their own."""

    rank, ranks, backend = 0, 2, "made-up"

    def __init__(self, *, call_ns=1e6, honest=True, wrong="", refuses=None):
        self.now, self.call_ns, self.honest = 0.0, call_ns, honest
        self.answer, self.refuses = wrong, refuses
        self.queued = 0.0
        self.launched: list[str] = []

    def clock_ns(self):
        self.now += 100
        return int(self.now)

    def synchronize(self):
        if self.honest:
            self.wait()

    def wait(self):
        self.now += self.queued
        self.queued = 0.0

    def barrier(self):
        self.wait()

    meet = barrier

    def agree(self, key, value):
        assert key not in self.launched, "a key is used twice"
        self.launched.append(key)
        return [value, value]

    def own_work(self):
        return Call(self, "own", 1e6)

    def buffers(self, cells, dtype, seed):
        if self.refuses:
            raise CannotRun(*self.refuses)
        return self

    def collective(self, what):
        return Call(self, what.op, self.call_ns)

    def leave(self):
        self.launched.append("left")


class Call:
    def __init__(self, group, name, takes_ns):
        self.group, self.name, self.takes_ns = group, name, takes_ns

    def launch(self):
        self.group.queued += self.takes_ns

    def refill(self):
        pass

    def read(self):
        self.group.wait()
        return 0.0

    def wrong(self):
        return self.group.answer


def told(group, *cells, **more):
    asked = dataclasses.replace(plan(2, cells or None), **({"rounds": 4, "warm_s": 0.01} | more))
    request = RankRequest(plan=asked, rank=0, device="made-up:0", index=0, absent=(), limit_s=10.0,
                          folder="")  # fmt: skip
    return list(session(group, request))


def test_rounds_have_every_cell_once_and_the_time_it_takes():
    group = Alone(call_ns=0.5e6)
    messages = told(group, cell("all-reduce"), cell("broadcast"))
    assert {m["at"] for m in messages if "at" in m} == {0, 1}
    (ready,) = [m["ready"] for m in messages if "ready" in m]
    assert ready["calls"] == [4, 4]  # 2 ms a block
    rounds = [m["round"] for m in messages if "round" in m]
    assert len(rounds) == 4
    for one in rounds:
        assert sorted(one["order"]) == [0, 1]
        assert one["spans"] == pytest.approx([2e6, 2e6], rel=0.01)
        assert one["work"] == pytest.approx(12e6, rel=0.01)
        assert one["pairs"] == []
    assert len({tuple(r["order"]) for r in rounds}) == 2
    assert messages[-1] == {"done": True}
    assert group.launched[-1] == "left"


def test_a_synchronisation_that_does_not_wait_gives_no_number():
    messages = told(Alone(call_ns=5e6, honest=False))
    (absent,) = [m["absent"] for m in messages if "absent" in m]
    assert (absent["cell"], absent["reason"]) == (0, "no-timer")
    assert absent["detail"].startswith("all ranks: reading a result took 5.00 ms after a sync")
    assert not any("round" in m for m in messages)


def test_a_wrong_result_is_not_timed():
    messages = told(Alone(wrong="3 of 9 elements are wrong"))
    (absent,) = [m["absent"] for m in messages if "absent" in m]
    assert absent == {"cell": 0, "reason": "wrong-result",
                      "detail": "all ranks: 3 of 9 elements are wrong"}  # fmt: skip


def test_buffers_that_do_not_fit_cost_the_largest_size_alone():
    messages = told(Alone(refuses=("too-large", "its buffers take 9 GB")),
                    cell(size=4096), cell(size=8192), cell(size=1024))  # fmt: skip
    assert [m["absent"]["cell"] for m in messages if "absent" in m] == [1]
    assert messages[-1] == {"done": True}


def test_a_failure_says_in_which_collective_and_after_what_wait():
    group = Alone()
    sound = group.barrier

    def broken():
        sound()
        if "more/0" in group.launched:
            group.now += 7e9
            raise RuntimeError("connection closed by peer")

    group.barrier = broken
    asked = plan(2, rounds=4, warm_s=0.0)
    request = RankRequest(plan=asked, rank=0, device="made-up:0", index=0, absent=(), limit_s=10.0,
                          folder="")  # fmt: skip
    messages = []
    with pytest.raises(RankFailed, match="in all-reduce/4096: RuntimeError: connection closed"):
        messages.extend(_kept(session(group, request), messages))
    assert messages[-1]["failed"]["waited_s"] == pytest.approx(7.0, rel=0.01)
    assert messages[-1]["failed"]["at_ns"] >= 7e9


def _kept(given, messages):
    for message in given:
        messages.append(message)
    return ()


def test_time_ends_rounds_after_the_least_number():
    group = Alone(call_ns=3e9)
    assert sum("round" in m for m in told(group, rounds=100)) == 4  # 3 s each, 10 s


def test_pairs():
    assert pairs_of(2) == ()
    assert pairs_of(3) == ((0, 1), (0, 2), (1, 2))
    assert len(pairs_of(16)) == 120
    assert pairs_of(17) == ()
