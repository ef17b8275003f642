"""Products on a cube unit: legal tiles, bounds, growth, and sane numbers on every such chip."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.chips.loader import chip_names, load_chip
from crossgrade.predict.silicon.cube import ACCUMULATOR, DOUBLE, FRACTAL, Cube, has_cube, tiles
from crossgrade.predict.silicon.facts import Facts, facts_of
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.predict.silicon.model import Floats, starting
from crossgrade.values.kernel import KernelRows

DIE = facts_of(load_chip("ascend-910c-die"), "bf16")
CUBED = [n for n in chip_names() if has_cube(facts_of(load_chip(n), "bf16"))]
MODEL = Cube()


def products(m: float, n: float, k: float, op: str = "mm_nz", format: str = "bf16") -> KernelRows:
    sizes = {"batch": 1.0, "m": m, "n": n, "k": k}
    return KernelRows(
        family="matmul", op=op, format=format, stack="cann",
        sizes={name: np.array([size]) for name, size in sizes.items()},
    )  # fmt: skip


def total(rows: KernelRows, facts: Facts = DIE) -> float:
    times: Floats = MODEL.terms(rows, facts, starting(MODEL)).total
    return float(times[0])


def test_tiles_fit_the_buffers() -> None:
    for tile in tiles(DIE, 2.0):
        assert tile.rows * tile.columns * ACCUMULATOR <= DIE.buffers["L0C"]
        assert max(tile.rows, tile.columns) * FRACTAL * 2.0 * DOUBLE <= DIE.buffers["L0A"]


def test_a_larger_accumulator_allows_larger_tiles() -> None:
    larger = dataclasses.replace(DIE, buffers={**DIE.buffers, "L0C": 2 * DIE.buffers["L0C"]})
    assert {(256, 256)} == {
        (t.rows, t.columns) for t in set(tiles(larger, 2.0)) - set(tiles(DIE, 2.0))
    }


def test_only_chips_with_the_buffers_have_a_cube() -> None:
    assert "ascend-950pr" in CUBED
    assert not {"h100", "mi300x", "tpu-v5p"} & set(CUBED)


@given(
    m=st.integers(1, 8192), n=st.integers(16, 8192), k=st.integers(64, 8192),
    format=st.sampled_from(["bf16", "int8"]),
)  # fmt: skip
def test_no_product_beats_the_data_sheet(m: int, n: int, k: int, format: str) -> None:
    facts = facts_of(load_chip("ascend-910c-die"), format)
    assert (
        total(products(m, n, k, format=format), facts) > 2.0 * m * n * k / facts.matrix_flop_per_s
    )


def test_rows_up_to_a_fractal_cost_one_fractal() -> None:
    assert total(products(1, 4096, 4096)) == pytest.approx(
        total(products(16, 4096, 4096)), rel=0.02
    )


def test_weights_row_by_row_cost_more_than_in_blocks() -> None:
    assert total(products(16, 8192, 8192, op="mm")) > 1.05 * total(products(16, 8192, 8192))


def test_one_tile_more_than_the_cores_costs_a_round() -> None:
    even, more = 24 * 256, 24 * 256 + 16
    steps = total(products(4096, more, 4096)) - total(products(4096, even, 4096))
    assert steps > 2.0 * 4096 * 16 * 4096 / DIE.matrix_flop_per_s


def test_int8_is_faster_only_where_work_is_large() -> None:
    facts = facts_of(load_chip("ascend-910c-die"), "int8")
    assert total(products(8192, 8192, 8192, format="int8"), facts) < 0.6 * total(
        products(8192, 8192, 8192)
    )
    assert total(products(1, 256, 256, format="int8"), facts) > total(products(1, 256, 256))


@pytest.mark.parametrize("name", CUBED)
def test_shipped_parameters_are_sane_on_every_chip_with_a_cube(name: str) -> None:
    facts = facts_of(load_chip(name), "bf16")
    found = next(
        f for f in shipped().fits if f.kind.stack == "cann" and f.chip and f.kind.family == "matmul"
    )
    assert set(found.values) == {p.name for p in MODEL.parameters}
    large = MODEL.terms(products(8192, 8192, 8192), facts, found.values)
    decode = MODEL.terms(products(1, 8192, 8192), facts, found.values)
    peak = 2.0 * 8192**3 / facts.matrix_flop_per_s
    stream = 2.0 * 8192**2 / facts.bandwidth_bytes_per_s
    assert 0.5 < peak / large.total[0] < 0.95
    assert 0.5 < stream / decode.total[0] < 1.0
