"""A run: audits first, failures as rows, budgets, looks, and taking an interrupted run up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.measure.simulated import GEMM, keyed, plan, slower, source

from crossgrade.errors import TargetAbsent
from crossgrade.measure.events import Audited, Lost, Ready, Refused, Sampled
from crossgrade.measure.harness import run
from crossgrade.measure.isolated import event_of
from crossgrade.measure.result import recomputed
from crossgrade.measure.source import InProcess
from crossgrade.measure.workers import event_json
from crossgrade.targets.simulated import Faults, NoiseModel, SimulatedDevice
from crossgrade.values.bench import BenchRow, BenchRun
from crossgrade.values.operator_case import OperatorCase

NOISY = NoiseModel(session_sd=0.01, within_sd=0.02, phi=0.5)


class Kept:
    """A store in memory that passes everything through JSON, as the journal does."""

    def __init__(self, events=()):
        self.found = list(events)
        self.before = list(events)

    def events(self):
        return iter(self.before)

    def keep(self, event):
        self.found.append(event_of(event_json(event)))


def results(plans, source_, **options):
    return dict(run(keyed(*plans), source_, **options))


def test_a_device_without_noise_is_measured_exactly():
    (found,) = results([plan()], source()).values()
    assert found.verdict == "measured"
    row = found.variants[0]
    assert row.time_s.value == pytest.approx(14.66e-6, rel=2e-3)
    assert len(found.sessions) == found.plan.least_sessions


def test_a_ratio_is_known_far_better_than_a_time():
    wandering = NoiseModel(session_sd=0.03, within_sd=0.02, phi=0.5)
    (found,) = results([plan(GEMM, slower(0.03), half_width=0.005)], source(wandering)).values()
    row = found.variants[1]
    assert row.per_baseline.low < 1.03 < row.per_baseline.high
    assert row.per_baseline.half_width < row.time_s.half_width / 2


def test_sessions_end_at_a_look():
    (found,) = results([plan(half_width=0.004, budget_s=100)], source(NOISY)).values()
    assert len(found.sessions) in found.plan.looks
    assert len(found.sessions) > found.plan.least_sessions


def test_the_budget_ends_it_and_the_answer_says_noisy():
    (found,) = results([plan(half_width=1e-4, budget_s=1.0)], source(NOISY)).values()
    assert found.verdict == "noisy"
    assert found.spent_s <= 1.0
    assert "asked was" in found.why


@pytest.mark.parametrize(("faults", "reason"), [
    (Faults(alternating=0.03), "no-timer"),
    (Faults(nan_output=True), "bad-output"),
])  # fmt: skip
def test_what_cannot_be_measured_is_a_row_with_its_reason(faults, reason):
    (found,) = results([plan()], source(faults=faults)).values()
    assert found.verdict == "unmeasured"
    assert found.variants[0].reason == reason
    assert found.sessions == ()


def test_one_bad_case_costs_the_others_nothing():
    bad = OperatorCase(op="gemm", dtype="float32", arguments={"m": 1})
    found = results([plan(bad), plan()], source())
    assert found["c0"].variants[0].reason == "bad-arguments"
    assert found["c1"].verdict == "measured"


def test_a_bad_variant_costs_the_baseline_nothing():
    bad = OperatorCase(op="gemm", dtype="float32", arguments={"m": 1})
    (found,) = results([plan(GEMM, bad)], source()).values()
    assert [v.status for v in found.variants] == ["ok", "absent", "ok"]
    assert found.variants[0].time_s is not None


def test_the_audit_of_a_target_is_made_once_for_all_cases():
    store = Kept()
    results([plan(), plan(slower(1))], source(), store=store)
    assert sum(isinstance(e, Audited) for e in store.found) == 1


def test_an_interrupted_run_is_taken_up_wherever_it_stopped():
    plans = [plan(), plan(slower(0.5), half_width=0.02)]
    whole = Kept()
    wanted = results(plans, source(NOISY), store=whole)
    for kept in range(0, len(whole.found), 3):
        again = Kept(whole.found[:kept])
        assert results(plans, source(NOISY), store=again).keys() == wanted.keys()
        taken = [(e.key, e.session.index) for e in again.found if isinstance(e, Sampled)]
        assert len(taken) == len(set(taken))
        assert again.found[:kept] == whole.found[:kept]
        assert sum(isinstance(e, Ready) for e in again.found) == 2


def test_the_same_seed_gives_the_same_samples_and_another_one_others():
    first, same, other = (results([plan()], source(NOISY), seed=s)["c0"] for s in (1, 1, 2))
    assert first == same
    assert first.sessions[0].spans_ns != other.sessions[0].spans_ns


def test_a_case_that_loses_its_sessions_ends_and_tells_them():
    class Losing:
        def __init__(self):
            self.inner = source()

        def start(self, wanted, forkable):
            return "fresh"

        def probe(self, request):
            return self.inner.probe(request)

        def take(self, request):
            for case in request.cases:
                yield Lost(key=case.key, index=case.index, reason="crashed",
                           detail="SIGSEGV", wall_s=0.1)  # fmt: skip

    (found,) = results([plan()], Losing()).values()
    assert [lost.index for lost in found.lost] == [0, 1, 2]
    assert found.verdict == "unmeasured"
    assert (found.variants[0].reason, found.variants[0].detail) == ("crashed", "SIGSEGV")


def test_what_the_worker_was_refused_is_raised_as_what_it_is():
    class Refusing:
        def start(self, wanted, forkable):
            return "fresh"

        def probe(self, request):
            yield Refused(error="TargetAbsent", message="no device", where="", hint="plug one in")

        def take(self, request):
            return iter(())

    with pytest.raises(TargetAbsent, match="no device"):
        results([plan()], Refusing())


def test_cases_take_their_sessions_side_by_side():
    store = Kept()
    results([plan(half_width=0.006), plan(slower(1), half_width=0.006)], source(NOISY),
            store=store)  # fmt: skip
    keys = [e.key for e in store.found if isinstance(e, Sampled)][:8]
    assert all(set(keys[i : i + 2]) == {"c0", "c1"} for i in range(0, 8, 2))


def test_a_target_may_want_another_anchor_and_a_plan_may_keep_its_own():
    large = OperatorCase(op="gemm", dtype="float32", arguments={"m": 512, "k": 512, "n": 512})

    class Wanting(SimulatedDevice):
        def anchor(self):
            return large

    wanting = InProcess(lambda spec, opening: Wanting(opening=opening, spec=spec))
    (found,) = results([plan()], wanting).values()
    assert found.plan.anchor == large
    own = replace(plan(), anchor=slower(1))
    (kept,) = results([own], wanting).values()
    assert kept.plan.anchor == slower(1)


def test_progress_tells_what_is_left_of_the_whole_run():
    told = []
    results([plan(budget_s=40.0), plan(GEMM, slower(0.1), budget_s=300.0)], source(),
            narrate=told.append)  # fmt: skip
    audit, first, *_, last = told
    assert audit == "auditing the timers of null"
    assert first.startswith("0 of 2 cases done, at most 6 min left; gemm float32 ")
    assert last.startswith("1 of 2 cases done, at most ")
    told.clear()
    results([plan(budget_s=40.0)], source(), narrate=told.append)
    assert told[1].startswith("gemm float32 m=192 k=192 n=192: session 1, at most ")


@pytest.mark.parametrize(("reason", "verdict"), [
    ("unsupported-operator", "measured"), ("needs-devices", "measured"),
    ("crashed", "incomplete"), ("no-timer", "incomplete"), ("unknown-operator", "incomplete"),
])  # fmt: skip
def test_only_what_a_target_cannot_do_is_excused(reason, verdict):
    bad = OperatorCase(op="gemm", dtype="float32", arguments={"sim_us": 9.0, "sim_fail": reason})
    found = results([plan(), plan(bad)], source())
    rows = tuple(BenchRow(key=key, result=result) for key, result in found.items())
    whole = BenchRun(name="x", rows=rows, notes=(), folder="", environment={})
    assert whole.verdict == verdict
    assert whole.exit_code == (0 if verdict == "measured" else 3)


def test_sessions_that_are_like_their_neighbours_are_remarked():
    drift = np.exp(np.linspace(0, 0.1, 12))
    plain = results([plan(least_sessions=12, half_width=0.5)], source())["c0"]
    slower_and_slower = tuple(
        replace(s, spans_ns=tuple(n * f for n in s.spans_ns))
        for s, f in zip(plain.sessions, drift, strict=True)
    )
    assert plain.remarks == ()
    (remark,) = recomputed(replace(plain, sessions=slower_and_slower)).remarks
    assert "like their neighbours" in remark


def test_sessions_that_were_not_steady_are_remarked():
    (found,) = results([plan(settle_s=0.0)], source()).values()
    assert "8 of 8 sessions had not become steady" in found.remarks[0]
