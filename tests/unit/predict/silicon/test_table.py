"""A table gives back what was measured, interpolates near it, and leaves the rest to the model."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest

from crossgrade.chips.loader import load_chip
from crossgrade.predict.silicon.attention import Decode
from crossgrade.predict.silicon.experts import Experts
from crossgrade.predict.silicon.facts import Facts, facts_of
from crossgrade.predict.silicon.kernel_sets import priced
from crossgrade.predict.silicon.matmul import TileWave
from crossgrade.predict.silicon.model import Parameter, Terms, starting
from crossgrade.predict.silicon.table import Table
from crossgrade.values.kernel import SIZES, KernelRows

FACTS = Facts(
    chip="one", architecture="some", matrix_flop_per_s=1e15, vector_flop_per_s=1e14,
    bandwidth_bytes_per_s=1e12, cores=132, clock_hz=1.8e9, cache_bytes=50e6,
    link_bytes_per_s=4e11,
)  # fmt: skip


@dataclass(frozen=True)
class Streaming:
    """A floor, and bytes at a share of the bandwidth."""

    name = "streaming"
    family = "quantise"
    parameters = (
        Parameter(name="share", unit="1", start=1.0, low=0.1, high=10.0, spread=0.1, source="-"),
    )

    def terms(self, rows, facts, values):
        moved = 3 * rows.sizes["m"] * rows.sizes["k"] / facts.bandwidth_bytes_per_s
        memory, none = moved / values["share"], np.zeros(len(rows))
        return Terms(total=memory + 1e-6, compute=none, vector=none, memory=memory,
                     floor=none + 1e-6)  # fmt: skip


MODEL = Streaming()


def made(m, k, seconds=None, op="per_token"):
    sizes = {"m": np.asarray(m, dtype=np.float64), "k": np.asarray(k, dtype=np.float64)}
    return KernelRows(family="quantise", op=op, format="fp8", stack="vllm", sizes=sizes,
                      seconds=seconds)  # fmt: skip


def truth(m, k):
    """The model is off by a smooth factor."""
    bare = MODEL.terms(made(m, k), FACTS, starting(MODEL)).total
    return bare * 1.3 * np.exp(0.3 * np.sin(np.log2(m) / 2) + 0.02 * np.log2(k))


M, K = (
    x.ravel().astype(np.float64) for x in np.meshgrid(2 ** np.arange(12), 2 ** np.arange(5, 15))
)
ROWS = made(M, K, truth(M, K))
TABLE = Table.build(MODEL, [ROWS], FACTS)


def test_an_exact_hit_is_the_measurement():
    found = TABLE.estimate(ROWS)
    assert found.p50 == pytest.approx(ROWS.seconds, rel=1e-12)
    assert found.exact.all()
    assert (found.p10 < found.p50).all()
    assert (found.p50 < found.p90).all()


def test_a_size_measured_twice_is_its_geometric_mean():
    twice = made([64, 64, 8], [64, 64, 8], np.array([1e-6, 4e-6, 1e-6]))
    assert Table.build(MODEL, [twice], FACTS).estimate(made([64], [64])).p50 == (
        pytest.approx([2e-6])
    )


def test_repeats_that_disagree_widen_the_band_and_do_not_crowd_out_neighbours():
    twice = Table.build(MODEL, [made([*M, 64], [*K, 64], np.append(ROWS.seconds, 5e-5))], FACTS)
    at, quiet = (t.estimate(made([64], [64])) for t in (twice, TABLE))
    assert at.p90[0] / at.p10[0] > 2 * quiet.p90[0] / quiet.p10[0]
    often = Table.build(MODEL, [made([*M] * 25, [*K] * 25, np.tile(ROWS.seconds, 25))], FACTS)
    between = made([3.0, 48.0], [100.0, 3000.0])
    assert often.estimate(between).p50 == pytest.approx(TABLE.estimate(between).p50)


def test_the_band_of_a_small_table_comes_from_fits_that_did_not_see_its_rows(monkeypatch):
    """Fifteen parameters bend to forty rows at five weights."""
    facts, rng = facts_of(load_chip("h100"), "bf16"), np.random.default_rng(5)
    weights = [
        (1024.0, 512.0),
        (1024.0, 8192.0),
        (4096.0, 2048.0),
        (6144.0, 512.0),
        (7168.0, 4096.0),
    ]
    sizes = [(1.0, 2.0**i, n, k) for i in range(0, 16, 2) for n, k in weights]
    bare = KernelRows(
        family="matmul",
        op="mm",
        format="bf16",
        stack="vllm",
        sizes=dict(zip(SIZES["matmul"], np.array(sizes).T, strict=True)),
    )
    wild = np.tile(rng.normal(0, 0.3, len(weights)), len(sizes) // len(weights))
    time = TileWave().terms(bare, facts, starting(TileWave())).total * np.exp(wild)
    widths = []
    for many in (0, 1000):
        monkeypatch.setattr("crossgrade.predict.silicon.table.MANY_ROWS", many)
        found = Table.build(TileWave(), [replace(bare, seconds=time)], facts).estimate(
            replace(bare, sizes={**bare.sizes, "n": bare.sizes["n"] * 1.5})
        )
        widths.append(np.median(np.log(found.p90 / found.p10)))
    assert widths[1] > 1.2 * widths[0]


def test_between_points_it_beats_the_model():
    m, k = np.array([3.0, 48.0, 700.0]), np.array([100.0, 3000.0, 12000.0])
    found = TABLE.estimate(made(m, k))
    assert not found.exact.any()
    assert np.abs(found.p50 / truth(m, k) - 1).max() < 0.05
    assert np.abs(found.terms.total / truth(m, k) - 1).max() > 0.2


def test_far_away_the_band_is_wider():
    near, far = TABLE.estimate(made([48.0], [3000.0])), TABLE.estimate(made([2.0**60], [2.0**60]))
    assert np.isfinite(far.p50).all()
    assert far.p90[0] / far.p10[0] > 1.02 * near.p90[0] / near.p10[0]


def test_rows_of_left_out_sites_lie_in_the_band_as_often_as_it_says():
    rng = np.random.default_rng(3)
    m = 2 ** rng.uniform(0, 12, 3000)
    k = 2 ** rng.choice(rng.uniform(5, 15, 300), 3000)
    rows = made(m, k, truth(m, k) * np.exp(rng.normal(0, 0.05, 3000)))
    seen = np.isin(k, np.unique(k)[::2])
    rest = rows.take(~seen)
    found = Table.build(MODEL, [rows.take(seen)], FACTS).estimate(rest)
    inside = (found.p10 <= rest.seconds) & (rest.seconds <= found.p90)
    assert 0.7 < inside.mean() < 0.9


def test_a_model_may_say_in_what_it_is_smooth():
    class Told(Streaming):
        def features(self, rows, facts, values):
            return np.log2(rows.sizes["m"])[:, None]

    assert Table.build(Told(), [ROWS], FACTS).fields[""].points.shape == (len(ROWS), 1)
    assert TABLE.fields[""].points.shape == (len(ROWS), 2)


def test_an_operation_is_not_taken_for_another():
    found = TABLE.estimate(made(M, K, op="per_block"))
    assert not found.exact.any()


def test_a_table_needs_measured_rows():
    with pytest.raises(ValueError, match="measured"):
        Table.build(MODEL, [replace(ROWS, seconds=None)], FACTS)
    with pytest.raises(ValueError, match="measured"):
        Table.build(MODEL, [made([], [], np.zeros(0))], FACTS)


def test_a_table_of_one_row_works():
    table = Table.build(MODEL, [made([64], [64], np.array([5e-6]))], FACTS)
    found = table.estimate(made([64, 65], [64, 64]))
    assert found.p50[0] == pytest.approx(5e-6)
    assert np.isfinite(found.p50).all()
    # Nobody knows how far off one row is, at its size neither.
    assert found.p90 / found.p50 == pytest.approx([2.5, 2.5])


def decode_rows() -> KernelRows:
    """Decode rows of a chip whose second kernel (head size 256) is three times slower."""
    heads = [(h, k) for h in (8, 16, 32, 64) for k in (1, 2, 4, 8)]
    grid = [
        (b, h, k, 1, keys, d, d, 0)
        for b in (1, 8, 64) for h, k in heads for keys in (64, 1024, 16384) for d in (128, 256)
    ]  # fmt: skip
    columns = np.array(grid, dtype=float).T
    sizes = dict(zip(SIZES["attention"], columns, strict=True))
    bare = KernelRows(family="attention", op="decode", format="bf16", stack="vllm", sizes=sizes)
    slow = sizes["qk_size"] == 256
    values = {**starting(Decode()), "memory_efficiency": 0.5}
    time = Decode().terms(bare, FACTS, values).total * np.where(slow, 3.0, 1.0)
    noise = np.random.default_rng(0).normal(0, 0.03, len(bare))
    launched = np.where(slow, "slow", "quick")
    return replace(bare, seconds=time * np.exp(noise), launched=launched)


def test_heads_that_were_not_measured_are_told_from_others_of_their_kernel():
    rows = decode_rows()
    out = (rows.sizes["heads"] == 32) & (rows.sizes["kv_heads"] == 4)
    table = Table.build(Decode(), [rows.take(~out)], FACTS)
    asked = rows.take(out)
    found = table.estimate(asked)
    assert set(table.fields) == {"quick", "slow"}
    assert np.abs(found.p50 / asked.seconds - 1).mean() < 0.1
    assert ((found.p10 <= asked.seconds) & (asked.seconds <= found.p90)).mean() > 0.5


H100 = facts_of(load_chip("h100"), "fp8_block")
WIDTHS = [(h, i) for h in (2048.0, 3072.0, 4096.0, 6144.0) for i in (768.0, 1536.0, 2048.0)]


def experts_rows(models: list[tuple[float, float]]) -> KernelRows:
    """Rows that differ from the formula by a bump over tokens and by five per cent of noise."""
    points = list(itertools.product([2.0**n for n in range(14)], models, [1.0, 4.0]))
    columns = {
        "tokens": [t for t, _, _ in points], "hidden": [m[0] for _, m, _ in points],
        "inter": [m[1] for _, m, _ in points], "topk": [8.0] * len(points),
        "experts": [128.0] * len(points), "tp": [1.0] * len(points),
        "ep": [e for _, _, e in points], "skew": [0.0] * len(points),
    }  # fmt: skip
    sizes = {name: np.array(columns[name]) for name in SIZES["experts"]}
    some = KernelRows(family="experts", op="gated", format="fp8_block", stack="none", sizes=sizes)
    rng = np.random.default_rng(len(models))
    bump = 0.4 * np.exp(-((np.log2(sizes["tokens"]) - 7) ** 2) / 4)
    seconds = Experts().terms(some, H100, starting(Experts())).total
    return replace(
        some,
        seconds=seconds * np.exp(bump + rng.normal(0, 0.05, len(some))),
        launched=np.full(len(some), "one"),
    )


def test_an_unseen_model_is_nearer_by_table_than_by_formula_and_most_rows_lie_in_the_band():
    known, unseen = experts_rows(WIDTHS[::2]), experts_rows(WIDTHS[1::2])
    table = Table.build(Experts(), [known], H100)
    told = table.estimate(replace(unseen, seconds=None, launched=None))
    formula = priced(Experts(), unseen, H100, table.sets).total
    off = np.abs(told.p50 / unseen.seconds - 1).mean()
    assert off < 0.07
    assert off < 0.7 * np.abs(formula / unseen.seconds - 1).mean()
    inside = (told.p10 <= unseen.seconds) & (unseen.seconds <= told.p90)
    assert 0.6 < inside.mean() < 0.97
