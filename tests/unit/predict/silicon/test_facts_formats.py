"""Formats find the peak that a chip has for them."""

from __future__ import annotations

import pytest

from crossgrade.chips.loader import load_chip
from crossgrade.predict.silicon.facts import ARITHMETIC, BYTES, facts_of


@pytest.mark.parametrize(
    ("chip", "format", "precision"),
    [
        ("h100", "bf16", "bf16"), ("h100", "fp8", "fp8"), ("h100", "fp8_block", "fp8"),
        ("a100", "fp8", "bf16"), ("a100", "int8", "int8"), ("b200", "nvfp4", "nvfp4"),
        ("mi355x", "mxfp4", "mxfp4"), ("h100", "int4_wo", "bf16"),
    ],
)  # fmt: skip
def test_peak_of_a_format(chip, format, precision):
    described = load_chip(chip)
    peak = described.peak("matrix", precision)
    assert peak is not None
    assert facts_of(described, format).matrix_flop_per_s == peak.rate.value


def test_every_format_has_bytes():
    assert set(ARITHMETIC) == set(BYTES)
