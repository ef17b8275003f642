"""Estimates: which tier answers, what stands in, and bands that hold P50."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crossgrade.chips.loader import chip_names, load_chip
from crossgrade.predict.silicon.estimate import estimate, nearest
from crossgrade.predict.silicon.facts import facts_of
from crossgrade.predict.silicon.knowledge import (
    Fit,
    Kind,
    Knowledge,
    decoded,
    encoded,
    kind_of,
    shipped,
)
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.silicon.vector import Vector
from crossgrade.values.kernel import SIZES, KernelRows

SHAPES = {
    "matmul": {"batch": 1, "m": 512, "n": 4096, "k": 4096},
    "attention": {"batch": 2, "heads": 32, "kv_heads": 8, "queries": 512, "keys": 512,
                  "qk_size": 128, "v_size": 128, "window": 0},
    "latent-attention": {"batch": 8, "heads": 128, "queries": 1, "keys": 4096, "rank": 512,
                         "rope": 64},
    "experts": {"tokens": 64, "hidden": 2048, "inter": 768, "topk": 8, "experts": 128, "tp": 1,
                "ep": 1, "skew": -1},
    "quantise": {"m": 512, "k": 4096},
    "vector": {"bytes_read": 4e6, "bytes_written": 4e6, "element_ops": 4e6, "rows": 512},
    "collective": {"ranks": 4, "bytes": 1e6},
}  # fmt: skip
OPS = {"matmul": "mm", "attention": "prefill", "latent-attention": "decode", "experts": "gated",
       "quantise": "quantise", "vector": "add", "collective": "all_reduce"}  # fmt: skip
TIMED = [n for n in chip_names() if load_chip(n).memory_bandwidth and load_chip(n).cores]


def rows(family: str, format: str = "bf16", stack: str = "vllm", op: str = "") -> KernelRows:
    return KernelRows(
        family=family, op=op or OPS[family], format=format, stack=stack,
        sizes={name: np.array([float(SHAPES[family][name])]) for name in SIZES[family]},
    )  # fmt: skip


@pytest.mark.parametrize("family", [f for f in SHAPES if f != "collective"])
@pytest.mark.parametrize("name", TIMED)
def test_every_chip_and_family_has_a_time_within_its_band(name: str, family: str) -> None:
    found = estimate(rows(family), load_chip(name), shipped(), replayed=True)
    assert 0 < found.low[0] <= found.mid[0] <= found.high[0] < 10
    assert found.tier in ("T0", "T1", "T2")
    assert found.basis


@pytest.mark.parametrize("format", ["fp8", "fp8_block", "int8", "nvfp4", "mxfp4", "int4_wo",
                                    "fp32", "fp64", "int64"])  # fmt: skip
@pytest.mark.parametrize("name", ["a100", "b200", "mi300x", "ascend-910c-die", "gaudi3"])
def test_every_format_has_a_time(name: str, format: str) -> None:
    found = estimate(rows("matmul", format), load_chip(name), shipped())
    assert np.isfinite(found.mid).all()


def test_a_measured_chip_is_calibrated_and_its_twin_borrows() -> None:
    own = estimate(rows("matmul"), load_chip("h100"), shipped())
    twin = estimate(rows("matmul"), load_chip("h200"), shipped())
    assert (own.tier, twin.tier) == ("T2", "T1")
    assert "h100" in twin.basis


def test_no_chip_that_is_judged_has_a_fit() -> None:
    judged = {"h200", "gb300", "arc-b60", "mi308x", "h20", "tpu-v6e", "gaudi2", "mi250",
              "mi250-die", "max-1550", "max-1550-stack"}  # fmt: skip
    assert not judged & {fit.chip for fit in shipped().fits}
    assert judged <= set(chip_names())


def test_nothing_known_is_the_data_sheet() -> None:
    found = estimate(rows("matmul"), load_chip("h100"), Knowledge(fits=()))
    assert found.tier == "T0"
    assert found.high[0] / found.low[0] == pytest.approx(2.5 / 0.4)


@pytest.mark.parametrize("op", ["rms_norm", "add", "rope"])
def test_an_operation_keeps_the_factors_that_were_fitted_to_it(op: str) -> None:
    chip, asked = load_chip("h100"), rows("vector", stack="vidur", op=op)
    fit = shipped().on("h100", Kind(family="vector", op="", format="bf16", stack="vidur"))
    assert fit is not None
    assert f"floor.{op}" in fit.values
    model = Vector(ops=(op,))
    said = model.terms(asked, facts_of(chip, "bf16"), {**starting(model), **fit.values}).total
    assert estimate(asked, chip, shipped()).mid == pytest.approx(said)


def test_a_conversion_is_lent_only_by_tables_that_contain_one() -> None:
    own = estimate(rows("quantise", "fp8"), load_chip("h100"), shipped(), replayed=True)
    assert own.tier == "T2"
    other = estimate(rows("quantise", "fp8"), load_chip("mi300x"), shipped(), replayed=True)
    assert other.tier == "T1"
    assert "aiter" not in other.basis


def test_a_format_that_was_never_measured_is_told() -> None:
    found = estimate(rows("matmul", "int8"), load_chip("h100"), shipped())
    assert ", as fp8 of vllm" in found.basis


def test_own_calibration_goes_before_the_shipped_one() -> None:
    fit = shipped().on("h100", kind_of(rows("matmul")))
    assert fit is not None
    mine = Fit(
        chip="h100", kind=fit.kind, rows=30, band=fit.band, error=0.1, source="a record",
        values={**fit.values, "launch_s": 1.0},
    )  # fmt: skip
    found = estimate(rows("matmul"), load_chip("h100"), shipped().joined([mine]))
    assert found.mid[0] > 0.5
    assert "30 rows" in found.basis


def test_the_same_format_goes_before_the_same_stack() -> None:
    wanted = Kind(family="matmul", op="mm", format="fp8", stack="vllm")
    other = [Kind(family="matmul", op="mm", format=f, stack=s)
             for f, s in (("bf16", "vllm"), ("fp8", "trtllm"), ("fp8", "vllm"))]  # fmt: skip
    assert [(k.format, k.stack) for k in nearest(wanted, other)] == [
        ("fp8", "vllm"), ("fp8", "trtllm"), ("bf16", "vllm"),
    ]  # fmt: skip


def test_a_replayed_product_has_no_conversion_and_no_host() -> None:
    chip = load_chip("h100")
    table = estimate(rows("matmul", "fp8_block"), chip, shipped())
    alone = estimate(rows("matmul", "fp8_block"), chip, shipped(), replayed=True)
    assert alone.mid[0] < table.mid[0]
    assert alone.terms.vector[0] == 0


def test_knowledge_comes_back_from_json() -> None:
    some = Knowledge(fits=shipped().fits[:5])
    again = decoded(json.loads(json.dumps(encoded(some))))
    assert [f.kind for f in again.fits] == [f.kind for f in some.fits]
    assert again.fits[0].values == pytest.approx(dict(some.fits[0].values), rel=1e-4)
    assert again.fits[0].band.low == pytest.approx(some.fits[0].band.low, rel=1e-4)


def test_a_newer_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="schema 99"):
        decoded({"schema": 99, "fits": {}})
