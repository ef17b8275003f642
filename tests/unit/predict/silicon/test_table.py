"""A table gives back what was measured, interpolates near it, and leaves the rest to the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.model import Terms
from crossgrade.predict.silicon.table import Table
from crossgrade.values.kernel import KernelRows

FACTS = Facts(
    chip="one", architecture="some", matrix_flop_per_s=1e15, vector_flop_per_s=1e14,
    bandwidth_bytes_per_s=1e12, cores=100, clock_hz=1.8e9, cache_bytes=50e6,
    link_bytes_per_s=4e11,
)  # fmt: skip


class Streaming:
    """A model of another family than products: a floor and bytes."""

    name = "streaming"
    family = "quantise"
    parameters = ()

    def terms(self, rows, facts, values):
        memory = 3 * rows.sizes["m"] * rows.sizes["k"] / facts.bandwidth_bytes_per_s
        none = np.zeros(len(rows))
        return Terms(total=memory + 1e-6, compute=none, vector=none, memory=memory,
                     floor=none + 1e-6)  # fmt: skip


MODEL = Streaming()


def made(m, k, seconds=None, **kind):
    return KernelRows(
        family="quantise", op=kind.get("op", "per_token"), format="fp8", stack="vllm",
        sizes={"m": np.asarray(m, dtype=np.float64), "k": np.asarray(k, dtype=np.float64)},
        seconds=seconds,
    )  # fmt: skip


def truth(m, k):
    """The model is off by a smooth factor, 1.3 at small sizes, more at larger ones."""
    bare = MODEL.terms(made(m, k), FACTS, {}).total
    return bare * 1.3 * np.exp(0.05 * np.sin(np.log2(m)) + 0.02 * np.log2(k))


M, K = (
    x.ravel().astype(np.float64) for x in np.meshgrid(2 ** np.arange(12), 2 ** np.arange(5, 15))
)
ROWS = made(M, K, truth(M, K))
TABLE = Table.build(MODEL, {}, ROWS, FACTS)


def test_an_exact_hit_is_the_measurement():
    p50, deviation = TABLE.seconds(ROWS, FACTS)
    assert p50 == pytest.approx(ROWS.seconds, rel=1e-12)
    assert (deviation < 0.1).all()


def test_a_size_measured_twice_is_its_geometric_mean():
    twice = Table.build(MODEL, {}, made([64, 64, 8], [64, 64, 8], np.array([1e-6, 4e-6, 1e-6])),
                        FACTS)  # fmt: skip
    assert twice.seconds(made([64], [64]), FACTS)[0] == pytest.approx([2e-6])


def test_between_points_it_beats_the_model():
    m, k = np.array([3.0, 48.0, 700.0]), np.array([100.0, 3000.0, 12000.0])
    p50, _ = TABLE.seconds(made(m, k), FACTS)
    bare = MODEL.terms(made(m, k), FACTS, {}).total
    assert np.abs(p50 / truth(m, k) - 1).max() < 0.05
    assert np.abs(bare / truth(m, k) - 1).min() > 0.2


def test_far_away_the_model_stands_and_the_band_is_wider():
    far = made([2.0**200], [2.0**200])
    near_p50, near = TABLE.seconds(made([48.0], [3000.0]), FACTS)
    p50, deviation = TABLE.seconds(far, FACTS)
    assert p50 == pytest.approx(MODEL.terms(far, FACTS, {}).total, rel=0.01)
    assert deviation[0] > 1.5 * near[0]
    assert near_p50[0] > 0


def test_left_out_groups_lie_in_the_band_as_often_as_it_says():
    rng = np.random.default_rng(3)
    m, k = 2 ** rng.uniform(0, 12, 1500), 2 ** rng.uniform(5, 15, 1500)
    rows = made(m, k, truth(m, k) * np.exp(rng.normal(0, 0.05, 1500)))
    seen = rows.take(np.arange(1500) < 1000)
    table = Table.build(MODEL, {}, seen, FACTS)
    rest = rows.take(np.arange(1500) >= 1000)
    p50, deviation = table.seconds(rest, FACTS)
    inside = np.abs(np.log(rest.seconds / p50)) < 1.2816 * deviation
    assert 0.72 < inside.mean() < 0.88


def test_a_model_may_say_in_what_it_is_smooth():
    class Told(Streaming):
        def features(self, rows, facts):
            return np.log2(rows.sizes["m"])[:, None]

    table = Table.build(Told(), {}, ROWS, FACTS)
    assert table.points.shape == (len(ROWS), 1)
    assert TABLE.points.shape == (len(ROWS), 2)


def test_rows_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="does not know"):
        TABLE.seconds(made([1], [1], op="per_block"), FACTS)


def test_a_table_needs_measured_rows():
    with pytest.raises(ValueError, match="measured"):
        Table.build(MODEL, {}, replace(ROWS, seconds=None), FACTS)


def test_a_table_of_one_row_works():
    table = Table.build(MODEL, {}, made([64], [64], np.array([5e-6])), FACTS)
    p50, _ = table.seconds(made([64, 65], [64, 64]), FACTS)
    assert p50[0] == pytest.approx(5e-6)
    assert np.isfinite(p50).all()
