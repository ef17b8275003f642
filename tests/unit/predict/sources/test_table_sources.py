"""Readers of collective and GPU vector tables: units, widths, what counts as one row."""

import gzip
from pathlib import Path

import pytest

from crossgrade.predict.sources import collectives, products_fp32, vector_gpu


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(text)


def table(path: Path, columns: dict[str, list[object]]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns), path)


def test_nccl_counts_elements(tmp_path: Path) -> None:
    table(
        tmp_path / "perf/aiconfigurator/h100_sxm__comm__nccl__2.29.2__nccl_perf.parquet",
        {
            "op_name": ["alltoall", "alltoall"], "nccl_dtype": ["half", "int8"],
            "num_gpus": [8, 8], "message_size": [512, 1024], "latency": [0.01, 0.01],
            "kernel_source": ["NCCL", "NCCL"],
        },
    )  # fmt: skip
    (rows,) = collectives.nccl(tmp_path)["h100"]
    assert rows.op == "all_to_all"
    assert rows.sizes["bytes"].tolist() == [1024, 1024]
    assert rows.seconds == pytest.approx([1e-5, 1e-5])


def test_graphs_and_eager_launches_are_apart(tmp_path: Path) -> None:
    table(
        tmp_path / "perf/aiconfigurator/b200_sxm__comm__vllm__1__custom_allreduce_perf.parquet",
        {
            "framework": ["vLLM", "vLLM"], "allreduce_dtype": ["bfloat16", "bfloat16"],
            "kernel_source": ["vLLM_custom_eager", "vLLM_custom_graph"],
            "num_gpus": [2, 2], "message_size": [128, 128], "latency": [0.03, 0.005],
        },
    )  # fmt: skip
    found = {r.stack: r for r in collectives.all_reduces(tmp_path)["b200"]}
    assert found["vllm"].seconds == pytest.approx([5e-6])
    assert found["vllm-eager"].seconds == pytest.approx([3e-5])


def test_vidur_all_reduces_inside_one_node(tmp_path: Path) -> None:
    head = "source,num_workers,devices_per_node,size,collective,time_stats.all_reduce.median\n"
    inside = "network/h100_dgx/all_reduce.csv,4,4,2048,all_reduce,0.02\n"
    across = "network/a100_dgx/all_reduce.csv,16,8,2048,all_reduce,0.05\n"
    put(tmp_path / collectives.VIDUR, head + inside + across)
    found = collectives.vidur(tmp_path)
    assert list(found) == ["h100"]
    assert found["h100"][0].seconds == pytest.approx([2e-5])


def test_vidur_layer_parts_are_per_rank_and_medians(tmp_path: Path) -> None:
    parts = ("input_layernorm", "add", "mlp_act", "attn_rope")
    head = ",".join(
        ["source", "num_tokens", "num_tensor_parallel_workers", "n_embd", "n_expanded_embd",
         "n_head", "n_kv_head", "use_gated_mlp", *(f"time_stats.{p}.median" for p in parts)]
    )  # fmt: skip
    rows = [
        f"compute/a100/m/mlp.csv,128,2,4096,8192,32,8,True,{ln},0.002,0.02," for ln in (0.01, 0.03)
    ]
    other = "compute/a40/m/mlp.csv,128,2,4096,8192,32,8,True,0.01,0.01,0.02,0.03"
    put(tmp_path / vector_gpu.VIDUR, "\n".join([head, *rows, other]))
    found = {r.op: r for r in vector_gpu.vidur(tmp_path)["a100"]}
    assert set(found) == {"rms_norm", "act_mul"}  # an add of 2 us is rounded too far, no rope told
    assert found["rms_norm"].seconds == pytest.approx([2e-5])
    assert found["act_mul"].sizes["bytes_read"].tolist() == [2 * 2 * 128 * 4096]


def test_neusight_reads_described_gpus_only(tmp_path: Path) -> None:
    head = "OPName,Latency,Device,B,H\n"
    known = "softmax,0.4,NVIDIA A100 80GB PCIe,1024,512\nlinear,1,NVIDIA A100 80GB PCIe,1,1\n"
    put(tmp_path / vector_gpu.NEUSIGHT, head + known + "softmax,0.5,Tesla T4,1024,512\n")
    found = vector_gpu.neusight(tmp_path)
    assert list(found) == ["a100"]
    (rows,) = found["a100"]
    assert rows.sizes["rows"].tolist() == [1024]
    assert rows.seconds == pytest.approx([4e-4])


def test_products_in_fp32_are_those_of_described_devices(tmp_path: Path) -> None:
    head = "OPName,Latency,Device,B,H,M,N,K\n"
    rows = (
        "linear,2.0,NVIDIA H100 80GB HBM3,1,,64,128,256\n"
        "linear,4.0,NVIDIA H100 80GB HBM3,1,,64,128,256\n"
        "bmm,1.0,AMD Instinct MI210,8,,64,64,32\n"
        "bmm,1.0,Tesla P4,8,,64,64,32\n"
        "add,1.0,NVIDIA L4,8,64,,,\n"
    )
    put(tmp_path / vector_gpu.NEUSIGHT, head + rows)

    found = products_fp32.products(tmp_path)

    assert found.keys() == {"h100", "mi210"}
    (h100,) = found["h100"]
    assert (h100.op, h100.format, h100.stack) == ("mm", "fp32", "torch")
    assert h100.seconds is not None
    assert h100.seconds.tolist() == [3.0e-3]
    assert {name: column.tolist() for name, column in h100.sizes.items()} == {
        "batch": [1.0], "m": [64.0], "n": [128.0], "k": [256.0],
    }  # fmt: skip
