"""Whether block times have settled."""

from __future__ import annotations

import numpy as np
import pytest

from crossgrade.measure.steady import LEAST, WINDOW, is_steady


def noise(count, share=0.01, seed=0):
    return 1 + share * np.random.default_rng(seed).standard_normal(count)


def test_too_few_blocks_tell_nothing():
    assert not is_steady([1.0] * (2 * WINDOW - 1))
    assert is_steady([1.0] * (2 * WINDOW))
    assert not is_steady([1.0] * (LEAST - 1), last=True)
    assert is_steady([1.0] * LEAST, last=True)


def test_plain_noise_is_steady_nearly_always():
    found = [is_steady(noise(2 * WINDOW, seed=seed)) for seed in range(400)]
    assert np.mean(found) > 0.85


@pytest.mark.parametrize("seed", range(20))
def test_a_warm_up_is_seen(seed):
    rounds = 2 * WINDOW
    times = noise(rounds, 0.003, seed) * (1 + 0.2 * np.exp(-np.arange(rounds) / 12))
    assert not is_steady(times)


@pytest.mark.parametrize("seed", range(20))
def test_a_slow_drift_is_seen(seed):
    rounds = 2 * WINDOW
    assert not is_steady(noise(rounds, 0.003, seed) * np.linspace(1, 1.05, rounds))


def test_what_came_before_the_window_is_forgotten():
    assert is_steady([9.0] * 50 + [1.0] * (2 * WINDOW))


def test_a_single_outlier_does_not_unsettle():
    times = [1.0] * (2 * WINDOW)
    times[7] = 5.0
    assert is_steady(times)
