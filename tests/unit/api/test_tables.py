"""Measured kernels of the user: read, refused, and put before what ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crossgrade.api import AssessOptions, assess
from crossgrade.api.tables import user_tables, with_tables
from crossgrade.chips.loader import load_chip
from crossgrade.errors import BadOption, MissingExtra
from crossgrade.predict.silicon.estimate import Estimate, estimate, estimates
from crossgrade.predict.silicon.knowledge import Knowledge, shipped
from crossgrade.values.kernel import KernelRows

pytest.importorskip("scipy")
H100 = load_chip("h100")
GRID = [(m, n, k) for m in (1.0, 8.0, 64.0, 512.0, 4096.0) for n in (1024.0, 4096.0, 12288.0)
        for k in (1024.0, 4096.0, 12288.0)]  # fmt: skip
SLOW = 1.7
"""The made-up device takes that many times what the shipped parameters say."""


def rows(sizes: list[tuple[float, float, float]], **kind: str) -> KernelRows:
    m, n, k = np.array(sizes).T
    return KernelRows(
        family="matmul", op=kind.get("op", "mm"), format=kind.get("format", "bf16"),
        stack=kind.get("stack", "vllm"), sizes={"batch": np.ones(len(sizes)), "m": m, "n": n,
        "k": k},
    )  # fmt: skip


def written(path: Path, sizes: list[tuple[float, float, float]], stack: str = "vllm") -> Path:
    """Write what the device takes, as tables have it: with what the host adds."""
    times = SLOW * estimate(rows(sizes), H100, shipped()).mid
    lines = ["family,op,format,stack,batch,m,n,k,seconds"]
    lines += [f"matmul,mm,bf16,{stack},1,{m:g},{n:g},{k:g},{t:.6e}"
              for (m, n, k), t in zip(sizes, times.tolist(), strict=True)]  # fmt: skip
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def known(*files: Path, chip: str = "h100", said: list[str] | None = None) -> Knowledge:
    narrate = [].append if said is None else said.append
    given = [(chip, file) for file in files]
    tables = user_tables(given, [(chip, H100)], narrate)
    return with_tables(shipped(), H100, tables, narrate)


def only(asked: KernelRows, knowledge: Knowledge, *, replayed: bool = False) -> Estimate:
    """Return the one estimate of rows that all rest on the same."""
    ((at, found),) = estimates(asked, H100, knowledge, replayed=replayed)
    assert at.tolist() == list(range(len(asked)))
    return found


def test_a_measured_size_has_its_time_and_its_source(tmp_path: Path) -> None:
    found = only(rows(GRID[:4]), known(written(tmp_path / "mine.csv", GRID)))
    assert found.mid == pytest.approx(SLOW * estimate(rows(GRID[:4]), H100, shipped()).mid)
    assert found.tier == "T3"
    assert found.basis.startswith("45 measured kernels of h100 (mine.csv, sha256 ")
    assert found.basis.endswith(": 4 of 4 sizes among them")


def test_a_size_between_is_interpolated(tmp_path: Path) -> None:
    asked = rows([(100.0, 6000.0, 2000.0)])
    found = only(asked, known(written(tmp_path / "mine.csv", GRID)))
    assert found.mid / estimate(asked, H100, shipped()).mid == pytest.approx(SLOW, rel=0.25)
    assert found.low[0] <= found.mid[0] <= found.high[0]
    assert found.basis.endswith(": 0 of 1 size among them")


def test_a_size_beyond_the_table_keeps_what_was_fitted_to_the_chip(tmp_path: Path) -> None:
    asked = rows([(1.0, 150000.0, 4096.0), GRID[0]])
    knowledge = known(written(tmp_path / "mine.csv", GRID))
    (near, told), (far, kept) = estimates(asked, H100, knowledge)
    assert (near.tolist(), told.tier, far.tolist(), kept.tier) == ([1], "T3", [0], "T2")
    assert kept.mid == pytest.approx(estimate(asked, H100, shipped()).mid[:1])
    assert "; beyond the 45 measured kernels of h100 (mine.csv" in kept.basis


def hidden_rows(path: Path) -> Path:
    """Write small products in fp8 of which the host takes nearly all the time."""
    lines = ["family,op,format,stack,batch,m,n,k,seconds"]
    lines += [f"matmul,mm,fp8_block,vllm,1,{m},{n},{k},{1.5e-4 * (1 + 0.01 * (m % 3)):.6e}"
              for m in (1, 2, 4, 8) for n in (1024, 2048, 4096) for k in (1024, 4096)]  # fmt: skip
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_where_the_host_was_timed_a_launch_in_a_graph_keeps_the_fit(tmp_path: Path) -> None:
    knowledge = known(hidden_rows(tmp_path / "hosted.csv"))
    asked = rows([(4.0, 4096.0, 4096.0)], format="fp8_block")
    assert only(asked, knowledge).mid == pytest.approx([1.515e-4])
    in_graph = only(asked, knowledge, replayed=True)
    fit = estimate(asked, H100, shipped(), replayed=True)
    assert (in_graph.tier, in_graph.mid[0]) == ("T2", fit.mid[0])
    assert "hidden by the host in the 24 measured kernels" in in_graph.basis


def test_a_band_is_as_wide_in_seconds_as_it_was_measured(tmp_path: Path) -> None:
    fp8 = {"format": "fp8"}
    sizes = [(m, n, k) for m, n, k in GRID if m > 8]
    file = written(tmp_path / "mine.csv", sizes)
    file.write_text(file.read_text().replace("bf16", "fp8"))
    knowledge, asked = known(file), rows([(600.0, 5000.0, 5000.0)], **fp8)
    alone, as_timed = (only(asked, knowledge, replayed=r) for r in (True, False))
    assert alone.mid[0] < as_timed.mid[0], "the conversion is a launch of its own"
    widths = [np.log(e.high[0] / e.low[0]) for e in (alone, as_timed)]
    assert widths[0] / widths[1] == pytest.approx(as_timed.mid[0] / alone.mid[0], rel=1e-6)


def test_other_kinds_and_chips_keep_what_ships(tmp_path: Path) -> None:
    knowledge = known(written(tmp_path / "mine.csv", GRID))
    assert only(rows(GRID, format="fp8"), knowledge).tier == "T2"
    ((_, found),) = estimates(rows(GRID), load_chip("b200"), knowledge)
    assert found.basis == estimate(rows(GRID), load_chip("b200"), shipped()).basis


def test_another_stack_stands_in_unless_its_own_was_fitted_here(tmp_path: Path) -> None:
    a, b = (written(tmp_path / f"{s}.csv", GRID, stack=s) for s in ("sglang", "vllm"))
    assert "vllm.csv" in only(rows(GRID), known(a, b)).basis
    assert only(rows(GRID), known(a)).tier == "T2", "vllm was fitted on this chip"
    assert only(rows(GRID, stack="trtllm"), known(a)).basis.endswith(", as sglang")


def test_files_of_one_kind_count_together_in_any_order(tmp_path: Path) -> None:
    a = written(tmp_path / "a.csv", GRID[:25])
    b = written(tmp_path / "b.csv", GRID[25:])
    asked = rows([*GRID, (100.0, 6000.0, 2000.0)])
    one, other = only(asked, known(a, b)), only(asked, known(b, a))
    assert one.mid == pytest.approx(other.mid, rel=0.01)
    assert one.basis.startswith("45 measured kernels of h100 (a.csv, sha256 ")
    assert "; b.csv, sha256 " in one.basis


def test_a_product_counts_whatever_it_is_called(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.csv", GRID)
    file.write_text(file.read_text().replace("matmul,mm,", "matmul,linear,"))
    assert only(rows(GRID, op="bmm"), known(file)).basis.endswith(": 45 of 45 sizes among them")


def test_an_assessment_says_that_it_used_a_table(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.csv", GRID)
    asked = AssessOptions(on=("h100",), phases=("decode",), tables=(("h100", file),),
                          measured=False)  # fmt: skip
    stack = assess("qwen3-0.6b", asked).chips[0].phases[0].stack
    assert stack is not None
    assert stack.tiers["T3"] > 0.2
    assert {p.op for p in stack.parts if p.tier == "T3"} == {"mm"}


def test_few_sizes_are_no_table_however_often_they_were_measured(tmp_path: Path) -> None:
    said: list[str] = []
    knowledge = known(written(tmp_path / "few.csv", GRID[:1] * 30), said=said)
    assert only(rows(GRID[:1]), knowledge).tier == "T2"
    (words,) = said
    assert words.startswith("few.csv, sha256 ")
    assert words.endswith(
        ": mm bf16 of vllm is too little for a table, which takes 20 sizes at 5 sites"
    )


def test_a_table_that_priced_nothing_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    file = written(tmp_path / "mine.csv", GRID)
    file.write_text(file.read_text().replace("bf16", "nvfp4"))
    asked = AssessOptions(on=("h100",), phases=("decode",), tables=(("h100", file),),
                          measured=False)  # fmt: skip
    assess("qwen3-0.6b", asked, narrate=said.append)
    assert said[-1].startswith("mine.csv, sha256 ")
    assert said[-1].endswith(": no launch was priced by mm nvfp4 of vllm")


def test_a_table_of_a_chip_that_is_not_asked_for_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.csv", GRID)
    with pytest.raises(BadOption, match="b200 is not among --on") as refused:
        user_tables([("b200", file)], [("h100", H100)], print)
    assert refused.value.hint == "one of h100"


def test_a_format_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.csv", GRID)
    file.write_text(file.read_text().replace("bf16", "bf17"))
    with pytest.raises(BadOption, match="no format 'bf17'"):
        known(file)


@pytest.mark.parametrize(("name", "module"), [("a.csv", "scipy"), ("a.parquet", "pyarrow")])
def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, module: str
) -> None:
    file = written(tmp_path / name, GRID)
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == module else real(n))
    with pytest.raises(MissingExtra, match=module):
        known(file)


@pytest.mark.parametrize(("column", "value"), [
    ("m", "0"), ("n", "-4"), ("k", "nan"), ("seconds", "0"), ("seconds", "1e9"), ("m", "1e300"),
    ("batch", "0"),
])  # fmt: skip
def test_a_size_or_time_that_no_kernel_has_is_refused(
    tmp_path: Path, column: str, value: str
) -> None:
    file = written(tmp_path / "mine.csv", GRID)
    head, *lines = file.read_text().splitlines()
    cells = lines[7].split(",")
    cells[head.split(",").index(column)] = value
    file.write_text("\n".join([head, *lines[:7], ",".join(cells), *lines[8:]]))
    with pytest.raises(BadOption, match=column) as refused:
        known(file)
    assert "mine.csv" in str(refused.value)


@pytest.mark.parametrize("value", [float("nan"), -1.0, 0.0])
def test_a_time_in_parquet_that_is_none_is_refused(tmp_path: Path, value: float) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    m, n, k = np.array(GRID, dtype=np.int64).T
    latency = np.full(len(GRID), 0.05)
    latency[3] = value
    columns = {"framework": ["VLLM"] * len(GRID), "gemm_dtype": ["bfloat16"] * len(GRID), "m": m,
               "n": n, "k": k, "latency": latency, "kernel_source": ["x"] * len(GRID)}  # fmt: skip
    parquet.write_table(pa.table(columns), tmp_path / "my-gemm_perf.parquet")
    with pytest.raises(BadOption, match="seconds"):
        known(tmp_path / "my-gemm_perf.parquet")
