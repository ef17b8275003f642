"""Readers of Ascend reports: families by kernel name, layouts by shape, what is left out."""

from pathlib import Path

import pytest

from crossgrade.predict.sources import ascend

HEAD = "device,software,model,scenario,op_type,input_shapes,dtypes,mean_us\n"
ROWS = """\
die,CANN,m,s,QuantBatchMatmulV3,"256,7168;128,448,16,32;4096;256",INT8 x INT8(NZ) -> BF16,76.5
die,CANN,m,s,MatMulV2,"256,7168;512,7168",BF16,21.0
die,CANN,m,s,TransposeBatchMatMul,"16,10,512;16,512,128",BF16,12.5
die,CANN,m,s,AddRmsNormBias,"32,7168;32,7168;7168;7168",BF16,8.9
die,CANN,m,s,DynamicQuant,"8,7168",BF16->INT8,5.3
die,CANN,m,s,SoftmaxV2,"16,151936",FP32,52.7
die,CANN,m,s,Slice,"256,2112;2;2",BF16,2.7
die,CANN,m,s,Mystery,"1,1",BF16,1.0
"""
STEP = """\
part,op_type,accelerator_core,input_shapes,output_shapes,mean_us,note
a,MatMul,AI_CORE,"64,7168;505,448,16,16","64,8080",111.1,LM head
a,MatMul,AI_CORE,"4,7168;8,448,16,16","4,128",20.0,parallel stream
a,MatMul,AI_CORE,"4,7168;7168,256","4,256",25.5,"router gate, fp32 (inferred)"
a,HcomAllGather,COMMUNICATION,"N/A (4,7168)","64,7168",33.4,
"""
HCCL = """\
scenario,op,msg_MB(as reported),bench_us
Qwen3-32B TP16,allGather,40.0,3080.2
Qwen3-32B TP16 decode,allReduce,0.16,12.1
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / ascend.FOLDER
    folder.mkdir()
    for name, text in ((ascend.DIE, HEAD + ROWS), (ascend.STEP, STEP), (ascend.EXCHANGES, HCCL)):
        (folder / name).write_text(text, encoding="utf-8")
    return tmp_path


def sizes(reading: ascend.Reading, op: str) -> list[float]:
    (rows,) = (r for r in reading.rows if r.op == op)
    return [float(column[0]) for column in rows.sizes.values()]


def test_products_and_the_layout_of_their_weights(data: Path) -> None:
    reading = ascend.die(data, "matmul")
    assert sizes(reading, "mm_nz") == [1, 256, 4096, 7168]
    assert sizes(reading, "mm") == [1, 256, 512, 7168]
    assert sizes(reading, "transposed_bmm") == [16, 10, 128, 512]
    assert {r.op: r.format for r in reading.rows}["mm_nz"] == "int8"
    assert reading.dropped == {
        ascend.OTHER: 3, "the size of the output is not told": 1,
        "a kernel that no rule describes": 1,
    }  # fmt: skip


def test_vector_kernels_and_what_they_move(data: Path) -> None:
    reading = ascend.die(data, "vector")
    elements = 32 * 7168
    assert sizes(reading, "add_rms_norm") == [4 * elements, 4 * elements, 6 * elements, 32]
    assert sizes(reading, "dynamic_quant")[:2] == [2 * 8 * 7168, 8 * 7168]
    assert sizes(reading, "softmax")[0] == 4 * 16 * 151936


def test_times_become_seconds(data: Path) -> None:
    (rows,) = (r for r in ascend.die(data, "vector").rows if r.op == "softmax")
    assert rows.seconds == pytest.approx([52.7e-6])


def test_a_step_without_kernels_that_overlap_or_whose_format_is_guessed(data: Path) -> None:
    reading = ascend.step(data, "matmul")
    assert sizes(reading, "mm_nz") == [1, 64, 8080, 7168]
    assert sum(len(r) for r in reading.rows) == 1
    assert reading.dropped["runs beside other kernels"] == 1
    assert reading.dropped["its format is guessed"] == 1


def test_a_gathered_buffer_counts_all_ranks(data: Path) -> None:
    reading = ascend.collectives(data)
    assert sizes(reading, "all_gather") == [16, 640e6]
    assert sizes(reading, "all_reduce") == [16, 0.16e6]
