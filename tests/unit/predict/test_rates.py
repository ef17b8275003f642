"""A kernel gets the peak of the engine that takes its formats, or of the next one that can."""

from __future__ import annotations

import math

import pytest

from crossgrade.chips.loader import chip_names, load_chip
from crossgrade.predict.rates import matrix_rate, vector_rate

CHIPS = {name: load_chip(name) for name in chip_names()}


@pytest.mark.parametrize(
    ("name", "weights", "used", "tera"),
    [
        # Ampere, Volta, CDNA 2 and Xe HPC have no fp8: weights are converted to 16 bits.
        ("a100", "float8_e4m3fn", "bf16", 312), ("a30", "fp8_e4m3", "bf16", 165),
        ("a40", "fp8_e4m3", "bf16", 149.7), ("v100", "fp8_e4m3", "fp16", 125),
        ("mi250", "fp8_e4m3", "bf16", 362.1), ("max-1550", "fp8_e4m3", "bf16", 838.8608),
        ("h100", "fp8_e4m3", "fp8", 1978.9), ("l4", "float8_e4m3fn", "fp8", 242),
        ("rtx-4090", "fp8_e4m3", "fp8", 330.3), ("gaudi2", "fp8_e4m3", "fp8", 865),
        # mxfp4 weights meet 8-bit activations, nvfp4 ones their like.
        ("b200", "mxfp4", "fp8", 4500), ("b200", "fp4", "fp8", 4500),
        ("b200", "nvfp4", "nvfp4", 9000), ("mi355x", "nvfp4", "bf16", 2516.6),
        ("rtx-pro-6000", "nvfp4", "nvfp4", 1871.2), ("rtx-pro-6000", "mxfp4", "fp8", 935.6),
        ("h100", "nvfp4", "bf16", 989.4), ("a100", "nvfp4", "bf16", 312),
        ("ascend-950dt", "mxfp4", "fp8", 865.0752), ("mi355x", "mxfp4", "fp8", 5033.2),
        ("a100", "int8", "int8", 624), ("gaudi2", "int8", "bf16", 432),
        ("b300", "int8", "int8", 157.5), ("l4", "int4", "bf16", 121),
        ("h100", "", "bf16", 989.4), ("h100", "bfloat16", "bf16", 989.4),
    ],
)  # fmt: skip
def test_matrix_kernels_with_bf16_activations(name, weights, used, tera):
    rate = matrix_rate(CHIPS[name], "bfloat16", weights)
    assert (rate.engine, rate.used) == ("matrix", used)
    assert rate.flop_per_s == pytest.approx(tera * 1e12, rel=1e-4)


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("weights", ["fp8_e4m3", "mxfp4", "nvfp4", "int4", "int8"])
def test_narrow_weights_are_never_slower_than_wide_ones(name, weights):
    chip = CHIPS[name]
    if weights == "int8" and chip.architecture == "blackwell-ultra":
        pytest.skip("int8 is cut on that generation")
    wide = matrix_rate(chip, "bfloat16", "").flop_per_s
    if math.isinf(wide):
        pytest.skip("no 16-bit rate is published")
    assert matrix_rate(chip, "bfloat16", weights).flop_per_s >= wide


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("ours", ["fp8_e4m3", "mxfp4"])
def test_names_of_torch_and_of_checkpoints_mean_the_same(name, ours):
    torch_name = {"fp8_e4m3": "float8_e4m3fn", "mxfp4": "fp4"}[ours]
    chip = CHIPS[name]
    assert matrix_rate(chip, "bfloat16", ours) == matrix_rate(chip, "bfloat16", torch_name)


def test_a_chip_without_rates_is_bound_by_memory_alone():
    rate = matrix_rate(CHIPS["mi308x"], "bfloat16", "fp8_e4m3")
    assert (rate.flop_per_s, rate.used, rate.wanted) == (math.inf, "unknown", "fp8")
    assert vector_rate(CHIPS["mi308x"], "float32").flop_per_s == math.inf


def test_a_format_that_nobody_knows_is_that_of_the_activations():
    chip = CHIPS["h100"]
    assert matrix_rate(chip, "float16", "ternary") == matrix_rate(chip, "float16", "")


def test_vector_kernels_of_volta_and_ampere():
    assert vector_rate(CHIPS["v100"], "bfloat16").used == "fp32"
    assert vector_rate(CHIPS["a30"], "bfloat16").flop_per_s == pytest.approx(20.64e12)
    assert vector_rate(CHIPS["a30"], "int64").used == "fp32"
