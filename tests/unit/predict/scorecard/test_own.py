"""Measured kernels that somebody brings: how files are read, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossgrade.errors import BadOption
from crossgrade.predict.scorecard.__main__ import main
from crossgrade.predict.sources.brought import brought
from crossgrade.values.kernel import SIZES

HEAD = "family,op,format,stack,batch,m,n,k,ranks,bytes,seconds"
GOOD = [
    "matmul,mm,bf16,vllm,1,16,4096,4096,,,2e-5",
    "matmul,mm,bf16,vllm,1,4096,4096,4096,,,2.5e-4",
    "collective,all_reduce,bf16,nccl,,,,,8,1048576,4e-5",
]
PAGE = Path(__file__).parents[4] / "docs/howto/score-your-own-rows.md"


def written(folder: Path, *lines: str, head: str = HEAD) -> Path:
    path = folder / "rows.csv"
    path.write_text("\n".join([head, *lines]), encoding="utf-8")
    return path


def test_a_csv_has_the_sizes_of_each_family(tmp_path: Path) -> None:
    products, exchange = brought(written(tmp_path, *GOOD))
    assert products.sizes["m"].tolist() == [16, 4096]
    assert products.seconds is not None
    assert products.seconds.tolist() == [2e-5, 2.5e-4]
    assert (exchange.family, exchange.op, exchange.stack) == ("collective", "all_reduce", "nccl")
    assert {n: c[0] for n, c in exchange.sizes.items()} == {"ranks": 8, "bytes": 1048576}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("matmull,mm,bf16,vllm,1,16,1,1,,,1e-5", "no family 'matmull'"),
        ("matmul,mm,bf16,vllm,1,many,1,1,,,1e-5", "m: 'many' is not a number"),
        ("matmul,mm,bf16,vllm,1,,1,1,,,1e-5", "m: '' is not a number"),
        ("matmul,mm,bf16,vllm,1,-4,1,1,,,1e-5", "m: '-4' is no size"),
        ("matmul,mm,bf16,vllm,1,4,1,1,,,0", "seconds: '0' is no size or time"),
        ("attention,decode,bf16,vllm,1,4,1,1,,,1e-5", "the column 'heads' is missing"),
    ],
)
def test_a_line_that_breaks_the_form_is_named(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(BadOption) as caught:
        brought(written(tmp_path, *GOOD, line))
    assert said in str(caught.value)
    assert "line 5" in str(caught.value)


def test_a_missing_column_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="'seconds' is missing"):
        brought(written(tmp_path, head=HEAD.removesuffix(",seconds")))
    with pytest.raises(BadOption, match="no such file"):
        brought(tmp_path / "none.csv")


def test_tables_are_told_by_their_name(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {
        "framework": ["VLLM"], "kernel_source": ["x"], "gemm_dtype": ["fp8"], "m": [16], "n": [64],
        "k": [128], "latency": [0.02],
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "gemm_perf.parquet")
    (rows,) = brought(tmp_path / "gemm_perf.parquet")
    assert (rows.family, rows.format, rows.stack) == ("matmul", "fp8", "vllm")
    assert rows.seconds == pytest.approx([2e-5])
    pq.write_table(pa.table(columns), tmp_path / "other_perf.parquet")
    with pytest.raises(BadOption, match="no table that is read"):
        brought(tmp_path / "other_perf.parquet")
    pq.write_table(pa.table(columns).drop_columns(["n"]), tmp_path / "gemm_perf.parquet")
    with pytest.raises(BadOption, match="'n'"):
        brought(tmp_path / "gemm_perf.parquet")
    (tmp_path / "gemm_perf.parquet").write_text("no table")
    with pytest.raises(BadOption, match="not readable"):
        brought(tmp_path / "gemm_perf.parquet")


def test_rows_are_scored_with_what_is_shipped(tmp_path: Path, capsys) -> None:
    path = written(tmp_path, *GOOD)
    assert main(["--rows", str(path), "--chip", "h100"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("matmul mm bf16, vllm\tT2\trows 2\tcovered 100 %\tMAPE ")
    assert "calibrated on" in first
    assert second.startswith("collective all_reduce bf16, nccl\tT2\trows 1")
    assert main(["--rows", str(path), "--chip", "h100", "--tier", "T1"]) == 0
    assert "transferred from" in capsys.readouterr().out
    assert main(["--rows", str(path), "--chip", "h100", "--tier", "T0"]) == 0
    assert "data sheet" in capsys.readouterr().out


def test_a_tier_that_is_not_reached_is_said(tmp_path: Path, capsys) -> None:
    path = written(tmp_path, GOOD[0])
    assert main(["--rows", str(path), "--chip", "h200", "--tier", "T2"]) == 0
    line = capsys.readouterr().out
    assert "covered 0 %" in line
    assert "T2 is not known of this kind, T1 is" in line


@pytest.mark.parametrize(
    ("line", "chip", "said"),
    [
        (GOOD[0], "h1000", "no chip is named `h1000`"),
        (GOOD[0].replace("bf16", "bf17"), "h100", "no format 'bf17'"),
        ("x" + GOOD[0], "h100", "no family 'xmatmul'"),
    ],
)
def test_what_is_not_known_ends_with_2(tmp_path: Path, capsys, line, chip, said) -> None:
    assert main(["--rows", str(written(tmp_path, line)), "--chip", chip]) == 2
    assert said in capsys.readouterr().err


def test_rows_and_chip_go_together(tmp_path: Path, capsys) -> None:
    for given in (["--rows", "x.csv"], ["--chip", "h100"], ["--tier", "T1"]):
        with pytest.raises(SystemExit) as ended:
            main(given)
        assert ended.value.code == 2
    assert "--rows and --chip go together" in capsys.readouterr().err


def test_the_page_has_every_family_and_its_sizes(tmp_path: Path, capsys) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for family, sizes in SIZES.items():
        assert f"| `{family}` |" in text
        assert ", ".join(f"`{name}`" for name in sizes) in text
    example = text.split("```csv\n")[1].split("```")[0]
    path = tmp_path / "rows.csv"
    path.write_text(example, encoding="utf-8")
    assert main(["--rows", str(path), "--chip", "h100"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
