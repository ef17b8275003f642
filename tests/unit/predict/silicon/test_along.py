"""Ratios of measured over modelled between sizes."""

import numpy as np
import pytest

from crossgrade.predict.silicon.along import Along
from crossgrade.values.kernel import KernelRows


def rows(ranks: float, *size: float, seconds: list[float] | None = None) -> KernelRows:
    return KernelRows(
        family="collective", op="all_reduce", format="bf16", stack="nccl",
        sizes={"ranks": np.full(len(size), ranks), "bytes": np.array(size)},
        seconds=None if seconds is None else np.array(seconds),
    )  # fmt: skip


def test_between_two_sizes_the_ratio_is_their_geometric_mean() -> None:
    table = Along.of(rows(8, 1e4, 1e6, seconds=[2.0, 8.0]), np.ones(2), "bytes")
    assert table.ratio(rows(8, 1e5)) == pytest.approx([4.0])


def test_outside_the_nearest_holds_and_other_ranks_get_one() -> None:
    table = Along.of(rows(8, 1e4, 1e6, seconds=[2.0, 8.0]), np.ones(2), "bytes")
    assert table.ratio(rows(8, 1.0, 1e9)) == pytest.approx([2.0, 8.0])
    assert table.ratio(rows(4, 1e5)) == pytest.approx([1.0])


def test_rows_of_one_size_count_by_their_mean() -> None:
    table = Along.of(rows(8, 1e4, 1e4, seconds=[1.0, 4.0]), np.ones(2), "bytes")
    assert table.ratio(rows(8, 1e4)) == pytest.approx([2.0])


def test_rows_without_times_are_refused() -> None:
    with pytest.raises(ValueError, match="measured"):
        Along.of(rows(8, 1e4), np.ones(1), "bytes")
