"""The model of conversions: rounds of rows, long rows, memory."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.silicon.quantise import Quantise
from crossgrade.values.kernel import KernelRows

FACTS = Facts(
    chip="one", architecture="some", matrix_flop_per_s=1e15, vector_flop_per_s=1e14,
    bandwidth_bytes_per_s=3e12, cores=100, clock_hz=1.8e9, cache_bytes=50e6,
    link_bytes_per_s=4e11,
)  # fmt: skip


def total(m, k, facts=FACTS, **values):
    sizes = {"m": np.atleast_1d(np.float64(m)), "k": np.atleast_1d(np.float64(k))}
    rows = KernelRows(family="quantise", op="per_token", format="fp8", stack="vllm", sizes=sizes)
    return Quantise().terms(rows, facts, {**starting(Quantise()), **values}).total[0]


def test_rows_go_round_by_round():
    values = {"row_s": 1e-6, "quantise_s": 1e-7, "element_s": 1e-13}
    one, same, two = (total(m, 32, **values) for m in (1, 100, 101))
    assert one == pytest.approx(same, rel=1e-3)
    assert two == pytest.approx(one + 1e-6, rel=0.01)


def test_a_long_row_takes_long():
    assert total(1, 65536) > 2 * total(1, 1024)


def test_never_faster_than_memory():
    assert total(65536, 16384) >= 65536 * 16384 * 3 / 3e12


def test_cores_unknown_is_a_time_bandwidth_unknown_is_none():
    assert math.isfinite(total(64, 64, replace(FACTS, cores=math.nan)))
    assert math.isnan(total(64, 64, replace(FACTS, bandwidth_bytes_per_s=math.nan)))
