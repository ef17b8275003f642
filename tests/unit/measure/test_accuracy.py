"""What output is compared by, and with what error a variant passes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.measure.accuracy import (
    EPSILONS,
    MOST_VALUES,
    SLACK,
    TIMES,
    accuracy_of,
    output_sample,
    relative_error,
    told,
)


def judged(found, wanted, dtype="float32", plain=None):
    return accuracy_of(output_sample([np.asarray(found, float)]),
                       output_sample([np.asarray(wanted, float)]),
                       about="x", dtype=dtype, plain_error=plain)  # fmt: skip


@given(st.integers(0, 2**32), st.floats(1e-9, 1e3))
def test_a_relative_error_is_that_of_norms(seed, size):
    rng = np.random.default_rng(seed)
    wanted, noise = rng.normal(size=(3, 50)), rng.normal(size=(3, 50))
    noise *= size * np.linalg.norm(wanted) / np.linalg.norm(noise)
    found = relative_error(output_sample([wanted + noise]), output_sample([wanted]))
    assert found == pytest.approx(size, rel=1e-4, abs=1e-12)


def test_large_outputs_are_looked_at_in_places_that_their_shape_decides():
    large = np.arange(3 * 100_000, dtype=float).reshape(3, -1)
    sample = output_sample([large, large + 1])
    assert len(sample.values) == 2 * MOST_VALUES
    assert sample.values[0] == 0
    assert sample.values[MOST_VALUES - 1] == 299_999
    assert sample.tops == (99_999,) * 6
    assert (sample.shape, sample.launches) == ((3, 100_000), 2)


def test_a_variant_may_be_some_times_as_far_off_as_plain_torch_in_its_format():
    plain = 0.01
    limit = TIMES * plain + SLACK * EPSILONS["bfloat16"]
    assert judged([1 + limit * 0.99], [1.0], "bfloat16", plain).passed
    assert not judged([1 + limit * 1.01], [1.0], "bfloat16", plain).passed
    assert judged([1.0], [1.0], "bfloat16", plain).limit == pytest.approx(limit)


def test_without_plain_torch_only_rounding_is_allowed():
    assert judged([1 + 1e-6], [1.0]).passed
    assert not judged([1 + 1e-5], [1.0]).passed


@pytest.mark.parametrize("found", [[math.nan, 1.0], [math.inf, 1.0], [1.0], [[1.0, 2.0]]])
def test_what_is_no_number_or_has_another_shape_never_passes(found):
    judgement = judged(found, [1.0, 2.0])
    assert not judgement.passed
    assert judgement.relative_error == math.inf


def test_zeros_are_met_by_zeros_alone():
    assert judged([0.0, 0.0], [0.0, 0.0]).passed
    assert not judged([0.0, 1e-12], [0.0, 0.0]).passed


def test_rows_with_another_largest_element_are_told():
    judgement = judged([[1.0, 2.0], [2.0, 1.0]], [[1.0, 2.0], [1.0, 2.0]])
    assert judgement.same_top == 0.5
    assert not judgement.passed
    assert "50% of the rows" in "; ".join(told(judgement))


def test_a_loss_has_no_rows():
    assert judged(3.0, 3.0).same_top is None


def test_zeros_do_not_pass_however_far_off_plain_torch_is():
    assert not judged([0.0, 0.0], [1.0, 2.0], "bfloat16", 0.4).passed


@pytest.mark.parametrize("plain", [math.inf, math.nan])
def test_nan_does_not_pass_because_plain_torch_gives_nan_too(plain):
    judgement = judged([math.nan, 1.0], [1.0, 2.0], "float16", plain)
    assert not judgement.passed
    assert math.isfinite(judgement.limit)
    assert judged([1.0, 2.0], [1.0, 2.0], "float16", plain).passed
