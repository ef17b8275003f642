"""The reader of AITER's table takes two chips, each size once, and nothing else."""

from __future__ import annotations

import gzip

import pytest

from crossgrade.predict.sources import aiter

TEXT = """gfx,cu_num,M,N,K,dtype_class,us,source_file,libtype
gfx942,304,16,1536,7168,fp8_blockscale,10.5,a8w8_blockscale_tuned_gemm_ds_v3.csv,ck
gfx942,304,16,1536,7168,fp8_blockscale,9.5,a8w8_blockscale_tuned_gemm.csv,asm
gfx942,80,16,1536,7168,fp8_blockscale,77,a8w8_blockscale_tuned_gemm_ds_v3.csv,ck
gfx942,304,1,1280,8192,bf16,111.9,bf16_tuned_batched_gemm.csv,
gfx942,304,32,1280,8192,bf16,inf,bf16_tuned_gemm.csv,torch
gfx950,256,32,1280,8192,bf16,7.25,bf16_tuned_gemm.csv,torch
gfx950,256,32,2304,4096,fp4,8,a8w8_bpreshuffle_tuned_gemm_qwen3_mxfp4_attnfp8.csv,ck
gfx950,256,32,2304,4096,fp4,6,a4w4_blockscale_tuned_gemm.csv,
"""


@pytest.fixture
def data(tmp_path):
    path = tmp_path / aiter.FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(TEXT.encode()))
    return tmp_path


def test_chips_formats_and_times(data):
    found = aiter.matmul(data)
    got = {
        (chip, r.format): (r.sizes["m"][0], r.sizes["n"][0], r.sizes["k"][0], r.seconds[0])
        for chip, every in found.items()
        for r in every
    }
    assert got == {
        ("mi300x", "fp8_block"): (16, 1536, 7168, pytest.approx(9.5e-6)),
        ("mi355x", "bf16"): (32, 1280, 8192, pytest.approx(7.25e-6)),
        ("mi355x", "fp8"): (32, 2304, 4096, pytest.approx(8e-6)),
        ("mi355x", "mxfp4"): (32, 2304, 4096, pytest.approx(6e-6)),
    }


def test_the_best_of_tuning_stands_with_its_kernel(data):
    (rows,) = aiter.matmul(data)["mi300x"]
    assert len(rows) == 1
    assert rows.launched.tolist() == ["asm"]
    assert rows.stack == "aiter"


def test_no_table_no_rows(tmp_path):
    assert aiter.matmul(tmp_path) == {}
