"""Bands hold four fifths of unseen rows, wide where errors are wide."""

from __future__ import annotations

import numpy as np
import pytest

from crossgrade.predict.silicon.bands import Bands, held_out, regime
from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.matmul import TileWave
from crossgrade.predict.silicon.model import Terms, starting
from crossgrade.values.kernel import KernelRows


def noisy(count, seed):
    """Residuals whose spread grows with the only feature, from 0.02 to 0.3."""
    rng = np.random.default_rng(seed)
    features = rng.uniform(0, 1, (count, 1))
    return rng.normal(0.05, 0.02 + 0.28 * features[:, 0]), features


@pytest.mark.parametrize("count", [30, 60, 3000])
def test_four_fifths_lie_inside(count):
    residuals, features = noisy(2000, 99)
    shares = []
    for seed in range(20):  # Few rows make a rough quantile: right on the average.
        low, high = Bands.of(*noisy(count, seed)).factors(features)
        shares.append(np.mean((np.exp(residuals) >= low) & (np.exp(residuals) <= high)))
    assert 0.76 < np.mean(shares) < 0.84


def test_each_regime_has_its_own_width():
    low, high = Bands.of(*noisy(3000, 1)).factors(np.array([[0.05], [0.95]]))
    assert high[1] / low[1] > 1.5 * high[0] / low[0]


def test_a_biased_prediction_has_a_band_beside_it():
    bands = Bands.of(np.full(100, np.log(1.5)), np.zeros((100, 2)))
    low, high = bands.factors(np.zeros((1, 2)))
    assert low == pytest.approx([1.5])
    assert high == pytest.approx([1.5])


def test_rows_that_have_no_residual_do_not_count():
    bands = Bands.of(np.array([0.1, np.nan]), np.array([[0.0], [np.nan]]))
    assert len(bands.residuals) == 1
    with pytest.raises(ValueError, match="residuals"):
        Bands.of(np.array([np.nan]), np.zeros((1, 1)))


def test_regime_says_what_binds():
    one = np.array([1e-6, 1e-3])
    found = regime(Terms(total=2 * one, compute=one, vector=0 * one, memory=one[::-1].copy(),
                         floor=np.full(2, 1e-6)))  # fmt: skip
    assert found[0] == pytest.approx([np.log2(2e-6), -3, 0.5])
    assert found[1, 1] == 3


def test_held_out_rows_are_not_fitted():
    facts = Facts(
        chip="one", architecture="some", matrix_flop_per_s=1e15, vector_flop_per_s=1e14,
        bandwidth_bytes_per_s=3e12, cores=132, clock_hz=1.8e9, cache_bytes=50e6,
        link_bytes_per_s=4e11,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    sizes = {name: 2.0 ** rng.integers(5, 13, 20) for name in ("m", "n", "k")}
    bare = KernelRows(family="matmul", op="mm", format="bf16", stack="torch",
                      sizes={"batch": np.ones(20), **sizes})  # fmt: skip
    model = TileWave()
    seconds = model.terms(bare, facts, starting(model)).total
    seconds[3] *= 5  # A wild row: a fit that saw it would come nearer to it.
    rows = KernelRows(family="matmul", op="mm", format="bf16", stack="torch", sizes=bare.sizes,
                      seconds=seconds)  # fmt: skip
    residuals, features = held_out(model, rows, facts)
    assert residuals[3] == pytest.approx(np.log(5), abs=0.3)
    assert np.median(np.abs(residuals)) < 0.05
    assert features.shape == (20, 3)
