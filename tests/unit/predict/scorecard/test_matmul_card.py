"""The card of dense products on a small table that is made here."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossgrade.chips.loader import load_chip
from crossgrade.predict.scorecard.cards.matmul import FEW, lines
from crossgrade.predict.silicon.facts import facts_of
from crossgrade.predict.silicon.matmul import TileWave
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.sources import aiconfigurator
from crossgrade.values.kernel import KernelRows

pytestmark = pytest.mark.slow
NOISE = 0.03


def written(folder, system, seed):
    """Write a table: the model of this chip with other parameters, and noise."""
    rng = np.random.default_rng(seed)
    widths = 2.0 ** np.arange(6, 15)
    m, n, k = (x.ravel() for x in np.meshgrid(2.0 ** np.arange(0, 13, 3), widths, widths))
    rows = KernelRows(family="matmul", op="mm", format="bf16", stack="vllm",
                      sizes={"batch": np.ones(len(m)), "m": m, "n": n, "k": k})  # fmt: skip
    model = TileWave()
    values = {**starting(model), "matrix_efficiency": 0.7, "launch_s": 3e-6}
    facts = facts_of(load_chip(aiconfigurator.CHIPS[system]), "bf16")
    latency_ms = model.terms(rows, facts, values).total * np.exp(rng.normal(0, NOISE, len(m))) * 1e3
    pq.write_table(
        pa.table({
            "gemm_dtype": ["bfloat16"] * len(m), "kernel_source": ["x"] * len(m),
            "m": m.astype(int), "n": n.astype(int), "k": k.astype(int), "latency": latency_ms,
        }),
        folder / f"{system}__gemm__vllm__1.0__gemm_perf.parquet",
    )  # fmt: skip


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    folder = data / aiconfigurator.FOLDER
    folder.mkdir(parents=True)
    for seed, system in enumerate(("h100_sxm", "l40s")):
        written(folder, system, seed)
    return {(line.chip, line.tier): line for line in lines(data)}


def test_lines_of_every_tier(card):
    assert set(card) == {
        ("h100", "T3"), *((chip, tier) for chip in ("h100", "l40s") for tier in ("T0", "T1", "T2")),
    }  # fmt: skip


def test_what_a_line_has_seen(card):
    assert card["h100", "T1"].fitted_rows == 0
    assert card["h100", "T2"].fitted_rows == FEW
    assert card["h100", "T2"].score.rows < card["h100", "T3"].score.rows == 405
    assert card["h100", "T1"].score.rows == 405


def test_errors_are_near_the_noise(card):
    for (_, tier), line in card.items():
        assert line.score.covered == 1
        assert line.score.median < {"T0": 0.5, "T1": 0.2, "T2": 0.06, "T3": 0.04}[tier]
        assert 0 <= line.score.inside <= 1


def test_anchors_ran_on_the_same_rows(card):
    line = card["h100", "T2"]
    scored = {a.who: a.score for a in line.anchors}
    assert set(scored) == {"spec roofline", "TensorCast constants"}
    assert all(s.rows == line.score.rows and s.mape > line.score.mape for s in scored.values())


def test_goals_stand_where_they_were_asked(card):
    assert [g.most for g in card["h100", "T2"].goals] == [0.11]
    assert card["l40s", "T2"].goals == ()
    assert [g.measure for g in card["h100", "T3"].goals] == ["median", "p90"]


def test_nothing_measured_is_no_line(tmp_path):
    assert list(lines(tmp_path)) == []
