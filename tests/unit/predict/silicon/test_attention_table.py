"""Kriging, the name of a kernel by shape, and the table made of both."""

from __future__ import annotations

import numpy as np
import pytest

from crossgrade.predict.silicon.attention import Decode, features
from crossgrade.predict.silicon.attention_table import AttentionTable
from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.kriging import Kriging
from crossgrade.predict.silicon.launched import Launched
from crossgrade.predict.silicon.model import Floats, starting
from crossgrade.values.kernel import SIZES, KernelRows

CHIP = Facts(
    chip="made-up", architecture="made-up", matrix_flop_per_s=1e15, vector_flop_per_s=1e14,
    bandwidth_bytes_per_s=3e12, cores=132.0, clock_hz=1.8e9, cache_bytes=5e7, link_bytes_per_s=1e11,
)  # fmt: skip


def test_kriging_returns_what_was_measured_and_doubts_what_is_far() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 4, (300, 2))
    values = np.sin(points[:, 0])
    field = Kriging.build(points, values)
    here = field.at(points)
    assert np.abs(here.mean - values).max() < 0.05
    far = field.at(np.array([[50.0, 50.0]]))
    assert far.deviation[0] > 3 * here.deviation.max()
    assert values.min() - 0.1 < far.mean[0] < values.max() + 0.1


def test_kriging_works_with_fewer_points_than_neighbours() -> None:
    field = Kriging.build(np.zeros((1, 2)), np.array([3.0]))
    assert field.at(np.ones((2, 2))).mean == pytest.approx([3.0, 3.0])


def table_rows(seed: int = 0) -> KernelRows:
    """Return decode rows of a chip whose second kernel (head size 256) is three times slower."""
    heads = [(h, k) for h in (8, 16, 32, 64) for k in (1, 2, 4, 8)]
    grid = [
        (b, h, k, 1, keys, d, d, 0)
        for b in (1, 8, 64) for h, k in heads for keys in (64, 1024, 16384) for d in (128, 256)
    ]  # fmt: skip
    columns = np.array(grid, dtype=float).T
    sizes = dict(zip(SIZES["attention"], columns, strict=True))
    bare = KernelRows(family="attention", op="decode", format="bf16", stack="vllm", sizes=sizes)
    model = Decode()
    slow = sizes["qk_size"] == 256
    truth = model.terms(bare, CHIP, {**starting(model), "memory_efficiency": 0.5}).total
    noise = np.random.default_rng(seed).normal(0, 0.03, len(bare))
    return KernelRows(
        family="attention", op="decode", format="bf16", stack="vllm", sizes=sizes,
        seconds=truth * np.where(slow, 3.0, 1.0) * np.exp(noise),
        launched=np.where(slow, "slow", "quick"),
    )  # fmt: skip


def groups_of(rows: KernelRows) -> Floats:
    return rows.sizes["heads"] / 100 + rows.sizes["kv_heads"] / 1000


def test_a_name_follows_from_head_size_and_single_queries() -> None:
    rows = table_rows()
    learnt = Launched.learn(rows)
    assert (learnt.of(rows) == rows.launched).all()
    between = rows.take(np.array([0]))
    between.sizes["qk_size"][:] = 240.0
    assert learnt.of(between)[0] == "slow"


def test_rows_without_names_are_one_kernel() -> None:
    rows = table_rows()
    bare = KernelRows(
        family="attention", op="decode", format="bf16", stack="vllm", sizes=rows.sizes
    )
    assert set(Launched.learn(bare).of(bare)) == {""}


def test_a_table_predicts_configurations_that_it_has_not_seen() -> None:
    rows = table_rows()
    assert rows.seconds is not None
    out = (rows.sizes["heads"] == 32) & (rows.sizes["kv_heads"] == 4)
    known = rows.take(~out)
    table = AttentionTable.build(Decode(), known, CHIP, features, groups_of(known))
    found, asked = table.predict(rows.take(out)), rows.seconds[out]
    assert set(table.parts) == {"quick", "slow"}
    assert np.abs(found.p50 / asked - 1).mean() < 0.1
    inside = (asked >= found.p10) & (asked <= found.p90)
    assert (found.p10 < found.p90).all()
    assert inside.mean() > 0.5
