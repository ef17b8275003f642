"""Reader and card of attention on tables that are written here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossgrade.predict.scorecard.cards.anchors import constants, roofline
from crossgrade.predict.scorecard.cards.attention import (
    MODELS,
    at_peaks,
    lines,
    sets,
)
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.sources.aiconfigurator import FOLDER
from crossgrade.predict.sources.aiconfigurator_attention import attention, latent
from crossgrade.values.kernel import SITES, SIZES, KernelRows


def write(data: Path, name: str, columns: dict[str, Any]) -> None:
    (data / FOLDER).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), data / FOLDER / f"{name}.parquet")


def generation(data: Path, chip: str) -> None:
    """Write decode rows whose times are the model's on that chip, 20 % slower, with 1 % noise."""
    heads = [(h, k) for h in (4, 8, 16, 32, 64) for k in (1, 2, 4)]
    grid = np.array(
        [(b, h, k, s, c) for b in (1, 16) for h, k in heads for s in (63, 4095) for c in (0, 1)]
    ).T
    columns: dict[str, Any] = {
        "batch_size": grid[0], "isl": np.ones_like(grid[0]), "step": grid[3],
        "num_heads": grid[1], "num_key_value_heads": grid[2],
        "head_dim": np.full_like(grid[0], 128), "window_size": np.zeros_like(grid[0]),
        "kv_cache_dtype": np.where(grid[4] == 1, "fp8", "bfloat16"),
        "kernel_source": np.full(len(grid[0]), "one_kernel"),
        "latency": np.ones(len(grid[0])),
    }  # fmt: skip
    write(data, f"{chip}__attention__vllm__1.0__generation_attention_perf", columns)
    rng, model = np.random.default_rng(0), MODELS["decode"]
    for one in sets(attention(data, "decode"), model):
        if chip.startswith(one.facts.chip):
            cache = "fp8" if one.rows.format == "bf16_kv_fp8" else "bfloat16"
            truth = model.terms(one.rows, one.facts, starting(model)).total * 1.2
            at = columns["kv_cache_dtype"] == cache
            columns["latency"][at] = truth * 1e3 * np.exp(rng.normal(0, 0.01, at.sum()))
    write(data, f"{chip}__attention__vllm__1.0__generation_attention_perf", columns)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    generation(tmp_path, "h100_sxm")
    generation(tmp_path, "a100_sxm")
    return tmp_path


def test_a_generation_row_sees_what_is_cached_and_itself(data: Path) -> None:
    wide, narrow = attention(data, "decode")["h100"]
    assert (wide.format, narrow.format) == ("bf16", "bf16_kv_fp8")
    assert set(wide.sizes["keys"]) == {64.0, 4096.0}
    assert set(wide.sizes["queries"]) == {1.0}
    assert wide.launched is not None
    assert set(wide.launched) == {"one_kernel"}
    assert len(wide) == len(narrow) == 60


def test_older_tables_have_no_window(tmp_path: Path) -> None:
    columns = {
        "batch_size": [2], "isl": [16], "step": [0], "num_heads": [8], "num_key_value_heads": [8],
        "head_dim": [64], "kv_cache_dtype": ["bfloat16"], "kernel_source": ["k"], "latency": [2.0],
    }  # fmt: skip
    write(tmp_path, "a100_sxm__attention__vllm__0.14.0__context_attention_perf", columns)
    (rows,) = attention(tmp_path, "prefill")["a100"]
    assert {n: c[0] for n, c in rows.sizes.items()} == {
        "batch": 2, "heads": 8, "kv_heads": 8, "queries": 16, "keys": 16, "qk_size": 64,
        "v_size": 64, "window": 0,
    }  # fmt: skip
    assert rows.seconds is not None
    assert rows.seconds[0] == pytest.approx(2e-3)


def test_formats_of_latent_modules_name_projections_cache_and_operands(tmp_path: Path) -> None:
    columns = {
        "batch_size": [2, 2, 2], "isl": [16] * 3, "step": [0] * 3, "num_heads": [16] * 3,
        "gemm_type": ["nvfp4", "fp8_block", "bfloat16"], "kernel_source": ["k"] * 3,
        "kv_cache_dtype": ["fp8", "fp8", "bfloat16"], "mla_dtype": ["fp8", "bfloat16", "bfloat16"],
        "latency": [1.0, 2.0, 3.0],
    }  # fmt: skip
    write(tmp_path, "b200_sxm__mla__vllm__0.24.0__mla_context_module_perf", columns)
    found = latent(tmp_path, "prefill_module")["b200"]
    assert [rows.format for rows in found] == ["bf16", "fp8_block_kv_fp8", "nvfp4_kv_fp8_attn_fp8"]
    assert all(rows.sizes["rank"][0] == 512 and rows.sizes["rope"][0] == 64 for rows in found)


def test_the_card_scores_each_tier_and_what_has_seen_more_is_nearer(data: Path) -> None:
    found = [line for line in lines(data) if line.rows_of == "decode bf16, vllm"]
    assert {(line.chip, line.tier) for line in found} == {
        (chip, tier) for chip in ("h100", "a100") for tier in ("T0", "T1", "T2", "T3")
    }
    for chip in ("h100", "a100"):
        mape = {line.tier: line.score.mape for line in found if line.chip == chip}
        assert mape["T2"] < 0.05 < mape["T0"]
        assert mape["T3"] < 0.05
    table = next(line for line in found if line.tier == "T3")
    assert table.score.rows == 60
    assert 0.5 < table.score.inside <= 1
    assert {a.who for a in table.anchors} >= {"spec roofline", "TensorCast constants"}


def test_no_head_configuration_is_both_fitted_and_scored(data: Path) -> None:
    for one in sets(attention(data, "decode"), MODELS["decode"]):
        sides = [
            set(zip(*(rows.sizes[name] for name in SITES["attention"]), strict=True))
            for rows in (one.calibration, one.scored)
        ]
        assert sides[0]
        assert sides[1]
        assert not sides[0] & sides[1]


def test_every_line_has_a_band(data: Path) -> None:
    assert all(0 <= line.score.inside <= 1 for line in lines(data))


def test_the_roofline_is_the_textbooks(data: Path) -> None:
    one = next(iter(sets(attention(data, "decode"), MODELS["decode"])))
    values = (2, 8, 2, 1024, 1024, 128, 128, 0)
    sizes = {n: np.array([float(v)]) for n, v in zip(SIZES["attention"], values, strict=True)}
    rows = KernelRows(family="attention", op="prefill", format="bf16", stack="x", sizes=sizes)
    flop = 4 * 2 * 8 * 128 * 1024 * 1025 / 2
    bytes_ = 2 * 2 * 128 * 1024 * 2 * (8 + 2)
    at_peak = flop / one.facts.matrix_flop_per_s, bytes_ / one.facts.bandwidth_bytes_per_s
    found = at_peaks(rows, one.facts)
    assert (found[0][0], found[1][0]) == pytest.approx(at_peak)
    assert roofline(*found)[0] == pytest.approx(max(at_peak))
    slower = max(at_peak[0] / 0.7, at_peak[1] / 0.6)
    assert constants(*found)[0] == pytest.approx(slower + 5e-6)
