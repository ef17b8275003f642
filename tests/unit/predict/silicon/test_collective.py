"""Collectives: bounds by bytes and by messages, ways that are compared, levels of links."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.chips.loader import load_chip
from crossgrade.predict.silicon.collective import WAYS, Collective, link_rate
from crossgrade.predict.silicon.facts import facts_of
from crossgrade.predict.silicon.model import starting
from crossgrade.values.kernel import KernelRows

H100 = facts_of(load_chip("h100"), "bf16")
DIE = facts_of(load_chip("ascend-910c-die"), "bf16")
MODEL = Collective()


def exchanges(op: str, ranks: float, *size: float) -> KernelRows:
    return KernelRows(
        family="collective", op=op, format="bf16", stack="nccl",
        sizes={"ranks": np.full(len(size), ranks), "bytes": np.array(size)},
    )  # fmt: skip


@given(op=st.sampled_from(sorted(WAYS)), ranks=st.sampled_from([2.0, 4.0, 8.0]),
       size=st.floats(1e2, 1e9))  # fmt: skip
def test_time_grows_with_bytes_and_stays_above_the_link(op: str, ranks: float, size: float) -> None:
    total = MODEL.terms(exchanges(op, ranks, size, 2 * size), H100, starting(MODEL)).total
    assert total[1] >= total[0]
    least = min(way.share(np.array([ranks]))[0] for way in WAYS[op])
    assert total[0] > least * size / H100.link_bytes_per_s * 0.99


def test_small_all_reduces_cost_messages_and_large_ones_bytes() -> None:
    terms = MODEL.terms(exchanges("all_reduce", 8, 256.0, 1e9), H100, starting(MODEL))
    assert terms.total[0] == pytest.approx(starting(MODEL)["start"], rel=2)
    assert terms.total[1] == pytest.approx(terms.memory[1], rel=0.1)


def test_an_all_reduce_moves_twice_what_an_all_gather_does() -> None:
    values = starting(MODEL)
    reduced = MODEL.terms(exchanges("all_reduce", 8, 1e9), H100, values).total[0]
    gathered = MODEL.terms(exchanges("all_gather", 8, 1e9), H100, values).total[0]
    assert reduced == pytest.approx(2 * gathered, rel=0.05)


def test_levels_of_links() -> None:
    ranks = np.array([2.0, 16.0, 768.0, 1536.0])
    rates = link_rate(DIE, ranks)
    assert rates[0] == DIE.die_link_bytes_per_s
    assert rates[1] == rates[2] == DIE.link_bytes_per_s
    assert rates[3] < rates[2]


def test_beyond_the_domain_without_an_outer_link_nothing_is_known() -> None:
    alone = dataclasses.replace(H100, outer_link_bytes_per_s=np.nan)
    assert np.isnan(link_rate(alone, np.array([16.0]))).all()


def test_an_operation_without_a_way_is_refused() -> None:
    with pytest.raises(KeyError):
        MODEL.terms(exchanges("gossip", 2, 1e6), H100, starting(MODEL))
