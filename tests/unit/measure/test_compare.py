"""Two measurements: what may be said, what may not, and the same from either side."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.coverage import Noise, plan_of, session_of
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrade.errors import BadOption
from crossgrade.measure.compare import (
    RunPair,
    compare,
    compare_many,
    compare_variants,
    compare_variants_of_all,
    pairs_of,
)
from crossgrade.measure.effects import (
    Effect,
    discoveries,
    paired,
    sessions_still_needed,
    verdict_of,
    welch,
)
from crossgrade.measure.result import result_of
from crossgrade.measure.software import differences, is_software
from crossgrade.values.audit import AuditReport
from crossgrade.values.bench import BenchResult
from crossgrade.values.comparison import Difference

QUIET = Noise(within=0.005, between=0.002)
MIRROR = {"FASTER": "SLOWER", "SLOWER": "FASTER", "SAME": "SAME", "INCONCLUSIVE": "INCONCLUSIVE"}


def audit(device="chip x", **facts):
    return AuditReport(target="none", chosen="wall-read", timers=(), seconds=1.0,
                       facts=(("device", device), *facts.items()))  # fmt: skip


def run(factor=1.0, machine=1.0, *, noise=QUIET, sessions=8, seed=0, variants=1, device="chip x",
        clock=None, plan=None, absent=None) -> BenchResult:  # fmt: skip
    """Return a run whose first variant takes `factor`, and the whole machine `machine`, as long."""
    plan = plan or plan_of(variants)
    rng = np.random.default_rng(seed)
    made = []
    for i in range(sessions):
        s = session_of(plan, noise, rng, i, plan.rounds)
        spans = tuple(x * machine * (factor if v == 0 else 1.0)
                      for v, x in zip(s.order, s.spans_ns, strict=True))  # fmt: skip
        telemetry = {"clock_hz": (clock, clock)} if clock else {}
        made.append(replace(s, spans_ns=spans, telemetry=telemetry))
    return result_of(plan, (audit(device),), made, absent or {}, {}, 8.0)


def one(comparison):
    assert len(comparison.cases) == 1
    return comparison.cases[0]


@pytest.mark.parametrize(
    ("factor", "verdict", "code"),
    [(1.05, "SLOWER", 1), (0.95, "FASTER", 0), (1.0, "SAME", 0), (1.018, "INCONCLUSIVE", 3)],
)
def test_verdicts_and_exit_codes(factor, verdict, code):
    found = compare(run(), run(factor, seed=1))
    assert one(found).verdict == verdict
    assert found.exit_code == code
    assert one(found).ratio.low < factor < one(found).ratio.high
    assert one(found).sessions == (8, 8)


def test_a_slower_day_is_no_slower_case():
    found = one(compare(run(), run(machine=1.1, seed=1)))
    assert found.verdict == "SAME"
    assert found.basis == "over-anchor"
    assert found.absolute.value == pytest.approx(1.1, abs=0.01)
    assert any("the machine ran 1" in r and "slower for the second" in r for r in found.remarks)


OLD, NEW = {"torch": "2.9", "cpu": "x", "$OMP_NUM_THREADS": "4"}, {"torch": "2.10", "cpu": "x"}


@pytest.mark.parametrize("factor", [1.0, 1 / 1.1, 1.1])
def test_an_anchor_that_changed_with_the_software_settles_nothing(factor):
    # 1.0: a new library that slows all gemms. 1/1.1: one that slows the anchor's alone.
    second = run(factor, machine=1.1, seed=1)
    found = one(compare(run(), second, environments=(OLD, NEW)))
    assert (found.verdict, found.basis, found.sessions_needed) == (
        "INCONCLUSIVE", "over-anchor", None,
    )  # fmt: skip
    pace, why = found.remarks
    assert "by the anchor, the machine or the software ran 1" in pace
    assert why.startswith("the anchor itself changed together with the software "
                          "($OMP_NUM_THREADS, torch): ")  # fmt: skip
    assert f"the second takes {found.ratio.value:.3f} times" in why
    assert f"as it is {found.absolute.value:.3f} times" in why
    back = one(compare(second, run(), environments=(NEW, OLD)))
    assert (back.verdict, back.sessions_needed) == ("INCONCLUSIVE", None)
    absolute = one(compare(run(), second, basis="absolute", environments=(OLD, NEW)))
    assert absolute.verdict == ("SAME" if factor < 1 else "SLOWER")


def test_another_runtime_of_the_target_is_other_software():
    first = replace(run(), audits=(audit(runtime="torch 2.9"),))
    second = replace(run(machine=1.1, seed=1), audits=(audit(runtime="torch 2.10"),))
    assert "(none runtime): what is" in one(compare(first, second)).remarks[-1]
    # Facts of another target of the runs are not of this case.
    beside = ({"cuda:0 cuda": "12"}, {"cuda:0 cuda": "13"})
    assert one(compare(first, replace(second, audits=first.audits),
                       environments=beside)).verdict == "SAME"  # fmt: skip


def test_an_anchor_that_held_still_is_used_whatever_the_software():
    found = one(compare(run(), run(1.1, seed=1), environments=(OLD, NEW)))
    assert found.verdict == "SLOWER"
    # Within the margin it is used too; what it may be is said.
    exact = Noise()
    found = one(compare(run(noise=exact), run(1.1, 1.01, noise=exact), environments=(OLD, NEW)))
    assert found.verdict == "SLOWER"
    assert found.remarks == ("by the anchor, the machine or the software ran 1.0 % slower for the "
                             "second",)  # fmt: skip


def test_an_anchor_that_changed_with_the_machine_is_used():
    facts = ({"kernel": "6.1", "cpus": "4", "none uuid_sha256": "a"},
             {"kernel": "6.2", "cpus": "8", "none uuid_sha256": "b"})  # fmt: skip
    found = one(compare(run(), run(machine=1.1, seed=1), environments=facts))
    assert found.verdict == "SAME"
    assert "by the anchor, the machine ran 1" in found.remarks[0]


def test_what_is_software_and_what_is_the_machine():
    machine = ("platform", "kernel", "machine", "cpu", "cpus", "governor", "turbo_off",
               "hypervisor", "container", "cpu device", "cuda:0 uuid_sha256")  # fmt: skip
    software = ("torch", "python", "crossgrade", "code_sha256", "$OMP_NUM_THREADS", "cpu runtime",
                "cuda:0 cuda", "cpu threads")  # fmt: skip
    assert [is_software(key) for key in machine + software] == [False] * 11 + [True] * 8


def test_times_as_they_are_when_asked():
    found = one(compare(run(), run(machine=1.1, seed=1), basis="absolute"))
    assert (found.verdict, found.basis, found.absolute) == ("SLOWER", "absolute", None)


def test_other_anchors_leave_times_as_they_are():
    plan = plan_of(1)
    other = replace(plan, anchor=replace(plan.anchor, arguments={"m": 128}))
    found = one(compare(run(), run(seed=1, plan=other)))
    assert found.basis == "absolute"
    assert "the anchors are not the same kernel" in found.remarks[0]


def test_without_an_anchor_times_stay_as_they_are():
    found = one(compare(run(absent={"anchor": ("error", "it raised")}), run(seed=1)))
    assert found.basis == "absolute"
    assert "the anchor is missing" in found.remarks[0]


def test_other_devices_are_named():
    other = run(machine=0.5, device="chip y", seed=1)
    assert one(compare(run(), other)).basis == "absolute"
    found = one(compare(run(), other, basis="over-anchor"))
    assert (found.device, found.basis) == ("other", "over-anchor")
    assert found.remarks[0] == "other device: chip x and chip y"
    assert "as it is, the time is 0.5" in found.remarks[1]
    assert not any("the machine ran" in r for r in found.remarks)


def test_facts_that_differ_come_first_of_all():
    found = compare(run(), run(device="chip y"), environments=({"torch": "2.9"}, {"os": "x"}))
    assert found.environment == (
        Difference(key="none device", before="chip x", after="chip y"),
        Difference(key="os", before="", after="x"),
        Difference(key="torch", before="2.9", after=""),
    )
    assert differences({"a": "1"}, {"a": "1"}) == ()


def test_hot_and_cold_are_refused():
    cold = run(plan=replace(plan_of(1), cache="cold"))
    with pytest.raises(BadOption, match="hot and cold caches are two metrics"):
        compare(run(), cold)


def test_other_work_is_refused():
    plan = plan_of(1)
    case = replace(plan.variants[0].case, dtype="bfloat16")
    other = replace(plan, variants=(replace(plan.variants[0], case=case),))
    with pytest.raises(BadOption, match="are not the same case"):
        compare(run(), run(plan=other))


def test_another_generation_of_meaning_is_refused():
    with pytest.raises(BadOption, match="generation 1 to 2"):
        compare(run(), replace(run(), semantics=2))


@pytest.mark.parametrize("margin", [0, -0.1, 1, math.nan])
def test_a_margin_that_makes_no_sense_is_refused(margin):
    with pytest.raises(BadOption):
        compare(run(), run(), margin=margin)


def test_other_timers_settle_nothing():
    second = run(0.5, seed=1)
    sessions = [replace(s, timers=("device-event", "device-event")) for s in second.sessions]
    found = one(compare(run(), replace(second, sessions=tuple(sessions))))
    assert found.verdict == "INCONCLUSIVE"
    assert "wall-read and device-event" in found.remarks[-1]


def test_two_ways_of_the_host_clock_are_one_way_of_timing():
    second = run(seed=1)
    sessions = [replace(s, timers=("wall-synchronize",) * 2) for s in second.sessions]
    found = one(compare(run(), replace(second, sessions=tuple(sessions))))
    assert (found.verdict, found.remarks) == ("SAME", ())


def test_a_faster_clock_is_no_faster_kernel():
    # A tenth faster over the anchor, and the clock ran a fifth faster.
    found = one(compare(run(clock=1.0e9), run(0.9, clock=1.2e9, seed=1)))
    assert found.verdict == "INCONCLUSIVE"
    assert "in clock cycles it is not FASTER" in found.remarks[-1]
    assert one(compare(run(clock=1e9), run(0.9, clock=1e9, seed=1))).verdict == "FASTER"


def test_a_case_without_a_number_is_inconclusive():
    found = compare(run(), run(absent={"base": ("crashed", "signal 11")}))
    assert one(found).ratio is None
    assert one(found).remarks == ("the second has no number: crashed: signal 11",)
    assert found.exit_code == 3


@pytest.mark.parametrize(
    "reason", ["needs-devices", "unsupported-operator", "unsupported-format", "too-large"]
)
def test_what_neither_can_run_is_a_remark(reason):
    cannot = run(absent={"base": (reason, "it cannot")})
    found = compare_many([RunPair(before=cannot, after=cannot), RunPair(before=run(), after=run())])
    assert (one(found).verdict, found.exit_code) == ("SAME", 0)
    assert found.remarks == (
        f"{cannot.plan.variants[0].case.title} (base on none): neither has a number: {reason}: "
        "it cannot",
    )  # fmt: skip
    both = run(variants=2, absent=dict.fromkeys(("base", "cand"), (reason, "it cannot")))
    among = compare_variants_of_all([both, run(variants=2)])
    assert [c.verdict for c in among.cases] == ["SLOWER"]
    assert "(cand on none): neither has a number" in among.remarks[0]


@pytest.mark.parametrize("absent", [
    ("too-large", None), (None, "too-large"), ("too-large", "unsupported-format"),
    ("out-of-memory", "out-of-memory"),
])  # fmt: skip
def test_what_only_one_cannot_run_or_another_time_might_is_inconclusive(absent):
    first, second = (run(absent={"base": (r, "it cannot")} if r else None) for r in absent)
    found = compare(first, second)
    assert (one(found).verdict, found.exit_code, found.remarks) == ("INCONCLUSIVE", 3, ())


def test_one_session_settles_nothing():
    found = one(compare(run(), run(2.0, sessions=1)))
    assert (found.verdict, found.sessions_needed) == ("INCONCLUSIVE", None)
    assert found.p_value == 1


def test_exact_times_need_no_luck():
    exact = Noise()
    assert one(compare(run(noise=exact), run(noise=exact))).verdict == "SAME"
    assert one(compare(run(noise=exact), run(1.5, noise=exact))).verdict == "SLOWER"


def test_variants_of_one_run_are_paired_by_round():
    wandering = Noise(within=0.005, machine=0.1)
    found = one(compare_variants(run(noise=wandering, variants=2)))
    assert (found.basis, found.verdict, found.device) == ("by-round", "SLOWER", "same")
    assert found.ratio.low < 1.03 < found.ratio.high
    assert (found.before, found.after) == ("base on none", "cand on none")
    with pytest.raises(BadOption, match="one variant only"):
        compare_variants(run())


def test_variants_of_two_runs_meet_by_name():
    plan = plan_of(2)
    renamed = replace(plan, variants=(plan.variants[0], replace(plan.variants[1], name="new")))
    second = run(plan=plan, seed=1)
    second = result_of(renamed, second.audits, second.sessions, {}, {}, 8.0)
    found = compare(run(plan=plan), second)
    assert one(found).before == "base on none"
    assert found.remarks == ("variant cand: in the first only", "variant new: in the second only")


def sized(m: int, factor=1.0, seed=0) -> BenchResult:
    plan = plan_of(1)
    case = replace(plan.variants[0].case, arguments={"m": m})
    plan = replace(plan, variants=(replace(plan.variants[0], case=case),))
    return run(factor, seed=seed, plan=plan, noise=Noise(within=0.01, between=0.03))


def test_suites_meet_by_case_and_name_what_is_left():
    pairs, remarks = pairs_of([sized(1), sized(2)], [sized(2), sized(3)])
    assert [p.before.plan.variants[0].case.arguments["m"] for p in pairs] == [2]
    assert remarks == (
        "gemm float32 m=1: in the first only", "gemm float32 m=3: in the second only",
    )  # fmt: skip
    assert compare_many([], remarks=remarks).exit_code == 3


def test_chance_among_many_cases_is_no_finding():
    found = None
    for seed in range(100, 400, 2):  # the first pair of equal runs that differ by chance
        pair = RunPair(before=sized(1, seed=seed), after=sized(1, seed=seed + 1))
        found = one(compare_many([pair]))
        if found.verdict in ("FASTER", "SLOWER") and found.p_value > 0.02:
            break
    others = [RunPair(before=sized(i, seed=i), after=sized(i, seed=i + 50)) for i in range(2, 12)]
    among = compare_many([pair, *others]).cases[0]
    assert among.p_value == found.p_value
    assert among.verdict == "INCONCLUSIVE"
    assert among.remarks[-1] == (
        f"among 11 cases this may be chance: it would be {found.verdict} alone"
    )


def test_chance_among_variants_of_many_runs_is_no_finding():
    def equal(seed):  # in truth `cand` takes 1.03 times as long as `base`
        noise = Noise(within=0.01, between=0.03)
        return run(1.03, noise=noise, variants=2, seed=seed)

    alone = lucky = None
    for seed in range(100, 600):  # the first run whose variants differ by chance
        lucky = equal(seed)
        alone = one(compare_variants(lucky))
        if alone.verdict in ("FASTER", "SLOWER") and alone.p_value > 0.02:
            break
    assert alone.verdict in ("FASTER", "SLOWER")
    among = compare_variants_of_all([lucky, *(equal(seed) for seed in range(10))])
    assert among.cases[0].p_value == alone.p_value
    assert among.cases[0].verdict == "INCONCLUSIVE"
    assert among.cases[0].remarks[-1].startswith("among 11 cases this may be chance")
    assert len(among.cases) == 11


def test_real_effects_among_many_cases_stay():
    pairs = [RunPair(before=sized(i, seed=i), after=sized(i, 1.5 if i < 3 else 1.0, seed=i + 50))
             for i in range(8)]  # fmt: skip
    assert [c.verdict for c in compare_many(pairs).cases[:3]] == ["SLOWER"] * 3


def test_benjamini_and_hochberg():
    # Their example: 15 p-values, the four smallest are found at 5 %.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
         0.5719, 0.6528, 0.7590, 1.0]  # fmt: skip
    assert discoveries(p) == [True] * 4 + [False] * 11
    assert discoveries(p[::-1]) == [False] * 11 + [True] * 4
    assert discoveries([]) == []
    assert discoveries([0.04, 0.045]) == [True, True]


def test_welch_and_paired_by_hand():
    found = welch(np.array([1.0, 2, 3]), np.array([2.0, 4, 6, 8]))
    # Variances 1 and 20/3: errors 1/3 + 5/3, df = 4 / (1/18 + 25/27).
    assert found.shift == 3
    assert found.error == pytest.approx(math.sqrt(2))
    assert found.df == pytest.approx(4 / (1 / 18 + 25 / 27))
    assert paired(np.array([1.0, 3.0])).error == pytest.approx(1)
    assert Effect(shift=2.0, error=1.0, df=1e9).p_value == pytest.approx(0.0455, abs=1e-4)


def test_sessions_needed_follow_the_square():
    wide = Effect(shift=0.0, error=0.04 / 1.959964, df=1e9)
    edge = math.log1p(0.02)
    assert sessions_still_needed(wide, 8, 0.02) == math.ceil(8 * (0.04 / edge) ** 2) - 8
    assert sessions_still_needed(replace(wide, error=math.inf), 8, 0.02) is None
    assert sessions_still_needed(replace(wide, error=10.0), 8, 0.02) is None
    narrow = Effect(shift=0.018, error=0.005, df=1e9)
    assert verdict_of(narrow, 0.02) == "INCONCLUSIVE"
    assert sessions_still_needed(narrow, 8, 0.02) > 8


@given(st.floats(-0.1, 0.1), st.floats(0, 0.05), st.floats(0.001, 0.2))
def test_one_effect_says_the_same_from_either_side(shift, error, margin):
    there = Effect(shift=shift, error=error, df=7)
    back = replace(there, shift=-shift)
    assert verdict_of(back, margin) == MIRROR[verdict_of(there, margin)]
    assert back.p_value == there.p_value


@settings(max_examples=25, deadline=None)
@given(st.floats(0.9, 1.1), st.floats(0.8, 1.2), st.integers(0, 99), st.integers(5, 9))
def test_a_comparison_says_the_same_from_either_side(factor, machine, seed, sessions):
    a, b = run(seed=seed), run(factor, machine, seed=seed + 100, sessions=sessions)
    there, back = one(compare(a, b)), one(compare(b, a))
    assert back.verdict == MIRROR[there.verdict]
    assert back.sessions_needed == there.sessions_needed
    assert back.p_value == pytest.approx(there.p_value)
    assert back.sessions == there.sessions[::-1]
    for end, other in (("value", "value"), ("low", "high"), ("high", "low")):
        assert getattr(back.ratio, end) == pytest.approx(1 / getattr(there.ratio, other))
        assert getattr(back.absolute, end) == pytest.approx(1 / getattr(there.absolute, other))
