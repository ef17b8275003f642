"""Cards of cube, vector and collective on small made-up tables: which lines come, and from what."""

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest

from crossgrade.predict.scorecard.cards import collective, cube, vector
from crossgrade.predict.sources import ascend, collectives, vector_gpu

pytest.importorskip("scipy")


def write_die(data: Path) -> None:
    """Write products at 70 % of the peak and copies at 60 % of the bandwidth, plus floors."""
    lines = ["scenario,op_type,input_shapes,dtypes,mean_us"]
    for m, n in itertools.product((1, 64, 512, 2048), (512, 4096)):
        flop, moved = 2 * m * n * 2048, 2 * (m * 2048 + n * 2048 + m * n)
        time = 8 + max(flop / 2.5e8, moved / 1.2e6)
        lines.append(f's,MatMulV2,"{m},2048;128,{n // 16},16,16",BF16,{time}')
    for kernel, tokens in itertools.product(("Add", "TensorMove"), (1, 16, 256, 4096, 32768)):
        time = 2 + tokens * 4096 * 2 * (3 if kernel == "Add" else 2) / 1e6
        lines.append(f's,{kernel},"{tokens},4096",BF16,{time}')
    (data / ascend.DIE).write_text("\n".join(lines), encoding="utf-8")
    (data / ascend.STEP).write_text(
        'op_type,input_shapes,mean_us,note\nMatMul,"64,2048;128,64,16,16",15.0,\n'
        'Mul,"16,4096",3.0,\n',
        encoding="utf-8",
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / ascend.FOLDER
    folder.mkdir()
    write_die(folder)
    rows = [
        f"X TP{ranks},{op},{size},{5 + 60 * size}"
        for ranks in (8, 16)
        for op in ("allGather", "reduceScatter")
        for size in (0.01, 0.1, 1, 4, 10, 40)
    ]
    text = "\n".join(["scenario,op,msg_MB(as reported),bench_us", *rows])
    (folder / ascend.EXCHANGES).write_text(text, encoding="utf-8")
    (tmp_path / "perf").mkdir()
    for name in (vector_gpu.VIDUR, vector_gpu.NEUSIGHT):
        with gzip.open(tmp_path / name, "wt", encoding="utf-8") as file:
            file.write("source,OPName,Device\n")
    return tmp_path


def test_the_cube_card(data: Path) -> None:
    lines = list(cube.lines(data))
    assert [line.tier for line in lines] == ["T0", "T2", "T1"]
    folds = lines[1]
    assert folds.score.rows == 8
    assert folds.score.mape < 0.25
    assert "left out: nothing" in folds.rows_of
    (anchor,) = folds.anchors
    assert anchor.score is not None
    assert anchor.score.rows == folds.score.rows
    assert lines[2].fitted_rows == 0


def test_the_vector_card(data: Path) -> None:
    lines = list(vector.lines(data))
    assert [line.tier for line in lines] == ["T0", "T2", "T2", "T1"]
    assert lines[1].score.mape < lines[0].score.mape
    assert 0 <= lines[1].score.inside <= 1
    assert "one operation left out" in lines[2].split


def write_nccl(data: Path, system: str, rate: float) -> None:
    """Write all-reduces of 10 us and of so many bytes per second through each link."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    cases = list(itertools.product((2, 4, 8), [2**i for i in range(8, 28)]))
    seconds = [10e-6 + 2 * (n - 1) / n * 2 * size / rate for n, size in cases]
    folder = data / "perf/aiconfigurator"
    folder.mkdir(parents=True, exist_ok=True)
    columns = {
        "op_name": ["all_reduce"] * len(cases), "nccl_dtype": ["half"] * len(cases),
        "num_gpus": [n for n, _ in cases], "message_size": [size for _, size in cases],
        "latency": [1e3 * s for s in seconds], "kernel_source": ["NCCL"] * len(cases),
    }  # fmt: skip
    parquet.write_table(
        pyarrow.table(columns), folder / f"{system}__comm__nccl__1__nccl_perf.parquet"
    )


def test_the_collective_card(data: Path) -> None:
    write_nccl(data, "h100_sxm", 300e9)
    write_nccl(data, "b200_sxm", 600e9)
    write_nccl(data, "rtx_pro_6000_server", 20e9)
    lines = list(collective.lines(data))
    by_chip = {chip: [x for x in lines if x.chip == chip] for chip in ("h100", "b200")}
    assert [line.tier for line in by_chip["h100"]] == ["T0", "T1", "T2", "T3"]
    for chip in by_chip.values():
        of = {line.tier: line for line in chip}
        fitted, table = of["T2"].score, of["T3"].score
        assert fitted.mape < 0.1 < of["T0"].score.mape
        assert table.mape < fitted.mape + 0.01
        assert of["T2"].fitted_rows + fitted.rows == 60
        assert all(0 <= line.score.inside <= 1 for line in chip)
    assert "rtx-pro-6000" in {line.chip for line in lines}
    assert lines[-1].chip == ascend.CHIP


def test_sizes_are_on_one_side_for_all_operations(data: Path) -> None:
    write_nccl(data, "h100_sxm", 300e9)
    (rows,) = collectives.nccl(data)["h100"]
    facts = collective.facts_of(collective.load_chip("h100"), "bf16")
    (side,) = collective._sides([rows], facts)
    both = np.intersect1d(side.fitted.rows.sizes["bytes"], side.scored.rows.sizes["bytes"])
    assert not len(both)
