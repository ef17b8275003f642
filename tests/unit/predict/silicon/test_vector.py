"""Vector kernels: floors, transfers, rows, and sane numbers on every chip with parameters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.chips.loader import chip_names, load_chip
from crossgrade.predict.silicon.cube import has_cube
from crossgrade.predict.silicon.facts import facts_of
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.silicon.vector import Vector
from crossgrade.values.kernel import KernelRows

DIE = facts_of(load_chip("ascend-910c-die"), "bf16")
MODEL = Vector(ops=("add", "softmax"))
KNOWN = [n for n in chip_names() if has_cube(facts_of(load_chip(n), "bf16"))]


def kernels(*moved: float, op: str = "add", rows: float = 0.0, ops: float = 0.0) -> KernelRows:
    size = np.array(moved)
    return KernelRows(
        family="vector", op=op, format="bf16", stack="cann",
        sizes={
            "bytes_read": size * 2 / 3, "bytes_written": size / 3,
            "element_ops": np.full(len(size), ops), "rows": np.full(len(size), rows),
        },
    )  # fmt: skip


@given(st.floats(1e2, 1e9), st.floats(1.0, 100.0))
def test_more_bytes_never_take_less(moved: float, times: float) -> None:
    total = MODEL.terms(kernels(moved, moved * times), DIE, starting(MODEL)).total
    assert total[1] >= total[0] * (1 - 1e-9)


def test_large_transfers_run_near_the_memory_rate() -> None:
    total = MODEL.terms(kernels(4e9), DIE, starting(MODEL)).total[0]
    assert 0.7 < 4e9 / DIE.bandwidth_bytes_per_s / total < 1.0


def test_an_unknown_operation_gets_the_common_floor() -> None:
    values = {**starting(MODEL), "floor.add": 5.0}
    floors = [MODEL.terms(kernels(64.0, op=op), DIE, values).floor[0] for op in ("add", "mish")]
    assert floors[0] == pytest.approx(5 * floors[1])


def test_a_reduction_over_one_row_uses_one_core() -> None:
    values = starting(MODEL)
    one = MODEL.terms(kernels(1e6, op="softmax", rows=1, ops=4e6), DIE, values).vector[0]
    many = MODEL.terms(kernels(1e6, op="softmax", rows=48, ops=4e6), DIE, values).vector[0]
    assert one > 20 * many


@pytest.mark.parametrize("name", KNOWN)
def test_shipped_parameters_are_sane_on_their_chips(name: str) -> None:
    facts = facts_of(load_chip(name), "bf16")
    found = next(
        f for f in shipped().fits if f.kind.stack == "cann" and f.chip and f.kind.family == "vector"
    )
    total = MODEL.terms(kernels(1e4, 1e7, 1e9), facts, found.values).total
    assert 1e-6 < total[0] < 1e-5
    assert (
        1e9 / facts.bandwidth_bytes_per_s * 0.5 < total[2] < 1e9 / facts.bandwidth_bytes_per_s * 2
    )
    assert np.all(np.diff(total) > 0)
