import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.predict.silicon.splits import folds, halves, shares, spread_out
from crossgrade.values.kernel import KernelRows

FIRST = 0.42239829583371435


def products(sites: int = 40, each: int = 9) -> KernelRows:
    n = np.repeat(np.arange(1, sites + 1) * 64.0, each)
    m = np.tile(2.0 ** np.arange(each), sites)
    return KernelRows(
        family="matmul",
        op="mm",
        format="bf16",
        stack="torch",
        sizes={"batch": np.ones(len(n)), "m": m, "n": n, "k": n[::-1].copy()},
        seconds=np.full(len(n), 1e-5),
    )


def test_rows_of_a_site_are_on_one_side():
    rows = products()
    fitted, scored = halves(rows, ("n", "k"))
    assert not (fitted & scored).any()
    assert (fitted | scored).all()
    pairs = np.stack([rows.sizes["n"], rows.sizes["k"]], axis=1)
    for site in np.unique(pairs, axis=0):
        assert len(set(fitted[(pairs == site).all(axis=1)])) == 1


def test_every_row_is_scored_once():
    rows = products()
    scored = sum(mask.astype(int) for _, mask in folds(rows, ("n", "k")))
    assert (scored == 1).all()


def test_a_split_is_frozen():
    """Another value would be another split: every figure of the scorecard would move."""
    first = shares(products(), ("n", "k"))
    assert (first == shares(products(), ("n", "k"))).all()
    assert first[0] == pytest.approx(FIRST, abs=1e-9)


@given(count=st.integers(1, 60))
def test_points_are_spread_out_and_allowed(count: int):
    rows = products()
    allowed = rows.sizes["n"] > 640
    chosen = spread_out(rows, allowed, count)
    assert len(set(chosen.tolist())) == min(count, int(allowed.sum()))
    assert allowed[chosen].all()


def test_few_points_reach_both_ends():
    rows = products()
    chosen = spread_out(rows, np.ones(len(rows), dtype=bool), 8)
    assert {1.0, 256.0} <= set(rows.sizes["m"][chosen].tolist())


def test_points_go_where_rows_are():
    """One row far from a hundred others is one point, not the reason for most of them."""
    m = np.concatenate([np.arange(1.0, 101.0), [2.0**40]])
    sizes = {"batch": np.ones(101), "m": m, "n": np.ones(101), "k": np.ones(101)}
    rows = KernelRows(family="matmul", op="mm", format="bf16", stack="x", sizes=sizes)
    chosen = m[spread_out(rows, np.ones(101, dtype=bool), 5)]
    assert chosen.tolist() == pytest.approx([1, 26, 51, 76, 2.0**40], abs=1)


def test_equal_rows_are_not_chosen_twice():
    sizes = {name: np.ones(9) for name in ("batch", "m", "n", "k")}
    rows = KernelRows(family="matmul", op="mm", format="bf16", stack="x", sizes=sizes)
    assert len(set(spread_out(rows, np.ones(9, dtype=bool), 4).tolist())) == 4


def test_missing_sizes_are_refused():
    with pytest.raises(ValueError, match="has sizes"):
        KernelRows(family="matmul", op="mm", format="bf16", stack="x", sizes={"m": np.ones(1)})


def test_columns_of_different_lengths_are_refused():
    sizes = {name: np.ones(2) for name in ("batch", "m", "n", "k")}
    with pytest.raises(ValueError, match="different lengths"):
        KernelRows(
            family="matmul", op="mm", format="bf16", stack="x", sizes=sizes, seconds=np.ones(3)
        )
