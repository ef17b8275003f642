"""Formulas of attention: what more work costs, what a window saves, what no kernel can beat."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrade.predict.silicon.attention import Decode, Prefill, features, traffic, visible
from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.model import KernelModel, starting
from crossgrade.values.kernel import SIZES, KernelRows

CHIP = Facts(
    chip="made-up", architecture="made-up", matrix_flop_per_s=1e15, vector_flop_per_s=1e14,
    bandwidth_bytes_per_s=3e12, cores=132.0, clock_hz=1.8e9, cache_bytes=5e7, link_bytes_per_s=1e11,
)  # fmt: skip
SHAPE = {
    "batch": 4, "heads": 32, "kv_heads": 8, "queries": 1024, "keys": 1024, "qk_size": 128,
    "v_size": 128, "window": 0,
}  # fmt: skip
MODELS: dict[str, KernelModel] = {"prefill": Prefill(), "decode": Decode()}


def rows(op: str, format: str = "bf16", **sizes: object) -> KernelRows:
    shape = {**SHAPE, **({"queries": 1} if op == "decode" else {}), **sizes}
    columns = np.broadcast_arrays(*(np.asarray(shape[n], float) for n in SIZES["attention"]))
    named = dict(zip(SIZES["attention"], (np.atleast_1d(c) for c in columns), strict=True))
    return KernelRows(family="attention", op=op, format=format, stack="vllm", sizes=named)


def seconds(of: KernelRows, chip: Facts = CHIP, **values: float) -> np.ndarray:
    model = MODELS[of.op]
    return model.terms(of, chip, {**starting(model), **values}).total


@settings(deadline=None)
@given(
    queries=st.integers(1, 300), past=st.integers(0, 300), window=st.sampled_from([0, 1, 7, 128])
)
def test_visible_pairs_are_those_of_the_mask(queries: int, past: int, window: int) -> None:
    keys = queries + past
    last = np.arange(past + 1, keys + 1)
    seen = np.minimum(last, window) if window else last
    found = visible(rows("prefill", queries=queries, keys=keys, window=window))
    assert found[0] == pytest.approx(seen.sum())


@pytest.mark.parametrize("op", ["prefill", "decode"])
@pytest.mark.parametrize("size", ["batch", "keys"])
@pytest.mark.parametrize("head", [64, 128, 256])
@pytest.mark.parametrize("window", [0, 128])
def test_more_work_never_takes_less(op: str, size: str, head: int, window: int) -> None:
    grows = np.unique(np.geomspace(1, 4096, 80).astype(int)).astype(float)
    start = {"keys": 16.0, "queries": 16.0} if op == "prefill" else {"keys": 16.0}
    sizes = {**start, size: grows if size == "batch" else grows + start["keys"]}
    time = seconds(rows(op, qk_size=head, v_size=head, window=window, **sizes))
    assert (np.diff(time) >= -1e-9 * time[1:]).all()


@pytest.mark.parametrize("past", [0, 4096])
def test_more_queries_never_take_less(past: int) -> None:
    queries = np.unique(np.geomspace(2, 8192, 120).astype(int)).astype(float)
    time = seconds(rows("prefill", queries=queries, keys=queries + past))
    assert (np.diff(time) >= -1e-9 * time[1:]).all()


@settings(deadline=None)
@given(keys=st.integers(1, 100_000), batch=st.integers(1, 256), window=st.integers(1, 20_000))
def test_a_window_never_slows_decode(keys: int, batch: int, window: int) -> None:
    same = {"unpacked": 0.05, "unpacked_window": 0.05}
    with_one = seconds(rows("decode", keys=keys, batch=batch, window=window), **same)
    without = seconds(rows("decode", keys=keys, batch=batch), **same)
    assert with_one[0] <= without[0] * (1 + 1e-9)


@settings(deadline=None)
@given(
    queries=st.integers(1, 8192), past=st.integers(0, 8192), window=st.sampled_from([1, 128, 1024])
)
def test_a_window_never_slows_prefill(queries: int, past: int, window: int) -> None:
    sizes = {"queries": queries, "keys": queries + past}
    assert seconds(rows("prefill", window=window, **sizes))[0] <= seconds(rows("prefill", **sizes))[
        0
    ] * (1 + 1e-9)


def test_decode_of_a_long_cache_is_no_faster_than_its_bytes() -> None:
    long = rows("decode", keys=131072.0, batch=16.0)
    model = Decode()
    terms = model.terms(long, CHIP, starting(model))
    least = 16 * 8 * 131072 * 256 * 2 / CHIP.bandwidth_bytes_per_s
    assert traffic(long, long.sizes["keys"])[0] >= 16 * 8 * 131072 * 256 * 2
    assert terms.total[0] >= terms.memory[0] >= least


def test_a_narrower_cache_reads_half_the_bytes() -> None:
    wide, narrow = rows("decode", keys=131072.0), rows("decode", "bf16_kv_fp8", keys=131072.0)
    ratio = traffic(wide, wide.sizes["keys"]) / traffic(narrow, narrow.sizes["keys"])
    assert ratio[0] == pytest.approx(2.0, rel=1e-3)
    assert seconds(narrow)[0] < seconds(wide)[0]


def test_a_cache_that_fits_the_chips_own_is_read_faster() -> None:
    per_byte = [
        seconds(rows("decode", keys=keys, batch=8.0), floor=1e-9, split=1e-9)[0] / keys
        for keys in (512.0, 65536.0)
    ]
    big = dataclasses.replace(CHIP, cache_bytes=1e12)
    assert seconds(rows("decode", keys=65536.0), big)[0] < seconds(rows("decode", keys=65536.0))[0]
    assert all(value > 0 for value in per_byte)


@pytest.mark.parametrize("op", ["prefill", "decode"])
@pytest.mark.parametrize("unknown", ["cores", "cache_bytes", "vector_flop_per_s", "clock_hz"])
def test_what_the_sheet_does_not_tell_is_believed(op: str, unknown: str) -> None:
    found = seconds(rows(op), dataclasses.replace(CHIP, **{unknown: float("nan")}))
    assert np.isfinite(found).all()
    assert found[0] == pytest.approx(seconds(rows(op))[0], rel=0.6)


def test_an_unknown_peak_is_not_made_up() -> None:
    silent = dataclasses.replace(CHIP, matrix_flop_per_s=float("nan"))
    assert np.isnan(seconds(rows("prefill"), silent)[0])


def test_queries_that_are_not_packed_cost_a_unit_each() -> None:
    windowed = rows("decode", batch=1024.0, window=128.0, heads=64.0, keys=4096.0)
    assert (
        seconds(windowed, unpacked_window=1.0)[0] > 3 * seconds(windowed, unpacked_window=0.01)[0]
    )


def test_features_tell_apart_what_differs_and_only_that() -> None:
    points = features(rows("decode", keys=np.array([64.0, 64.0, 128.0])))
    assert (points[0] == points[1]).all()
    assert np.abs(points[0] - points[2]).sum() == pytest.approx(0.5)
