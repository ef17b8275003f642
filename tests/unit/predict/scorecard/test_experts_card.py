"""Reader and card of routed experts, on small tables made here."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from crossgrade.chips.loader import load_chip
from crossgrade.predict.scorecard.cards.experts import lines
from crossgrade.predict.silicon.experts import Experts
from crossgrade.predict.silicon.facts import facts_of
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.sources.aiconfigurator_experts import experts
from crossgrade.values.kernel import SIZES, KernelRows

pyarrow = pytest.importorskip("pyarrow")
GATED = [(2048, 768, 8, 128), (4096, 1536, 8, 128), (6144, 2048, 8, 256), (4096, 1024, 10, 512),
         (3072, 1536, 8, 256), (6144, 2560, 8, 160), (4096, 14336, 2, 8)]  # fmt: skip
PLAIN = (2688, 1856, 6, 128)
GROUPED = (7168, 2048, 8, 256)
THEIRS = {"balanced": 0.0, "power_law_1.2": 1.2}


def write(data: Path, system: str, chip: str, models: list[tuple[int, int, int, int]]) -> None:
    """Write a table whose times are the formula's with ten per cent of noise."""
    from pyarrow import parquet

    points = list(itertools.product(models, [1, 16, 128, 1024, 8192], [1, 8], THEIRS))
    h, i, k, e = (np.array(c) for c in zip(*(m for m, *_ in points), strict=True))
    tokens, ep = np.array([p[1] for p in points]), np.array([p[2] for p in points])
    names = [p[3] for p in points]
    columns = dict(zip(SIZES["experts"], (
        tokens, h, i, k, e, np.ones(len(points)), ep, [THEIRS[n] for n in names],
    ), strict=True))  # fmt: skip
    rows = KernelRows(
        family="experts", op="gated", format="fp8_block", stack="vllm",
        sizes={n: np.asarray(c, dtype=float) for n, c in columns.items()},
    )  # fmt: skip
    seconds = (
        Experts().terms(rows, facts_of(load_chip(chip), "fp8_block"), starting(Experts())).total
    )
    noise = np.exp(np.random.default_rng(0).normal(0, 0.1, len(rows)))
    folder = data / "perf" / "aiconfigurator"
    folder.mkdir(parents=True, exist_ok=True)
    table = {
        "kernel_source": [f"vllm_fp8moe_kernel{'b' if p > 1 else 'a'}" for p in ep],
        "moe_dtype": ["fp8_block"] * len(points), "num_tokens": tokens, "hidden_size": h,
        "inter_size": i, "topk": k, "num_experts": e, "moe_tp_size": np.ones(len(points), int),
        "moe_ep_size": ep, "distribution": names, "latency": seconds * noise * 1e3,
    }  # fmt: skip
    parquet.write_table(
        pyarrow.table(table), folder / f"{system}__moe__vllm__1.0__moe_perf.parquet"
    )


def test_the_reader_tells_gates_groups_skew_kernels_and_seconds(tmp_path: Path) -> None:
    write(tmp_path, "h100_sxm", "h100", [GATED[0], PLAIN, GROUPED])
    write(tmp_path, "h200_sxm", "h100", [GATED[0]])
    found = experts(tmp_path)
    assert set(found) == {"h100"}, "a system that is held back was read"
    by_op = {part.op: part for part in found["h100"]}
    assert set(by_op) == {"gated", "ungated"}
    assert len(by_op["gated"]) == len(by_op["ungated"]) == 20
    assert set(by_op["ungated"].sizes["inter"]) == {1856.0}
    gated = by_op["gated"]
    assert set(gated.sizes["skew"]) == {0.0, 1.2}
    assert set(gated.launched.tolist()) == {"kernela", "kernelb"}
    assert (gated.seconds > 1e-6).all()
    assert (gated.seconds < 1).all()
    apart = experts(tmp_path, grouped=True)["h100"]
    assert [set(part.sizes["hidden"]) for part in apart] == [{7168.0}]


def test_the_card_scores_every_tier_on_unseen_models(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    write(tmp_path, "h100_sxm", "h100", [*GATED, PLAIN, GROUPED])
    write(tmp_path, "b200_sxm", "b200", [*GATED, PLAIN])
    found = {(line.chip, line.tier, line.rows_of): line for line in lines(tmp_path)}
    name = "routed experts fp8_block, vllm"
    assert {key[:2] for key in found if key[2] == name} == {
        (chip, tier) for chip in ("h100", "b200") for tier in ("T0", "T1", "T2", "T3")
    }
    for line in found.values():
        assert line.score.covered == 1
    for tier in ("T0", "T2", "T3"):
        # Rows are the formula with noise of 0.1: the least mean error is 0.08.
        assert 0.05 < found["h100", tier, name].score.mape < 0.15
        assert found["h100", tier, name].score.rows == 8 * 20
    assert 0.5 < found["h100", "T3", name].score.inside <= 1
    assert found["h100", "T3", name].goals
    assert {a.who for a in found["h100", "T3", name].anchors} == {
        "spec roofline", "TensorCast constants"
    }  # fmt: skip
    apart = [line for line in found.values() if "within groups" in line.rows_of]
    assert [line.score.rows for line in apart] == [20]
