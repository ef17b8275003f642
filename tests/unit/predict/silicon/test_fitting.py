"""Parameters from several batches: those that made the times come back, the prior rules alone."""

import numpy as np
import pytest

from crossgrade.chips.loader import load_chip
from crossgrade.predict.silicon.facts import facts_of
from crossgrade.predict.silicon.fitting import Batch, fit_all, seconds_of, totals
from crossgrade.predict.silicon.held_out import band, cross_validated, left_out
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.silicon.vector import Vector
from crossgrade.values.kernel import KernelRows

pytest.importorskip("scipy")
FACTS = facts_of(load_chip("ascend-910c-die"), "bf16")
MODEL = Vector(ops=("add", "copy"))
TRUE = {**starting(MODEL), "floor": 2e-6, "memory": 0.7, "floor.add": 1.6, "floor.copy": 0.8}


def batch(op: str, noise: float = 0.0) -> Batch:
    size = np.geomspace(1e3, 1e9, 20)
    bare = KernelRows(
        family="vector", op=op, format="bf16", stack="cann",
        sizes={"bytes_read": size, "bytes_written": size, "element_ops": size, "rows": 0 * size},
    )  # fmt: skip
    drawn = np.random.default_rng(len(op)).normal(0, noise, len(size))
    seconds = MODEL.terms(bare, FACTS, TRUE).total * np.exp(drawn)
    rows = KernelRows(
        family="vector", op=op, format="bf16", stack="cann", sizes=bare.sizes, seconds=seconds
    )
    return Batch(rows=rows, facts=FACTS)


def test_two_operations_share_a_rate_and_differ_in_their_floors() -> None:
    batches = [batch("add"), batch("copy")]
    found = fit_all(MODEL, batches)
    assert totals(MODEL, batches, found) == pytest.approx(seconds_of(batches), rel=0.03)
    assert found["floor.add"] / found["floor.copy"] == pytest.approx(2.0, rel=0.1)


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="measured"):
        fit_all(MODEL, [])


def test_folds_predict_every_row_without_its_own_time() -> None:
    sizes = ("bytes_read",)
    batches = [batch("add", 0.1), batch("copy", 0.1)]
    before = cross_validated(MODEL, batches, sizes)
    changed = batches[0].rows.seconds
    assert changed is not None
    changed[3] *= 100
    after = cross_validated(MODEL, batches, sizes)
    assert after.predicted[3] == pytest.approx(before.predicted[3], rel=1e-12)
    assert after.low[3] == pytest.approx(before.low[3], rel=1e-12)
    assert before.score().mape < 0.2


def test_left_out_rows_are_off_by_their_noise() -> None:
    off = left_out(MODEL, [batch("add", 0.1), batch("copy", 0.1)], ("bytes_read",))
    assert 0.05 < np.std(off) < 0.2


@pytest.mark.parametrize("count", [30, 400])
def test_a_band_holds_four_of_five(count: int) -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(200):
        low, high = band(rng.normal(0, 0.2, count))
        new = np.exp(rng.normal(0, 0.2, 500))
        held.append(np.mean((new > low) & (new < high)))
    assert np.mean(held) == pytest.approx(0.8, abs=0.015)
