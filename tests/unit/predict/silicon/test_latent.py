"""Formulas of latent attention."""

from __future__ import annotations

import numpy as np
import pytest

from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.latent import Latent, parts, weights
from crossgrade.predict.silicon.model import starting
from crossgrade.values.kernel import SIZES, KernelRows

CHIP = Facts(
    chip="made-up", architecture="made-up", matrix_flop_per_s=1e15, vector_flop_per_s=1e14,
    bandwidth_bytes_per_s=3e12, cores=132.0, clock_hz=1.8e9, cache_bytes=5e7, link_bytes_per_s=1e11,
)  # fmt: skip


def rows(op: str, format: str = "bf16", **sizes: object) -> KernelRows:
    shape = {"batch": 8, "heads": 16, "queries": 1, "keys": 4096, "rank": 512, "rope": 64, **sizes}
    columns = np.broadcast_arrays(*(np.asarray(shape[n], float) for n in SIZES["latent-attention"]))
    named = zip(SIZES["latent-attention"], (np.atleast_1d(c) for c in columns), strict=True)
    return KernelRows(
        family="latent-attention", op=op, format=format, stack="vllm", sizes=dict(named)
    )


def seconds(of: KernelRows) -> np.ndarray:
    model = Latent(decode=of.op.startswith("decode"))
    return model.terms(of, CHIP, starting(model)).total


@pytest.mark.parametrize("size", ["batch", "heads", "keys"])
@pytest.mark.parametrize("op", ["decode", "decode_module", "prefill", "prefill_module"])
def test_more_work_never_takes_less(op: str, size: str) -> None:
    grows = np.unique(np.geomspace(64, 8192, 60).astype(int)).astype(float)
    sizes = {size: grows, **({"queries": 64.0} if op.startswith("prefill") else {})}
    time = seconds(rows(op, **sizes))
    assert (np.diff(time) >= -1e-9 * time[1:]).all()


def test_a_module_has_its_projections_with_it() -> None:
    # DeepSeek-V3 with 128 heads: 187.1 million elements (config.json, biases aside).
    whole = weights(rows("decode_module", heads=128.0))[0]
    assert whole == pytest.approx(187.1e6, rel=1e-3)
    assert whole > weights(rows("decode", heads=128.0))[0]
    assert seconds(rows("decode_module"))[0] > seconds(rows("decode"))[0]


def test_decode_reads_the_cache_once_for_all_heads() -> None:
    few, many = (seconds(rows("decode", heads=h, batch=64.0, keys=65536.0))[0] for h in (1.0, 64.0))
    assert many < 1.1 * few
    least = 64 * 65536 * 576 * 2 / CHIP.bandwidth_bytes_per_s
    assert few > least


def test_formats_say_what_is_narrow() -> None:
    assert parts("nvfp4_kv_fp8_attn_fp8") == ("nvfp4", 1.0, 1.0)
    assert parts("fp8_block_kv_fp8") == ("fp8_block", 1.0, 2.0)
    assert parts("bf16") == ("bf16", 2.0, 2.0)
    big = {"queries": 8192.0, "keys": 8192.0, "heads": 128.0}
    times = [
        seconds(rows("prefill_module", format, **big))[0]
        for format in ("bf16", "fp8_block", "nvfp4", "nvfp4_kv_fp8_attn_fp8")
    ]
    assert times == sorted(times, reverse=True)


def test_features_have_a_row_per_kernel() -> None:
    model = Latent(decode=True)
    some = rows("decode", keys=np.array([1.0, 2.0, 4.0]))
    assert model.features(some, CHIP, starting(model)).shape == (3, 4)
