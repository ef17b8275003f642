"""Points of a made-up device with known parameters: its times come back, at sizes never seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossgrade.chips.loader import load_chip
from crossgrade.measure.point_kinds import attention, kind_of, product, vector
from crossgrade.measure.points import Reach, chosen
from crossgrade.predict.calibration import calibrated, kinds_of
from crossgrade.predict.silicon.estimate import estimate
from crossgrade.predict.silicon.knowledge import Knowledge, entries, from_calibration, shipped
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.silicon.models import facts_for, model_for
from crossgrade.values.bench import Interval
from crossgrade.values.kernel import SIZES, KernelRows
from crossgrade.values.kernel_calibration import POINTS_SEMANTICS, KernelPoint

pytest.importorskip("scipy")
CHIP = load_chip("metax-c500")
REACH = Reach(flop_per_s={"bfloat16": 2e14, "float32": 1e13}, bytes_per_s=1e12,
              formats=("bfloat16", "float32"))  # fmt: skip
TRUTH = {
    "matrix_efficiency": 0.55, "memory_efficiency": 0.6, "launch_s": 9e-6, "tile_s": 1e-6,
    "floor": 1.2e-5, "memory": 0.6, "score_ops": 30.0,
}  # fmt: skip
"""Parameters that differ from the start; the others are as they begin."""


def true_seconds(rows: KernelRows) -> np.ndarray:
    facts = facts_for(rows, CHIP)
    model = model_for(rows.family, rows.op, facts)
    values = starting(model)
    values |= {name: value for name, value in TRUTH.items() if name in values}
    return model.terms(rows, facts, values).total


def rows_of(case, stack="torch") -> KernelRows:
    kind = kind_of(case)
    columns = {name: np.array([kind.sizes[name]]) for name in SIZES[kind.family]}
    return KernelRows(family=kind.family, op=kind.op, format=kind.format, stack=stack,
                      sizes=columns)  # fmt: skip


def points(count: int, seed: int = 0, noise: float = 0.02) -> list[KernelPoint]:
    rng = np.random.default_rng(seed)
    made = []
    for plan in (p for c in chosen("null", REACH, count, 6.0 * count, seed, "forked") for p in c):
        case = plan.plan.variants[0].case
        kind = kind_of(case)
        s = float(true_seconds(rows_of(case))[0] * np.exp(rng.normal(0, noise)))
        made.append(KernelPoint(family=kind.family, op=kind.op, format=kind.format,
                                sizes=kind.sizes, case=case, sessions=5,
                                seconds=Interval(value=s, low=s, high=s)))  # fmt: skip
    return made


@pytest.fixture(scope="module")
def made():
    return calibrated(points(80), CHIP, "torch", "a made-up device")


def test_times_at_sizes_never_seen_come_back_within_a_few_percent(made):
    known = Knowledge(fits=made.fits)
    off: dict[str, list[float]] = {}
    for point in points(100, seed=7, noise=0.0):
        rows = rows_of(point.case)
        found = estimate(rows, CHIP, known)
        assert found.tier == "T2"
        off.setdefault(point.family, []).append(abs(found.mid[0] / true_seconds(rows)[0] - 1))
    assert {family: float(np.median(o)) < 0.05 for family, o in off.items()} == dict.fromkeys(
        ("matmul", "vector", "attention"), True
    )


def test_held_out_errors_are_far_below_those_of_the_start(made):
    scores = {(s.family, s.op, s.format): s for s in made.scores}
    assert set(scores) == {
        ("matmul", "", "bf16"), ("matmul", "", "fp32"), ("vector", "", "bf16"),
        ("attention", "prefill", "bf16"), ("attention", "decode", "bf16"),
    }  # fmt: skip
    for score in scores.values():
        assert score.why == ""
        assert score.after.median < 0.5 * score.before.median
        assert score.after.inside > 0.5
    assert scores["matmul", "", "bf16"].after.median < 0.08


def test_a_fit_is_told_no_better_than_it_is(made):
    """A band from points that a fit had not seen holds a fresh one about as often as it says."""
    known, inside = Knowledge(fits=made.fits), []
    for point in points(100, seed=3, noise=0.02):
        found = estimate(rows_of(point.case), CHIP, known)
        inside.append(found.low[0] <= point.seconds.value <= found.high[0])
    assert 0.65 < np.mean(inside) <= 1.0


def test_fits_travel_through_a_record_and_rule_over_what_ships(made):
    data = {"kernels": {"semantics": POINTS_SEMANTICS, "fits": list(entries(made.fits))}}
    read = from_calibration(data)
    assert [(f.chip, f.kind, f.rows) for f in read] == [(f.chip, f.kind, f.rows) for f in made.fits]
    rows = rows_of(product("bfloat16", 64, 4096, 4096))
    kept, direct = (estimate(rows, CHIP, Knowledge(fits=fits)) for fits in (read, made.fits))
    assert kept.mid == pytest.approx(direct.mid, rel=1e-3)
    joined = estimate(rows, CHIP, shipped().joined(read))
    assert joined.mid == kept.mid
    assert "a made-up device" in joined.basis
    assert estimate(rows, CHIP, shipped()).tier != "T2"


def test_a_record_without_points_has_no_fits_and_a_newer_one_is_refused():
    assert from_calibration({"rates": []}) == ()
    with pytest.raises(ValueError, match="generation 2"):
        from_calibration({"kernels": {"semantics": 2, "fits": []}})


def test_points_without_a_time_are_left_out_and_few_are_told_and_not_fitted():
    some = [p for p in points(30) if p.family == "attention"]
    lost = [replace(p, seconds=None, reason="out-of-memory") for p in some]
    assert kinds_of(lost, "torch") == {}
    assert calibrated(lost, CHIP, "torch", "").fits == ()
    few = calibrated([*some[:2], *lost[2:]], CHIP, "torch", "")
    assert few.fits == ()
    assert "too few" in few.scores[0].why
    assert few.scores[0].before is not None


def test_what_the_description_lacks_is_told():
    blind = replace(CHIP, memory_bandwidth=None)
    found = calibrated([p for p in points(30) if p.op == "mm"], blind, "torch", "")
    assert found.fits == ()
    assert {score.why for score in found.scores} == {
        "the description lacks a rate that the formula needs"
    }
    assert found.scores[0].before is None


def test_a_description_without_cores_is_fitted_and_one_without_a_matrix_peak_in_part():
    assert CHIP.cores is None
    bare = load_chip("mtt-s5000")
    assert bare.peak("matrix", "bf16") is None
    found = calibrated(points(30), bare, "torch", "")
    assert {fit.kind.family for fit in found.fits} == {"matmul", "vector"}
    assert {s.family for s in found.scores if s.why} == {"attention"}


def test_single_and_batched_products_share_a_kind_and_attention_has_two():
    some = [*points(60)]
    kinds = kinds_of(some, "torch")
    ops = {(k.family, k.op): {rows.op for rows in several} for k, several in kinds.items()}
    assert ops["matmul", ""] >= {"mm"}
    assert ops["attention", "prefill"] == {"prefill"}
    assert sum(len(r) for several in kinds.values() for r in several) == 60
    assert kind_of(vector("add", "bfloat16", 2, 2)).op in {r.op for r in kinds[
        next(k for k in kinds if k.family == "vector")]}  # fmt: skip
    assert kind_of(attention("bfloat16", 1, 2, 2, 1, 8, 64)).op == "decode"
