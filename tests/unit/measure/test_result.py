"""A result follows from its sessions alone: numbers, verdict, and what to do next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.coverage import Noise, plan_of, session_of

from crossgrade.measure.result import recomputed, result_of

EXACT, QUIET = Noise(), Noise(within=0.01, between=0.001)
WORK = {"base": (2e6, 3e4), "anchor": (1.0, None)}


def sessions_of(plan, noise, count, seed=0):
    rng = np.random.default_rng(seed)
    return [session_of(plan, noise, rng, i, plan.rounds) for i in range(count)]


def result(noise, count, variants=2, absent=None, plan=None):
    plan = plan or plan_of(variants)
    return result_of(plan, (), sessions_of(plan, noise, count), absent or {}, WORK, 8.0)


def test_exact_times_give_exact_numbers():
    found = result(EXACT, 8)
    base, cand, anchor = found.variants
    assert (found.verdict, found.why) == ("measured", "")
    assert [v.name for v in found.variants] == ["base", "cand", "anchor"]
    assert base.time_s.value == pytest.approx(100e-6)
    assert base.per_anchor.value == pytest.approx(2)
    assert base.per_baseline is None
    assert cand.per_baseline.value == pytest.approx(1.03)
    assert cand.bootstrap_s.value == pytest.approx(103e-6)
    assert anchor.time_s.value == pytest.approx(50e-6)
    assert (anchor.per_anchor, anchor.per_baseline) == (None, None)
    assert (base.flop, base.bytes, cand.flop, anchor.bytes) == (2e6, 3e4, None, None)
    assert base.spread.samples == 8 * 24


def test_the_same_sessions_give_the_same_result():
    found = result(QUIET, 9)
    assert recomputed(found) == found
    touched = replace(found.variants[0], time_s=found.variants[1].time_s)
    changed = replace(found, variants=(touched, *found.variants[1:]))
    assert recomputed(changed) != changed


def test_several_variants_are_judged_by_their_ratio():
    wandering = Noise(within=0.005, machine=0.1)
    found = result(wandering, 8)
    assert found.verdict == "measured"
    assert found.variants[1].time_s.half_width > 0.01
    assert found.variants[1].per_baseline.half_width < 0.01


def test_one_variant_is_judged_by_its_time_and_told_what_is_narrow():
    found = result(Noise(within=0.005, machine=0.05), 8, variants=1)
    assert found.verdict == "noisy"
    assert "time of base is known to ±" in found.why
    assert "over the anchor it is known to ±" in found.why


def test_noisy_says_what_budget_would_do():
    found = result(Noise(within=0.01, between=0.02), 8, variants=1)
    share = found.variants[0].time_s.half_width
    needed = 8.0 * (share / 0.01) ** 2
    assert "asked was ±1.0 %" in found.why
    assert f"a budget of about {needed:.1f} s would do it" in found.why


def test_noise_beyond_the_last_look_needs_another_machine():
    found = result(Noise(within=0.01, between=0.2), 8, variants=1)
    assert "more than the 40 sessions that are run at most would be needed" in found.why


def test_too_few_sessions_are_noisy_however_narrow():
    found = result(EXACT, 4)
    assert found.verdict == "noisy"
    assert found.why == (
        "cand over base rests on 4 sessions, at least 8 were asked; "
        "a budget of about 16.0 s would do it"
    )
    assert found.variants[0].bootstrap_s is None


def test_one_session_has_no_interval():
    found = result(QUIET, 1)
    assert "one session tells nothing of its error" in found.why
    assert found.variants[0].time_s.low == 0


def test_without_a_session_it_is_unmeasured():
    found = result_of(plan_of(1), (), (), {"base": ("out-of-memory", "64 GB")}, {}, 0.0)
    assert found.verdict == "unmeasured"
    assert found.why == "base: out-of-memory: 64 GB"
    assert found.variants[0].reason == "out-of-memory"
    assert found.variants[1].reason == "no-samples"


def test_an_absent_variant_is_a_row_and_the_others_are_measured():
    found = result(EXACT, 8, absent={"cand": ("crashed", "signal 11")})
    base, cand, _ = found.variants
    assert found.verdict == "measured"
    assert (cand.status, cand.reason, cand.detail) == ("absent", "crashed", "signal 11")
    assert cand.time_s is None
    assert base.time_s is not None


def test_without_the_baseline_there_is_no_ratio():
    found = result(EXACT, 8, absent={"base": ("error", "it raised")})
    assert found.verdict == "measured"
    assert found.variants[1].per_baseline is None


def test_without_the_anchor_times_stay():
    found = result(EXACT, 8, absent={"anchor": ("error", "it raised")})
    assert found.verdict == "measured"
    assert found.variants[0].per_anchor is None


def test_censored_samples_are_counted_and_kept():
    plan = plan_of(1)
    sessions = [replace(s, censored=tuple((i, "throttled") for i in range(0, 48, 12)))
                for s in sessions_of(plan, EXACT, 8)]  # fmt: skip
    found = result_of(plan, (), sessions, {}, {}, 8.0)
    assert sum(v.censored.get("throttled", 0) for v in found.variants) == 4 * 8
    assert sum(v.spread.samples for v in found.variants) == 44 * 8
    assert found.sessions == tuple(sessions)


def test_a_variant_of_which_nothing_counts_says_so():
    plan = plan_of(1)
    sessions = [replace(s, censored=tuple((i, "clock-low") for i in range(48)))
                for s in sessions_of(plan, EXACT, 8)]  # fmt: skip
    found = result_of(plan, (), sessions, {}, {}, 8.0)
    assert found.verdict == "unmeasured"
    assert found.why == "base: no-samples: no sample of it counts: 192 clock-low"
    assert recomputed(found) == found
