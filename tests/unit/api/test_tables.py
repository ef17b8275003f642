"""Measured kernels of the user: read, refused, and put before what ships."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from crossgrade.api import AssessOptions, assess
from crossgrade.api.tables import user_tables, with_tables
from crossgrade.chips.loader import load_chip
from crossgrade.errors import BadOption, MissingExtra
from crossgrade.predict.silicon.estimate import estimate
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
    return with_tables(shipped(), H100, user_tables(given, [(chip, H100)], narrate))


def test_a_measured_size_has_its_time_and_its_source(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.csv", GRID)
    found = estimate(rows(GRID[:4]), H100, known(file))
    assert found.mid == pytest.approx(SLOW * estimate(rows(GRID[:4]), H100, shipped()).mid)
    assert found.tier == "T3"
    assert found.basis.startswith("45 measured kernels of h100 (mine.csv, sha256 ")
    assert found.basis.endswith(": 4 of 4 sizes among them")


def test_a_size_between_is_interpolated_and_one_beyond_is_told(tmp_path: Path) -> None:
    knowledge = known(written(tmp_path / "mine.csv", GRID))
    asked = rows([(100.0, 6000.0, 2000.0), (1.0, 150000.0, 4096.0)])
    found = estimate(asked, H100, knowledge)
    assert found.mid / estimate(asked, H100, shipped()).mid == pytest.approx(SLOW, rel=0.25)
    assert (found.low <= found.mid).all()
    assert (found.mid <= found.high).all()
    assert found.basis.endswith(": 0 of 2 sizes among them, 1 beyond them")


def test_in_a_graph_the_correction_holds_without_the_hosts_time(tmp_path: Path) -> None:
    knowledge, one = known(written(tmp_path / "mine.csv", GRID)), rows([(4096.0, 12288.0, 12288.0)])
    in_graph, as_timed = (estimate(one, H100, knowledge, replayed=r) for r in (True, False))
    assert in_graph.mid[0] <= as_timed.mid[0]
    assert in_graph.mid[0] == pytest.approx(as_timed.mid[0], rel=0.05)


def test_other_kinds_and_chips_keep_what_ships(tmp_path: Path) -> None:
    knowledge = known(written(tmp_path / "mine.csv", GRID))
    assert estimate(rows(GRID, format="fp8"), H100, knowledge).tier == "T2"
    assert estimate(rows(GRID), load_chip("b200"), knowledge).basis == (
        estimate(rows(GRID), load_chip("b200"), shipped()).basis
    )


def test_a_table_of_the_stack_goes_before_one_of_another(tmp_path: Path) -> None:
    a, b = (written(tmp_path / f"{s}.csv", GRID, stack=s) for s in ("sglang", "vllm"))
    found = estimate(rows(GRID), H100, known(a, b))
    assert "vllm.csv" in found.basis
    assert estimate(rows(GRID, stack="trtllm"), H100, known(a)).basis.endswith(", as sglang")


def test_an_assessment_says_that_it_used_a_table(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.csv", GRID)
    asked = AssessOptions(on=("h100",), phases=("decode",), tables=(("h100", file),),
                          measured=False)  # fmt: skip
    stack = assess("qwen3-0.6b", asked).chips[0].phases[0].stack
    assert stack is not None
    assert stack.tiers["T3"] > 0.2
    assert {p.op for p in stack.parts if p.tier == "T3"} == {"mm"}
    json.dumps(stack.tiers)


def test_few_kernels_are_no_table_and_told(tmp_path: Path) -> None:
    said: list[str] = []
    file = written(tmp_path / "few.csv", GRID[:3])
    with pytest.raises(BadOption, match="no kind"):
        known(file, said=said)
    assert said == ["few.csv: 3 kernels of mm bf16, vllm: too few for a table, which takes 20"]


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
